from __future__ import annotations

import dataclasses
import io
import os
import struct
import zipfile
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgekd.card import METADATA_NAME, ModelCard
from edgekd.errors import ModelError, UsageError
from edgekd.plain import from_plain, to_plain
from edgekd.runtimes.litert import LitertRuntime
from edgekd_converters.inspect import inspect_tflite
from edgekd_converters.metadata import embed_card, find_card, strip_card
from edgekd_converters.standard_metadata import (
    ENTRY,
    LABEL_FILE,
    StandardMetadata,
    embed_standard_metadata,
    find_standard_metadata,
    read_standard_metadata,
    strip_standard_metadata,
)
from tiny_tflite import average_pool

GOLDEN = Path(__file__).parents[1] / "golden" / "metadata" / "standard.tflite"
CARD = ModelCard(
    name="tiny-int8",
    precision="int8",
    input_px=8,
    labels=("mel", "nv", "bkl"),
    malignant=("mel",),
    limits=("Knows squares only.",),
    provenance={"weights_sha256": "0123456789abcdef"},
)


class Reader:
    """Reads a FlatBuffer by its published layout, with nothing but struct."""

    def __init__(self, data: bytes, at: int | None = None) -> None:
        self.data = data
        self.at = struct.unpack_from("<I", data)[0] if at is None else at

    def field(self, number: int) -> int | None:
        vtable = self.at - struct.unpack_from("<i", self.data, self.at)[0]
        if 4 + 2 * number >= struct.unpack_from("<H", self.data, vtable)[0]:
            return None
        offset = struct.unpack_from("<H", self.data, vtable + 4 + 2 * number)[0]
        return self.at + offset if offset else None

    def target(self, number: int) -> int:
        at = self.field(number)
        return at + struct.unpack_from("<I", self.data, at)[0]

    def table(self, number: int) -> Reader:
        return Reader(self.data, self.target(number))

    def tables(self, number: int) -> list[Reader]:
        begin = self.target(number)
        count = struct.unpack_from("<I", self.data, begin)[0]
        places = [begin + 4 + 4 * n for n in range(count)]
        return [Reader(self.data, at + struct.unpack_from("<I", self.data, at)[0]) for at in places]

    def blob(self, number: int) -> bytes:
        begin = self.target(number)
        return self.data[begin + 4 : begin + 4 + struct.unpack_from("<I", self.data, begin)[0]]

    def text(self, number: int) -> str:
        return self.blob(number).decode()

    def byte(self, number: int) -> int:
        at = self.field(number)
        return self.data[at] if at else 0

    def float(self, number: int) -> list[float]:
        begin = self.target(number)
        count = struct.unpack_from("<I", self.data, begin)[0]
        return list(struct.unpack_from(f"<{count}f", self.data, begin + 4))


def entries(model: bytes) -> dict[str, bytes]:
    """Name → bytes of Model.metadata (field 6), out of Model.buffers (field 4)."""
    root = Reader(model)
    found = {}
    for entry in root.tables(6):
        number = struct.unpack_from("<I", model, entry.field(1))[0]
        found[entry.text(0)] = root.tables(4)[number].blob(0)
    return found


def zipped(model: bytes) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(model))


def test_a_reader_of_the_published_schema_finds_everything():
    model = embed_card(embed_standard_metadata(average_pool(), CARD, author="A. Uthor"), CARD)
    content = entries(model)[ENTRY]
    assert content[4:8] == b"M001"
    root = Reader(content)
    assert (root.text(0), root.text(2), root.text(4)) == ("tiny-int8", "0123456789ab", "A. Uthor")
    assert "Knows squares only." in root.text(1) and root.text(5) and root.text(7) == "1.0.0"
    (graph,) = root.tables(3)
    (image,), (logits,) = graph.tables(2), graph.tables(3)
    assert image.text(0) == "image"
    assert image.table(3).byte(0) == 2  # ContentProperties: ImageProperties
    assert image.table(3).table(1).byte(0) == 1  # ColorSpaceType: RGB
    (unit,) = image.tables(4)
    assert unit.byte(0) == 1  # ProcessUnitOptions: NormalizationOptions
    assert (unit.table(1).float(0), unit.table(1).float(1)) == ([127.75], [pytest.approx(127.5, rel=1e-6)])
    assert logits.text(0) == "logits" and "raw logits" in logits.text(1)
    (labels,) = logits.tables(6)
    assert labels.text(0) == LABEL_FILE and labels.byte(2) == 2  # TENSOR_AXIS_LABELS
    assert zipped(model).read(LABEL_FILE) == b"mel\nnv\nbkl\n"
    assert zipped(model).infolist()[0].compress_type == zipfile.ZIP_STORED


def test_the_places_in_the_archive_count_from_the_start_of_the_file():
    # Readers that do not tolerate bytes in front (Android's) need this; Python's zipfile would not notice.
    for model in (standard := embed_standard_metadata(average_pool(), CARD), embed_card(standard, CARD)):
        begin = struct.unpack_from("<I", model, len(model) - 6)[0]
        assert model[begin : begin + 4] == b"PK\1\2"
        at = struct.unpack_from("<I", model, begin + 42)[0]
        assert model[at : at + 4] == b"PK\3\4"


def test_card_and_standard_metadata_live_together_in_either_order():
    plain = average_pool()
    carded, standard = embed_card(plain, CARD), embed_standard_metadata(plain, CARD)
    both = embed_card(standard, CARD)
    assert both == embed_standard_metadata(carded, CARD)
    assert both == embed_card(embed_standard_metadata(both, CARD), CARD)
    assert strip_card(both) == standard and strip_standard_metadata(both) == carded
    assert strip_standard_metadata(standard) == plain == strip_card(carded)
    assert strip_standard_metadata(carded) == carded
    assert find_card(both) == CARD
    assert find_standard_metadata(both) == find_standard_metadata(standard)
    assert set(entries(both)) == {ENTRY, METADATA_NAME}


def test_the_model_itself_keeps_its_bytes_alignment_and_answers(tmp_path):
    plain, path = average_pool(), tmp_path / "model.tflite"
    model = embed_card(embed_standard_metadata(plain, CARD), CARD)
    assert model.count(plain) == 1 and model.index(plain) % 16 == 0
    path.write_bytes(model)
    (tmp_path / "plain.tflite").write_bytes(plain)
    images = np.random.Generator(np.random.PCG64(2)).integers(0, 256, (4, 8, 8, 3), np.uint8)
    expected = LitertRuntime(tmp_path / "plain.tflite").logits(images)
    np.testing.assert_array_equal(LitertRuntime(path).logits(images), expected)
    assert set(inspect_tflite(path).metadata) == {ENTRY, METADATA_NAME}


def test_what_is_read_is_what_was_written(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(embed_standard_metadata(average_pool(), CARD, description="d", licence="CC0-1.0"))
    found = read_standard_metadata(path)
    assert (found.name, found.description, found.licence) == ("tiny-int8", "d", "CC0-1.0")
    assert found.labels == CARD.labels
    assert (found.inputs[0].kind, found.outputs[0].files) == ("image", (LABEL_FILE,))
    assert from_plain(StandardMetadata, to_plain(found)) == found


@pytest.mark.parametrize(
    ("scale", "zero_point"), [(1 / 127.5, 128), (1 / 127.5, 127), (1 / 255, 0), (0.5, 3), (0.0, 0)]
)
def test_a_client_that_normalizes_and_quantizes_feeds_raw_bytes(scale, zero_point):
    # What NormalizeOp, QuantizeOp and CastOp of TFLite Support do in float32, cutting or rounding at the end.
    model = average_pool(scale=scale, zero_point=zero_point)
    (image,) = find_standard_metadata(embed_standard_metadata(model, CARD)).inputs
    pixels = np.arange(256, dtype=np.float32)
    value = (pixels - np.float32(image.mean[0])) / np.float32(image.std[0])
    quantized = value / np.float32(scale) + np.float32(zero_point) if scale else value
    for byte in (np.trunc(quantized), np.round(quantized)):
        np.testing.assert_array_equal(np.clip(byte, 0, 255), pixels)


def test_the_bytes_are_those_of_the_golden_file(regenerate_golden):
    found = embed_card(embed_standard_metadata(average_pool(), CARD), CARD)
    if regenerate_golden:
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_bytes(found)
    assert found == GOLDEN.read_bytes()


@pytest.mark.parametrize(
    ("model", "changed", "said"),
    [
        (average_pool(px=16), {}, r"input \[1, 16, 16, 3\].*uint8 \(type 3\) \[1, 8, 8, 3\]"),
        (average_pool(dtype="float32"), {}, "tensor type 0"),
        (average_pool(channels=4), {}, r"input \[1, 8, 8, 4\]"),
        (average_pool(outputs=2), {}, "1 inputs and 2 outputs"),
        (average_pool(), {"labels": ("mel", "nv")}, "3 output values, the card has 2 labels"),
        (average_pool(scale=1e-40), {}, "which no byte fits"),
        (average_pool(zero_point=1000), {}, "which no byte fits"),
    ],
)
def test_a_card_of_another_model_is_refused(model, changed, said):
    with pytest.raises(ModelError, match=said):
        embed_standard_metadata(model, dataclasses.replace(CARD, **changed))


@pytest.mark.parametrize("label", ["", "two\nlines", " ", "form\x0cfeed"])
def test_a_label_is_one_line(label):
    card = dataclasses.replace(CARD, labels=("mel", "nv", label))
    with pytest.raises(UsageError, match="cannot stand in a label file"):
        embed_standard_metadata(average_pool(), card)


def test_metadata_and_archives_of_others_are_left_alone():
    other = average_pool() + archive({"other.txt": b"other"})
    with pytest.raises(ModelError, match="an archive is appended already"):
        embed_standard_metadata(other, CARD)
    carded = embed_card(other, CARD)
    assert zipped(carded).read("other.txt") == b"other"
    assert strip_card(carded) == other

    foreign = with_entry(ENTRY, b"something")
    for change in (strip_standard_metadata, lambda model: embed_standard_metadata(model, CARD)):
        with pytest.raises(ModelError, match="not put there by edgekd"):
            change(foreign)
    with pytest.raises(ModelError, match="schema"):
        find_standard_metadata(foreign)
    assert strip_card(embed_card(foreign, CARD)) == foreign


def test_a_file_without_metadata_says_so(tmp_path):
    with pytest.raises(ModelError, match="no standard metadata"):
        find_standard_metadata(embed_card(average_pool(), CARD))
    with pytest.raises(ModelError, match="cannot be read"):
        read_standard_metadata(tmp_path / "absent.tflite")
    os.mkfifo(tmp_path / "pipe.tflite")
    with pytest.raises(ModelError, match="not an ordinary file"):
        read_standard_metadata(tmp_path / "pipe.tflite")


def test_a_label_file_that_is_gone_or_compressed_is_told():
    model = embed_standard_metadata(average_pool(), CARD)
    with pytest.raises(ModelError, match="'labels.txt' that is not in the archive"):
        find_standard_metadata(model[: model.rindex(b"PK\3\4")])
    entry = bytearray(model)
    entry[model.rindex(b"PK\1\2") + 10] = 8  # the method: deflated
    with pytest.raises(ModelError, match="not compressed"):
        find_standard_metadata(bytes(entry))


def archive(files: dict[str, bytes]) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as made:
        for name, content in files.items():
            made.writestr(name, content)
    return output.getvalue()


def with_entry(name: str, content: bytes) -> bytes:
    """A file in which another writer put a metadata entry."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(average_pool(), 0))
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(content, np.uint8)
    entry.name, entry.buffer = name, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [entry]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
