"""tf.train.Example, the message in a TFRecord of labelled data, without TensorFlow.

The message types are built from tensorflow/core/example/{example,feature}.proto in a pool of their own, so
that TensorFlow may be loaded beside them. On the wire a map is a list of entries: it is written as such,
sorted by name, which makes equal features equal bytes.

A message of many tiny parts takes thirty times its length in memory when parsed, so a long one is looked over
first: only the values of bytes features may be long, and no message may have many parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

Value = bytes | int | float
Values = tuple[bytes, ...] | tuple[int, ...] | tuple[float, ...]

_PROTO = """
name: "edgekd/example.proto" package: "tensorflow" syntax: "proto3"
message_type { name: "BytesList"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_BYTES } }
message_type { name: "FloatList"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_FLOAT } }
message_type { name: "Int64List"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_INT64 } }
message_type { name: "Feature" oneof_decl { name: "kind" }
  field { name: "bytes_list" number: 1 oneof_index: 0 type: TYPE_MESSAGE type_name: ".tensorflow.BytesList" }
  field { name: "float_list" number: 2 oneof_index: 0 type: TYPE_MESSAGE type_name: ".tensorflow.FloatList" }
  field { name: "int64_list" number: 3 oneof_index: 0 type: TYPE_MESSAGE type_name: ".tensorflow.Int64List" }
}
message_type { name: "FeatureEntry"
  field { name: "key" number: 1 type: TYPE_STRING }
  field { name: "value" number: 2 type: TYPE_MESSAGE type_name: ".tensorflow.Feature" } }
message_type { name: "Features"
  field { name: "feature" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE
          type_name: ".tensorflow.FeatureEntry" } }
message_type { name: "Example"
  field { name: "features" number: 1 type: TYPE_MESSAGE type_name: ".tensorflow.Features" } }
"""
# Where long values may be: Example.features, .feature, .value, .bytes_list, .value (field numbers).
_LONG_PATH = (1, 1, 2, 1, 1)
_LONG_BYTES, _MOST_PARTS = 4096, 256
_NO_EXAMPLE = "it holds no tf.train.Example"
_FIXED_BYTES = {1: 8, 5: 4}
_LISTS = {bytes: "bytes_list", int: "int64_list", float: "float_list"}


def serialize(features: Mapping[str, Value]) -> bytes:
    """The Example with one value per feature: bytes, int64 or float32; equal features give equal bytes.

    Raises:
        ValueError: an integer needs more than 64 bits.
    """
    example = _example()()
    for name, value in sorted(features.items()):
        entry = example.features.feature.add(key=name)
        getattr(entry.value, _LISTS[type(value)]).value.append(value)
    data: bytes = example.SerializeToString(deterministic=True)
    return data


def parse(data: bytes) -> dict[str, Values]:
    """The features of the Example in `data`; of a repeated name the last, as TensorFlow reads it.

    Raises:
        ValueError: `data` is no Example, or one that would fill the memory.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    _check_parts(data, 0, len(data), _LONG_PATH)
    try:
        example = _example().FromString(data)
    except DecodeError as error:
        raise ValueError(_NO_EXAMPLE) from error
    return {entry.key: _values(entry.value) for entry in example.features.feature}


def _values(feature: Any) -> Values:
    kind = feature.WhichOneof("kind")
    return tuple(getattr(feature, kind).value) if kind else ()


def _check_parts(data: bytes, begin: int, end: int, path: tuple[int, ...]) -> None:
    """Refuse a message in `data[begin:end]` that is long in another place than its values along `path`."""
    if end - begin <= _LONG_BYTES or not path:
        return
    for count, (number, first, last) in enumerate(_parts(data, begin, end)):
        if count == _MOST_PARTS:
            raise ValueError(f"its tf.train.Example has a message of more than {_MOST_PARTS} parts")
        if last - first > _LONG_BYTES and number != path[0]:
            raise ValueError(
                f"its tf.train.Example has more than {_LONG_BYTES} bytes of what is no bytes feature"
            )
        _check_parts(data, first, last, path[1:])


def _parts(data: bytes, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Field number, first and last byte of each field of the message in `data[begin:end]`."""
    while begin < end:
        tag, first = _varint(data, begin, end)
        if tag & 7 == 0:
            begin = _varint(data, first, end)[1]
        elif tag & 7 == 2:
            length, first = _varint(data, first, end)
            begin = first + length
        else:
            begin = first + _FIXED_BYTES.get(tag & 7, end)
        if begin > end:
            raise ValueError(_NO_EXAMPLE)
        yield tag >> 3, first, begin


def _varint(data: bytes, begin: int, end: int) -> tuple[int, int]:
    """The number that begins at `data[begin]`, 7 bits a byte, and where the next begins."""
    value = 0
    for place in range(begin, min(begin + 10, end)):
        value |= (data[place] & 127) << 7 * (place - begin)
        if data[place] < 128:
            return value, place + 1
    raise ValueError(_NO_EXAMPLE)


@cache
def _example() -> Any:
    from google.protobuf import (  # type: ignore[import-untyped]
        descriptor_pb2,
        descriptor_pool,
        message_factory,
        text_format,
    )

    pool = descriptor_pool.DescriptorPool()
    pool.Add(text_format.Parse(_PROTO, descriptor_pb2.FileDescriptorProto()))
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))
