"""A leaderboard of every record in a folder: `edgekd leaderboard DIR --out DIR`.

    leaderboard.md               the table
    leaderboard.html             table and pictures in one file that loads nothing
    pareto_latency.svg, .png     sensitivity against latency, a panel for each device and thread count
    pareto_size.svg, .png        sensitivity against the size of the file

A picture puts side by side what was evaluated on the same split. Software GPUs and emulators have no latency
here; foreign JSON in the folder is skipped and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekd.errors import DataError, UsageError
from edgekd.metrics.evaluation import EvaluationRecord
from edgekd.metrics.intervals import Estimate
from edgekd.plain import write_text
from edgekd_bench.compare import simulation
from edgekd_bench.folders import Place, read_folder
from edgekd_bench.markdown import NONE, estimate, lines
from edgekd_bench.record import BenchRecord, figures
from edgekd_bench.round import Status

_NOISY = "†"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One record on the board: its `label` is unique for each file."""

    label: str
    record: BenchRecord

    @property
    def latency_ms(self) -> float | None:
        """The p50 on hardware; None for what did not run or ran on a simulation."""
        timed = self.record.timed_ms
        return None if timed is None or simulation(self.record) else timed.p50

    @property
    def sensitivity(self) -> Estimate | None:
        """The sensitivity on that engine, where labelled images were run."""
        found = self.record.evaluation.sensitivity if self.record.evaluation else None
        return found if found is not None and found.value is not None else None


@dataclass(frozen=True, kw_only=True)
class Point:
    """A dot of a picture: smaller cost and larger sensitivity are better; a `noisy` cost is not compared."""

    label: str
    cost: float
    cost_to: float
    sensitivity: Estimate
    noisy: bool = False


def read_board(folder: Path) -> tuple[Entry, ...]:
    """The records in and below `folder`, most sensitive first, then fastest.

    Raises:
        UsageError: there is no such folder.
        DataError: it holds no benchmark record.
    """
    places = read_folder(folder, deep=True)
    if not places:
        raise DataError(f"{folder}: no benchmark record (edgekd.bench/1) in or below it")
    entries = [
        Entry(label=label, record=place.record)
        for label, place in zip(_labels(folder, places), places, strict=True)
    ]
    return tuple(sorted(entries, key=_rank))


def _labels(folder: Path, places: Sequence[Place]) -> list[str]:
    """The name of each file; with its folder where different files share a name."""
    files = {(place.record.model.name, place.record.model.sha256) for place in places}
    shared = Counter(name for name, _ in files)
    return [
        place.record.model.name
        if shared[place.record.model.name] == 1
        else f"{_run(folder, place.path)}/{place.record.model.name}"
        for place in places
    ]


def _run(folder: Path, path: Path) -> str:
    parent = path.parent.parent if path.parent.name == "bench" else path.parent
    inside = parent.relative_to(folder) if parent.is_relative_to(folder) else Path()
    return inside.as_posix() if inside.parts else folder.resolve().name


def _rank(entry: Entry) -> tuple[float, float, int, str, str, int]:
    record = entry.record
    sensitive = -(entry.sensitivity.value or 0) if entry.sensitivity else 1.0
    fast = entry.latency_ms if entry.latency_ms is not None else float("inf")
    return (
        sensitive,
        fast,
        record.model.size_bytes,
        entry.label,
        record.requested_accelerator,
        record.threads,
    )


def pareto(points: Sequence[Point]) -> list[Point]:
    """Those of the quiet `points` that no other beats in cost and sensitivity at once, by cost."""
    front: list[Point] = []
    quiet = [point for point in points if not point.noisy]
    for point in sorted(quiet, key=lambda one: (one.cost, -_value(one.sensitivity), one.label)):
        if not front or _value(point.sensitivity) > _value(front[-1].sensitivity):
            front.append(point)
    return front


def _value(estimate: Estimate) -> float:
    return float(estimate.value or 0.0)


def split_of(entry: Entry) -> str:
    """What was evaluated: sensitivities on other images are not put side by side."""
    found: EvaluationRecord | None = entry.record.evaluation
    return "" if found is None else f"{found.split} split, n = {found.n}, {found.n_positive} malignant"


def evaluated_alike(entries: Sequence[Entry]) -> list[Entry]:
    """The entries of the split that most of them share."""
    known = [entry for entry in entries if entry.sensitivity is not None]
    if not known:
        return []
    (most, _), *_ = Counter(split_of(entry) for entry in known).most_common(1)
    return [entry for entry in known if split_of(entry) == most]


def size_points(entries: Sequence[Entry]) -> list[Point]:
    """Each file once, by its size in MB (10⁶ bytes), with the sensitivity on its first engine."""
    found: dict[str, Point] = {}
    for entry in sorted(evaluated_alike(entries), key=lambda one: (one.label, one.record.threads)):
        if entry.sensitivity is not None and entry.label not in found:
            cost = entry.record.model.size_bytes / 1e6
            found[entry.label] = Point(
                label=entry.label, cost=cost, cost_to=cost, sensitivity=entry.sensitivity
            )
    return list(found.values())


def latency_points(entries: Sequence[Entry]) -> dict[str, list[Point]]:
    """The files by p50 and p90 in ms, for each device, engine and thread count; hardware only.

    Of a file that was measured again the last quiet measurement counts.
    """
    found: dict[str, dict[str, Point]] = {}
    known = evaluated_alike(entries)
    for entry in sorted(known, key=lambda one: (not one.record.noise, one.record.measured_at)):
        latency = entry.record.latency_ms
        if entry.latency_ms is not None and latency is not None and entry.sensitivity is not None:
            point = Point(
                label=entry.label,
                cost=latency.p50,
                cost_to=latency.p90,
                sensitivity=entry.sensitivity,
                noisy=bool(entry.record.noise),
            )
            found.setdefault(_where(entry.record), {})[entry.label] = point
    return {where: list(points.values()) for where, points in sorted(found.items())}


def _where(record: BenchRecord) -> str:
    threads = f"{record.threads} thread{'s' * (record.threads > 1)}"
    actual = record.actual_accelerator
    engine = record.requested_accelerator if actual in (None, "cpu") else actual
    return f"{record.device.cpu}, {engine}, {threads}"


HEAD = (
    *("file", "engine", "threads", "device", "MB", "p50 (p90) ms", "peak MB", "sensitivity", "specificity"),
    "measured (UTC)",
)


def cells(entry: Entry) -> tuple[str, ...]:
    """The cells of one row, as `HEAD` names them."""
    record, found = entry.record, entry.record.evaluation
    engine = record.engine
    peak = record.peak_memory_bytes
    return (
        entry.label,
        f"{engine.name} {engine.version} ({engine.kernels})" if engine else record.requested_accelerator,
        str(record.threads),
        record.device.cpu,
        f"{record.model.size_bytes / 1e6:.2f}",
        _latency(record),
        NONE if peak is None else f"{peak / 1e6:.1f}",
        estimate(entry.sensitivity),
        estimate(found.specificity if found else None),
        record.measured_at[:16].replace("T", " "),
    )


def _latency(record: BenchRecord) -> str:
    if record.status is Status.OK and (engine := simulation(record)):
        return f"{engine}: correctness only"
    if record.timed_ms is None:
        return f"{record.status}: {record.reason}"
    return f"{figures(record)}{_NOISY if record.noise else ''}"


def notes(entries: Sequence[Entry]) -> list[str]:
    """What has to be known to read the board."""
    splits = Counter(split_of(entry) for entry in entries if entry.record.evaluation)
    said = ["Sensitivity and specificity with 95 % intervals, measured on that engine: " + "; ".join(splits)]
    if len(splits) > 1:
        said.append("The pictures show the split that most records share: other images are another question.")
    if any(entry.record.noise for entry in entries):
        said.append(
            f"{_NOISY} The machine was not quiet, the record says how: not to be compared (a ring in "
            "the pictures)."
        )
    simulated = sum(simulation(entry.record) is not None for entry in entries)
    if simulated:
        said.append(f"{simulated} records are of software GPUs or emulators, which have no latency.")
    return said if splits else ["No record was evaluated on labelled images.", *said[1:]]


def markdown(entries: Sequence[Entry]) -> str:
    """The board as a Markdown table with its notes."""
    rows = [HEAD, ("---", "---", "---:", "---", *["---:"] * (len(HEAD) - 4)), *map(cells, entries)]
    return "\n".join([*lines(rows), "", *(f"{note}  " for note in notes(entries))]) + "\n"


def write_board(folder: Path, out: Path) -> tuple[Entry, ...]:
    """The entries of `folder`, written to `out` as this module's docstring says.

    Raises:
        UsageError: there is no such folder, or `out` is a file.
        DataError: it holds no benchmark record.
        MissingExtraError: matplotlib is not installed.
    """
    from edgekd_bench.leaderboard_page import page, pictures

    entries = read_board(folder)
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file, expected a folder")
    out.mkdir(parents=True, exist_ok=True)
    drawn = pictures(entries)
    for picture in drawn:
        write_text(out / f"{picture.name}.svg", picture.svg)
        (out / f"{picture.name}.png").write_bytes(picture.png)
    write_text(out / "leaderboard.md", f"# Leaderboard\n\n{markdown(entries)}")
    write_text(out / "leaderboard.html", page(entries, drawn))
    return entries
