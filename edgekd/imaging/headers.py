"""What an image file says about itself, read without decoding: kind, size, orientation, and its end.

Read from the published layouts: JPEG ITU-T T.81 annex B, PNG (W3C, third edition), BMP (Microsoft,
BITMAPINFOHEADER), WebP RFC 9649, TIFF 6.0, Exif 2.32.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Width and height in pixels as stored, and the Exif orientation (1 to 8) still to be applied."""

    width: int
    height: int
    orientation: int = 1


def inspect(data: bytes) -> tuple[str, Header]:
    """The kind of file ("JPEG", "PNG", "BMP", "WebP" or "TIFF") and its header; nothing is decoded.

    Raises:
        ValueError: another kind of file, a truncated one or a damaged one; the message says which.
    """
    known = next((value for magic, value in _KINDS.items() if re.match(magic, data, re.DOTALL)), None)
    if known is None:
        raise ValueError("not a JPEG, PNG, BMP, WebP or TIFF file, whatever its name says")
    kind, read = known
    try:
        header = read(data)
    except struct.error:
        raise ValueError(f"truncated {kind}: the end of the file is missing") from None
    if min(header.width, header.height) < 1:
        raise ValueError(f"damaged {kind}: its header says {header.width} × {header.height} pixels")
    return kind, header


# Inside the compressed data FF is followed by 00 or a restart mark, so this finds the next real marker.
_JPEG_MARKER = re.compile(rb"\xff([^\x00\x01\xff\xd0-\xd7])")
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_APP1, _JPEG_END = 0xE1, 0xD9


def _jpeg(data: bytes) -> Header:
    width = height = 0
    orientation: int | None = None
    position = 2
    while (marker := _JPEG_MARKER.search(data, position)) and marker[1][0] != _JPEG_END:
        code, start = marker[1][0], marker.end()
        position = start + struct.unpack_from(">H", data, start)[0]
        if code in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, start + 3)
        elif code == _JPEG_APP1 and orientation is None and data[start + 2 : start + 8] == b"Exif\0\0":
            orientation = _orientation(data[start + 8 : position])
    if marker is None:
        raise ValueError("truncated JPEG: the end of the file is missing")
    return Header(width=width, height=height, orientation=orientation or 1)


def _png(data: bytes) -> Header:
    width, height = struct.unpack_from(">II", data, 16)
    orientation, position, name = 1, 8, b""
    view = memoryview(data)
    while name != b"IEND":
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        (checksum,) = struct.unpack_from(">I", data, end)
        if zlib.crc32(view[position + 4 : end]) != checksum:
            raise ValueError(f"damaged PNG: the checksum of chunk {name.decode('latin-1')!a} is wrong")
        if name == b"eXIf":
            orientation = _orientation(data[position + 8 : end])
        position = end + 4
    return Header(width=width, height=height, orientation=orientation)


def _bmp(data: bytes) -> Header:
    offset, header_size = struct.unpack_from("<II", data, 10)
    layout = "<HHHH2x" if header_size == 12 else "<iiHHI"
    width, height, _planes, bits, *compression = struct.unpack_from(layout, data, 18)
    row = (width * bits + 31) // 32 * 4
    run_length_encoded = compression in ([1], [2])
    if not run_length_encoded and offset + row * abs(height) > len(data):
        raise ValueError("truncated BMP: the end of the file is missing")
    return Header(width=width, height=abs(height))


def _webp(data: bytes) -> Header:
    end = 8 + struct.unpack_from("<I", data, 4)[0]
    if end > len(data):
        raise ValueError("truncated WebP: the end of the file is missing")
    width, height, orientation, position = 0, 0, 1, 12
    while position + 8 <= end:
        name, length = struct.unpack_from("<4sI", data, position)
        body = position + 8
        if name in _WEBP_SIZES:
            wide, high = _WEBP_SIZES[name](data, body)
            width, height = max(width, wide), max(height, high)
        elif name == b"EXIF":
            orientation = _orientation(data[body : body + length].removeprefix(b"Exif\0\0"))
        position = body + length + length % 2
    return Header(width=width, height=height, orientation=orientation)


def _webp_lossy(data: bytes, body: int) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, body + 6)
    return width & 0x3FFF, height & 0x3FFF


def _webp_lossless(data: bytes, body: int) -> tuple[int, int]:
    (bits,) = struct.unpack_from("<I", data, body + 1)
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def _webp_canvas(data: bytes, body: int) -> tuple[int, int]:
    low_w, high_w, low_h, high_h = struct.unpack_from("<HBHB", data, body + 4)
    return (high_w << 16 | low_w) + 1, (high_h << 16 | low_h) + 1


_WEBP_SIZES: dict[bytes, Callable[[bytes, int], tuple[int, int]]] = {
    b"VP8 ": _webp_lossy,
    b"VP8L": _webp_lossless,
    b"VP8X": _webp_canvas,
}

# TIFF tags; strips and tiles are where the pixels lie, given by offset and size in bytes.
_WIDTH, _HEIGHT, _STRIPS, _ORIENTATION, _SAMPLES, _STRIP_SIZES = 256, 257, 273, 274, 277, 279
_TILES, _TILE_SIZES = 324, 325
_WANTED = {_WIDTH, _HEIGHT, _STRIPS, _ORIENTATION, _SAMPLES, _STRIP_SIZES, _TILES, _TILE_SIZES}
_INTEGERS = {3: "H", 4: "I"}  # the TIFF types SHORT and LONG


def _tiff(data: bytes) -> Header:
    """OpenCV turns a TIFF upright itself, so no orientation is left to be applied."""
    tags = _tags(data)
    if tags.get(_SAMPLES, (1,))[0] > 3:
        raise ValueError("TIFF with more than 3 samples per pixel (alpha, CMYK): save it as PNG")
    offsets = tags.get(_STRIPS, ()) + tags.get(_TILES, ())
    sizes = tags.get(_STRIP_SIZES, ()) + tags.get(_TILE_SIZES, ())
    if any(start + size > len(data) for start, size in zip(offsets, sizes, strict=False)):
        raise ValueError("truncated TIFF: the end of the file is missing")
    return Header(width=tags.get(_WIDTH, (0,))[0], height=tags.get(_HEIGHT, (0,))[0])


def _orientation(exif: bytes) -> int:
    """The orientation of an Exif block; 1 when it has none or is malformed, as browsers do."""
    try:
        value = _tags(exif).get(_ORIENTATION, (1,))[0]
    except struct.error:
        return 1
    return value if 1 <= value <= 8 else 1


def _tags(data: bytes) -> dict[int, tuple[int, ...]]:
    """The whole numbers of the wanted tags in the first directory of a TIFF structure."""
    order = "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, start)
    tags: dict[int, tuple[int, ...]] = {}
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, length = struct.unpack_from(f"{order}HHI", data, entry)
        if tag in _WANTED - tags.keys() and kind in _INTEGERS and length > 0:
            layout = f"{order}{length}{_INTEGERS[kind]}"
            inline = struct.calcsize(layout) <= 4
            at = entry + 8 if inline else struct.unpack_from(f"{order}I", data, entry + 8)[0]
            tags[tag] = struct.unpack_from(layout, data, at)
    return tags


_KINDS: dict[bytes, tuple[str, Callable[[bytes], Header]]] = {
    rb"\xff\xd8\xff": ("JPEG", _jpeg),
    rb"\x89PNG\r\n\x1a\n": ("PNG", _png),
    rb"BM": ("BMP", _bmp),
    rb"RIFF....WEBP": ("WebP", _webp),
    rb"II\*\0|MM\0\*": ("TIFF", _tiff),
}
