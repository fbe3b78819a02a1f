"""The training loop on a network of three layers: resumption, averages, choice, refusals."""

from __future__ import annotations

import dataclasses
import json
import zipfile

import numpy as np
import pytest

import tolerances
from edgekd.config import FitConfig
from edgekd.errors import ContractError
from edgekd.metrics.predictions import malignancy_score
from edgekd.metrics.ranking import roc_auc_score
from training_data import PX, write_dataset

pytestmark = pytest.mark.tf

CONFIG = FitConfig(epochs=3, batch_size=8, learning_rate=1e-2, average_decay=0.8, batch_norm_momentum=0.7)
STEPS = 6
SEED = 11


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"))


def tiny():
    """A convolution with batch normalization, dropout and a dense layer; the same weights every time."""
    from edgekd import lazy
    from edgekd.training.determinism import begin

    keras = lazy.keras()
    begin(SEED)
    first, last = (keras.initializers.GlorotUniform(seed=seed) for seed in (1, 2))
    image = keras.Input((PX, PX, 3), name="image")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    x = keras.layers.Conv2D(8, 5, strides=4, kernel_initializer=first, name="conv")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x))
    x = keras.layers.Dropout(0.3)(x)
    return keras.Model(image, keras.layers.Dense(3, kernel_initializer=last, name="logits")(x))


def objective(logits, labels, teacher):
    import tensorflow as tf

    from edgekd.training.losses import cross_entropy

    return {"loss": tf.reduce_mean(cross_entropy(logits, labels)) + 0.1 * tf.reduce_mean(teacher)}


class Killer:
    """A teacher without opinions that ends the process's work at batch number `at`."""

    identity = "killer"

    def __init__(self, at=None):
        self.at, self.asked = at, 0

    def logits(self, batch):
        if self.asked == self.at:
            raise KeyboardInterrupt
        self.asked += 1
        return np.zeros((len(batch.labels), 3), np.float32)


def train(dataset, out, *, config=CONFIG, teacher=None, objective=objective, settings="test", model=None):
    from edgekd.training.determinism import save_model
    from edgekd.training.fit import fit

    out.mkdir(exist_ok=True)
    model = model or tiny()
    epoch = fit(
        model,
        dataset=dataset,
        config=config,
        objective=objective,
        seed=SEED,
        out=out,
        station="test",
        settings=settings,
        teacher=teacher or Killer(),
    )
    save_model(model, out / "model.keras")
    return model, epoch


def records(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def undisturbed(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    return *train(dataset, out), out


@pytest.mark.parametrize("killed_at", [STEPS + 3, 2 * STEPS])
def test_a_killed_training_ends_with_the_bytes_of_an_undisturbed_one(
    dataset, tmp_path, undisturbed, killed_at
):
    model, epoch, whole = undisturbed
    with pytest.raises(KeyboardInterrupt):
        train(dataset, tmp_path, teacher=Killer(at=killed_at))
    rest = Killer()
    resumed, again = train(dataset, tmp_path, teacher=rest)
    assert rest.asked == 3 * STEPS - killed_at // STEPS * STEPS
    assert again == epoch
    for expected, found in zip(model.get_weights(), resumed.get_weights(), strict=True):
        assert expected.tobytes() == found.tobytes()
    for name in ("metrics.jsonl", "model.keras"):
        assert (whole / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_a_training_that_was_whole_is_not_repeated(dataset, tmp_path, undisturbed):
    _, epoch, _ = undisturbed
    train(dataset, tmp_path)
    idle = Killer(at=0)
    _, again = train(dataset, tmp_path, teacher=idle)
    assert again == epoch


def test_other_settings_do_not_resume(dataset, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(dataset, tmp_path, teacher=Killer(at=STEPS))
    anew = Killer()
    train(dataset, tmp_path, teacher=anew, settings="other")
    assert anew.asked == 3 * STEPS


def test_the_record_tells_what_happened(dataset, undisturbed):
    from edgekd.training.fit import _logits

    model, epoch, out = undisturbed
    found = records(out)
    assert [record["step"] for record in found] == [STEPS, 2 * STEPS, 3 * STEPS]
    assert found[epoch.epoch - 1] == dataclasses.asdict(epoch)
    timing = [json.loads(line) for line in (out / "timing.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in timing] == [1, 2, 3]
    assert not any("second" in name for name in found[0])
    logits = _logits(model, dataset.validation)
    score = malignancy_score(logits, dataset.classes, dataset.malignant)
    assert roc_auc_score(dataset.validation.malignant, score) == epoch.validation_auc


def test_the_kept_weights_are_those_of_the_best_epoch(dataset, tmp_path):
    """A network that unlearns gets worse from epoch to epoch; it must end with the first one's weights."""
    from edgekd.training.fit import _logits

    def worse(logits, labels, teacher):
        return {"loss": -objective(logits, labels, teacher)["loss"]}

    fast = dataclasses.replace(CONFIG, learning_rate=5e-2, average_decay=0.0)
    good, _ = train(dataset, tmp_path / "good", config=dataclasses.replace(CONFIG, epochs=6))
    model, epoch = train(dataset, tmp_path / "bad", config=fast, objective=worse, model=good)
    areas = [record["validation_auc"] for record in records(tmp_path / "bad")]
    assert areas[0] > max(areas[1:])
    assert epoch.epoch == 1
    score = malignancy_score(_logits(model, dataset.validation), dataset.classes, dataset.malignant)
    assert roc_auc_score(dataset.validation.malignant, score) == areas[0]


def test_it_learns(dataset, tmp_path):
    config = dataclasses.replace(CONFIG, epochs=12, learning_rate=3e-2)
    _, epoch = train(dataset, tmp_path, config=config)
    chance = np.log(3)
    assert records(tmp_path)[-1]["losses"]["loss"] < 0.75 * chance
    assert epoch.validation_auc > 0.9


def test_patience_stops(dataset, tmp_path):
    config = dataclasses.replace(CONFIG, epochs=9, patience_epochs=2, learning_rate=1e-12, weight_decay=0.0)
    train(dataset, tmp_path, config=dataclasses.replace(config, average_decay=0.0), model=frozen())
    assert len(records(tmp_path)) == 3


def frozen():
    """The tiny network with batch normalization off, so that nothing moves at a rate of nearly 0."""
    model = tiny()
    model.get_layer("norm").trainable = False
    return model


def test_a_loss_that_is_not_finite_names_the_step_and_the_remedy(dataset, tmp_path):
    def broken(logits, labels, teacher):
        import tensorflow as tf

        return {"loss": tf.reduce_mean(logits) / 0.0}

    with pytest.raises(ContractError, match=r"loss of step 1 is -?(nan|inf).*lower fit\.learning_rate"):
        train(dataset, tmp_path, objective=broken)


def test_weights_that_are_not_finite_are_noticed(dataset, tmp_path):
    """An infinite gradient in the last step of an epoch leaves a finite loss behind."""
    config = dataclasses.replace(CONFIG, epochs=1, average_decay=0.0, weight_decay=1e38, warmup_epochs=0.0)
    one_step = dataclasses.replace(config, images_per_epoch=8, learning_rate=10.0)
    with pytest.raises(ContractError, match="validation logit after step 1 is not finite"):
        train(dataset, tmp_path, config=one_step)


def nothing(logits, labels, teacher):
    import tensorflow as tf

    return {"loss": 0.0 * tf.reduce_sum(logits)}


def test_only_kernels_decay_and_the_momentum_is_the_configured_one(dataset, tmp_path):
    before = {weight.name: weight.numpy() for weight in tiny().weights}
    config = dataclasses.replace(
        CONFIG, epochs=1, average_decay=0.0, weight_decay=0.5, learning_rate=0.1, warmup_epochs=0.0
    )
    single = dataclasses.replace(config, images_per_epoch=8)
    model, _ = train(dataset, tmp_path, config=single, objective=nothing)
    assert model.get_layer("norm").momentum == CONFIG.batch_norm_momentum
    for weight in model.trainable_weights:
        factor = 0.95 if "kernel" in weight.name else 1.0
        np.testing.assert_allclose(weight.numpy(), factor * before[weight.name], rtol=1e-6)


def test_drawn_counts_are_the_classes_of_the_batches(dataset):
    from edgekd.training.fit import drawn_counts, epoch_batches

    counts = np.zeros(3, np.int64)
    for epoch in range(CONFIG.epochs):
        for batch in epoch_batches(dataset, CONFIG, seed=SEED, epoch=epoch):
            counts += np.bincount(batch.labels, minlength=3)
    np.testing.assert_array_equal(drawn_counts(dataset, CONFIG, seed=SEED), counts)


def test_dropout_is_a_function_of_seed_and_epoch():
    from edgekd.training.determinism import reseed_dropout

    model, image = tiny(), np.full((4, PX, PX, 3), 90.0, np.float32)

    def masks(epoch, seed=SEED):
        reseed_dropout(model, seed=seed, epoch=epoch)
        return [model(image, training=True).numpy() for _ in range(2)]

    first = masks(0)
    for _ in range(3):
        model(image, training=True)
    again = masks(0)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(masks(1), first)
    assert not np.array_equal(masks(0, seed=SEED + 1), first)


def test_a_saved_model_holds_no_date_and_comes_back_exactly(tmp_path):
    from edgekd.runtimes.keras import load_keras
    from edgekd.training.determinism import save_model

    model = tiny()
    save_model(model, tmp_path / "model.keras")
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert {item.date_time for item in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.read("metadata.json") == b"{}"
    loaded = load_keras(tmp_path / "model.keras")
    for expected, found in zip(model.get_weights(), loaded.get_weights(), strict=True):
        assert expected.tobytes() == found.tobytes()


@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_the_average_is_adams_bias_corrected_one(decay):
    import tensorflow as tf

    from edgekd.training.averaging import WeightAverage, corrected_decay

    values = np.random.default_rng(3).normal(size=(20, 4)).astype(np.float32)
    weight, counter = tf.Variable(tf.zeros(4)), tf.Variable(0)
    average = WeightAverage([weight, counter])
    biased = np.zeros(4)
    for step, value in enumerate(values, start=1):
        weight.assign(value)
        counter.assign(step)
        average.update(tf.constant(corrected_decay(decay, step), tf.float32))
        biased = decay * biased + (1 - decay) * value.astype(np.float64)
        np.testing.assert_allclose(
            average.values[0], biased / (1 - decay**step), rtol=0, atol=tolerances.AVERAGE_FLOAT32
        )
    assert int(average.values[1]) == 20
    assert corrected_decay(decay, 10_000) == pytest.approx(decay)
    with average.applied():
        np.testing.assert_array_equal(weight, average.values[0])
    np.testing.assert_array_equal(weight, values[-1])
