"""What a map shows: the place the network looks at, and nothing once it knows nothing."""

from __future__ import annotations

import json

import cv2
import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from scipy.stats import spearmanr

import tiny_students
from command import edgekd
from edgekd import explain
from edgekd.card import ModelCard
from edgekd.errors import UsageError
from edgekd.photo_quality import COLOURS, PhotoLimit, PhotoQuality
from edgekd.runtimes.litert import LitertRuntime
from tiny_tflite import average_pool

PX, CORNER = 48, 12
CARD = ModelCard(
    name="corner", precision="int8", input_px=PX, labels=("mel", "nv", "bkl"), malignant=("mel",)
)


@pytest.fixture
def model(tmp_path):
    """A file that answers the mean colour of the upper left corner and looks at nothing else."""
    whole = schema.ModelT.InitFromObj(schema.Model.GetRootAs(average_pool(px=PX), 0))
    pool = whole.subgraphs[0].operators[0].builtinOptions
    pool.filterWidth = pool.filterHeight = CORNER
    pool.strideW = pool.strideH = PX
    builder = flatbuffers.Builder(1024)
    builder.Finish(whole.Pack(builder), b"TFL3")
    path = tmp_path / "corner" / "model.tflite"
    path.parent.mkdir()
    path.write_bytes(bytes(builder.Output()))
    (path.parent / "card.json").write_text(CARD.to_json(), encoding="utf-8")
    return path


def picture():
    rng = np.random.default_rng(5)
    image = rng.integers(60, 140, (PX, PX, 3), np.uint8)
    image[:CORNER, :CORNER] = (250, 10, 10)  # red speaks for the first output
    return image


def test_a_network_that_looks_at_one_corner_lights_up_exactly_there(model):
    found = explain.occlusion(LitertRuntime(model), CARD, picture(), patch=CORNER, stride=CORNER)
    lit = np.zeros((PX, PX), bool)
    lit[:CORNER, :CORNER] = True
    assert np.array_equal(found.values != 0, lit)
    assert (found.values[lit] > 0.5).all()  # red hidden: the score falls


@pytest.mark.parametrize("fill", list(explain.Fill))
def test_by_default_the_corner_is_the_peak_and_what_no_patch_joins_to_it_is_dark(model, fill):
    found = explain.occlusion(LitertRuntime(model), CARD, picture(), fill=fill)
    assert (found.patch_px, found.stride_px) == (7, 3)
    beyond = found.values.copy()
    beyond[: CORNER + 6, : CORNER + 6] = 0
    assert not beyond.any()
    assert found.values[:CORNER, :CORNER].min() > 0
    peak = np.unravel_index(found.values.argmax(), found.values.shape)
    assert max(peak) < CORNER


def test_what_speaks_against_is_below_zero(model):
    image = picture()
    image[:CORNER, :CORNER] = (10, 250, 10)
    found = explain.occlusion(LitertRuntime(model), CARD, image, patch=CORNER, stride=CORNER)
    assert (found.values[:CORNER, :CORNER] < 0).all()


def test_every_pixel_is_hidden_as_often():
    for side, patch, stride in ((48, 7, 3), (224, 32, 16), (33, 10, 4), (20, 20, 20), (5, 1, 1)):
        counts = np.zeros((side, side))
        for corner in explain._corners(side, patch, stride):
            counts[explain._window(corner, patch)] += 1
        assert counts.min() >= (patch // stride) ** 2
        if patch % stride == 0:
            assert counts.max() == counts.min()


@pytest.mark.parametrize("sides", [(49, 1), (4, 5)])
def test_patches_that_cannot_be_are_refused(model, sides):
    with pytest.raises(UsageError, match="stride ≤ patch ≤ 48"):
        explain.occlusion(LitertRuntime(model), CARD, picture(), patch=sides[0], stride=sides[1])


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "lesion.png"
    cv2.imwrite(str(path), picture()[..., ::-1])
    return path


def test_the_command_writes_a_picture_and_says_what_it_is(model, image, tmp_path):
    out = tmp_path / "map.png"
    done = edgekd("explain", model, image, "--out", out)
    assert done.exit_code == 0, done.stderr
    assert "not where the disease is" in done.stdout
    drawn = cv2.imread(str(out))
    assert drawn.shape[1] == 800 and drawn.std() > 10
    again = edgekd("explain", model, image, "--out", out)
    assert again.exit_code == 2 and "--force" in again.stderr
    found = json.loads(edgekd("explain", model, image, "--out", out, "--force", "--json").stdout)
    assert (found["schema"], found["method"], found["fill"]) == ("edgekd.explanation/1", "occlusion", "mean")
    assert np.argmax(np.array(found["values"]).max(axis=0)) < CORNER


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--method", "gradient"), "needs a Keras model"),
        (("--method", "lime"), "unknown method"),
        (("--fill", "black"), "unknown fill"),
        (("--method", "gradient", "--patch", "3"), "those of --method occlusion"),
    ],
)
def test_what_cannot_be_meant_is_one_line(model, image, tmp_path, more, told):
    done = edgekd("explain", model, image, "--out", tmp_path / "map.png", *more)
    assert done.exit_code == 2 and told in done.stderr
    assert not (tmp_path / "map.png").exists()


def test_a_photo_that_cannot_be_judged_is_not_explained_unless_asked(model, image, tmp_path):
    limits = PhotoQuality(
        limits=(PhotoLimit(measure="brightness", low=200.0, rule="given"),),
        colours="0" * (COLOURS // 4),
        fitted_on="validation",
        images=60,
        refused=0,
    )
    card = ModelCard(**{**vars(CARD), "quality": limits})
    (model.parent / "card.json").write_text(card.to_json(), encoding="utf-8")
    done = edgekd("explain", model, image, "--out", tmp_path / "map.png")
    assert done.exit_code == 4 and "cannot judge this photo: too dark" in done.stderr
    done = edgekd("explain", model, image, "--out", tmp_path / "map.png", "--judge-anyway")
    assert done.exit_code == 0


LESION_CARD = ModelCard(
    name="tiny", precision="fp32", input_px=tiny_students.PX, labels=tiny_students.CLASSES, malignant=("mel",)
)


def _maps(model, images):
    from edgekd.runtimes.keras import KerasRuntime

    runtime = KerasRuntime(model)
    return {
        "occlusion": [
            explain.occlusion(runtime, LESION_CARD, one, patch=8, stride=4).values for one in images
        ],
        "gradient": [explain.gradient(model, LESION_CARD, one).values for one in images],
    }


def _inner(values):
    return values[8:-8, 8:-8].ravel()


@pytest.mark.tf
def test_the_map_changes_when_the_weights_are_randomised():
    """The sanity check of Adebayo et al. 2018: each layer's weights in random order, its statistics kept.

    Away from the rim, where fewer paths lead to the output whatever the weights are.
    """
    from edgekd import lazy

    student = tiny_students.student()
    images = tiny_students.lesions(6, 9)[0]
    shuffled, same = (lazy.keras().models.clone_model(student) for _ in range(2))
    rng = np.random.default_rng(2)
    same.set_weights(student.get_weights())
    shuffled.set_weights([rng.permutation(w.ravel()).reshape(w.shape) for w in student.get_weights()])
    trained, random, copy = (_maps(model, images) for model in (student, shuffled, same))
    for method, maps in trained.items():
        alike = [
            [spearmanr(_inner(a), _inner(b)).statistic for a, b in zip(maps, other[method], strict=True)]
            for other in (random, copy)
        ]
        assert np.mean(alike[0]) < 0.5, method
        assert np.min(alike[1]) > 0.999, method


@pytest.mark.tf
def test_the_gradient_of_a_network_that_looks_at_one_corner_is_there_alone(tmp_path, image):
    from edgekd import lazy

    keras = lazy.keras()
    pixels = keras.Input((PX, PX, 3))
    corner = keras.layers.Cropping2D(((0, PX - CORNER), (0, PX - CORNER)))(pixels)
    network = keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(corner))
    found = explain.gradient(network, CARD, picture())
    lit = np.zeros((PX, PX), bool)
    lit[:CORNER, :CORNER] = True
    assert np.array_equal(found.values > 0, lit)
    network.save(tmp_path / "model.keras")
    (tmp_path / "card.json").write_text(CARD.to_json(), encoding="utf-8")
    done = edgekd(
        "explain", tmp_path / "model.keras", image, "--method", "gradient", "--out", tmp_path / "map.png"
    )
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "map.png").stat().st_size > 10_000
