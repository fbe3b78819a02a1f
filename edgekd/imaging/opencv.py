"""OpenCV as edgekd uses it: one thread, no words on stderr.

Import `cv2` from here. The work is divided among images, by threads or processes of our own, so threads
inside OpenCV would only compete with them (and do not survive a fork).
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["cv2", "imdecode"]

cv2.setNumThreads(1)
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

# The ways in which libjpeg and libpng begin a line.
_CODEC_LINE = re.compile(
    rb"libpng |Corrupt JPEG data|Premature end of JPEG|Warning: unknown JFIF|Unknown Adobe color"
    rb"|Invalid SOS parameters|Inconsistent progression|Application transferred"
)
_STDERR = 2
_one_at_a_time = threading.Lock()


def imdecode(data: bytes) -> tuple[NDArray[np.generic] | None, str]:
    """The pixels as stored (grey, BGR or BGRA; not turned upright), and what the codecs complained about.

    libjpeg tells of damage on the process's stderr only, so that is listened to while it works; lines
    other threads write meanwhile are passed on. Decoding is therefore one image at a time in a process:
    use processes to decode in parallel. None: OpenCV could not decode it.
    """
    pixels, complaint = None, ""
    with _one_at_a_time, _listening() as heard:
        try:
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        except (cv2.error, MemoryError) as error:
            complaint = str(error)
    lines = heard.splitlines(keepends=True)
    others = b"".join(line for line in lines if not _CODEC_LINE.match(line))
    if others:
        os.write(_STDERR, others)
    complaints = b"".join(line for line in lines if _CODEC_LINE.match(line))
    return pixels, complaints.decode("ascii", "replace") + complaint


@contextmanager
def _listening() -> Iterator[bytearray]:
    """What is written to the process's stderr inside the block, known when it ends; at most a pipe full."""
    heard = bytearray()
    try:
        before = os.dup(_STDERR)
    except OSError:  # the process runs without a stderr: nothing to hear
        yield heard
        return
    ear, mouth = os.pipe()
    os.set_blocking(ear, False)
    os.set_blocking(mouth, False)  # a codec that says more than a pipe holds must not wait for us
    os.dup2(mouth, _STDERR)
    os.close(mouth)
    try:
        yield heard
    finally:
        os.dup2(before, _STDERR)
        os.close(before)
        with suppress(BlockingIOError):
            heard += os.read(ear, 1 << 16)
        os.close(ear)
