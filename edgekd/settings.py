"""`--set a.b=c`: a change to a configuration, parsed by the type of the field it names."""

from __future__ import annotations

import dataclasses
import enum
import math
import typing
from collections.abc import Iterable
from typing import Any, TypeVar

from edgekd.errors import UnknownNameError, UsageError
from edgekd.plain import parse_enum

T = TypeVar("T")

_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}


def apply_settings(config: T, settings: Iterable[str]) -> T:
    """`config` with every `a.b=c` of `settings` applied, in order.

    An element of a tuple of named configurations is chosen by its name: `data.sources.ham10000.share=2`.

    Raises:
        UsageError: no `=`, an unknown field, or a text the field's type does not take.
    """
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals:
            raise UsageError(f"--set {setting!r}: expected name=value, as in --set distill.method=none")
        config = _replace(config, path.strip().split("."), text.strip(), path.strip())
    return config


def _replace(config: Any, path: list[str], text: str, full: str) -> Any:
    head, rest = path[0], path[1:]
    if isinstance(config, tuple):
        return _replace_named(config, head, rest, text, full)
    hints = typing.get_type_hints(type(config))
    if head not in hints:
        raise UnknownNameError(f"setting (in {full})", head, hints)
    current = getattr(config, head)
    if rest:
        if not dataclasses.is_dataclass(current) and not isinstance(current, tuple):
            raise UsageError(f"--set {full}: {head} is a single value, it has no field {rest[0]!r}")
        return dataclasses.replace(config, **{head: _replace(current, rest, text, full)})
    return dataclasses.replace(config, **{head: _parse(hints[head], text, full)})


def _replace_named(items: tuple[Any, ...], head: str, rest: list[str], text: str, full: str) -> Any:
    names = {getattr(item, "name", str(n)): n for n, item in enumerate(items)}
    if head not in names:
        raise UnknownNameError(f"setting (in {full})", head, names)
    if not rest:
        raise UsageError(f"--set {full}: name a field of {head}, as in {full}.share=2")
    number = names[head]
    return (*items[:number], _replace(items[number], rest, text, full), *items[number + 1 :])


def _parse(kind: Any, text: str, where: str) -> Any:
    if typing.get_origin(kind) is tuple:
        item = typing.get_args(kind)[0]
        if dataclasses.is_dataclass(item):
            raise UsageError(f"--set {where}: choose one by name, as in {where}.NAME.field=value")
        return tuple(_parse(item, part.strip(), where) for part in text.split(",") if part.strip())
    if dataclasses.is_dataclass(kind):
        names = ", ".join(f.name for f in dataclasses.fields(kind))
        raise UsageError(f"--set {where}: name one of its fields ({names})")
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return parse_enum(kind, text, where)
    return _scalar(kind, text, where)


def _scalar(kind: Any, text: str, where: str) -> Any:
    if kind is bool:
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        raise UsageError(f"--set {where}={text}: expected true or false")
    if kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            number = None
        if number is None or not math.isfinite(number):
            wanted = "a whole number" if kind is int else "a number"
            raise UsageError(f"--set {where}={text}: expected {wanted}")
        return number
    return text
