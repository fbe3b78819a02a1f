"""The emulated ARM processor: its kernels answer what this machine's do, and nothing of it is a latency."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench_data import CARD, PX, write_dataset
from edgekd.config import BenchConfig
from edgekd.errors import MissingError
from edgekd_bench import arm64
from edgekd_bench.arm64 import ACCELERATOR, emulated_environment, emulated_python
from edgekd_bench.measure import run_worker
from edgekd_bench.roofline import convolution
from edgekd_bench.round import Request, Round, Status
from edgekd_bench.station import bench_files
from edgekd_bench.through import labelled
from tiny_tflite import average_pool

QUICK = BenchConfig(backends=("cpu", "arm64"), threads=(1,), min_runs=2, min_seconds=0.0, rounds=1)
_ANSWER = """
import json, sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter
net = Interpreter(sys.argv[1]); net.allocate_tensors()
given, said = net.get_input_details()[0], net.get_output_details()[0]
images = np.random.Generator(np.random.PCG64(3)).integers(-128, 128, (8, *given["shape"]), np.int8)
answers = []
for image in images:
    net.set_tensor(given["index"], image.view(given["dtype"])); net.invoke()
    answers.append(net.get_tensor(said["index"]).ravel().tolist())
print(json.dumps(answers))
"""


def is_made() -> bool:
    try:
        emulated_python()
    except MissingError:
        return False
    return True


emulated = pytest.mark.skipif(
    not is_made(), reason="no emulated ARM processor: make arm-check makes it (Debian, 730 MB)"
)


def test_without_one_the_record_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKD_CACHE", str(tmp_path))
    model = tmp_path / "tiny.tflite"
    model.write_bytes(average_pool(px=PX))
    (cpu, arm) = bench_files({"tiny": model}, QUICK)
    assert (cpu.status, arm.status) == (Status.OK, Status.UNAVAILABLE)
    assert str(arm.reason).startswith("no emulated ARM processor here: python -m edgekd_bench.arm64 makes")
    monkeypatch.setattr(arm64, "_KEYRING", str(tmp_path / "none"))
    with pytest.raises(MissingError, match="is made on Debian"):
        arm64.make()


@pytest.mark.slow
@emulated
def test_a_split_through_arm_kernels(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data")
    model = tmp_path / "tiny.tflite"
    model.write_bytes(average_pool(px=PX))
    images = labelled(tmp_path / "data", {"tiny": model}, {"tiny": CARD}, tmp_path / "out")
    cpu, arm = bench_files({"tiny": model}, QUICK, images)
    assert cpu.latency_ms is not None
    assert (arm.status, arm.latency_ms, arm.rounds_ms, arm.init_ms) == (Status.OK, None, (), None)
    assert arm.reason == f"ran on {ACCELERATOR}: correctness only, no latency"
    assert arm.engine is not None and arm.engine.isa.startswith("aarch64 asimd")
    assert arm.delegation == cpu.delegation
    assert arm.against_reference is not None
    assert (arm.against_reference.discordant, arm.against_reference.n) == (0, 12)
    assert arm.against_reference.largest_score_change < 0.05


@emulated
@pytest.mark.parametrize("window", [1, 3])
def test_a_convolution_in_eight_bits(tmp_path: Path, window: int) -> None:
    """Products and sums of int8 are exact; requantization may round apart, by at most one step."""
    model = tmp_path / "conv.tflite"
    model.write_bytes(convolution(side=12, window=window, channels=16, eight_bit=True))
    here, there = (answers(python, model) for python in ([sys.executable], emulated_python()))
    assert here.std() > 3  # they say something
    assert np.abs(here - there).max() <= 1


@pytest.mark.real
@pytest.mark.slow
@emulated
def test_a_published_network_agrees(shared: Path) -> None:
    """Over 65 layers a difference of one step may grow: five steps were seen at most."""
    model = shared / "peer_models" / "tf2_mobilenet_v2_1.0_224_ptq.tflite"
    here, there = (answers(python, model) for python in ([sys.executable], emulated_python()))
    assert np.abs(here - there).max() <= 5
    found = run_worker(
        Request(model=str(model), backend="arm64", threads=1, min_runs=1, min_seconds=0.0), timeout_s=300
    )
    assert isinstance(found, Round)
    assert found.delegation is not None and found.delegation.nodes_per_partition == (65,)


def answers(python: list[str], model: Path) -> np.ndarray:
    environment = emulated_environment() if python[0] != sys.executable else None
    done = subprocess.run(
        [*python, "-c", _ANSWER, str(model)], capture_output=True, text=True, check=True, env=environment
    )
    return np.array(json.loads(done.stdout))
