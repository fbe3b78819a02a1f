"""tf.train.Example: what would fill the memory is refused by its parts, before it is parsed."""

from __future__ import annotations

import pytest

from edgekd.data.tfrecord.example import parse, serialize

LONG = 1 << 20


def _part(number: int, content: bytes) -> bytes:
    """A length-delimited field of a protobuf message."""
    length, size = len(content), b""
    while length > 127:
        length, size = length >> 7, size + bytes([length & 127 | 128])
    return bytes([number << 3 | 2]) + size + bytes([length]) + content


def _example(feature: bytes) -> bytes:
    return _part(1, _part(1, _part(1, b"name") + _part(2, feature)))


def test_one_long_value_of_bytes_is_an_image() -> None:
    image = bytes(range(256)) * (LONG >> 8)
    assert parse(serialize({"image": image, "target": 1})) == {"image": (image,), "target": (1,)}
    assert parse(_example(_part(1, _part(1, image)))) == {"name": (image,)}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_example(_part(3, _part(1, bytes(LONG)))), "4096 bytes of what is no bytes feature"),
        (_example(_part(2, _part(1, bytes(LONG)))), "4096 bytes of what is no bytes feature"),
        (_example(_part(1, _part(1, b"") * LONG)), "a message of more than 256 parts"),
        (_part(1, _part(1, b"") * LONG), "a message of more than 256 parts"),
        (_part(1, _part(1, _part(1, b"n" * LONG))), "4096 bytes of what is no bytes feature"),
        (b"\x20\x00" * LONG, "a message of more than 256 parts"),
        (b"\xff" * LONG, "holds no tf.train.Example"),
        (_part(1, b"x" * LONG)[:-5], "holds no tf.train.Example"),
        (b"\x0b" * LONG, "holds no tf.train.Example"),
        (b"\xff\xff\xff", "holds no tf.train.Example"),
    ],
    ids=("numbers", "floats", "values", "features", "name", "unknown", "tag", "cut", "group", "short"),
)
def test_many_parts_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(data)


def test_a_feature_without_values_and_one_said_twice() -> None:
    assert parse(_example(b"")) == {"name": ()}
    first, second = (_part(1, _part(1, b"n") + _part(2, _part(1, _part(1, word)))) for word in (b"a", b"b"))
    assert parse(_part(1, first + second)) == {"n": (b"b",)}
