from __future__ import annotations

import platform
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgekd.errors import ModelError, UnknownNameError
from edgekd.runtimes import probe as probe_module
from edgekd.runtimes.base import isa
from edgekd.runtimes.litert import KERNELS, LitertRuntime
from edgekd.runtimes.predict import predict
from edgekd.runtimes.probe import probe
from tiny_tflite import average_pool

PX = 8


@pytest.fixture
def images() -> np.ndarray:
    """Five images of one colour each, so that a mean is that colour and no rounding is in play."""
    colours = np.array([[0, 1, 255], [128, 127, 129], [255, 255, 0], [10, 20, 30], [77, 0, 200]], np.uint8)
    return np.broadcast_to(colours[:, None, None, :], (5, PX, PX, 3)).copy()


def _written(folder: Path, **options: object) -> Path:
    path = folder / "model.tflite"
    path.write_bytes(average_pool(**{"px": PX, **options}))
    return path


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize(("dtype", "zero_point"), [("uint8", 128), ("int8", 0)])
def test_raw_bytes_go_in_and_real_values_come_out(tmp_path, images, kernels, dtype, zero_point):
    path = _written(tmp_path, dtype=dtype, zero_point=zero_point)
    found = LitertRuntime(path, kernels=kernels).logits(images)
    expected = (images[:, 0, 0].astype(np.float64) - 128) / 127.5
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_a_float_input_takes_the_stated_range(tmp_path, images):
    path = _written(tmp_path, dtype="float32")
    found = LitertRuntime(path, input_range=(-1.0, 1.0)).logits(images)
    np.testing.assert_allclose(found, images[:, 0, 0] / 127.5 - 1, rtol=0, atol=1e-6)


def test_a_float_input_without_a_range_is_refused(tmp_path):
    with pytest.raises(ModelError, match="does not say what 0 and 255 become"):
        LitertRuntime(_written(tmp_path, dtype="float32"))


def test_the_step_of_an_8_bit_output_is_its_scale(tmp_path):
    assert LitertRuntime(_written(tmp_path, scale=0.25)).output_step == 0.25
    assert LitertRuntime(_written(tmp_path, dtype="float32"), input_range=(0, 1)).output_step == 0


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"channels": 1}, r"the input is \[1, 8, 8, 1\], expected \[1, px, px, 3\]"),
        ({"height": 6}, r"the input is \[1, 6, 8, 3\]"),
        ({"outputs": 2}, "1 inputs and 2 outputs"),
        ({"custom": "edgetpu-custom-op"}, "LiteRT cannot load it .*edgetpu-custom-op"),
    ],
)
def test_a_file_that_is_no_image_classifier_is_refused(tmp_path, options, complaint):
    with pytest.raises(ModelError, match=complaint):
        LitertRuntime(_written(tmp_path, **options))


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((1, 9, 9, 3), np.uint8), np.zeros((1, PX, PX, 3), np.float32), np.zeros((PX, PX, 3), np.uint8)],
)
def test_images_that_do_not_fit_are_refused(tmp_path, wrong):
    with pytest.raises(ModelError, match=r"takes uint8 images \[n, 8, 8, 3\]"):
        LitertRuntime(_written(tmp_path)).logits(wrong)


def test_unreadable_files_and_unknown_kernels(tmp_path):
    garbage = tmp_path / "garbage.tflite"
    garbage.write_bytes(b"\x1c\0\0\0TFL3" + bytes(range(200)))
    with pytest.raises(ModelError, match="cannot load"):
        LitertRuntime(garbage)
    with pytest.raises(ModelError, match="no such model file"):
        LitertRuntime(tmp_path / "absent.tflite")
    with pytest.raises(UnknownNameError, match="did you mean xnnpack"):
        LitertRuntime(_written(tmp_path), kernels="xnpack")


def test_loading_says_nothing(tmp_path, capfd):
    LitertRuntime(_written(tmp_path, dtype="float32"), input_range=(0, 1))
    assert capfd.readouterr() == ("", "")


def test_the_engine_names_its_circumstances(tmp_path):
    engine = LitertRuntime(_written(tmp_path), threads=2, kernels="builtin").engine
    assert (engine.name, engine.kernels, engine.threads, engine.accelerator) == (
        "ai-edge-litert",
        "builtin",
        2,
        "cpu",
    )
    assert engine.isa.split()[0] == platform.machine() == isa().split()[0]
    assert engine.version[0].isdigit()
    assert "builtin" in engine.describe()


class _Stored:
    """Images as a store gives them, and a record of what was asked for."""

    def __init__(self, images: np.ndarray) -> None:
        self._images = images
        self.asked: list[int] = []

    def __len__(self) -> int:
        return len(self._images)

    def read(self, indices: np.ndarray) -> np.ndarray:
        self.asked += list(indices)
        return self._images[indices]


@pytest.mark.parametrize("limit", [None, 3, 99])
def test_predict_reads_every_image_once_in_order(tmp_path, images, limit):
    runtime, stored = LitertRuntime(_written(tmp_path)), _Stored(images)
    found = predict(runtime, stored, batch=2, limit=limit)
    count = min(limit or 5, 5)
    assert stored.asked == list(range(count))
    np.testing.assert_array_equal(found, runtime.logits(images[:count]))


def test_probe_runs_a_good_file_and_names_what_is_wrong_with_others(tmp_path):
    assert probe(_written(tmp_path)) >= 0
    with pytest.raises(ModelError, match="edgetpu-custom-op"):
        probe(_written(tmp_path, custom="edgetpu-custom-op"))
    with pytest.raises(ModelError, match="no such model file"):
        probe(tmp_path / "absent.tflite")


@pytest.fixture
def interpreter(tmp_path, monkeypatch) -> Iterator[Path]:
    """A stand-in for the Python of the probe's process: a shell script the test writes."""
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(probe_module.sys, "executable", str(script))
    return script


def test_probe_survives_a_crash_and_a_hang(tmp_path, interpreter):
    interpreter.write_text("#!/bin/sh\nkill -SEGV $$\n")
    with pytest.raises(ModelError, match=r"crashed on this file \(SIGSEGV\)"):
        probe(tmp_path / "model.tflite")
    interpreter.write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(ModelError, match="did not finish"):
        probe(tmp_path / "model.tflite", timeout_s=0.2)
    interpreter.write_text("#!/bin/sh\necho broken >&2; exit 1\n")
    with pytest.raises(ModelError, match="broken"):
        probe(tmp_path / "model.tflite")
