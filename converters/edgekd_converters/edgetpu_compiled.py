"""What a file compiled for the Edge TPU holds: executables, parameters kept and streamed, what is left over.

The compiler puts one operator, `edgetpu-custom-op`, in place of what it mapped. Its options are a FlexBuffer
whose field "4" holds a package (a FlatBuffer, file identifier DWN1) of executables.

Source: google-coral/libedgetpu, tflite/custom_op_data.cc and executable/executable.fbs.
"""

from __future__ import annotations

import enum
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flatbuffers import flexbuffers

from edgekd.errors import ModelError
from edgekd.plain import file_digest
from edgekd_converters.edgetpu_graph import CUSTOM_OP, Node, read_network
from edgekd_converters.metadata_front import DAMAGED

SCHEMA = "edgekd.edgetpu_compiled/1"
_IDENTIFIER = b"DWN1"
_MAX_EXECUTABLES = 64
_DAMAGED = (*DAMAGED, KeyError)

# The places of fields in the tables of executable.fbs.
_MIN_RUNTIME, _EXECUTABLES, _COMPILER = 0, 1, 4
_NAME, _SCRATCH, _BITSTREAMS, _PARAMETERS = 1, 4, 5, 6
_INPUTS, _OUTPUTS, _CHIP, _KIND, _TOKEN = 8, 9, 10, 13, 14


class Kind(enum.StrEnum):
    """What an executable is for: all at once, or first to load parameters and then to run without loading."""

    STAND_ALONE = "stand-alone"
    PARAMETER_CACHING = "parameter-caching"
    EXECUTION_ONLY = "execution-only"


@dataclass(frozen=True, kw_only=True)
class Executable:
    """One program for the chip.

    `parameter_bytes` are padded to the chip's layout. Executables with the same `caching_token` (hexadecimal;
    null: none) keep their parameters on the chip together. `inputs` and `outputs` name tensors.
    """

    name: str
    kind: Kind
    chip: str
    parameter_bytes: int
    instruction_bytes: int
    scratch_bytes: int
    caching_token: str | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class CompiledFile:
    """What a compiled file holds (schema edgekd.edgetpu_compiled/1).

    Cached parameters are loaded once, streamed ones at every run. `on_cpu` counts what was left out.
    """

    schema: str = SCHEMA
    sha256: str
    size_bytes: int
    custom_operators: int
    min_runtime_version: int
    compiler: str | None
    executables: tuple[Executable, ...]
    cached_parameter_bytes: int
    streamed_parameter_bytes: int
    on_cpu: Mapping[str, int]


def inspect_compiled(path: Path) -> CompiledFile:
    """What the file `path`, compiled by `edgetpu_compiler`, holds; it may come from anywhere.

    Raises:
        ModelError: the file is missing, damaged, or was not compiled for the Edge TPU.
    """
    network = read_network(path)
    compiled = [node for node in network.nodes if node.operator == CUSTOM_OP]
    if not compiled:
        raise ModelError(f"{path}: not compiled for the Edge TPU, there is no {CUSTOM_OP} in it")
    try:
        packages = [package for node in compiled for package in _packages(node)]
        executables = tuple(executable for package in packages for executable in _executables(package))
        return CompiledFile(
            sha256=file_digest(path),
            size_bytes=network.size_bytes,
            custom_operators=len(compiled),
            min_runtime_version=max(package.integer(_MIN_RUNTIME, "<i") for package in packages),
            compiler=packages[0].text(_COMPILER) or None,
            executables=executables,
            cached_parameter_bytes=_parameters(executables, cached=True),
            streamed_parameter_bytes=_parameters(executables, cached=False),
            on_cpu=dict(sorted(Counter(n.operator for n in network.nodes if n not in compiled).items())),
        )
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    except _DAMAGED as error:
        raise ModelError(f"{path}: damaged, the executable inside points outside of itself") from error


def _parameters(executables: tuple[Executable, ...], *, cached: bool) -> int:
    return sum(e.parameter_bytes for e in executables if (e.kind is Kind.PARAMETER_CACHING) is cached)


class _Table:
    """A table of a FlatBuffer, its fields by place; what is absent is 0 or empty."""

    def __init__(self, data: memoryview, place: int) -> None:
        self._data, self._place = data, place
        (distance,) = struct.unpack_from("<i", data, place)
        self._vtable = place - distance
        if not 0 <= self._vtable <= len(data) - 4:
            raise IndexError("table")
        (self._size,) = struct.unpack_from("<H", data, self._vtable)

    @classmethod
    def root(cls, data: memoryview) -> _Table:
        return cls(data, struct.unpack_from("<I", data, 0)[0])

    def integer(self, field: int, form: str) -> int:
        place = self._field(field)
        return int(struct.unpack_from(form, self._data, place)[0]) if place else 0

    def bytes(self, field: int) -> memoryview:
        place = self._field(field)
        return self._vector(self._follow(place)) if place else memoryview(b"")

    def text(self, field: int) -> str:
        return bytes(self.bytes(field)).decode(errors="replace")

    def tables(self, field: int) -> Iterator[_Table]:
        for place in self._places(field):
            yield _Table(self._data, place)

    def vectors(self, field: int) -> Iterator[memoryview]:
        for place in self._places(field):
            yield self._vector(place)

    def _places(self, field: int) -> Iterator[int]:
        """Where the elements of a vector of tables or vectors are."""
        place = self._field(field)
        if not place:
            return
        begin = self._follow(place)
        (count,) = struct.unpack_from("<I", self._data, begin)
        if count > _MAX_EXECUTABLES:
            raise ModelError(f"damaged, {count} items in a list, expected at most {_MAX_EXECUTABLES}")
        for number in range(count):
            yield self._follow(begin + 4 + 4 * number)

    def _field(self, field: int) -> int:
        entry = 4 + 2 * field
        if entry + 2 > self._size:
            return 0
        (offset,) = struct.unpack_from("<H", self._data, self._vtable + entry)
        return self._place + offset if offset else 0

    def _follow(self, place: int) -> int:
        return place + int(struct.unpack_from("<I", self._data, place)[0])

    def _vector(self, place: int) -> memoryview:
        (length,) = struct.unpack_from("<I", self._data, place)
        if place + 4 + length > len(self._data):
            raise IndexError("vector")
        return self._data[place + 4 : place + 4 + length]


def _packages(node: Node) -> Iterator[_Table]:
    """The packages in the options of a custom operator: one for each kind of chip."""
    if node.custom_options is None:
        raise ModelError(f"damaged, {CUSTOM_OP} without its executable")
    options = flexbuffers.GetRoot(node.custom_options.tobytes()).AsMap
    yield _package(options["4"])
    others = options["7"] if "7" in _keys(options) else None
    if others is not None and not others.IsNull:
        vector = others.AsVector
        if len(vector) > _MAX_EXECUTABLES:
            raise ModelError(f"damaged, {len(vector)} executables, expected at most {_MAX_EXECUTABLES}")
        yield from (_package(vector[number]) for number in range(len(vector)))


def _keys(options: Any) -> set[str]:
    if len(options) > _MAX_EXECUTABLES:
        raise ModelError(f"damaged, {len(options)} options, expected at most {_MAX_EXECUTABLES}")
    return {key.AsKey for key in options.Keys}


def _package(stored: Any) -> _Table:
    data = memoryview(bytes(stored.AsStringBytes))
    if bytes(data[4:8]) != _IDENTIFIER:
        raise ModelError(f"damaged, the executable is not a package ({bytes(data[4:8])!r}, expected DWN1)")
    return _Table.root(data)


def _executables(package: _Table) -> Iterator[Executable]:
    for data in _Table.root(package.bytes(_EXECUTABLES)).vectors(0):
        table = _Table.root(data)
        token = table.integer(_TOKEN, "<Q")
        yield Executable(
            name=table.text(_NAME),
            kind=list(Kind)[table.integer(_KIND, "<H")],
            chip=table.text(_CHIP),
            parameter_bytes=len(table.bytes(_PARAMETERS)),
            instruction_bytes=sum(len(part.bytes(0)) for part in table.tables(_BITSTREAMS)),
            scratch_bytes=table.integer(_SCRATCH, "<i"),
            caching_token=f"{token:016x}" if token else None,
            inputs=tuple(layer.text(0) for layer in table.tables(_INPUTS)),
            outputs=tuple(layer.text(0) for layer in table.tables(_OUTPUTS)),
        )
