"""Whatever happens to the bytes of a file, decoding gives RGB pixels or an ImageError of one line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.errors import ImageError
from edgekd.imaging.decode import MAX_PIXELS, decode
from imaging_files import encoded, turned

FILES = {
    "jpeg": turned("JPEG", 6),
    "progressive": encoded("JPEG", progressive=True),
    "cmyk": encoded("JPEG", "CMYK"),
    "png": turned("PNG", 3),
    "palette": encoded("PNG", "P"),
    "bmp": encoded("BMP"),
    "bmp palette": encoded("BMP", "P"),
    "webp": turned("WEBP", 8),
    "webp lossless": encoded("WEBP", "RGBA", lossless=True),
    "tiff": turned("TIFF", 5),
    "tiff lzw": encoded("TIFF", compression="tiff_lzw"),
}


def _decoded_or_refused(data: bytes) -> None:
    try:
        out = decode(data, "damaged.bin")
    except ImageError as error:
        assert error.path == "damaged.bin"
        assert "\n" not in str(error)
        return
    assert out.dtype == np.uint8
    assert out.ndim == 3
    assert out.shape[2] == 3
    assert 0 < out.shape[0] * out.shape[1] <= MAX_PIXELS


@pytest.mark.parametrize("kind", FILES)
@given(data=st.data())
def test_changed_bytes(kind: str, data: st.DataObject) -> None:
    damaged = bytearray(FILES[kind])
    spots = st.integers(0, len(damaged) - 1) | st.integers(0, min(80, len(damaged) - 1))
    changes = st.dictionaries(spots, st.integers(0, 255), min_size=1, max_size=12)
    for where, value in data.draw(changes).items():
        damaged[where] = value
    _decoded_or_refused(bytes(damaged))


@pytest.mark.parametrize("kind", FILES)
@given(data=st.data())
def test_cut_doubled_and_stuffed(kind: str, data: st.DataObject) -> None:
    whole = FILES[kind]
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(whole))] * 2)))
    stuffing = data.draw(st.binary(max_size=20))
    _decoded_or_refused(whole[:first] + stuffing + whole[last:])
    _decoded_or_refused(whole[:last] + stuffing + whole[first:])


@given(magic=st.sampled_from([data[:12] for data in FILES.values()]), rest=st.binary(max_size=200))
def test_noise_behind_a_true_beginning(magic: bytes, rest: bytes) -> None:
    _decoded_or_refused(magic + rest)
