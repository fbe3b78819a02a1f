"""Other people's clients on our exported files: they find the names and give the values LiteRT gives here.

MediaPipe Tasks reads the standard metadata; tflite-runtime 2.14 and LiteRT.js in a browser must not mind it,
nor the card beside it. What surrounds the clients is proved without them in clients/test_clients_harness.py.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_line
import tiny_students
from edgekd.config import Precision
from edgekd.runtimes.litert import LitertRuntime, open_interpreter, ports
from edgekd_converters.metadata import find_card, strip_card
from edgekd_converters.standard_metadata import find_standard_metadata, strip_standard_metadata
from line.clients.browser import outputs_in_browser
from line.clients.environments import MEDIAPIPE, TFLITE_RUNTIME, browser, client_python, litert_js, offline
from tiny_tflite import average_pool
from tolerances import DYNAMIC_KERNELS_MEAN_STEPS, FLOAT_KERNELS_RELATIVE, INT8_KERNELS_MAX_STEPS

pytestmark = [pytest.mark.slow, pytest.mark.tf, pytest.mark.timeout(2400)]

HERE = Path(__file__).parent / "clients"
BYTES = (Precision.INT8, Precision.INT8_PTQ)
TIMEOUT_S = 600
Names = tuple[str | None, ...]


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """Lesions the network knows, and noise; already of the size the network takes."""
    noise = np.random.Generator(np.random.PCG64(6)).integers(0, 256, (12, 32, 32, 3), np.uint8)
    path = tmp_path_factory.mktemp("images") / "images.npy"
    np.save(path, np.concatenate([tiny_students.lesions(36, 4)[0], noise]))
    return path


@pytest.fixture(scope="module")
def exported() -> dict[Precision, Path]:
    """The files as the station export leaves them, with standard metadata and card inside."""
    folder = tiny_line.line() / "export"
    return {precision: folder / precision / "model.tflite" for precision in tiny_line.PRECISIONS}


@pytest.fixture
def stripped(exported, tmp_path):
    """A function that writes an exported file again with less inside."""

    def write(precision: Precision, *strips) -> Path:
        model = exported[precision].read_bytes()
        for strip in strips:
            model = strip(model)
        path = tmp_path / "stripped.tflite"
        path.write_bytes(model)
        return path

    return write


@pytest.fixture
def int8_tensors(tmp_path) -> Path:
    """A file whose input and output are int8, as many converters make them."""
    path = tmp_path / "int8.tflite"
    path.write_bytes(average_pool(dtype="int8", px=tiny_students.PX))
    return path


def stored(path: Path, images: Path, kernels: str) -> np.ndarray:
    """What Python's LiteRT leaves in the output tensor [n, k]: bytes, or float logits."""
    interpreter = open_interpreter(path, kernels=kernels)
    (image,), (output,) = ports(interpreter)
    rows = []
    for pixels in np.load(images):
        interpreter.set_tensor(image.index, pixels[np.newaxis])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(output.index).reshape(-1))
    return np.stack(rows)


def assert_same(values: np.ndarray, expected: np.ndarray, precision: Precision) -> None:
    """Not one step apart in 8-bit files; in others within what the order of sums or of rounding allows."""
    spread = np.ptp(expected).astype(float)
    difference = np.abs(values.astype(float) - expected)
    assert values.shape == expected.shape and spread > 2
    if precision in BYTES:
        assert difference.max() == 0
    elif precision is Precision.DYNAMIC:
        assert difference.mean() <= DYNAMIC_KERNELS_MEAN_STEPS * spread / 255
    else:
        assert difference.max() <= FLOAT_KERNELS_RELATIVE * spread


def run_client(python: Path, script: str, *arguments: Path) -> None:
    # Without a network, where that can be had: MediaPipe would report its use home.
    command = [*offline(), python, HERE / script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def classify(images, tmp_path_factory) -> Callable[[Path], tuple[np.ndarray, set[Names]]]:
    """MediaPipe's values [n, k] for a file, in the order of the outputs, and the rows of names it shows."""
    python, answer = client_python(MEDIAPIPE), tmp_path_factory.mktemp("mediapipe") / "answer.json"

    def classify(model: Path) -> tuple[np.ndarray, set[Names]]:
        run_client(python, "classify_with_mediapipe.py", model, images, answer)
        found = [sorted(row) for row in json.loads(answer.read_text())]
        values = np.array([[value for _, _, value in row] for row in found], np.float32)
        return values, {tuple(name or None for _, name, _ in row) for row in found}

    return classify


@pytest.fixture(scope="module")
def run_old(images, tmp_path_factory) -> Callable[[Path], np.ndarray]:
    """What tflite-runtime 2.14 leaves in the output tensor [n, k], with the kernels it takes by itself."""
    python, answer = client_python(TFLITE_RUNTIME), tmp_path_factory.mktemp("old") / "answer.npy"

    def run(model: Path) -> np.ndarray:
        run_client(python, "run_with_tflite_runtime.py", model, images, answer)
        return np.load(answer)

    return run


@pytest.fixture(scope="module")
def browse(images, tmp_path_factory) -> Callable[[Mapping[str, Path]], dict[str, Any]]:
    """What LiteRT.js in a Chromium leaves in the output tensors [n][k] of files, under their names."""
    chromium, modules = browser(), litert_js()

    def browse(files: Mapping[str, Path]) -> dict[str, Any]:
        return outputs_in_browser(chromium, modules, files, images, tmp_path_factory.mktemp("browser"))

    return browse


@pytest.mark.parametrize("precision", tiny_line.PRECISIONS)
def test_mediapipe_shows_our_names_and_our_logits(classify, exported, images, precision):
    values, names = classify(exported[precision])
    assert names == {tiny_students.CLASSES}
    assert_same(values, LitertRuntime(exported[precision]).logits(np.load(images)), precision)


def test_mediapipe_reads_the_standard_metadata_and_does_not_mind_the_card(classify, exported, stripped):
    values, names = classify(exported[Precision.INT8])
    without_card, named = classify(stripped(Precision.INT8, strip_card))
    bare, unnamed = classify(stripped(Precision.INT8, strip_standard_metadata))
    assert names == named == {tiny_students.CLASSES} and unnamed == {(None, None, None)}
    np.testing.assert_array_equal(values, without_card)
    np.testing.assert_array_equal(values, bare)


def test_mediapipe_refuses_int8_tensors_which_is_why_ours_are_uint8(classify, int8_tensors):
    with pytest.raises(AssertionError, match="got INT8"):
        classify(int8_tensors)


@pytest.mark.parametrize("precision", tiny_line.PRECISIONS)
def test_tflite_runtime_2_14_gives_our_values(run_old, exported, stripped, images, precision):
    values = run_old(exported[precision])
    bare = run_old(stripped(precision, strip_card, strip_standard_metadata))
    np.testing.assert_array_equal(values, bare)
    if precision in BYTES:
        # Its x86 build runs 8-bit files on the built-in kernels: equal to LiteRT's of the same name, and a
        # step here and there from XNNPACK's, which round once where those round twice.
        assert_same(values, stored(exported[precision], images, "builtin"), precision)
        difference = values.astype(int) - stored(exported[precision], images, "xnnpack")
        assert np.abs(difference).max() <= INT8_KERNELS_MAX_STEPS
    else:
        assert_same(values, stored(exported[precision], images, "xnnpack"), precision)


def test_litert_js_in_a_browser_gives_our_values(browse, exported, stripped, images):
    bare = stripped(Precision.INT8, strip_card, strip_standard_metadata)
    answers = browse(exported | {"bare": bare})
    assert set(answers) == {*exported, "bare"}
    for precision, path in exported.items():
        assert_same(np.array(answers[precision]), stored(path, images, "xnnpack"), precision)
    assert answers["bare"] == answers[Precision.INT8]


def test_litert_js_refuses_int8_tensors_which_is_why_ours_are_uint8(browse, int8_tensors):
    with pytest.raises(AssertionError, match="INT8"):
        browse({"int8": int8_tensors})


def test_the_files_the_clients_got_hold_card_and_standard_metadata(exported):
    for precision, path in exported.items():
        model = path.read_bytes()
        assert find_card(model) == tiny_line.card(precision)
        assert find_standard_metadata(model).labels == tiny_students.CLASSES
