"""Image files made in memory for the tests of decoding."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

ORIENTATION = 274
HEIGHT, WIDTH = 36, 52


def picture() -> NDArray[np.uint8]:
    """A smooth picture without symmetry, so that every orientation and channel order shows: [36, 52, 3]."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([40 + 4 * x, 30 + 5 * y, 220 - 2 * x - 2 * y], axis=2).astype(np.uint8)


def encoded(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    """The picture as a file of `kind` (Pillow's name), converted to Pillow's `mode`."""
    return saved(Image.fromarray(picture()).convert(mode), kind, **options)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """A Pillow image as the bytes of a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def turned(kind: str, orientation: int) -> bytes:
    """The picture stored as it is, with an Exif orientation."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(kind, exif=exif)


def pillow(data: bytes) -> NDArray[np.uint8]:
    """What Pillow makes of the file: upright RGB."""
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))


def png_chunk(name: bytes, body: bytes) -> bytes:
    """One chunk of a PNG with its true checksum."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, packed: bytes) -> bytes:
    """An RGB PNG of the given size around compressed data, whatever they hold."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", packed), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)
