"""Files made to mislead the readers of metadata; each was found, or could have been, by the fuzz command."""

from __future__ import annotations

import struct

import flatbuffers
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgekd.card import METADATA_NAME, ModelCard
from edgekd.errors import EdgekdError, ModelError
from edgekd_converters import metadata, metadata_front, metadata_zip
from edgekd_converters.metadata import embed_card, find_card, read_card, strip_card
from edgekd_converters.metadata_front import embed_entry
from edgekd_converters.metadata_tables import build
from edgekd_converters.standard_metadata import (
    ENTRY,
    embed_standard_metadata,
    find_standard_metadata,
    strip_standard_metadata,
)
from tiny_tflite import average_pool

CARD = ModelCard(name="m", precision="int8", input_px=8, labels=("a", "b", "c"), malignant=("a",))


def test_a_card_nested_a_hundred_thousand_deep_is_damaged():
    with pytest.raises(ModelError, match="damaged"):
        find_card(embed_entry(average_pool(), METADATA_NAME, b"[" * 100_000))


def test_a_card_that_is_no_text_is_damaged():
    with pytest.raises(ModelError, match="damaged"):
        find_card(embed_entry(average_pool(), METADATA_NAME, b"\xff\xfe"))


def test_a_card_of_a_megabyte_is_refused():
    with pytest.raises(ModelError, match="1048577 bytes inside"):
        find_card(embed_entry(average_pool(), METADATA_NAME, b" " * ((1 << 20) + 1)))


def test_a_file_over_the_limit_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "model.tflite"
    path.write_bytes(average_pool())
    monkeypatch.setattr(metadata_front, "MAX_BYTES", 100)
    with pytest.raises(ModelError, match="at most 100"):
        read_card(path)


def test_a_folder_is_no_model(tmp_path):
    with pytest.raises(ModelError, match="not an ordinary file"):
        read_card(tmp_path)


def test_weights_outside_of_the_flatbuffer_take_no_front():
    # Their places count from the start of the file, which a front would move.
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(average_pool(), 0))
    model.buffers[1].offset, model.buffers[1].size = 4096, 16
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    with pytest.raises(ModelError, match="outside of the FlatBuffer"):
        embed_card(bytes(builder.Output()), CARD)


def test_a_million_entries_are_refused(monkeypatch):
    monkeypatch.setattr(metadata_front, "_MAX_ENTRIES", 0)
    with pytest.raises(ModelError, match="damaged"):
        find_card(embed_card(average_pool(), CARD))


def test_more_than_a_thousand_zipped_files_are_refused(monkeypatch):
    model = embed_standard_metadata(average_pool(), CARD)
    monkeypatch.setattr(metadata_zip, "_MAX_FILES", 0)
    with pytest.raises(ModelError, match="damaged"):
        find_standard_metadata(model)


@pytest.mark.parametrize("word", [0, 1, 0x7FFFFFFF, 0xFFFFFFFF])
@pytest.mark.parametrize("back", [2, 6, 10, 12, 14])
def test_an_end_record_that_lies_gives_an_answer_or_a_clear_error(word, back):
    model = bytearray(embed_card(embed_standard_metadata(average_pool(), CARD), CARD))
    width = 2 if back in (2, 12, 14) else 4
    model[len(model) - back : len(model) - back + width] = word.to_bytes(4, "little")[:width]
    for read in (find_standard_metadata, strip_standard_metadata, strip_card, find_card):
        try:
            read(bytes(model))
        except EdgekdError as error:
            assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {0: "x" * 70_000},
        {3: [{0: ""}] * 101},
        {3: [{2: [{4: [{0: 1, 1: {0: (0.0,) * 101}}]}]}]},
        {3: [{3: [{6: [{0: "", 2: 2}] * 101}]}]},
    ],
)
def test_long_texts_and_lists_in_standard_metadata_are_refused(fields):
    with pytest.raises(ModelError, match="standard metadata inside is damaged"):
        find_standard_metadata(embed_entry(average_pool(), ENTRY, build(fields, b"M001")))


def test_standard_metadata_of_others_may_lack_everything():
    found = find_standard_metadata(embed_entry(average_pool(), ENTRY, build({7: "1.0.0"}, b"M001")))
    assert (found.name, found.inputs, found.outputs, found.labels) == ("", (), (), ())


def test_an_input_without_a_type_is_damaged():
    # Found by the fuzz command: the type of the tensor was read outside of what is guarded.
    model = average_pool()
    root = schema.Model.GetRootAs(model, 0)
    tensor = root.Subgraphs(0).Tensors(0)._tab
    vtable = tensor.Pos - struct.unpack_from("<i", model, tensor.Pos)[0]
    moved = bytearray(model)
    struct.pack_into("<H", moved, vtable + 6, 0xFFF0)  # field 1, the type, far outside of the file
    with pytest.raises(ModelError, match="damaged"):
        embed_standard_metadata(bytes(moved), CARD)


def test_metadata_still_offers_what_its_users_import():
    assert set(metadata.__all__) >= {"embed_card", "find_card", "open_model", "read_card", "strip_card"}
