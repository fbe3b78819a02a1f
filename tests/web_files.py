"""Image files for the tests of the web page: one picture in every form a browser reads, and in none."""

from __future__ import annotations

import io
import re
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from edgekd.imaging.opencv import cv2
from imaging_files import png_chunk

Pixels = NDArray[Any]


def photograph() -> Pixels:
    """A smooth BGR picture, not square, every channel in use: [317, 423, 3]."""
    rng = np.random.Generator(np.random.PCG64(3))
    coarse = rng.integers(0, 256, (9, 12, 3), np.uint8)
    return cv2.resize(coarse, (423, 317), interpolation=cv2.INTER_CUBIC)


def forms(image: Pixels) -> dict[str, bytes]:
    """The picture in every form a browser may be given, by file name."""

    def encoded(ending: str, pixels: Pixels, *options: int) -> bytes:
        return bytes(cv2.imencode(ending, pixels, list(options))[1])

    jpeg = encoded(".jpg", image, cv2.IMWRITE_JPEG_QUALITY, 88)
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    alpha = np.dstack([image, np.arange(image.size // 3).reshape(image.shape[:2]) % 256]).astype(np.uint8)
    return {
        **{f"exif{n}.jpg": _exif(jpeg, n) for n in range(1, 9)},
        "progressive.jpg": encoded(".jpg", image, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        "grey.jpg": encoded(".jpg", grey),
        "grey.png": encoded(".png", grey),
        "transparent.png": encoded(".png", alpha),
        "lossless.webp": encoded(".webp", image, cv2.IMWRITE_WEBP_QUALITY, 101),
        "colour.bmp": encoded(".bmp", image),
        **profiled(image),
    }


def profiled(image: Pixels) -> dict[str, bytes]:
    """The picture with a colour profile, and with a statement of its gamma."""
    files, picture = {}, Image.fromarray(np.ascontiguousarray(image[:, :, ::-1]))
    for name in ("profile.jpg", "profile.png"):
        written = io.BytesIO()
        picture.save(written, {"jpg": "JPEG", "png": "PNG"}[name[-3:]], icc_profile=_swapping_profile())
        files[name] = written.getvalue()
    png = bytes(cv2.imencode(".png", image)[1])
    files["gamma.png"] = png[:33] + png_chunk(b"gAMA", struct.pack(">I", 100_000)) + png[33:]
    return files


def _exif(jpeg: bytes, orientation: int) -> bytes:
    """`jpeg` with an Exif block of one entry."""
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 274, 3, 1, orientation, 0, 0)
    body = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def _swapping_profile() -> bytes:
    """A colour profile that makes red of green: nobody overlooks that it was applied."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}
    return re.sub(rb"rXYZ|gXYZ", lambda name: swapped[name[0]], profile)


_HOSTILE = {
    "empty.jpg": (b"", "The file is empty (0 bytes)."),
    "words.png": (b"hello, I am a picture", "not a JPEG, PNG, BMP or WebP file, whatever its name says"),
    "photo.heic": (b"\0\0\0\x18ftypheic\0\0\0\0" + bytes(64), "HEIC or AVIF"),
    "page.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "not a JPEG"),
    "short.bmp": (b"BM" + bytes(20), "truncated"),
    "magic.webp": (b"RIFF\xff\xff\0\0WEBPVP8 ", "truncated"),
}


def hostile(image: Pixels) -> dict[str, tuple[bytes, str]]:
    """Files that cannot be used, some made of `image`, and what the page says of each."""
    png, jpeg = (bytes(cv2.imencode(kind, image)[1]) for kind in (".png", ".jpg"))
    huge = bytearray(png)
    huge[16:24] = struct.pack(">II", 100_000, 100_000)
    huge[29:33] = struct.pack(">I", zlib.crc32(bytes(huge[12:29])))
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 1
    lying = bytearray(jpeg)
    lying[lying.index(b"\xff\xc0") + 5 : lying.index(b"\xff\xc0") + 7] = b"\0\x09"
    return _HOSTILE | {
        "bomb.png": (bytes(huge), "100000 × 100000 pixels, the limit is 100,000,000 pixels"),
        "flipped.png": (bytes(flipped), "damaged: the checksum of chunk 'IDAT' is wrong"),
        "cut.png": (png[:-30], "truncated"),
        "cut.jpg": (jpeg[: len(jpeg) // 2], "truncated"),
        "large.jpg": (jpeg + bytes(64 << 20), "larger than 64 MiB"),
        "garbage.png": (png[:33] + png_chunk(b"IDAT", b"x") + png_chunk(b"IEND", b""), "damaged"),
    }
