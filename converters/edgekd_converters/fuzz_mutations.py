"""`mutate`: a damaged or malicious copy of a model file, a pure function of (seed, number)."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from flatbuffers.table import Table

from edgekd.errors import ModelError
from edgekd_converters.metadata_front import DAMAGED, open_model

Change: TypeAlias = Callable[[bytes, np.random.Generator], bytes]

_ABSURD = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF)
_NEAR = 4096  # tables, directories and headers stand within this many bytes of an end
_BOMB_BYTES = 1 << 27
_MAX_PLACES, _MAX_FIELDS, _MAX_DEPTH = 5000, 32, 4
_CONFIG = "config.json"


def mutate(data: bytes, suffix: str, *, seed: int, number: int) -> tuple[str, bytes]:
    """A changed copy of `data`, a file named *`suffix`, and the name of the change."""
    rng = np.random.Generator(np.random.PCG64([seed, number]))
    changes = (GENERAL, SPECIAL.get(suffix, GENERAL))[int(rng.integers(2))]
    name = str(rng.choice(sorted(changes)))
    return name, changes[name](data, rng)


def _place(data: bytes, rng: np.random.Generator) -> int:
    """A place in `data`, two times of three near one of its ends."""
    near = min(len(data), _NEAR)
    ranges = ((0, near), (len(data) - near, len(data)), (0, len(data)))
    return int(rng.integers(*ranges[int(rng.integers(3))])) if data else 0


def _flip_bits(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 17)) if data else 0):
        changed[_place(data, rng)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: _place(data, rng)]


def _overwrite(data: bytes, rng: np.random.Generator) -> bytes:
    at, noise = _place(data, rng), rng.bytes(int(rng.integers(1, 257)))
    return data[:at] + noise + data[at + len(noise) :]


def _insert(data: bytes, rng: np.random.Generator) -> bytes:
    at = _place(data, rng)
    return data[:at] + rng.bytes(int(rng.integers(1, 65))) + data[at:]


def _delete(data: bytes, rng: np.random.Generator) -> bytes:
    at = _place(data, rng)
    return data[:at] + data[at + int(rng.integers(1, 65)) :]


def _splice(data: bytes, rng: np.random.Generator) -> bytes:
    source, target, length = _place(data, rng), _place(data, rng), int(rng.integers(4, 1025))
    return data[:target] + data[source : source + length] + data[target + length :]


def _absurd_word(data: bytes, rng: np.random.Generator) -> bytes:
    return _put_word(data, _place(data, rng) & ~3, rng)


def _put_word(data: bytes, at: int, rng: np.random.Generator) -> bytes:
    width = int(rng.choice([2, 4]))
    value = int(rng.choice(_ABSURD)) & ((1 << 8 * width) - 1)
    return data[:at] + value.to_bytes(width, "little") + data[at + width :]


def _noise(data: bytes, rng: np.random.Generator) -> bytes:
    return data[:8] + rng.bytes(int(rng.integers(0, 4097)))


def _absurd_table(data: bytes, rng: np.random.Generator) -> bytes:
    """An absurd number where a FlatBuffer keeps an offset, a length or a scalar of a table."""
    places = _table_places(data)
    for _ in range(int(rng.integers(1, 4)) if places else 0):
        data = _put_word(data, places[int(rng.integers(len(places)))], rng)
    return data


def _table_places(data: bytes) -> list[int]:
    """Where the words of the upper tables of a .tflite file stand: vtables, their fields, vector lengths."""
    try:
        rest = [(open_model(data)._tab, 0)]
    except ModelError:
        return []
    found: set[int] = set()
    while rest and len(found) < _MAX_PLACES:
        tab, depth = rest.pop()
        with suppress(*DAMAGED):
            vtable = tab.Pos - struct.unpack_from("<i", data, tab.Pos)[0]
            fields = range(min((struct.unpack_from("<H", data, vtable)[0] - 4) // 2, _MAX_FIELDS))
            offsets = list(filter(None, (tab.Offset(4 + 2 * number) for number in fields)))
            found.update((vtable, vtable + 2, tab.Pos, *(vtable + 4 + 2 * number for number in fields)))
            found.update(tab.Pos + offset for offset in offsets)
            if depth < _MAX_DEPTH:
                rest += [(inner, depth + 1) for offset in offsets for inner in _inner(tab, offset, found)]
    return sorted(place for place in found if 0 <= place < len(data) - 4)


def _inner(tab: Any, offset: int, found: set[int]) -> list[Any]:
    """The tables that a field leads to if it is taken for a vector of tables; its length goes to `found`."""
    with suppress(*DAMAGED):
        count, begin = tab.VectorLen(offset), tab.Vector(offset)
        if count <= _MAX_PLACES:
            found.add(begin - 4)
            targets = [tab.Indirect(begin + 4 * number) for number in range(min(count, _MAX_FIELDS))]
            return [Table(tab.Bytes, target) for target in targets if target + 4 <= len(tab.Bytes)]
    return []


def _zip_bomb(data: bytes, rng: np.random.Generator) -> bytes:
    """A .keras archive whose description unpacks to 128 MiB of spaces."""
    del rng
    return _bomb(data)


@cache
def _bomb(data: bytes) -> bytes:
    return _rezip(data, {_CONFIG: b" " * _BOMB_BYTES})


def _lambda_layer(data: bytes, rng: np.random.Generator) -> bytes:
    """A .keras archive with a layer of Python code in front of the last one."""
    code = {"class_name": "__lambda__", "config": {"value": "4wEAAAAAAAAA", "defaults": None}}
    layer: dict[str, Any] = {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {"name": "code", "function": code, "arguments": {}},
        "registered_name": None,
        "name": "code",
        "inbound_nodes": [],
    }

    def change(config: Any) -> None:
        layers = config["config"]["layers"]
        layers.insert(int(rng.integers(len(layers) + 1)), layer)

    return _reconfigure(data, change)


def _absurd_config(data: bytes, rng: np.random.Generator) -> bytes:
    """A .keras archive with a few values of its description replaced."""

    def change(config: Any) -> None:
        places = list(_leaves(config))
        for _ in range(int(rng.integers(1, 5))):
            owner, key = places[int(rng.integers(len(places)))]
            owner[key] = (-1, 0, 1 << 31, 1e308, None, "", "../../x", [], {}, [[[]]])[int(rng.integers(10))]

    return _reconfigure(data, change)


def _deep_config(data: bytes, rng: np.random.Generator) -> bytes:
    return _rezip(data, {_CONFIG: b"[" * int(rng.integers(1000, 200_000))})


def _climbing_names(data: bytes, rng: np.random.Generator) -> bytes:
    return _rezip(data, {"../" * int(rng.integers(1, 9)) + "escaped": b"x", "/escaped": b"x"})


def _reconfigure(data: bytes, change: Callable[[Any], None]) -> bytes:
    try:
        config = json.loads(_unzip(data)[_CONFIG])
        change(config)
    except (KeyError, TypeError, ValueError):  # not a description as Keras writes it
        return data
    return _rezip(data, {_CONFIG: json.dumps(config).encode()})


def _rezip(data: bytes, changed: dict[str, bytes]) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as archive:
        for name, content in {**_unzip(data), **changed}.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return output.getvalue()


def _unzip(data: bytes) -> dict[str, bytes]:
    """The files of an archive; none of one that cannot be read."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, zlib.error, OSError, NotImplementedError, RuntimeError, EOFError):
        return {}


def _leaves(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from _leaves(item)


GENERAL: dict[str, Change] = {
    "absurd word": _absurd_word,
    "bits flipped": _flip_bits,
    "cut": _cut,
    "deleted": _delete,
    "inserted": _insert,
    "noise": _noise,
    "overwritten": _overwrite,
    "spliced": _splice,
}
SPECIAL: dict[str, dict[str, Change]] = {
    ".tflite": {"absurd table": _absurd_table},
    ".keras": {
        "absurd description": _absurd_config,
        "climbing names": _climbing_names,
        "deep description": _deep_config,
        "layer of code": _lambda_layer,
        "zip bomb": _zip_bomb,
    },
}
"""Changes that know the format of a suffix; half of all changes are of these."""
