"""Hair removal through the line: into the store, into the card, before every model that asks for it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edgekd import assess
from edgekd.card import PIXEL_RULE, ModelCard, OperatingPoint, pixel_rule
from edgekd.cli.app import app
from edgekd.config import DataConfig, HairRemoval, Precision, SourceConfig, SourceKind
from edgekd.data.dataset import open_dataset
from edgekd.data.prepare import prepare
from edgekd.data.shards import plan
from edgekd.data.source import open_source
from edgekd.errors import ModelError, UsageError
from edgekd.imaging.decode import read_image
from edgekd.imaging.hair import remove_hair
from edgekd.imaging.opencv import cv2
from edgekd.imaging.resample import prepare as resample
from edgekd.plain import file_digest
from edgekd_converters import export
from edgekd_converters.metadata import embed_card
from edgekd_converters.worker import Conversion
from hair_pictures import skin, with_hairs
from tiny_tflite import average_pool

INPUT_PX, TRAIN_PX = 32, 48
POINT = OperatingPoint(rule="youden", threshold=0.0, fitted_on="validation")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hairy pictures of 200 × 150 pixels, no two alike, half melanoma."""
    root = tmp_path_factory.mktemp("pictures")
    for number in range(24):
        image, _ = with_hairs(skin(150, 200, number, grain=8.0), number, count=4 + number)
        path = root / ("mel" if number % 2 else "nv") / f"{number:02d}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return root


def _config(root: Path, hair: HairRemoval, workers: int = 1) -> DataConfig:
    source = SourceConfig(name="pictures", kind=SourceKind.FOLDERS, root=str(root))
    return DataConfig(
        sources=(source,),
        input_px=INPUT_PX,
        train_px=TRAIN_PX,
        hair=hair,
        workers=workers,
        drop_leaks=False,
    )


def _store(folder: Path) -> dict[str, str]:
    return {path.parent.name: file_digest(path) for path in sorted(folder.glob("store/*/*.u8"))}


@pytest.mark.parametrize("hair", [HairRemoval.ADEPU2023, HairRemoval.ORIENTED])
def test_the_store_holds_whole_pictures_cleaned_then_cropped(
    pictures: Path, tmp_path: Path, hair: HairRemoval
) -> None:
    one, two, plain = (tmp_path / name for name in ("one", "two", "plain"))
    for out, method, workers in ((one, hair, 1), (two, hair, 2), (plain, HairRemoval.NONE, 1)):
        out.mkdir()
        prepare(config=_config(pictures, method, workers), seed=1, out=out)
    assert _store(one) == _store(two)
    assert all(_store(one)[split] != _store(plain)[split] for split in _store(plain))
    dataset = open_dataset(one)
    assert (dataset.hair, open_dataset(plain).hair) == (hair, HairRemoval.NONE)
    for part, px in ((dataset.train, TRAIN_PX), (dataset.test, INPUT_PX)):
        for index, row in enumerate(part.rows):
            expected = resample(remove_hair(read_image(pictures / row.path), hair), px)
            assert np.array_equal(part.images.image(index), expected)
    # What is looked at for leaks are the pictures as they are.
    assert (one / "audit.json").read_bytes() == (plain / "audit.json").read_bytes()


def test_a_shard_made_otherwise_is_not_taken_for_the_wanted_one(pictures: Path, tmp_path: Path) -> None:
    config = _config(pictures, HairRemoval.NONE).sources[0]
    rows = open_source(config, malignant=("mel",), seed=1).rows()
    keys = {
        plan(tmp_path, rows, px=INPUT_PX, fingerprint="content", hair=hair)[0].key for hair in HairRemoval
    }
    assert len(keys) == 3


def test_a_data_set_of_before_has_no_hair_removal(pictures: Path, tmp_path: Path) -> None:
    prepare(config=_config(pictures, HairRemoval.NONE), seed=1, out=tmp_path)
    path = tmp_path / "dataset.json"
    record = json.loads(path.read_text())
    assert record.pop("hair") == "none"
    path.write_text(json.dumps(record))
    assert open_dataset(tmp_path).hair is HairRemoval.NONE


def _card(hair: str) -> ModelCard:
    return ModelCard(
        name="m",
        precision="int8",
        input_px=INPUT_PX,
        labels=("mel", "nv", "bkl"),
        malignant=("mel",),
        hair_removal=hair,
        pixel_rule=pixel_rule(hair),
        operating_point=POINT,
    )


def test_the_card_says_it_twice_and_alike() -> None:
    assert pixel_rule("none") == PIXEL_RULE
    assert _card("none").pixel_rule == PIXEL_RULE
    assert "upright RGB, edgekd.hair/1 oriented, centre square" in _card("oriented").pixel_rule
    assert ModelCard.from_json(_card("oriented").to_json()) == _card("oriented")
    with pytest.raises(UsageError, match="hair_removal is 'oriented' and pixel_rule says nothing of it"):
        dataclasses.replace(_card("none"), hair_removal="oriented")


def test_a_card_of_before_asks_for_nothing() -> None:
    plain = json.loads(_card("none").to_json())
    assert plain.pop("hair_removal") == "none"
    assert ModelCard.from_json(json.dumps(plain)) == _card("none")


@pytest.mark.parametrize("hair", list(HairRemoval))
def test_an_exported_card_says_what_the_data_went_through(
    pictures: Path, tmp_path: Path, hair: HairRemoval
) -> None:
    prepare(config=_config(pictures, hair), seed=1, out=tmp_path)
    made = Conversion(seconds=1.0, peak_memory_bytes=1, weights_sha256="0", tensorflow="0")
    card = export._card("student", Precision.INT8, open_dataset(tmp_path), made, 1)
    assert card.hair_removal == hair.value
    assert card.pixel_rule == pixel_rule(hair.value)


def _model(folder: Path, card: ModelCard) -> Path:
    path = folder / f"{card.hair_removal}.tflite"
    path.write_bytes(embed_card(average_pool(px=INPUT_PX), card))
    return path


@pytest.mark.parametrize("hair", list(HairRemoval))
def test_predict_and_evaluate_do_what_the_card_says(
    pictures: Path, tmp_path: Path, hair: HairRemoval
) -> None:
    path = _model(tmp_path, _card(hair.value))
    card = assess.find_card(path)
    runtime = assess.open_runtime(path)
    files = sorted(pictures.glob("*/*.png"))
    seen = [resample(remove_hair(read_image(file), hair), INPUT_PX) for file in files]
    expected = {file.stem: runtime.logits(one[np.newaxis])[0] for file, one in zip(files, seen, strict=True)}
    for answer in assess.predict(runtime, card, files):
        np.testing.assert_array_equal(
            np.array([*answer.logits.values()], np.float32), expected[Path(answer.image).stem]
        )
    source = open_source(_config(pictures, hair).sources[0], malignant=card.malignant, seed=1)
    _, said = assess.evaluate_model(runtime, card, source, split="all", artefact="m")
    for image_id, logits in zip(said.image_ids, said.logits, strict=True):
        np.testing.assert_array_equal(logits, expected[Path(image_id).stem])


def test_the_command_line_does_it_too(pictures: Path, tmp_path: Path) -> None:
    image = sorted(pictures.glob("*/*.png"))[-1]
    answers = {}
    for hair in HairRemoval:
        done = CliRunner().invoke(
            app, ["predict", str(_model(tmp_path, _card(hair.value))), str(image), "--json"]
        )
        assert done.exit_code == 0
        answers[hair] = json.loads(done.stdout)["answers"][0]["logits"]
    assert answers[HairRemoval.NONE] != answers[HairRemoval.ORIENTED]
    assert answers[HairRemoval.NONE] != answers[HairRemoval.ADEPU2023]


def test_a_hair_removal_nobody_knows_is_refused_in_one_line(pictures: Path, tmp_path: Path) -> None:
    path = _model(tmp_path, _card("laser"))
    with pytest.raises(ModelError, match=r"hair removal 'laser', known here are none, adepu2023, oriented"):
        next(assess.predict(assess.open_runtime(path), assess.find_card(path), pictures.glob("*/*.png")))
