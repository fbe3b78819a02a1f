"""Values as plain JSON: dataclasses to text and back, checked field by field."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from edgekd.errors import UnknownNameError, UsageError

T = TypeVar("T")

ABSENT = {"absent": None}
"""The metadata of a field that came later: None is left out, so that older records keep their text."""


def to_plain(value: Any) -> Any:
    """`value` as JSON types: dataclasses become objects, enums their value, tuples lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [f for f in dataclasses.fields(value) if not _left_out(f, getattr(value, f.name))]
        return {f.name: to_plain(getattr(value, f.name)) for f in fields}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value


def canonical_json(value: Any) -> str:
    """One text for one value: sorted keys, no spaces, no NaN."""
    return json.dumps(to_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """The sha256 of the canonical JSON of `value`, in hexadecimal."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def from_plain(kind: type[T], value: Any, where: str = "") -> T:
    """`value` (JSON types) as an instance of the dataclass `kind`.

    Raises:
        UsageError: a field is missing, unknown or of the wrong type; `where` is named.
    """
    return typing.cast("T", _build(kind, value, where or kind.__name__))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON to `path`, whole or not at all."""
    text = json.dumps(to_plain(value), indent=2, sort_keys=True, allow_nan=False) + "\n"
    write_text(path, text)


def read_json(path: Path) -> Any:
    """The JSON value in `path`.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not JSON in UTF-8.
    """
    return json.loads(path.read_text(encoding="utf-8"))


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8) to `path`, whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def file_digest(path: Path) -> str:
    """The sha256 of the bytes of `path`, in hexadecimal, with constant memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parse_enum(kind: type[enum.Enum], text: str, where: str) -> Any:
    """The member of `kind` whose value is `text`.

    Raises:
        UnknownNameError: there is none; the nearest values are named.
    """
    values = {str(member.value): member for member in kind}
    if text not in values:
        raise UnknownNameError(where, text, values)
    return values[text]


def _left_out(field: dataclasses.Field[Any], value: Any) -> bool:
    return value is None and "absent" in field.metadata


def _build(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _build_dataclass(kind, value, where)
    origin = typing.get_origin(kind)
    if origin is tuple:
        if not isinstance(value, list):
            raise UsageError(f"{where}: expected a list, got {type(value).__name__}")
        item = typing.get_args(kind)[0]
        return tuple(_build(item, part, f"{where}[{n}]") for n, part in enumerate(value))
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return _build(next(a for a in typing.get_args(kind) if a is not type(None)), value, where)
    if origin in (dict, Mapping):
        return _build_mapping(kind, value, where)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return parse_enum(kind, str(value), where)
    return _check_plain(kind, value, where)


def _build_mapping(kind: Any, value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{where}: expected an object, got {type(value).__name__}")
    item = typing.get_args(kind)[1]
    return {key: _build(item, part, f"{where}.{key}") for key, part in value.items()}


def _build_dataclass(kind: type[Any], value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise UsageError(f"{where}: expected an object, got {type(value).__name__}")
    hints = typing.get_type_hints(kind)
    names = [f.name for f in dataclasses.fields(kind)]
    for name in value:
        if name not in names:
            raise UnknownNameError(f"field of {where}", name, names)
    required = [
        f.name
        for f in dataclasses.fields(kind)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    missing = [name for name in required if name not in value]
    if missing:
        raise UsageError(f"{where}: missing {', '.join(missing)}")
    return kind(**{name: _build(hints[name], part, f"{where}.{name}") for name, part in value.items()})


def _check_plain(kind: Any, value: Any, where: str) -> Any:
    if kind is Any:
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, bool) is not (kind is bool) or not isinstance(value, kind):
        raise UsageError(f"{where}: expected {kind.__name__}, got {value!r}")
    return value
