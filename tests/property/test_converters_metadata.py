from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.card import METADATA_NAME, ModelCard, OperatingPoint
from edgekd.errors import ModelError, UsageError
from edgekd.runtimes.litert import LitertRuntime
from edgekd_converters import inspect as inspect_module
from edgekd_converters.inspect import inspect_tflite
from edgekd_converters.metadata import embed_card, find_card, open_model, read_card, strip_card
from tiny_tflite import average_pool

CARD = ModelCard(name="m", precision="int8", input_px=8, labels=("mel", "nv"), malignant=("mel",))

cards = st.builds(
    lambda name, limits, threshold: dataclasses.replace(
        CARD,
        name=name,
        limits=tuple(limits),
        operating_point=OperatingPoint(rule="youden", threshold=threshold, fitted_on="validation"),
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), max_size=3),
    st.floats(-1e6, 1e6),
)


@cache
def _model() -> bytes:
    return average_pool()


@given(cards)
def test_a_card_comes_back_and_can_be_taken_out_again(card):
    embedded = embed_card(_model(), card)
    assert find_card(embedded) == card
    assert strip_card(embedded) == _model()


@given(cards, cards)
def test_the_last_card_wins_and_leaves_no_trace_of_others(first, second):
    assert embed_card(embed_card(_model(), first), second) == embed_card(_model(), second)


@given(cards)
def test_the_file_moves_by_whole_16_bytes(card):
    # Kernels read weights in 16-byte pieces: a shifted file must keep the alignment the converter gave it.
    assert (len(embed_card(_model(), card)) - len(_model())) % 16 == 0


@given(cards)
def test_everything_else_in_the_root_table_stays(card):
    before, after = open_model(_model()), open_model(embed_card(_model(), card))
    assert after.Version() == before.Version()
    assert after.Description() == before.Description()
    assert after.BuffersLength() == before.BuffersLength() + 1
    assert after.OperatorCodes(0).BuiltinCode() == before.OperatorCodes(0).BuiltinCode()
    names = [after.Metadata(n).Name().decode() for n in range(after.MetadataLength())]
    assert names == [METADATA_NAME]


def test_litert_answers_the_same_with_a_card_inside(tmp_path):
    plain, carded = tmp_path / "plain.tflite", tmp_path / "carded.tflite"
    plain.write_bytes(_model())
    carded.write_bytes(embed_card(_model(), CARD))
    images = np.random.Generator(np.random.PCG64(1)).integers(0, 256, (4, 8, 8, 3), np.uint8)
    for kernels in ("xnnpack", "builtin", "reference"):
        np.testing.assert_array_equal(
            LitertRuntime(plain, kernels=kernels).logits(images),
            LitertRuntime(carded, kernels=kernels).logits(images),
        )
    assert read_card(carded) == CARD


def test_a_file_without_a_card_says_so(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(_model())
    with pytest.raises(ModelError, match="no model card inside"):
        read_card(path)
    with pytest.raises(ModelError, match=r"not a \.tflite file"):
        embed_card(b"PK\3\4 something else", CARD)
    with pytest.raises(ModelError, match="cannot be read"):
        read_card(tmp_path / "absent.tflite")


@st.composite
def damaged(draw):
    """A file with a card, cut somewhere or with a few bytes (of the tables, mostly) overwritten."""
    data = bytearray(embed_card(_model(), CARD))
    if draw(st.booleans()):
        del data[draw(st.integers(8, len(data))) :]
    for _ in range(draw(st.integers(0, 8))):
        data[draw(st.integers(8, len(data) - 1)) if len(data) > 8 else 0] = draw(st.integers(0, 255))
    data[4:8] = b"TFL3"
    return bytes(data)


@given(damaged())
def test_a_damaged_file_gives_an_answer_or_a_clear_error(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged.tflite"
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inspect_module, "probe", lambda path: 0)
        for read in (inspect_tflite, read_card, lambda path: strip_card(path.read_bytes())):
            try:
                read(path)
            except (ModelError, UsageError):
                continue


@pytest.mark.parametrize("length", [0, 4, 7, 8, 11])
def test_a_stub_of_a_file_is_refused(tmp_path, length):
    path = tmp_path / "stub.tflite"
    path.write_bytes(_model()[:length])
    with pytest.raises(ModelError):
        inspect_tflite(path)
