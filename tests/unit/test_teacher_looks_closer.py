"""A teacher of more pixels than its student, through the stations that know of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drawn_experiment import BASE
from edgekd import stations
from edgekd.data.dataset import open_dataset
from edgekd.data.withhold import withhold_test
from edgekd.runs import Run
from edgekd.runtimes.keras import KerasRuntime

STUDENT_PX, TEACHER_PX = 32, 40
CLOSER = replace(
    BASE, data=replace(BASE.data, train_px=48, teacher_px=TEACHER_PX), teach=replace(BASE.teach, folds=2)
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    made = Run(tmp_path_factory.mktemp("run"))
    for name, make in (("data", stations.data), ("teach", stations.teach), ("distill", stations.distill)):
        made.folder(name).mkdir()
        make(made, CLOSER, made.folder(name))
    return made


@pytest.mark.tf
def test_teacher_and_student_have_their_own_sides(run: Run) -> None:
    sides = {
        path: KerasRuntime(run.root / path).input_px for path in ("teach/fold-1.keras", "distill/model.keras")
    }
    assert sides == {"teach/fold-1.keras": TEACHER_PX, "distill/model.keras": STUDENT_PX}


@pytest.mark.tf
def test_the_teacher_was_judged_on_its_own_pixels(run: Run) -> None:
    from edgekd.metrics.predictions import read_predictions

    dataset = open_dataset(run.folder("data")).seen_by_teacher()
    images = dataset.test.images.read(np.arange(len(dataset.test)))
    assert images.shape[1:] == (TEACHER_PX, TEACHER_PX, 3)
    members = [KerasRuntime(run.folder("teach") / f"fold-{number}.keras") for number in range(2)]
    said = np.mean([member.logits(images) for member in members], axis=0)
    kept = read_predictions(run.folder("teach") / "predictions.csv", dataset.malignant)
    np.testing.assert_allclose(kept.logits, said, atol=1e-4)


@pytest.mark.tf
def test_without_the_test_split_the_teacher_still_has_its_pixels(run: Run, tmp_path: Path) -> None:
    withhold_test(run.folder("data"), tmp_path)
    kept, whole = open_dataset(tmp_path).seen_by_teacher(), open_dataset(run.folder("data")).seen_by_teacher()
    numbers = np.arange(len(whole.validation))
    np.testing.assert_array_equal(kept.validation.images.read(numbers), whole.validation.images.read(numbers))
    assert (len(kept.test), kept.test.images.px) == (0, TEACHER_PX)


@pytest.mark.tf
def test_an_embedding_of_the_teacher_sees_what_the_teacher_sees(run: Run) -> None:
    from edgekd.data.table import Split
    from edgekd.report.embedding_source import prepared_images

    chosen = prepared_images(run.folder("data"), [Split.TEST], TEACHER_PX)
    own = open_dataset(run.folder("data")).seen_by_teacher().test.images
    np.testing.assert_array_equal(chosen.images.read(np.array([3]))[0], own.image(3))
