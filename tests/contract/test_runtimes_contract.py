"""What every runtime promises, tried on the same small student."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import tiny_students
from edgekd.errors import ModelError
from edgekd.runtimes.base import Runtime
from tolerances import FLOAT_KERNELS_RELATIVE

pytestmark = pytest.mark.tf


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Lesions and plain noise: a network may be right on what it was trained for only."""
    noise = np.random.Generator(np.random.PCG64(5)).integers(0, 256, (9, 32, 32, 3), np.uint8)
    return np.concatenate([tiny_students.lesions(24, 3)[0], noise])


@pytest.fixture(scope="module")
def expected(images) -> np.ndarray:
    """The student's logits from a plain call of the Keras model, no runtime in between."""
    return np.asarray(tiny_students.student()(images.astype(np.float32), training=False))


@pytest.fixture(scope="module")
def tflite(tmp_path_factory) -> Path:
    from edgekd.config import Precision
    from edgekd_converters.tflite import convert

    path = tmp_path_factory.mktemp("runtimes") / "model.tflite"
    path.write_bytes(convert(tiny_students.student(), Precision.FP32))
    return path


class RuntimeContract:
    """The promises; a subclass gives the runtime."""

    @pytest.fixture(scope="class")
    @classmethod
    def runtime(cls) -> Iterator[Runtime]:
        raise NotImplementedError

    def test_it_says_what_it_takes_and_gives(self, runtime):
        assert (runtime.input_px, runtime.n_logits) == (32, 3)

    def test_its_logits_are_the_students(self, runtime, images, expected):
        found = runtime.logits(images)
        assert found.dtype == np.float32 and found.shape == (33, 3)
        assert np.ptp(expected) > 2  # flat outputs would agree whatever is wrong
        np.testing.assert_allclose(found, expected, rtol=0, atol=FLOAT_KERNELS_RELATIVE * np.ptp(expected))

    def test_an_image_is_judged_alike_alone_and_in_company(self, runtime, images, expected):
        alone = np.concatenate([runtime.logits(images[n : n + 1]) for n in range(4)])
        atol = FLOAT_KERNELS_RELATIVE * np.ptp(expected)
        np.testing.assert_allclose(alone, runtime.logits(images)[:4], rtol=0, atol=atol)

    def test_the_same_images_give_the_same_bits(self, runtime, images):
        np.testing.assert_array_equal(runtime.logits(images), runtime.logits(images))

    def test_images_are_left_as_they_were(self, runtime, images):
        before = images.copy()
        runtime.logits(images)
        np.testing.assert_array_equal(images, before)

    def test_no_images_give_no_logits(self, runtime, images):
        assert runtime.logits(images[:0]).shape == (0, 3)

    def test_images_of_another_kind_are_refused(self, runtime, images):
        for wrong in (images.astype(np.float32), images[:, :16], images[..., :1], images[0]):
            with pytest.raises(ModelError, match="takes uint8 images"):
                runtime.logits(wrong)

    def test_the_engine_is_named(self, runtime):
        engine = runtime.engine
        assert all((engine.name, engine.version, engine.kernels, engine.isa, engine.accelerator))
        assert engine.threads >= 1


class TestKeras(RuntimeContract):
    @pytest.fixture(scope="class")
    @classmethod
    def runtime(cls):
        from edgekd.runtimes.keras import KerasRuntime

        return KerasRuntime(tiny_students.student())


class TestKerasFile(RuntimeContract):
    @pytest.fixture(scope="class")
    @classmethod
    def runtime(cls):
        from edgekd.runtimes.keras import KerasRuntime

        tiny_students.student()
        return KerasRuntime(tiny_students.folder() / "model.keras")


class TestLitertXnnpack(RuntimeContract):
    kernels = "xnnpack"

    @pytest.fixture(scope="class")
    @classmethod
    def runtime(cls, tflite):
        from edgekd.runtimes.litert import LitertRuntime

        runtime = LitertRuntime(tflite, kernels=cls.kernels)
        yield runtime
        runtime.close()

    def test_its_kernels_are_those_asked_for(self, runtime):
        assert runtime.engine.kernels == self.kernels
        assert (runtime.partitions() > 0) is (self.kernels == "xnnpack")


class TestLitertBuiltin(TestLitertXnnpack):
    kernels = "builtin"


class TestLitertReference(TestLitertXnnpack):
    kernels = "reference"


class TestCoreml(RuntimeContract):
    @pytest.fixture(scope="class")
    @classmethod
    def runtime(cls, tmp_path_factory):
        from edgekd.config import Precision
        from edgekd.runtimes.coreml import CoremlRuntime
        from edgekd_converters.coreml import convert_coreml

        path = tmp_path_factory.mktemp("coreml") / "model.mlpackage"
        convert_coreml(tiny_students.student(), Precision.COREML_FP32, path)
        return CoremlRuntime(path)


def test_files_that_are_no_keras_classifier_are_refused(tmp_path):
    from edgekd import lazy
    from edgekd.runtimes.keras import KerasRuntime

    keras = lazy.keras()
    with pytest.raises(ModelError, match="no such model file"):
        KerasRuntime(tmp_path / "absent.keras")
    (tmp_path / "garbage.keras").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="not a Keras model"):
        KerasRuntime(tmp_path / "garbage.keras")
    table = keras.Sequential([keras.layers.Dense(2, input_shape=(5,))])
    with pytest.raises(ModelError, match="expected one square RGB input"):
        KerasRuntime(table)
