"""The drawn lesions: the same everywhere, varied, and not to be told apart by trivial figures."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections import Counter
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgekd.config import SourceConfig, SourceKind
from edgekd.data.lesions import DIAGNOSES, noise, render
from edgekd.data.synthetic import SHARES, SyntheticSource
from edgekd.errors import ImageError, UnknownNameError
from tolerances import SYNTHETIC_BLOCK_MEAN

GOLDEN = Path(__file__).parents[1] / "golden" / "synthetic" / "block_means.json"
CASES = [(seed, diagnosis, number) for seed in (0, 7) for diagnosis in DIAGNOSES for number in (0, 1, 2)]


def source(
    *, count: int = 400, seed: int = 3, name: str = "synthetic", malignant: tuple[str, ...] = ("mel",)
) -> SyntheticSource:
    config = SourceConfig(name=name, kind=SourceKind.SYNTHETIC, count=count, image_px=48)
    return SyntheticSource(config, malignant=malignant, seed=seed)


def block_means(image: NDArray[np.uint8]) -> list[float]:
    size = len(image) // 8
    blocks = image.reshape(8, size, 8, size, 3).astype(np.float64).mean(axis=(1, 3))
    return [round(value, 2) for value in blocks.ravel().tolist()]


class TestRender:
    @pytest.mark.parametrize("px", [32, 97, 128])
    @pytest.mark.parametrize("diagnosis", DIAGNOSES)
    def test_shape_type_and_range(self, px: int, diagnosis: str) -> None:
        image = render(seed=1, number=5, diagnosis=diagnosis, px=px)
        assert image.shape == (px, px, 3)
        assert image.dtype == np.uint8
        assert image.flags.c_contiguous
        assert image.std() > 3

    def test_the_same_call_gives_the_same_bytes(self) -> None:
        first = [render(seed=1, number=n, diagnosis="mel", px=64).tobytes() for n in range(8)]
        again = [render(seed=1, number=n, diagnosis="mel", px=64).tobytes() for n in reversed(range(8))]
        assert first == again[::-1]

    def test_another_process_gives_the_same_bytes(self) -> None:
        code = (
            "from hashlib import sha256; from edgekd.data.lesions import render;"
            "print(sha256(b''.join(render(seed=4, number=n, diagnosis=d, px=48).tobytes()"
            " for n in range(6) for d in ('mel', 'nv', 'bkl'))).hexdigest())"
        )
        env = {**os.environ, "PYTHONHASHSEED": "12345"}
        there = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env
        ).stdout.strip()
        here = b"".join(
            render(seed=4, number=n, diagnosis=d, px=48).tobytes() for n in range(6) for d in DIAGNOSES
        )
        assert there == sha256(here).hexdigest()

    def test_no_global_generator_is_touched(self) -> None:
        before = np.random.get_state()[1].tobytes()  # type: ignore[index,union-attr]
        render(seed=1, number=1, diagnosis="nv", px=48)
        assert np.random.get_state()[1].tobytes() == before  # type: ignore[index,union-attr]

    def test_seed_number_and_diagnosis_all_matter(self) -> None:
        images = {
            render(seed=s, number=n, diagnosis=d, px=32).tobytes()
            for s in range(3)
            for n in range(3)
            for d in DIAGNOSES
        }
        assert len(images) == 27

    @pytest.mark.parametrize("number", range(6))
    def test_one_lesion_at_any_resolution(self, number: int) -> None:
        large = render(seed=2, number=number, diagnosis="mel", px=192)
        small = render(seed=2, number=number, diagnosis="mel", px=96)
        shrunk = cv2.resize(large, (24, 24), interpolation=cv2.INTER_AREA).astype(np.float64)
        other = cv2.resize(small, (24, 24), interpolation=cv2.INTER_AREA).astype(np.float64)
        assert np.corrcoef(shrunk.ravel(), other.ravel())[0, 1] > 0.97

    def test_unknown_diagnosis(self) -> None:
        with pytest.raises(UnknownNameError, match="did you mean mel"):
            render(seed=1, number=1, diagnosis="mell", px=48)

    def test_golden_thumbnails(self, regenerate_golden: bool) -> None:
        means = {
            f"{s}/{d}/{n}": block_means(render(seed=s, number=n, diagnosis=d, px=64)) for s, d, n in CASES
        }
        if regenerate_golden:
            GOLDEN.write_text(json.dumps(means, indent=0) + "\n", encoding="utf-8")
        golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
        assert golden.keys() == means.keys()
        for name, expected in golden.items():
            np.testing.assert_allclose(means[name], expected, rtol=0, atol=SYNTHETIC_BLOCK_MEAN, err_msg=name)

    def test_noise_has_unit_scale(self) -> None:
        rng = np.random.default_rng(1)
        fields = np.stack([noise(rng, 64, 8, 3) for _ in range(40)])
        assert abs(float(fields.mean())) < 0.1
        assert 0.7 < float(fields.std()) < 1.3


class TestSource:
    def test_rows(self) -> None:
        rows = source().rows()
        assert [row.image_id for row in rows] == [f"synthetic_{n:06d}" for n in range(400)]
        assert Counter(row.diagnosis for row in rows) == {"mel": 72, "nv": 232, "bkl": 96}
        assert all(row.malignant == (row.diagnosis == "mel") for row in rows)
        assert {row.source for row in rows} == {"synthetic"}
        assert {row.split for row in rows} == {None}
        assert {row.sex for row in rows} == {"female", "male"}
        assert len({row.site for row in rows}) == 8
        assert all(row.age is None or 15 <= row.age <= 90 for row in rows)

    def test_patients_have_one_to_four_lesions_one_age_and_one_sex(self) -> None:
        rows = source().rows()
        counts = Counter(row.patient for row in rows)
        assert set(counts.values()) == {1, 2, 3, 4}
        assert len({(row.patient, row.age, row.sex) for row in rows}) == len(counts)
        assert len({row.lesion for row in rows}) == len(rows)

    def test_melanoma_patients_are_older_than_nevus_patients(self) -> None:
        rows = [row for row in source(count=2000).rows() if row.age is not None]
        ages = {d: np.mean([row.age for row in rows if row.diagnosis == d]) for d in SHARES}
        assert ages["mel"] > ages["nv"] + 3

    def test_images_belong_to_their_rows(self) -> None:
        reader = source()
        row = reader.rows()[17]
        image = reader.image(row)
        assert image.shape == (48, 48, 3)
        np.testing.assert_array_equal(image, source().image(row))
        np.testing.assert_array_equal(image, pickle.loads(pickle.dumps(reader)).image(row))

    def test_two_sources_of_one_experiment_differ(self) -> None:
        ours, theirs = source(name="a"), source(name="b")
        assert ours.rows()[0].image_id == "a_000000"
        assert not np.array_equal(ours.image(ours.rows()[0]), theirs.image(theirs.rows()[0]))

    def test_malignant_may_be_anything_known(self) -> None:
        rows = source(malignant=("mel", "bkl")).rows()
        assert {row.diagnosis for row in rows if row.malignant} == {"mel", "bkl"}
        with pytest.raises(UnknownNameError):
            source(malignant=("melly",))

    def test_a_foreign_row_is_refused(self) -> None:
        from dataclasses import replace

        reader = source()
        with pytest.raises(ImageError, match="expected <diagnosis>/<number>"):
            reader.image(replace(reader.rows()[0], path="ISIC_0000000.jpg"))

    def test_fingerprint_follows_everything_that_changes_the_bytes(self) -> None:
        prints = {
            source().fingerprint(),
            source(seed=4).fingerprint(),
            source(count=401).fingerprint(),
            source(name="other").fingerprint(),
            source(malignant=("mel", "bkl")).fingerprint(),
        }
        assert len(prints) == 5
        assert source().fingerprint() == source().fingerprint()

    @pytest.mark.parametrize("count", [1, 2, 5])
    def test_small_counts(self, count: int) -> None:
        assert len(source(count=count).rows()) == count


def drawn(count: int, px: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    rng = np.random.default_rng(11)
    kinds = rng.choice(3, count, p=[SHARES[d] for d in DIAGNOSES])
    images = [render(seed=9, number=n, diagnosis=DIAGNOSES[k], px=px) for n, k in enumerate(kinds)]
    return np.stack(images), kinds


def simple_statistics(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean and spread of each channel, quantiles of grey, dark area, and an 8 × 8 thumbnail's corners."""
    pixels = images.reshape(len(images), -1, 3) / 255.0
    grey = pixels.mean(axis=2)
    quantiles = np.quantile(grey, [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99], axis=1).T
    dark = (grey < 0.7 * np.quantile(grey, 0.9, axis=1)[:, None]).mean(axis=1)
    return np.column_stack([pixels.mean(axis=1), pixels.std(axis=1), quantiles, dark])


def test_simple_statistics_do_not_give_the_diagnosis_away() -> None:
    """Brightness, colour, spread and lesion area together stay below an AUC of 0.75."""
    pytest.importorskip("sklearn", reason="scikit-learn is not installed (extra: train)")
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    images, kinds = drawn(900, 48)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    score = cross_val_predict(model, simple_statistics(images), kinds == 0, cv=5, method="decision_function")
    assert 0.5 < roc_auc_score(kinds == 0, score) <= 0.75


@pytest.mark.tf
@pytest.mark.slow
def test_a_small_network_learns_what_simple_statistics_cannot() -> None:
    """A separable network of 25,000 parameters, 1,400 images and a minute: AUC above 0.78 on 600 others."""
    from sklearn.metrics import roc_auc_score

    from edgekd import lazy

    keras, count = lazy.keras(), 1400
    images, kinds = drawn(2000, 64)
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.layers.Rescaling(1 / 127.5, -1, input_shape=images.shape[1:])])
    for width in (24, 48, 96, 128):
        model.add(keras.layers.SeparableConv2D(width, 3, padding="same", use_bias=False))
        model.add(keras.layers.BatchNormalization(momentum=0.9))
        model.add(keras.layers.ReLU())
        model.add(keras.layers.MaxPool2D())
    model.add(keras.layers.GlobalMaxPool2D())
    model.add(keras.layers.Dense(3))
    rate = keras.optimizers.schedules.CosineDecay(3e-3, 10 * 44)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss)
    for epoch in range(10):
        turned = np.rot90(images[:count], epoch % 4, axes=(1, 2)).astype(np.float32)
        model.fit(turned, kinds[:count], batch_size=32, verbose=0)
    logits = model.predict(images[count:].astype(np.float32), verbose=0)
    score = logits[:, 0] - np.logaddexp(logits[:, 1], logits[:, 2])
    assert roc_auc_score(kinds[count:] == 0, score) > 0.78
