"""The worker process, in this very environment; the old runtimes are in test_converters_compat."""

from __future__ import annotations

import gc
import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edgekd.errors import ModelError, UnknownNameError
from edgekd.runtimes import tflite_worker
from edgekd.runtimes.litert import KERNELS, LitertRuntime
from edgekd.runtimes.tflite_runtime import TfliteRuntime, Worker
from edgetpu_files import Op, T, network, single
from tiny_tflite import average_pool

HERE = "litert-2"
PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def images():
    return np.random.Generator(np.random.PCG64(4)).integers(0, 256, (37, 8, 8, 3), np.uint8)


def _written(folder, data):
    path = folder / "model.tflite"
    path.write_bytes(data)
    return path


def _gone(pid):
    """Whether the process ends within some seconds."""
    for _ in range(int(PATIENCE_S * 50)):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("dtype", ["uint8", "int8", "float32"])
def test_it_answers_like_litert_here(tmp_path, images, dtype):
    path = _written(tmp_path, average_pool(dtype=dtype, scale=0.25, zero_point=0))
    span = (-1.0, 1.0) if dtype == "float32" else None
    there, here = TfliteRuntime(path, HERE, input_range=span), LitertRuntime(path, input_range=span)
    assert (there.input_px, there.n_logits, there.output_step) == (8, 3, here.output_step)
    np.testing.assert_array_equal(there.logits(images), here.logits(images))
    assert there.logits(images[:0]).shape == (0, 3)
    assert np.ptp(there.logits(images)) > 0
    there.close()


@pytest.mark.parametrize("kernels", KERNELS)
def test_what_it_says_of_itself(tmp_path, kernels):
    runtime = TfliteRuntime(_written(tmp_path, average_pool()), HERE, kernels=kernels, threads=2)
    assert (runtime.engine.name, runtime.engine.kernels, runtime.engine.threads) == (
        "ai-edge-litert",
        kernels,
        2,
    )
    assert runtime.engine.version.startswith("2.")
    assert runtime.init_ms > 0 and (runtime.peak_memory_bytes is None or runtime.peak_memory_bytes >= 0)
    times = runtime.time_runs(5)
    assert len(times) == 5 and min(times) > 0
    assert runtime.input.dtype == "uint8" and runtime.input.shape == (1, 8, 8, 3)
    runtime.close()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (single("FULLY_CONNECTED", [T((1, 4))], T((1, 4))).replace(b"TFL3", b"TFL2"), "TFL|valid|identifier"),
        (single("my-op", [T((1, 8, 8, 3), "uint8")], T((1, 3), "uint8")), "unresolved custom op: my-op"),
        (network([T((1, 4)), T((1, 4))], [Op("RELU", (0,), (1,))], version=99), "'RELU' version '99'"),
        (average_pool(outputs=2), "1 inputs and 2 outputs"),
        (average_pool(height=4), r"the input is uint8 \[1, 4, 8, 3\]"),
        (average_pool(dtype="float32"), "the input is float32 and the file does not say"),
        (b"short", "."),
    ],
)
def test_what_the_runtime_refuses_is_one_line(tmp_path, data, words):
    path = _written(tmp_path, data)
    with pytest.raises(ModelError, match=words) as caught:
        TfliteRuntime(path, HERE)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_requests_that_cannot_be_meant(tmp_path):
    with pytest.raises(ModelError, match="no such model file"):
        TfliteRuntime(tmp_path / "absent.tflite", HERE)
    path = _written(tmp_path, average_pool())
    with pytest.raises(UnknownNameError, match="xnnpack"):
        TfliteRuntime(path, HERE, kernels="xnnpak")
    with pytest.raises(UnknownNameError, match="litert-2"):
        TfliteRuntime(path, "litert-22")
    runtime = TfliteRuntime(path, HERE)
    with pytest.raises(ModelError, match="takes uint8 images"):
        runtime.logits(np.zeros((1, 9, 9, 3), np.uint8))
    runtime.close()


def test_a_crash_names_the_signal(tmp_path):
    # This operator reads options that are not there.
    data = single("NumericVerify", [T((1, 8, 8, 3), "uint8")], T((1, 3), "uint8"))
    with pytest.raises(ModelError, match="crashed on this file .SIGSEGV."):
        TfliteRuntime(_written(tmp_path, data), HERE)


def test_a_hang_ends_with_the_limit():
    worker = Worker(HERE)
    worker.ask("about")
    os.kill(worker.pid, signal.SIGSTOP)
    with pytest.raises(ModelError, match=r"litert-2 did not finish to about in 0\.3 s"):
        worker.ask("about", limit_s=0.3)
    assert _gone(worker.pid)
    worker.close()


def test_a_worker_that_ended_is_told_from_one_that_crashed():
    worker = Worker(HERE)
    os.kill(worker.pid, signal.SIGTERM)
    with pytest.raises(ModelError, match="SIGTERM"):
        worker.ask("about")
    worker.close()


def test_no_process_is_left_behind(tmp_path):
    path = _written(tmp_path, average_pool())
    runtime = TfliteRuntime(path, HERE)
    pid = runtime._worker.pid
    runtime.close()
    assert _gone(pid)
    runtime.close()  # twice is no harm
    forgotten = TfliteRuntime(path, HERE)
    pid = forgotten._worker.pid
    del forgotten
    gc.collect()
    assert _gone(pid)


def test_the_worker_of_a_killed_process_ends(tmp_path):
    path = _written(tmp_path, average_pool())
    code = (
        "import sys, time; from pathlib import Path\n"
        "from edgekd.runtimes.tflite_runtime import TfliteRuntime\n"
        f"runtime = TfliteRuntime(Path(sys.argv[1]), {HERE!r}); print(runtime._worker.pid, flush=True)\n"
        "time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    assert _gone(pid)


def test_the_clock_of_the_worker_needs_nobody_to_watch(tmp_path):
    """Native code that never returns, and a parent that does not care: the system ends the worker."""
    (tmp_path / "endless.py").write_text(
        "import time\n"
        "class OpResolverType: BUILTIN_WITHOUT_DEFAULT_DELEGATES = AUTO = BUILTIN_REF = None\n"
        "class Interpreter:\n"
        "    def __init__(self, **options): time.sleep(600)\n"
    )
    request = json.dumps(
        {"verb": "open", "path": "x", "kernels": "xnnpack", "threads": 1, "limit_s": 0.2, "bytes": 0}
    ).encode()
    done = subprocess.run(
        [sys.executable, tflite_worker.__file__, "endless", "numpy"],
        input=struct.pack("<I", len(request)) + request,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == -signal.SIGALRM and done.stdout == b""


def test_the_worker_is_one_file_for_old_pythons():
    """It runs where edgekd is not installed: nothing but the standard library and numpy is imported."""
    import ast

    source = Path(tflite_worker.__file__).read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 9))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= {*sys.stdlib_module_names, "numpy"}
