"""`Values`: the constants of a program as NumPy arrays, from the model file and the weight files.

Weight file: a header of 64 bytes, then 64 bytes about each array (sentinel, element type, size, offset) and
its bytes. Layout: coremltools' mlmodel/src/MILBlob/Blob/StorageFormat.hpp, element types in BlobDataType.hpp.
"""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import ModelError
from edgekd.runtimes.mil.package import Package
from edgekd.runtimes.mil.spec import Dtype, TensorType, Value
from edgekd.runtimes.mil.wire import Message

_SENTINEL = 0xDEADBEEF
_ABOUT = struct.Struct("<IIQQ40x")
_MAX_LOADED_BYTES = 1 << 30

_BLOB_TYPES = {
    dtype: number
    for number, dtype in enumerate(
        (
            *(
                Dtype.FLOAT16,
                Dtype.FLOAT32,
                Dtype.UINT8,
                Dtype.INT8,
                Dtype.BFLOAT16,
                Dtype.INT16,
                Dtype.UINT16,
            ),
            *(Dtype.INT4, Dtype.UINT1, Dtype.UINT2, Dtype.UINT4, Dtype.UINT3, Dtype.UINT6, Dtype.INT32),
            *(Dtype.UINT32, Dtype.FLOAT8E4M3FN, Dtype.FLOAT8E5M2),
        ),
        start=1,
    )
}
_NUMPY: dict[Dtype, str] = {
    Dtype.BOOL: "?",
    Dtype.FLOAT16: "<f2",
    Dtype.FLOAT32: "<f4",
    Dtype.FLOAT64: "<f8",
    Dtype.INT8: "<i1",
    Dtype.INT16: "<i2",
    Dtype.INT32: "<i4",
    Dtype.INT64: "<i8",
    Dtype.UINT8: "<u1",
    Dtype.UINT16: "<u2",
    Dtype.UINT32: "<u4",
    Dtype.UINT64: "<u8",
}
_PACKED = {Dtype.INT4, Dtype.UINT1, Dtype.UINT2, Dtype.UINT3, Dtype.UINT4, Dtype.UINT6}
_FLOATS, _INTS, _BOOLS, _STRINGS, _LONG_INTS, _DOUBLES, _RAW = range(1, 8)  # fields of message TensorValue


class Values:
    """Reads constants, at most 1 GiB of them."""

    def __init__(self, package: Package) -> None:
        self._package = package
        self._left = _MAX_LOADED_BYTES

    def load(self, value: Value) -> Any:
        """A constant: an array (half precision as float32), a text, or a tuple of texts.

        Raises:
            ModelError: it is damaged, lies outside of its file, or is of an element type without arithmetic.
        """
        if value.type.dtype is Dtype.STRING:
            return _texts(value)
        shape = value.type.shape
        count = math.prod(shape)
        self._left -= 4 * max(count, 0)
        if min((0, *shape)) < 0 or self._left < 0:
            raise ModelError(f"a constant of shape {list(shape)!s:.100}, more than 1 GiB of constants")
        if value.immediate is not None:
            array = _immediate(value.type, value.immediate, count)
        else:
            array = _elements(value.type.dtype, self._read(value, _stored_bytes(value.type)), count)
        array = array.astype(np.float32) if array.dtype == np.float16 else array
        return array.reshape(shape)

    def check(self, value: Value) -> None:
        """Nothing, when the weight file holds what `value` says.

        Raises:
            ModelError: its description is damaged or lies outside of the file.
        """
        self._read(value, 0)

    def _read(self, value: Value, length: int) -> bytes:
        """The first `length` bytes of a constant in a weight file, after all of it was found to be there."""
        path = self._package.resolve(value.file)
        size = path.stat().st_size
        try:
            with path.open("rb") as file:
                file.seek(value.offset)
                sentinel, number, stored, offset = _ABOUT.unpack(file.read(_ABOUT.size))
                fits = offset + stored <= size and stored >= _stored_bytes(value.type)
                if sentinel != _SENTINEL or number != _BLOB_TYPES.get(value.type.dtype) or not fits:
                    raise ModelError("its header does not describe it")
                file.seek(offset)
                return file.read(length)
        except (OSError, ValueError, struct.error, OverflowError, ModelError) as error:
            raise ModelError(
                f"{value.file} of {size} bytes holds no {value.type.dtype.label} "
                f"{list(value.type.shape)!s:.100} at {value.offset} ({error})"
            ) from error


def _stored_bytes(type_: TensorType) -> int:
    return (math.prod(type_.shape) * type_.dtype.bits + 7) // 8


def unpack(data: bytes, bits: int, count: int) -> NDArray[np.uint8]:
    """`count` unsigned numbers of `bits` bits each, packed from the lowest bit on.

    Raises:
        ModelError: `data` is too short.
    """
    if len(data) * 8 < count * bits:
        raise ModelError(f"{len(data)} bytes hold fewer than {count} numbers of {bits} bits")
    ones = np.unpackbits(np.frombuffer(data, np.uint8), count=count * bits, bitorder="little")
    weights = (1 << np.arange(bits)).astype(np.uint8)
    return np.asarray(ones.reshape(count, bits) @ weights, np.uint8)


def _texts(value: Value) -> Any:
    found = value.immediate.message(1).message(_STRINGS).texts(1) if value.immediate else ()
    if value.type.shape == () and len(found) == 1:
        return found[0]
    return found


def _immediate(type_: TensorType, immediate: Message, count: int) -> NDArray[Any]:
    tensor = immediate.message(1)
    if _FLOATS in tensor:
        array: NDArray[Any] = np.frombuffer(tensor.message(_FLOATS).joined(1), "<f4")
    elif _DOUBLES in tensor:
        array = np.frombuffer(tensor.message(_DOUBLES).joined(1), "<f8")
    elif _RAW in tensor:
        array = _elements(type_.dtype, tensor.message(_RAW).joined(1), count)
    else:
        field = next((number for number in (_INTS, _BOOLS, _LONG_INTS) if number in tensor), _INTS)
        array = np.array(tensor.message(field).integers(1), np.int64)
    if array.size != count:
        raise ModelError(f"a constant of {array.size} elements, expected shape {list(type_.shape)}")
    return array.astype(_NUMPY[type_.dtype]) if type_.dtype in _NUMPY else array


def _elements(dtype: Dtype, data: bytes, count: int) -> NDArray[Any]:
    if dtype in _PACKED:
        array = unpack(data, dtype.bits, count)
        return ((array ^ 8).astype(np.int8) - 8).astype(np.int8) if dtype is Dtype.INT4 else array
    if dtype not in _NUMPY:
        raise ModelError(f"a constant of element type {dtype.label}, which is not known here")
    return np.frombuffer(data, _NUMPY[dtype], count)
