"""What a search may change: one axis per field of the experiment, as text that `--set` would take.

distill.model.width=0.35,0.5,0.75        one of these
distill.fit.learning_rate=1e-4..1e-2:log between these, by the logarithm
distill.teacher_weight=0.3..0.9:0.1      in steps
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from edgekd.config import Experiment
from edgekd.errors import UsageError
from edgekd.settings import apply_settings

INPUT = "data.input_px"
_RANGE = re.compile(r"([^.,:][^,:]*?)\.\.([^,:]+?)(?::([^,:]+))?")
_LOG = "log"
_DEFAULT: Mapping[str, tuple[str, ...]] = {
    "mobilenet_v2": ("distill.model.width=0.35,0.5,0.75,1.0", "distill.model.blocks=10,13,17"),
    "mobilenet_v3_small_minimalistic": ("distill.model.width=0.5,0.75,1.0",),
    "mobilenet_v4_conv_small": ("distill.model.width=0.35,0.5,0.75,1.0",),
    "efficientnet_lite0": ("distill.model.width=0.35,0.5,0.75,1.0",),
    "dsnet": ("distill.model.width=0.25,0.5,0.75,1.0",),
}
_SIDES = (96, 128, 160, 192, 224)

Names = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One field and its `choices`; without any, the numbers from `low` to `high`.

    `step` 0: every number between them; `log`: as likely in each factor of ten; `whole`: whole numbers.
    """

    field: str
    choices: Names = ()
    low: float = 0.0
    high: float = 0.0
    step: float = 0.0
    log: bool = False
    whole: bool = False

    def suggest(self, trial: Any) -> str:
        """The value that the Optuna `trial` tries, as text."""
        if self.choices:
            return str(trial.suggest_categorical(self.field, list(self.choices)))
        step = self.step or None
        if self.whole:
            return str(
                trial.suggest_int(
                    self.field, int(self.low), int(self.high), step=int(self.step) or 1, log=self.log
                )
            )
        return f"{trial.suggest_float(self.field, self.low, self.high, step=step, log=self.log):.6g}"


def parse_axis(text: str, experiment: Experiment) -> Axis:
    """The axis that `text` describes, its values tried on `experiment`.

    Raises:
        UsageError: no `=`, an unknown field, a value the field does not take, or a field that is not the
            student's.
    """
    field, equals, values = (part.strip() for part in text.partition("="))
    if not equals or not values:
        raise UsageError(
            f"--space {text!r}: expected field=a,b,c or field=low..high, as in distill.model.width=0.35,0.5"
        )
    if not field.startswith("distill.") and field != INPUT:
        raise UsageError(
            f"--space {field}: expected a field of distill or {INPUT}; the teacher and its data are shared "
            "by all trials, change them with --set"
        )
    spread = _RANGE.fullmatch(values)
    axis = _range(field, spread, experiment) if spread else Axis(field=field, choices=_choices(values))
    for value in axis.choices or (f"{axis.low:g}", f"{axis.high:g}"):
        apply_settings(experiment, [f"{field}={value}"])
    return axis


def default_space(experiment: Experiment) -> tuple[Axis, ...]:
    """Width, depth and resolution of the experiment's student, as far as it has them.

    Raises:
        UsageError: nothing is known of the student.
    """
    name = experiment.distill.model.name
    if name not in _DEFAULT:
        raise UsageError(f"no space is known for {name}: give one with --space field=a,b,c")
    sides = [side for side in _SIDES if experiment.data.input_px / 2 <= side <= experiment.data.input_px]
    texts = [*_DEFAULT[name], *([f"{INPUT}={','.join(map(str, sides))}"] if sides else [])]
    return tuple(parse_axis(text, experiment) for text in texts)


def check_space(space: Sequence[Axis], experiment: Experiment) -> None:
    """Nothing, when `space` can be searched.

    Raises:
        UsageError: a field is given twice, or pictures would be shown larger than they are stored.
    """
    fields = [axis.field for axis in space]
    for field in fields:
        if fields.count(field) > 1:
            raise UsageError(f"--space {field} is given twice: put all its values into one")
    sides = [int(value) for axis in space if axis.field == INPUT for value in _ends(axis)]
    if max(sides, default=0) > experiment.data.train_px:
        raise UsageError(
            f"--space {INPUT} goes up to {max(sides)}, training images are stored at "
            f"{experiment.data.train_px}: add --set data.train_px={max(sides)}"
        )


def combinations(space: Sequence[Axis]) -> int | None:
    """How many points `space` has; None where an axis is a range."""
    if not all(axis.choices for axis in space):
        return None
    return math.prod(len(axis.choices) for axis in space)


def points(space: Sequence[Axis]) -> Iterator[dict[str, str]]:
    """All points of a `space` of choices, field to value."""
    for values in itertools.product(*(axis.choices for axis in space)):
        yield {axis.field: value for axis, value in zip(space, values, strict=True)}


def settings_of(point: Mapping[str, str]) -> Names:
    """What `--set` takes for a point."""
    return tuple(f"{field}={value}" for field, value in point.items())


def name_of(point: Mapping[str, str]) -> str:
    """A folder's name for a point: the last words of its fields, as far as they tell them apart."""
    lasts = [field.rpartition(".")[2] for field in point]
    short = {
        field: last if lasts.count(last) == 1 else field for field, last in zip(point, lasts, strict=True)
    }
    name = ",".join(f"{short[field]}={value}" for field, value in point.items())
    return re.sub(r"[^A-Za-z0-9._=,+-]+", "-", name) or "as-it-is"


def _choices(values: str) -> Names:
    found = tuple(value.strip() for value in values.split(",") if value.strip())
    if len(set(found)) < len(found):
        raise UsageError(f"--space: {values} repeats a value")
    return found


def _range(field: str, found: re.Match[str], experiment: Experiment) -> Axis:
    number: Callable[[str], float] = lambda text: _number(text, field)  # noqa: E731
    low, high, by = number(found[1]), number(found[2]), found[3]
    log = by == _LOG
    step = number(by) if by and not log else 0.0
    if not low < high or (log and low <= 0) or step < 0:
        raise UsageError(f"--space {field}={found[0]}: expected low..high, low..high:log or low..high:step")
    whole = isinstance(_current(experiment, field), int)
    return Axis(field=field, low=low, high=high, step=step, log=log, whole=whole)


def _current(experiment: Experiment, field: str) -> Any:
    try:
        return reduce(getattr, field.split("."), experiment)
    except AttributeError:
        return apply_settings(experiment, [f"{field}=0"])  # raises the error that names the nearest fields


def _number(text: str, field: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"--space {field}: {text!r} is not a number")
    return value


def _ends(axis: Axis) -> tuple[str, ...]:
    return axis.choices or (f"{axis.low:.0f}", f"{axis.high:.0f}")
