from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest

import tiny_mlpackage as tiny
from edgekd import lazy
from edgekd.errors import DeviceError, MissingExtraError, ModelError, UnknownNameError
from edgekd.runtimes import coreml
from edgekd.runtimes.coreml import CoremlRuntime
from edgekd.runtimes.mil.wire import encode


@pytest.fixture
def images():
    return np.random.Generator(np.random.PCG64(1)).integers(0, 256, (5, 4, 4, 3), np.uint8)


@pytest.fixture(autouse=True)
def not_macos(monkeypatch):
    monkeypatch.setattr(coreml.platform, "system", lambda: "Linux")


def test_a_package_answers_what_it_computes(tmp_path, images):
    runtime = CoremlRuntime(tiny.scaled(tmp_path / "a.mlpackage"))
    expected = images.astype(float).mean((1, 2)) * [1, 2, 3]
    np.testing.assert_allclose(runtime.logits(images), expected, rtol=1e-6)
    assert (runtime.input_px, runtime.n_logits) == (4, 3)
    assert runtime.logits(images[:0]).shape == (0, 3)
    # Colours in the wrong order, or another factor, would be noticed.
    assert np.abs(runtime.logits(images[..., ::-1]) - expected).max() > 10
    other = CoremlRuntime(tiny.scaled(tmp_path / "b.mlpackage", (1.0, 2.0, 3.1)))
    assert np.abs(other.logits(images) - expected).max() > 10


def test_a_blue_first_image_input_gets_its_colours_in_that_order(tmp_path, images):
    runtime = CoremlRuntime(tiny.average(tmp_path / "a.mlpackage", colour=30))
    np.testing.assert_allclose(runtime.logits(images), images.astype(float).mean((1, 2))[:, ::-1], rtol=1e-6)


@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (1, 4, 4, 3)])
def test_an_array_input_wants_its_range_stated(tmp_path, images, shape):
    axes = [2, 3] if shape[1] == 3 else [1, 2]
    mean = tiny.operation(
        "reduce_mean",
        {"x": "image", "axes": tiny.value(axes), "keep_dims": tiny.value(False)},
        [tiny.named("logits", "float32", (1, 3))],
    )
    path = tiny.write(tmp_path / "a.mlpackage", tiny.model([mean], image=tiny.array_type(), shape=shape))
    with pytest.raises(ModelError, match="state the input range"):
        CoremlRuntime(path)
    found = CoremlRuntime(path, input_range=(-1.0, 1.0)).logits(images)
    np.testing.assert_allclose(found, images.astype(float).mean((1, 2)) / 127.5 - 1, atol=1e-6)


def test_half_precision_rounds_what_the_program_declares_so(tmp_path, images):
    def package(dtype: str) -> Path:
        operations = [
            tiny.operation(
                "reduce_mean",
                {"x": "image", "axes": tiny.value([2, 3]), "keep_dims": tiny.value(False)},
                [tiny.named("mean", dtype, (1, 3))],
            ),
            tiny.operation(
                "mul", {"x": "mean", "y": tiny.value(1.0)}, [tiny.named("logits", "float32", (1, 3))]
            ),
        ]
        return tiny.write(tmp_path / f"{dtype}.mlpackage", tiny.model(operations))

    exact = images.astype(np.float32).mean((1, 2))
    for dtype, kernels in (("float16", "float32"), ("float32", "float16")):
        found = CoremlRuntime(package(dtype), kernels).logits(images)
        np.testing.assert_allclose(found, exact, rtol=1e-6)
    found = CoremlRuntime(package("float16"), "float16").logits(images)
    np.testing.assert_array_equal(found, found.astype(np.float16))
    assert 0 < np.abs(found - exact).max() <= 2**-4  # half a step of float16 between 128 and 256


def test_the_engine_says_that_these_are_not_apples_kernels(tmp_path):
    path = tiny.average(tmp_path / "a.mlpackage")
    assert CoremlRuntime(path).engine.name == "edgekd-mil"
    assert "not Apple's" in CoremlRuntime(path).engine.kernels
    assert "rounded" in CoremlRuntime(path, "float16").engine.kernels
    with pytest.raises(UnknownNameError, match="float32"):
        CoremlRuntime(path, "float23")
    with pytest.raises(DeviceError, match="macOS only"):
        CoremlRuntime(path, "coreml")


def test_a_closed_runtime_says_so(tmp_path, images):
    runtime = CoremlRuntime(tiny.average(tmp_path / "a.mlpackage"))
    runtime.close()
    with pytest.raises(ModelError, match="closed"):
        runtime.logits(images)


def test_neither_coremltools_nor_tensorflow_is_imported():
    import subprocess

    heavy = "{'coremltools', 'tensorflow', 'google'}"
    code = f"import sys, edgekd.runtimes.coreml; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


class _FakeModel:
    """What `coremltools.models.MLModel` does with the package of `tiny_mlpackage.average`."""

    def __init__(self, path: str) -> None:
        self.fails = False

    def predict(self, inputs):
        if self.fails:
            raise RuntimeError("Unable to compute the prediction.")
        return {"logits": np.asarray(inputs["image"], np.float64).mean((0, 1))[np.newaxis]}


def test_on_macos_core_ml_gets_one_picture_at_a_time(tmp_path, images, monkeypatch):
    models: list[_FakeModel] = []

    def load(path: str) -> _FakeModel:
        models.append(_FakeModel(path))
        return models[-1]

    fakes = {
        "coremltools": types.SimpleNamespace(models=types.SimpleNamespace(MLModel=load), __version__="9.0"),
        "PIL.Image": types.SimpleNamespace(fromarray=lambda image: image),
    }
    monkeypatch.setattr(coreml.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(coreml.lazy, "optional", lambda module, **_: fakes[module])
    path = tiny.average(tmp_path / "a.mlpackage")
    runtime = CoremlRuntime(path)
    np.testing.assert_allclose(runtime.logits(images), images.astype(float).mean((1, 2)), rtol=1e-6)
    assert runtime.engine.name == "coreml" and "Core ML" in runtime.engine.kernels
    models[-1].fails = True
    with pytest.raises(ModelError, match="Core ML failed on an image"):
        runtime.logits(images)
    assert CoremlRuntime(path, "float32").engine.name == "edgekd-mil"


def test_without_coremltools_macos_answers_with_the_pip_line(tmp_path, monkeypatch):
    monkeypatch.setattr(coreml.platform, "system", lambda: "Darwin")
    monkeypatch.setitem(sys.modules, "coremltools", None)
    monkeypatch.setattr(
        lazy.importlib, "import_module", lambda name: (_ for _ in ()).throw(ModuleNotFoundError(name=name))
    )
    with pytest.raises(MissingExtraError, match=r"pip install 'edgekd\[coreml\]'"):
        CoremlRuntime(tiny.average(tmp_path / "a.mlpackage"))


@pytest.mark.macos
@pytest.mark.skipif(sys.platform != "darwin", reason="Core ML runs on macOS only")
def test_core_ml_itself_agrees_with_the_evaluation(tmp_path, images, monkeypatch):
    monkeypatch.undo()
    path = tiny.scaled(tmp_path / "a.mlpackage")
    expected = CoremlRuntime(path, "float32").logits(images)
    np.testing.assert_allclose(CoremlRuntime(path, "coreml").logits(images), expected, rtol=2**-9)


def _mean(name: str = "logits", shape: tuple[int, ...] = (1, 3)) -> bytes:
    inputs = {"x": "image", "axes": tiny.value([2, 3]), "keep_dims": tiny.value(False)}
    return tiny.operation("reduce_mean", inputs, [tiny.named(name, "float32", shape)])


WRONG_MODELS = {
    "an unknown operation": (
        tiny.model([tiny.operation("warp", {"x": "image"}, [tiny.named("logits", "float32", (1, 3))])]),
        "cannot evaluate the operation warp",
    ),
    "no program": (
        tiny.varint(1, 4) + encode(2, encode(1, b"")) + encode(500, b""),
        "kind neuralNetwork, expected an ML Program",
    ),
    "no description": (tiny.varint(1, 7), "not a Core ML model"),
    "an output nobody computes": (tiny.model([_mean("other")]), "nothing computes the output 'logits'"),
    "a value before its time": (
        tiny.model([tiny.operation("relu", {"x": "later"}, [tiny.named("logits", "float32", (1, 3))])]),
        "nothing computes 'later' before it is used",
    ),
    "a grey image": (tiny.model([_mean()], image=tiny.image_type(4, 10)), "GRAYSCALE, expected RGB"),
    "an oblong image": (tiny.model([_mean()], shape=(1, 3, 4, 5)), r"expected \[1, 3, px, px\]"),
    "an open shape": (tiny.model([_mean()], shape=(1, 3, -1, -1)), r"expected \[1, 3, px, px\]"),
    "two rows of outputs": (tiny.model([_mean(shape=(2, 3))]), r"the output is \[2, 3\]"),
}


@pytest.mark.parametrize("case", WRONG_MODELS)
def test_a_model_that_is_no_classifier_is_refused(tmp_path, case):
    data, message = WRONG_MODELS[case]
    path = tiny.write(tmp_path / "a.mlpackage", data)
    with pytest.raises(ModelError, match=message) as caught:
        CoremlRuntime(path)
    assert str(caught.value).count(str(path)) == 1 and "\n" not in str(caught.value)


def test_a_shape_other_than_declared_is_noticed(tmp_path, images):
    path = tiny.write(tmp_path / "a.mlpackage", tiny.model([_mean(shape=(1, 4))]))
    with pytest.raises(ModelError, match=r"reduce_mean 'logits': .* \[1, 3\], the program declares \[1, 4\]"):
        CoremlRuntime(path).logits(images)
