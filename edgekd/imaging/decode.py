"""Image files as upright RGB pixels, or one clear line why not.

JPEG, PNG, BMP, WebP and TIFF (first picture of a file that holds several). The rules:

- Limits (`MAX_BYTES`, `MAX_PIXELS`) are read from the header, before anything is decoded.
- Exif orientation is applied, as browsers do. Colour profiles are not.
- Grey becomes three equal channels, palettes and CMYK become RGB, 16 bits become 8 by `value >> 8`.
- Transparent pixels are laid over white: `(colour · alpha + 255 · (255 − alpha) + 127) // 255`. Colour
  under full transparency is arbitrary and lost in many viewers, white is what they show. (The single
  transparent grey of a PNG without alpha channel is ignored.)
- A truncated file is refused, and so is a damaged one as far as it can be known: a PNG has checksums; in
  a JPEG altered bytes are noticed only where they break the code. Bytes that libjpeg skips before the end
  mark ("extraneous bytes before marker 0xd9", as some phones write) are no damage.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import ImageError
from edgekd.imaging.headers import Header, inspect
from edgekd.imaging.opencv import cv2, imdecode

MAX_BYTES = 64 * 1024 * 1024
"""The largest file that is read, in bytes."""

MAX_PIXELS = 100_000_000
"""The largest picture that is decoded, width times height."""

Pixels = NDArray[np.uint8]

_JPEG_DAMAGE = re.compile(
    r"(Corrupt JPEG data: (?!\d+ extraneous bytes before marker 0xd9)|Premature end of JPEG).*"
)


def read_image(path: Path) -> Pixels:
    """The picture in the file `path`: upright RGB, uint8 [H, W, 3].

    Raises:
        ImageError: there is no such file, it is too large, not an image, truncated or damaged.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ImageError(path, error.strerror or type(error).__name__) from error
    return decode(data, str(path))


def decode(data: bytes, name: str) -> Pixels:
    """The picture in the bytes of an image file: upright RGB, uint8 [H, W, 3]; `name` is for the error.

    Raises:
        ImageError: the bytes are too many, not an image, truncated, damaged or a picture too large.
    """
    header = _checked_header(data, name)
    stored, complaints = imdecode(data)
    damage = _JPEG_DAMAGE.search(complaints)
    if stored is None or damage:
        detail = damage[0] if damage else _first_line(complaints)
        raise ImageError(name, f"damaged image, it cannot be decoded{detail and f' ({detail})'}")
    if stored.shape[:2] not in ((header.height, header.width), (header.width, header.height)):
        raise ImageError(name, f"its header says {header.width} × {header.height} pixels, its data do not")
    return np.ascontiguousarray(_UPRIGHT[header.orientation](_rgb(stored, name)))


def _checked_header(data: bytes, name: str) -> Header:
    if len(data) == 0:
        raise ImageError(name, "the file is empty (0 bytes)")
    if len(data) > MAX_BYTES:
        raise ImageError(name, f"larger than {MAX_BYTES >> 20} MiB, the limit of an image file")
    try:
        kind, header = inspect(data)
    except ValueError as error:
        raise ImageError(name, str(error)) from None
    if header.width * header.height > MAX_PIXELS:
        size = f"{header.width} × {header.height} pixels"
        raise ImageError(name, f"{kind} of {size}, the limit is {MAX_PIXELS:,} pixels: scale it down first")
    return header


def _first_line(text: str) -> str:
    return "".join(c for c in text.strip().split("\n")[0] if c.isprintable())


def _rgb(stored: NDArray[np.generic], name: str) -> Pixels:
    if stored.dtype == np.uint16:
        stored = (stored.astype(np.uint16) >> 8).astype(np.uint8)
    if stored.dtype != np.uint8:
        raise ImageError(name, f"its samples are {stored.dtype}, expected 8 or 16 bits: save it as PNG")
    channels = stored.shape[2] if stored.ndim == 3 else 1
    if channels not in _TO_RGB:
        raise ImageError(name, f"it has {channels} channels, expected 1, 3 or 4")
    return _TO_RGB[channels](stored.astype(np.uint8, copy=False))


def _over_white(bgra: Pixels) -> Pixels:
    colour, alpha = bgra[:, :, 2::-1].astype(np.uint16), bgra[:, :, 3:].astype(np.uint16)
    # At most 255 · 255 + 127 < 65536, so 16 bits hold it.
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


_TO_RGB: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda grey: cast("Pixels", cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)),
    3: lambda bgr: cast("Pixels", cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)),
    4: _over_white,
}

# What turns a stored picture upright, by Exif orientation; `transposed` swaps rows and columns.
_UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: stored.swapaxes(0, 1)[:, ::-1],
    7: lambda stored: stored.swapaxes(0, 1)[::-1, ::-1],
    8: lambda stored: stored.swapaxes(0, 1)[::-1],
}
