"""The backend `gpu`, for real on any Vulkan driver; a software driver shows correctness and no latency."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench_data import CARD, PX, write_dataset, write_exported
from bench_run import fresh_run
from command import edgekd
from edgekd.config import BenchConfig
from edgekd.metrics.predictions import read_predictions
from edgekd.plain import write_json
from edgekd.runtimes.vulkan import driver_environment, mapped_drivers
from edgekd_bench.asked import fallback
from edgekd_bench.compare import simulation
from edgekd_bench.measure import run_worker
from edgekd_bench.record import BenchRecord, read_bench
from edgekd_bench.roofline import convolution
from edgekd_bench.round import Backend, Request, Round, Status
from edgekd_bench.station import bench, bench_files
from edgekd_converters.gpu_check import HOW_TO_GET
from edgetpu_files import Op, T, network, options
from tiny_tflite import average_pool

SOFTWARE = "/usr/lib/chromium/vk_swiftshader_icd.json"
QUICK = BenchConfig(backends=("gpu",), threads=(1,), min_runs=2, min_seconds=0.0, rounds=2)
TIMED = """
import json, sys
from pathlib import Path
from edgekd.runtimes.litert import open_interpreter, ports
from edgekd_bench.backend_gpu import open_gpu
from edgekd_bench.loaded import noise
path = Path(sys.argv[1])
loaded = open_gpu(path, 1)
interpreter = open_interpreter(path)
(image,), (answer,) = ports(interpreter)
interpreter.set_tensor(image.index, noise([image])[0])
interpreter.invoke()
print(json.dumps([loaded.run()[0].tolist(), interpreter.get_tensor(answer.index).ravel().tolist()]))
sys.stdout.flush()
__import__("os")._exit(0)
"""


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> str:
    """A Vulkan driver: the one that VK_DRIVER_FILES names, else Chromium's software driver."""
    for name in (os.environ.get("VK_DRIVER_FILES", ""), SOFTWARE):
        if name and Path(name).is_file():
            monkeypatch.setenv("VK_DRIVER_FILES", name)
            return name
    pytest.skip(f"{HOW_TO_GET}; or apt install chromium, which has {SOFTWARE}")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.tflite"
    path.write_bytes(average_pool(px=PX))
    return path


def request(model: Path) -> Request:
    return Request(model=str(model), backend=Backend.GPU, threads=1, min_runs=2, min_seconds=0.0)


def test_the_adapter_that_ran_is_named(driver: str, model: Path) -> None:
    found = run_worker(request(model))
    assert isinstance(found, Round), found
    assert found.engine.accelerator.startswith("gpu: ")
    assert found.engine.kernels == "webgpu on vulkan"
    assert found.delegation is not None
    assert (found.delegation.nodes_per_partition, found.delegation.left_out) == ((1,), {})
    assert found.versions["vulkan driver"].startswith("lib")
    assert found.input[0].shape == (1, PX, PX, 3)


def test_a_record_holds_the_proof_that_the_driver_worked(driver: str, tmp_path: Path) -> None:
    """The driver is mapped; a software one also used the processor, in threads of its own."""
    path = tmp_path / "net.tflite"
    path.write_bytes(convolution(side=48, window=3, channels=16, eight_bit=False))
    (record,) = bench_files({"net": path}, QUICK)
    assert record.status is Status.OK, record.reason
    assert record.versions["vulkan driver"].startswith("lib")
    assert record.driver_share is not None and 0 <= record.driver_share <= 1
    if simulation(record):
        assert record.driver_share > 0.8
    (plain,) = bench_files({"net": path}, dataclasses.replace(QUICK, backends=("cpu",)))
    assert plain.status is Status.OK and plain.driver_share is None
    write_json(tmp_path / "record.json", record)
    assert read_bench(tmp_path / "record.json") == record


def test_a_run_ends_with_the_answer_in_hand(driver: str, model: Path, tmp_path: Path) -> None:
    """What is timed returns the values: submitting the work alone, which takes far less, cannot."""
    done = subprocess.run(
        [sys.executable, "-c", TIMED, str(model)],
        capture_output=True,
        text=True,
        check=True,
        env=driver_environment(tmp_path),
    )
    timed, expected = json.loads(done.stdout.splitlines()[-1])
    assert len(set(expected)) > 1
    assert all(abs(one - other) <= 1 for one, other in zip(timed, expected, strict=True))


def test_sensitivity_goes_through_the_gpu_and_a_software_driver_has_no_latency(
    driver: str, tmp_path: Path
) -> None:
    data, exported, verified, out = (tmp_path / name for name in ("data", "export", "verify", "bench"))
    write_dataset(data)
    write_exported(exported, verified)
    metrics = bench(dataset_folder=data, exported=exported, verified=verified, config=QUICK, out=out)
    record = read_bench(out / "int8@gpu-1t.json")
    assert record.status is Status.OK and metrics["not_run"] == 0
    assert record.evaluation is not None and record.evaluation.engine["kernels"] == "webgpu on vulkan"
    means = read_predictions(out / "int8@gpu-1t.predictions.csv", CARD.malignant)
    assert means.logits[means.labels, 0].min() > means.logits[~means.labels, 0].max()
    assert str(tmp_path) not in (out / "int8@gpu-1t.json").read_text()
    assert record.versions["vulkan driver"].startswith("lib")
    check_software(record)


def check_software(record: BenchRecord) -> None:
    """A software driver leaves nothing that could be taken for a latency; hardware leaves figures."""
    software = simulation(record)
    assert (record.latency_ms is None) is (software is not None)
    if software is not None:
        assert (record.rounds_ms, record.init_ms, record.peak_memory_bytes) == ((), None, None)
        assert record.reason == f"ran on {software}: correctness only, no latency"
        assert fallback(record) == f"ran on {software}, no device"
        return
    assert record.reason is None and fallback(record) is None


def test_what_falls_back_is_named(driver: str, tmp_path: Path) -> None:
    image = T((1, PX, PX, 3), "float32")
    small = T((1, 1, 1, 3), "float32")
    pool = options("Pool2DOptions", filterHeight=PX, filterWidth=PX, strideH=1, strideW=1, padding=1)
    path = tmp_path / "partly.tflite"
    ops = [Op("AVERAGE_POOL_2D", (0,), (1,), pool), Op("ZEROS_LIKE", (1,), (2,)), Op("RELU", (2,), (3,))]
    path.write_bytes(network([image, small, small, small], ops))
    (record,) = bench_files({"partly": path}, QUICK)
    assert record.status is Status.OK, record.reason
    assert record.delegation is not None and record.partitions is None
    assert "ZEROS_LIKE" in record.delegation.left_out
    taken, left = sum(record.delegation.nodes_per_partition), sum(record.delegation.left_out.values())
    assert (taken + left, record.delegation.nodes) == (3, 3)
    assert fallback(record) is not None


def test_without_a_driver_it_is_unavailable(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VK_DRIVER_FILES", str(tmp_path / "absent.json"))
    assert run_worker(request(model)) == (Status.UNAVAILABLE, HOW_TO_GET)


def test_a_broken_file_fails_before_any_driver(tmp_path: Path) -> None:
    path = tmp_path / "broken.tflite"
    path.write_bytes(b"no model")
    found = run_worker(request(path))
    assert not isinstance(found, Round)
    assert found[0] is Status.FAILED and "LiteRT cannot load it" in found[1]


def test_a_driver_finds_its_loader_and_a_folder(tmp_path: Path) -> None:
    icd = tmp_path / "icd.json"
    (tmp_path / "libvulkan.so.1").touch()
    given = {"VK_DRIVER_FILES": str(icd), "LD_LIBRARY_PATH": "/opt/lib", "HOME": "/home/a"}
    assert driver_environment(Path("/scratch"), given) == {
        **given,
        "XDG_RUNTIME_DIR": "/scratch",
        "LD_LIBRARY_PATH": f"{tmp_path}{os.pathsep}/opt/lib",
    }
    given = {"XDG_RUNTIME_DIR": "/run/1"}
    assert driver_environment(Path("/scratch"), given) == given


def test_mapped_drivers_are_seen(tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    row = "7f00-7f01 r-xp 0 00:00 1    "
    names = (
        "/usr/lib/libvulkan.so.1",
        "/usr/lib/x/libvk_swiftshader.so",
        "/usr/lib/libGLX_nvidia.so.0",
        "[heap]",
    )
    maps.write_text("".join(f"{row}{name}\n" for name in names) + "7f00-7f01 r-xp 0 00:00 0\n")
    assert mapped_drivers(maps) == ("libGLX_nvidia.so.0", "libvk_swiftshader.so")
    assert mapped_drivers(tmp_path / "absent") == ()


def required(run: Path, backend: str) -> Any:
    """`edgekd bench RUN --require-device`, as short as it can be."""
    quick = [f"--set=bench.{setting}" for setting in ("min_runs=2", "min_seconds=0", "rounds=1")]
    return edgekd("bench", run, "--backend", backend, "--threads", 1, "--require-device", "--quiet", *quick)


def test_a_run_whose_required_device_is_absent_ends_with_5_and_keeps_its_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = fresh_run(tmp_path / "run", tmp_path / "parts")
    monkeypatch.setenv("VK_DRIVER_FILES", str(tmp_path / "absent.json"))
    done = required(run, "cpu,gpu")
    assert done.exit_code == 5, done.output
    assert done.stderr == f"edgekd: int8@gpu-1t: unavailable: {HOW_TO_GET}\n"
    kept = {path.stem: read_bench(path) for path in (run / "bench").glob("*@*.json")}
    assert {name: record.status for name, record in kept.items()} == {
        "int8@cpu-1t": Status.OK,
        "int8@gpu-1t": Status.UNAVAILABLE,
    }
    assert kept["int8@gpu-1t"].driver_share is None and kept["int8@cpu-1t"].driver_share is None
    step = (run / "bench" / "step.json").read_bytes()
    assert required(run, "cpu,gpu").exit_code == 5  # told again from the records: nothing is measured anew
    assert (run / "bench" / "step.json").read_bytes() == step


def test_a_run_that_fell_back_to_software_ends_with_5_and_keeps_its_record(
    driver: str, tmp_path: Path
) -> None:
    run = fresh_run(tmp_path / "run", tmp_path / "parts")
    done = required(run, "gpu")
    record = read_bench(run / "bench" / "int8@gpu-1t.json")
    assert record.status is Status.OK
    if simulation(record) is None:
        assert done.exit_code == 0
        return
    assert done.exit_code == 5
    assert done.stderr == f"edgekd: int8@gpu-1t: ran on {record.actual_accelerator}, no device\n"
