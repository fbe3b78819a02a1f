"""Files become upright RGB, or one line that names the file and says why not."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgekd.errors import ImageError
from edgekd.imaging import decode as module
from edgekd.imaging.decode import MAX_BYTES, MAX_PIXELS, decode, read_image
from imaging_files import HEIGHT, WIDTH, encoded, picture, pillow, png, png_chunk, saved, turned
from tolerances import CMYK_AGAINST_PILLOW

KINDS = ["JPEG", "PNG", "BMP", "WEBP", "TIFF"]


def _refused(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data, "a/b.jpg")
    message = str(caught.value)
    assert message.startswith("a/b.jpg: ")
    assert "\n" not in message
    return caught.value.reason


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_lossless_files_give_their_pixels_as_rgb(kind: str) -> None:
    out = decode(encoded(kind), "x")
    np.testing.assert_array_equal(out, picture())
    assert out.dtype == np.uint8
    assert out.flags.c_contiguous


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_every_kind_equals_pillow(kind: str, mode: str) -> None:
    data = encoded(kind, mode)
    np.testing.assert_array_equal(decode(data, "x"), pillow(data))


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_jpeg_variants_equal_pillow(progressive: bool, subsampling: int) -> None:
    data = encoded("JPEG", progressive=progressive, subsampling=subsampling)
    np.testing.assert_array_equal(decode(data, "x"), pillow(data))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    data = turned(kind, orientation)
    out = decode(data, "x")
    np.testing.assert_array_equal(out, pillow(data))
    assert out.shape == ((WIDTH, HEIGHT, 3) if orientation >= 5 else (HEIGHT, WIDTH, 3))
    assert out.flags.c_contiguous


@pytest.mark.parametrize("orientation", [0, 9, 6 << 8])
def test_an_orientation_outside_1_to_8_is_none(orientation: int) -> None:
    assert decode(turned("JPEG", orientation), "x").shape == (HEIGHT, WIDTH, 3)


def test_malformed_exif_is_ignored() -> None:
    data = turned("JPEG", 6)
    at = data.index(b"Exif\0\0") + 10
    broken = data[:at] + b"\xff\xff\xff\xff" + data[at + 4 :]
    assert decode(broken, "x").shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
@pytest.mark.parametrize("mode", ["P", "1"])
def test_palettes_and_bits_become_rgb(kind: str, mode: str) -> None:
    data = encoded(kind, mode)
    np.testing.assert_array_equal(decode(data, "x"), pillow(data))


def test_cmyk_jpeg_becomes_rgb() -> None:
    data = encoded("JPEG", "CMYK")
    difference = np.abs(decode(data, "x").astype(int) - pillow(data))
    assert difference.max() <= CMYK_AGAINST_PILLOW


@pytest.mark.parametrize("low_byte", [0, 127, 255])
def test_16_bits_lose_their_low_byte(low_byte: int) -> None:
    deep = picture()[:, :, ::-1].astype(np.uint16) << 8 | low_byte
    for stored in (deep, deep[:, :, 1]):
        done, data = cv2.imencode(".png", stored)
        assert done
        expected = picture() if stored.ndim == 3 else np.repeat(picture()[:, :, 1:2], 3, axis=2)
        np.testing.assert_array_equal(decode(data.tobytes(), "x"), expected)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_transparency_lies_over_white(kind: str) -> None:
    alpha = np.linspace(0, 255, WIDTH).astype(np.uint8)[None].repeat(HEIGHT, axis=0)
    image = Image.fromarray(np.dstack([picture(), alpha]))
    data = saved(image, kind, lossless=True, exact=True) if kind == "WEBP" else saved(image, kind)
    a = alpha[:, :, None].astype(np.int64)
    expected = (picture() * a + 255 * (255 - a) + 127) // 255
    out = decode(data, "x")
    np.testing.assert_array_equal(out, expected)
    assert np.all(out[:, 0] == 255)
    np.testing.assert_array_equal(out[:, -1], picture()[:, -1])


def test_every_colour_at_every_alpha_is_rounded_to_the_nearest() -> None:
    colour, alpha = np.mgrid[0:256, 0:256].astype(np.uint8)
    data = saved(Image.fromarray(np.dstack([colour, colour, colour, alpha])), "PNG")
    # An odd divisor leaves no ties.
    nearest = np.rint((colour.astype(float) * alpha + 255 * (255.0 - alpha)) / 255)
    np.testing.assert_array_equal(decode(data, "x")[:, :, 1], nearest)


def test_grey_with_alpha_and_palette_transparency_lie_over_white() -> None:
    grey = Image.fromarray(np.full((HEIGHT, WIDTH), 100, np.uint8)).convert("LA")
    grey.putalpha(0)
    assert np.all(decode(saved(grey, "PNG"), "x") == 255)
    palette = Image.fromarray(picture()).convert("P")
    out = decode(saved(palette, "PNG", transparency=palette.getpixel((0, 0))), "x")
    assert np.all(out[0, 0] == 255)
    assert np.any(out != 255)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_truncated_file_is_refused(kind: str, share: float) -> None:
    data = encoded(kind)
    reason = _refused(data[: int(share * len(data))])
    assert "truncated" in reason


def test_a_jpeg_without_its_last_bytes_is_refused() -> None:
    for data in (encoded("JPEG"), encoded("JPEG", progressive=True)):
        assert "truncated JPEG" in _refused(data[:-2])


def test_a_thumbnail_does_not_lend_its_end() -> None:
    thumbnail = encoded("JPEG")
    comment = b"\xff\xfe" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    data = encoded("JPEG")
    assert "truncated JPEG" in _refused(data[:2] + comment + data[2 : len(data) // 2])
    np.testing.assert_array_equal(decode(data[:2] + comment + data[2:], "x"), pillow(data))


def test_half_a_jpeg_with_an_end_glued_on_is_refused() -> None:
    data = encoded("JPEG", quality=95)
    reason = _refused(data[: len(data) * 3 // 4] + b"\xff\xd9")
    assert "premature end of data segment" in reason


def test_bytes_skipped_before_the_end_and_after_it_are_no_damage() -> None:
    data = encoded("JPEG")
    for padded in (data[:-2] + bytes(8) + data[-2:], data + b"motion photo"):
        np.testing.assert_array_equal(decode(padded, "x"), pillow(data))


def test_a_png_chunk_with_a_wrong_checksum_is_refused() -> None:
    data = bytearray(encoded("PNG"))
    data[data.index(b"IDAT") + 20] ^= 1
    assert "checksum of chunk 'IDAT'" in _refused(bytes(data))


@pytest.mark.parametrize("rows", [0, HEIGHT // 2])
def test_a_png_with_too_few_rows_is_refused(rows: int) -> None:
    raw = b"".join(b"\0" + row.tobytes() for row in picture())
    assert decode(png(WIDTH, HEIGHT, zlib.compress(raw)), "x").shape == picture().shape
    assert "damaged" in _refused(png(WIDTH, HEIGHT, zlib.compress(raw[: rows * (1 + 3 * WIDTH)])))


@pytest.mark.parametrize(
    "data",
    [b"GIF89a" + bytes(50), b"hello, I am text" * 9, b"\0", b"RIFF\4\0\0\0WAVE", b"%PDF-1.7", bytes(500)],
)
def test_anything_else_is_not_an_image(data: bytes) -> None:
    assert _refused(data).startswith("not a JPEG, PNG, BMP, WebP or TIFF file")


def test_an_empty_file_says_so() -> None:
    assert _refused(b"") == "the file is empty (0 bytes)"


@pytest.mark.parametrize(
    "magic", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"RIFF\0\0\0\0WEBP", b"II*\0"]
)
def test_a_bare_beginning_is_refused(magic: bytes) -> None:
    _refused(magic)
    _refused(magic + bytes(40))


def _bombs() -> dict[str, bytes]:
    side = 30_000
    jpeg = bytearray(encoded("JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", side, side)
    canvas = (side - 1).to_bytes(3, "little") * 2
    webp = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + canvas
    bmp = b"BM" + struct.pack("<IIIIiiHHI", 54, 0, 54, 40, side, side, 1, 8, 1) + bytes(20)
    tags = struct.pack("<HHHIIHHII", 2, 256, 4, 1, side, 257, 4, 1, side) + bytes(4)
    return {
        "JPEG": bytes(jpeg),
        "PNG": png(side, side, zlib.compress(bytes(10_000))),
        "WebP": b"RIFF" + struct.pack("<I", len(webp)) + webp,
        "BMP": bmp,
        "TIFF": b"II*\0" + struct.pack("<I", 8) + tags,
    }


@pytest.mark.parametrize("kind", _bombs())
def test_a_bomb_is_refused_from_its_header(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_data: bytes) -> None:
        pytest.fail("nothing may be decoded")

    monkeypatch.setattr(module, "imdecode", never)
    reason = _refused(_bombs()[kind])
    assert reason.startswith(f"{kind} of 30000 × 30000 pixels")
    assert f"{MAX_PIXELS:,}" in reason


def test_too_many_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ImageError, match="64 MiB"):
        read_image(path)
    assert "64 MiB" in _refused(bytes(MAX_BYTES + 1))


def test_read_image_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"absent\.png: No such file"):
        read_image(tmp_path / "absent.png")
    with pytest.raises(ImageError, match="Is a directory"):
        read_image(tmp_path)
    (tmp_path / "there.png").write_bytes(encoded("PNG"))
    np.testing.assert_array_equal(read_image(tmp_path / "there.png"), picture())


def test_samples_that_are_not_8_or_16_bits_are_refused() -> None:
    assert "float32" in _refused(encoded("TIFF", "F"))


@pytest.mark.parametrize("mode", ["RGBA", "CMYK"])
def test_a_tiff_of_four_samples_is_refused(mode: str) -> None:
    assert "save it as PNG" in _refused(encoded("TIFF", mode))


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "packbits"])
def test_compressed_tiffs_are_read(compression: str) -> None:
    np.testing.assert_array_equal(decode(encoded("TIFF", compression=compression), "x"), picture())


def _header_against_data() -> bytes:
    data = encoded("BMP")
    return data[:18] + struct.pack("<ii", WIDTH, 0) + data[26:]


def test_a_picture_without_area_is_refused() -> None:
    assert "52 × 0 pixels" in _refused(_header_against_data())


def test_data_that_contradict_the_header_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(_data: bytes) -> tuple[NDArray[np.uint8], str]:
        return np.zeros((3, 4, 3), np.uint8), ""

    monkeypatch.setattr(module, "imdecode", other)
    assert "its header says 52 × 36 pixels" in _refused(encoded("PNG"))


def test_codecs_are_silent(capfd: pytest.CaptureFixture[str]) -> None:
    data = encoded("JPEG", quality=95)
    decode(data[:-2] + bytes(8) + data[-2:], "x")
    _refused(data[: len(data) * 3 // 4] + b"\xff\xd9")
    _refused(png(WIDTH, HEIGHT, b"no zlib"))
    bad_profile = png_chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(8)))
    plain = encoded("PNG")
    decode(plain[:33] + bad_profile + plain[33:], "x")
    _refused(encoded("TIFF", "F"))
    assert capfd.readouterr() == ("", "")


def test_lines_of_others_are_passed_on(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    inner = cv2.imdecode

    def chatting(*args: object) -> object:
        os.write(2, b"libpng warning: nothing\nepoch 3 of 10\n")
        return inner(*args)  # type: ignore[call-overload]

    monkeypatch.setattr(cv2, "imdecode", chatting)
    decode(encoded("PNG"), "x")
    assert capfd.readouterr().err == "epoch 3 of 10\n"


def test_works_without_a_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(_descriptor: int) -> int:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(os, "dup", closed)
    np.testing.assert_array_equal(decode(encoded("PNG"), "x"), picture())


def test_a_failing_allocation_is_an_image_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> None:
        raise cv2.error("Failed to allocate 30000 bytes\nin function 'x'")

    monkeypatch.setattr(cv2, "imdecode", exhausted)
    assert "Failed to allocate 30000 bytes" in _refused(encoded("PNG"))


def test_the_error_survives_a_process_boundary() -> None:
    error = pickle.loads(pickle.dumps(ImageError(Path("x.jpg"), "torn")))
    assert (error.path, error.reason, str(error)) == ("x.jpg", "torn", "x.jpg: torn")


@pytest.mark.real
def test_real_photographs_equal_pillow(shared: Path) -> None:
    files = sorted((shared / "data").rglob("*.jpg"))[::200]
    assert files
    for file in files:
        np.testing.assert_array_equal(read_image(file), pillow(file.read_bytes()), err_msg=str(file))


@pytest.mark.real
def test_a_real_photograph_cut_anywhere_is_refused(shared: Path) -> None:
    data = min((shared / "data" / "isic2017").rglob("*.jpg")).read_bytes()
    for length in np.linspace(3, len(data) - 1, 25).astype(int):
        with pytest.raises(ImageError, match="truncated JPEG"):
            decode(data[:length], "x")
    assert Image.open(io.BytesIO(data)).size == decode(data, "x").shape[1::-1]
