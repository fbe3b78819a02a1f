"""A model at a new source: threshold and temperature follow it, the order of scores stays, nobody is judged
on what was fitted."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_data import CARD
from command import edgekd
from edgekd.data.table import Row
from edgekd.errors import DataError
from edgekd.recalibrate import Chosen, apart_from, fit_card, recalibrate
from tiny_tflite import average_pool

PX = 8


class Drawn:
    """Pictures of one colour each, the malignant redder, all of them shifted; every second pair one patient.

    The network gives the mean of each channel, so the shift moves every score.
    """

    def __init__(self, name: str, shift: int, n: int = 80, first: int = 0) -> None:
        self.name, self.shift, self.shown = name, shift, list[Row]()
        self._rows = tuple(
            Row(
                image_id=f"{name}{number}",
                path="x",
                diagnosis="mel" if number % 3 == 0 else "nv",
                malignant=number % 3 == 0,
                patient=f"p{first + number // 2}",
                source=name,
            )
            for number in range(n)
        )

    def rows(self) -> tuple[Row, ...]:
        return self._rows

    def left_out(self) -> tuple[()]:
        return ()

    def image(self, row: Row) -> np.ndarray:
        self.shown.append(row)
        random = np.random.default_rng(int("".join(filter(str.isdigit, row.image_id))))
        red = 90 + 25 * row.malignant + self.shift + random.normal(0, 14)
        return np.full((PX, PX, 3), (np.clip(red, 0, 255), 128, 60), np.uint8)

    def fingerprint(self) -> str:
        return self.name


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory):
    from edgekd.runtimes.litert import LitertRuntime

    path = tmp_path_factory.mktemp("model") / "model.tflite"
    path.write_bytes(average_pool(px=PX))
    return LitertRuntime(path)


@pytest.fixture(scope="module")
def card(runtime):
    """The card fitted to the source the network was made for."""
    return fit_card(runtime, CARD, Drawn("home", 0))


def test_a_shifted_source_is_mended_and_its_order_stays(runtime, card) -> None:
    away = Drawn("away", -60)
    found, said = recalibrate(runtime, card, away, None, split="all", artefact="m")
    before, after = found.as_it_came, found.calibrated
    assert before.sensitivity.value == 0
    assert after.sensitivity.value >= 0.7
    assert after.auc == before.auc
    assert after.operating_point.fitted_on == f"away, {found.n} images"
    assert after.operating_point.rule == "sensitivity_at_least(0.9)"
    assert after.brier < before.brier
    assert (found.n + before.n, found.n_left_out) == (80, 0)
    assert len(said.labels) == before.n


def test_no_patient_is_on_both_sides(runtime, card) -> None:
    away = Drawn("away", -60)
    found, said = recalibrate(runtime, card, away, None, split="all", artefact="m", folds=3)
    fitted, judged = away.shown[: found.n], away.shown[found.n :]
    assert [row.image_id for row in judged] == list(said.image_ids)
    assert not {row.patient for row in fitted} & {row.patient for row in judged}
    assert 0.2 < found.n / 80 < 0.45


def test_of_another_folder_what_is_judged_is_left_out(runtime, card) -> None:
    away, more = Drawn("away", -60), Drawn("more", -60, first=30)
    found, _ = recalibrate(runtime, card, away, more, split="all", artefact="m")
    judged = {row.patient for row in away.shown}
    assert not {row.patient for row in more.shown} & judged
    assert (found.as_it_came.n, found.n, found.n_left_out) == (80, 60, 20)
    with pytest.raises(DataError, match="0 images of away are left"):
        recalibrate(runtime, card, away, Drawn("away", -60), split="all", artefact="m")


def test_both_kinds_are_needed_and_few_are_told(runtime, card, caplog) -> None:
    away = Drawn("away", -60)
    benign = Chosen(away, tuple(row for row in Drawn("b", 0, first=90).rows() if not row.malignant))
    with pytest.raises(DataError, match="0 malignant: expected some of both"):
        recalibrate(runtime, card, away, benign, split="all", artefact="m")
    recalibrate(runtime, card, away, Drawn("few", -60, n=9, first=90), split="all", artefact="m")
    assert "3 malignant images are too few" in caplog.text


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_nothing_shared_is_left(data: st.DataObject) -> None:
    key = st.one_of(st.none(), st.integers(0, 6).map(str))
    rows = st.lists(
        st.builds(
            lambda name, patient, lesion: Row(
                image_id=name,
                path="x",
                diagnosis="nv",
                malignant=False,
                patient=patient,
                lesion=lesion,
                source="s",
            ),
            st.integers(0, 20).map(str),
            key,
            key,
        ),
        max_size=12,
    )
    known, judged = data.draw(rows), data.draw(rows)
    left = apart_from(known, judged)
    for row in known:
        tied = any(
            row.image_id == other.image_id
            or (row.patient is not None and row.patient == other.patient)
            or (row.lesion is not None and row.lesion == other.lesion)
            for other in judged
        )
        assert (row in left) == (not tied)


def test_the_command_judges_twice(tmp_path: Path, card) -> None:
    model = tmp_path / "model.tflite"
    model.write_bytes(average_pool(px=PX))
    (tmp_path / "card.json").write_text(dataclasses.replace(card, malignant=("mel", "bcc")).to_json())
    away = Drawn("away", -60)
    for row in away.rows():
        folder = tmp_path / "data" / ("mel" if row.malignant else "nv")
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{row.image_id}.png"), away.image(row)[..., ::-1])
    data = tmp_path / "data"
    said = edgekd("evaluate", model, "--data", data, "--split", "all", "--calibrate-on", data, "--json")
    assert said.exit_code == 0, said.stderr
    record = json.loads(said.stdout)
    assert record["schema"] == "edgekd.recalibration/1"
    assert record["n"] == record["calibrated"]["n"] == 40
    table = edgekd("evaluate", model, "--data", data, "--split", "all", "--calibrate-on", data)
    assert "as it came" in table.stdout
    assert "threshold, log odds" in table.stdout
