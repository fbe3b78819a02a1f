"""Folds of teachers: nobody answers for what it saw, whatever belongs together."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekd.config import AugmentConfig, DistillConfig, FitConfig, ModelConfig, TeachConfig, VerifyConfig
from edgekd.data.folds import assign_folds
from edgekd.data.table import Row, Split
from edgekd.errors import DataError, ModelError, UsageError
from edgekd.training.folds import RECORD, answering, members_of, read_folds

few = settings(max_examples=40, deadline=None)


@st.composite
def tables(draw: st.DrawFn) -> list[Row]:
    """Training rows whose patients, lesions and parents tie them together in every way."""
    known = st.one_of(st.none(), st.integers(0, 12).map(str))
    rows: list[Row] = []
    for number in range(draw(st.integers(12, 50))):
        parent = draw(st.sampled_from([None, None, None, *[row.image_id for row in rows]]))
        rows.append(
            Row(
                image_id=f"i{number}",
                path=f"i{number}.png",
                diagnosis=draw(st.sampled_from(["mel", "nv"])),
                malignant=False,
                patient=draw(known),
                lesion=draw(known),
                split=Split.TRAIN,
                source=draw(st.sampled_from(["a", "b"])),
                parent=parent,
            )
        )
    return rows


def folded(rows: list[Row], count: int, seed: int = 1) -> np.ndarray | None:
    labels = np.array([row.diagnosis == "mel" for row in rows], np.int32)
    try:
        return assign_folds(rows, labels, count, seed)
    except DataError:
        return None


@few
@given(tables(), st.integers(2, 5), st.integers(0, 99))
def test_nothing_that_belongs_together_is_in_two_folds(rows: list[Row], count: int, seed: int) -> None:
    folds = folded(rows, count, seed)
    if folds is None:
        return
    place = {row.image_id: fold for row, fold in zip(rows, folds.tolist(), strict=True)}
    for name in ("patient", "lesion"):
        seen: dict[str, int] = {}
        for row in rows:
            if (key := getattr(row, name)) is not None:
                assert seen.setdefault(key, place[row.image_id]) == place[row.image_id]
    for row in rows:
        if row.parent is not None:
            assert place[row.parent] == place[row.image_id]
    assert (folds == folded(rows, count, seed)).all()


@few
@given(st.integers(2, 5), st.integers(20, 60), st.integers(0, 99))
def test_images_that_nothing_ties_are_spread_evenly_by_class(count: int, n: int, seed: int) -> None:
    rows = [
        Row(
            image_id=f"i{number}",
            path="x",
            diagnosis="mel" if number % 4 == 0 else "nv",
            malignant=number % 4 == 0,
            split=Split.TRAIN,
            source="a",
        )
        for number in range(n)
    ]
    folds = folded(rows, count, seed)
    assert folds is not None
    for label in ("mel", "nv"):
        held = Counter(int(fold) for row, fold in zip(rows, folds, strict=True) if row.diagnosis == label)
        sizes = [held[fold] for fold in range(count)]
        assert max(sizes) - min(sizes) <= 1


def test_fewer_groups_than_folds_are_refused() -> None:
    rows = [
        Row(image_id=f"i{n}", path="x", diagnosis="nv", malignant=False, patient=str(n % 2), source="a")
        for n in range(9)
    ]
    with pytest.raises(DataError, match="2 groups of images for 3 folds"):
        assign_folds(rows, np.zeros(9, np.int32), 3, 1)
    with pytest.raises(UsageError, match="teach.folds is 1"):
        TeachConfig(folds=1)
    with pytest.raises(UsageError, match="teach.repeats is 2"):
        TeachConfig(repeats=2)


MODEL = ModelConfig(name="dsnet", width=0.1, weights="none")
FIT = FitConfig(epochs=2, batch_size=8, learning_rate=3e-3, augment=AugmentConfig(crop_scale_min=0.8))


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    """Two repeats of two teachers on folds, what each was trained on, and a student that heard them."""
    from edgekd.training import teach as module
    from edgekd.training.distill import distill
    from training_data import write_dataset

    root = tmp_path_factory.mktemp("folds")
    dataset = write_dataset(root / "data")
    shown, fit = [], module.fit

    def watched(model, **arguments):
        shown.append({row.image_id for row in arguments["dataset"].train.rows})
        return fit(model, **arguments)

    (root / "teach").mkdir()
    (root / "distill").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "fit", watched)
        metrics = module.teach(
            dataset=dataset,
            config=TeachConfig(model=MODEL, fit=FIT, folds=2, repeats=2),
            verify=VerifyConfig(),
            seed=5,
            out=root / "teach",
        )
    distill(
        dataset=dataset,
        teacher=root / "teach",
        config=DistillConfig(model=MODEL, fit=FIT, variants=2),
        verify=VerifyConfig(),
        seed=5,
        out=root / "distill",
    )
    return root, dataset, shown, metrics


@pytest.mark.tf
def test_every_answer_a_student_hears_is_of_a_teacher_that_did_not_see_the_image(line):
    from edgekd.data.batches import Batches, Draws
    from edgekd.plain import file_digest
    from edgekd.runtimes.keras import KerasRuntime
    from edgekd.training.teacher_cache import ask_teacher

    root, dataset, shown, _ = line
    members = members_of(root / "teach")
    heard = answering(root / "teach", dataset.train)
    names = [row.image_id for row in dataset.train.rows]
    assert [path.name for path in members] == [f"fold-{number}.keras" for number in range(4)]
    for one, other in (shown[:2], shown[2:]):
        assert set(names) == one | other
        assert not one & other
    assert shown[0] not in shown[2:]
    for member, seen in enumerate(shown):
        assert not any(heard[member][names.index(name)] for name in seen)
    assert (heard.sum(axis=0) == 2).all()

    runtimes = [KerasRuntime(path) for path in members]
    numbers = np.arange(len(names))
    draws = Draws(index=numbers, variant=np.zeros_like(numbers))
    own = {"px": 32, "config": FIT.augment, "seed": 5}
    (batch,) = Batches(dataset.train, draws, batch_size=len(names), **own)
    cache = ask_teacher(
        runtimes,
        digests=[file_digest(path) for path in members],
        dataset=dataset,
        config=FIT,
        seed=5,
        variants=2,
        out=root / "distill",
        answering=heard,
    )
    found, said = cache.logits(batch), [one.logits(batch.images) for one in runtimes]
    for number, name in enumerate(names):
        innocent = [one[number] for one, seen in zip(said, shown, strict=True) if name not in seen]
        guilty = [one[number] for one, seen in zip(said, shown, strict=True) if name in seen]
        np.testing.assert_allclose(found[number], np.mean(innocent, axis=0), atol=5e-3)
        assert np.abs(found[number] - np.mean(guilty, axis=0)).max() > 5e-3


@pytest.mark.tf
def test_validation_and_test_are_answered_by_all_and_images_out_of_fold_have_a_figure(line):
    from edgekd.metrics.predictions import malignancy_score, read_predictions
    from edgekd.metrics.ranking import roc_auc_score
    from edgekd.runtimes.keras import KerasRuntime

    root, dataset, _, metrics = line
    said = read_predictions(root / "teach" / "validation_predictions.csv", ("mel",))
    runtimes = [KerasRuntime(path) for path in members_of(root / "teach")]
    images = dataset.validation.images.read(np.arange(len(dataset.validation)))
    mean = np.mean([one.logits(images) for one in runtimes], axis=0)
    np.testing.assert_allclose(said.logits, mean, atol=1e-4)
    assert answering(root / "teach", dataset.validation).all()
    whole = dataset.train.images.read(np.arange(len(dataset.train)))
    heard = answering(root / "teach", dataset.train)[..., None]
    unseen = np.mean([one.logits(whole) for one in runtimes], axis=0, where=heard)
    score = malignancy_score(unseen, dataset.classes, dataset.malignant)
    assert metrics["out_of_fold_auc"] == pytest.approx(roc_auc_score(dataset.train.malignant, score))
    assert metrics["members"] == 4
    assert (root / "teach" / "evaluation.json").is_file()
    assert not list((root / "teach").rglob("checkpoint"))


@pytest.mark.tf
def test_the_teacher_asked_in_every_step_keeps_to_its_fold(line):
    from edgekd.data.batches import Batches, Draws
    from edgekd.runtimes.keras import KerasRuntime
    from edgekd.training.teacher_cache import Views
    from edgekd.training.teachers import OnlineTeacher

    root, dataset, _, _ = line
    runtimes = [KerasRuntime(path) for path in members_of(root / "teach")]
    heard = answering(root / "teach", dataset.train)
    views = Views(dataset=dataset, config=FIT, seed=5)
    teacher = OnlineTeacher(runtimes, "abcd", views, heard)
    numbers = np.arange(16)
    draws = Draws(index=numbers, variant=numbers)
    (batch,) = Batches(dataset.train, draws, px=32, batch_size=16, config=FIT.augment, seed=5)
    said = np.stack([one.logits(batch.images) for one in runtimes])
    expected = said.mean(axis=0, where=heard[:, :16, None])
    np.testing.assert_allclose(teacher.logits(batch), expected, atol=1e-5)
    assert teacher.identity != OnlineTeacher(runtimes, "abcd", views).identity


def test_a_teacher_of_another_side_is_asked_about_the_same_views(line):
    from edgekd.data.batches import Batches, Draws
    from edgekd.training.teacher_cache import Views
    from edgekd.training.teachers import OnlineTeacher

    class Seeing:
        input_px = 48

        def logits(self, images: np.ndarray, features: object = None) -> np.ndarray:
            self.shown = images
            return np.zeros((len(images), 3), np.float32)

    dataset = line[1]
    numbers = np.arange(40)
    draws = Draws(index=numbers, variant=numbers % 3)
    own, larger = (
        next(iter(Batches(dataset.train, draws, px=px, batch_size=40, config=FIT.augment, seed=5)))
        for px in (32, 48)
    )
    seeing = Seeing()
    OnlineTeacher([seeing], ["a"], Views(dataset=dataset, config=FIT, seed=5)).logits(own)
    np.testing.assert_array_equal(seeing.shown, larger.images)


@pytest.mark.tf
@pytest.mark.parametrize("answers", ["online", "fixed"])
def test_a_student_learns_from_answers_of_another_kind(line, answers, tmp_path):
    from edgekd.config import Answers
    from edgekd.training.distill import distill

    root, dataset, _, _ = line
    config = DistillConfig(model=MODEL, fit=FIT, variants=2, answers=Answers(answers))
    metrics = distill(
        dataset=dataset, teacher=root / "teach", config=config, verify=VerifyConfig(), seed=5, out=tmp_path
    )
    assert 0 <= metrics["validation_auc"] <= 1
    other = (root / "distill" / "model.keras").read_bytes()
    assert (tmp_path / "model.keras").read_bytes() != other
    assert (tmp_path / "teacher_cache").exists() == (answers == "fixed")


def test_a_folder_that_lost_a_member_says_so(tmp_path):
    with pytest.raises(ModelError, match="train a teacher first"):
        members_of(tmp_path)
    (tmp_path / RECORD).write_text('{"schema": "edgekd.folds/1", "members": ["fold-0.keras"], "folds": {}}')
    with pytest.raises(ModelError, match=r"fold-0\.keras is missing"):
        members_of(tmp_path)
    (tmp_path / RECORD).write_text('{"schema": "edgekd.folds/2", "members": [], "folds": {}}')
    with pytest.raises(ModelError, match="not readable as folds"):
        read_folds(tmp_path)
