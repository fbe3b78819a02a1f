"""Names of backends, what was asked for against what ran, and the backends that need no accelerator."""

from __future__ import annotations

import ctypes
import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench_data import CARD, DEVICE, ENGINE, LABELS, PX, one_record, one_round, write_dataset, write_exported
from command import edgekd
from edgekd import lazy
from edgekd.config import BenchConfig
from edgekd.errors import DeviceError, MissingError, UnknownNameError, UsageError
from edgekd.metrics.evaluation import evaluate
from edgekd.metrics.predictions import Predictions, read_predictions
from edgekd.plain import write_json
from edgekd.runtimes.litert import LitertRuntime
from edgekd_bench import station
from edgekd_bench.asked import fallback, parse_backends, require_device
from edgekd_bench.backend_edgetpu import HOW_TO_GET, LIBRARY
from edgekd_bench.backend_tflite_runtime import clock_of, open_tflite_runtime
from edgekd_bench.backends import OPEN
from edgekd_bench.compare import Finding, compare_latency
from edgekd_bench.measure import Job, Outcome, run_worker
from edgekd_bench.record import BenchRecord, file_name, read_bench
from edgekd_bench.round import Backend, Delegation, Request, Round, Status, file_part, kind_of, label_of
from edgekd_bench.states import backend_states
from edgekd_bench.station import bench
from tiny_tflite import average_pool

HERE = "litert-2"
RESULTS = Path(__file__).resolve().parents[2] / "bench" / "results"
QUICK = BenchConfig(threads=(1,), min_runs=2, min_seconds=0.0, rounds=1)


def request(model: Path, backend: str) -> Request:
    return Request(model=str(model), backend=backend, threads=1, min_runs=3, min_seconds=0.0)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.tflite"
    path.write_bytes(average_pool(px=PX))
    return path


def test_every_backend_opens_and_has_a_state() -> None:
    assert {*OPEN, Backend.ADB} == set(Backend)  # a phone's tool opens files there
    states = {state.name: state for state in backend_states()}
    assert {name.split(" ")[0] for name in states} == set(Backend)
    assert states["cpu (xnnpack)"].answers and states["cpu-builtin"].answers
    assert all(state.note for state in states.values())


def test_names_of_backends(tmp_path: Path) -> None:
    asked = "delegate:/opt/some where/lib.so?device=usb%3A0&n=2"
    assert kind_of(asked) is Backend.DELEGATE
    assert label_of(asked) == "delegate:lib.so?device=usb%3A0&n=2"
    assert file_part(label_of(asked)) == "delegate-lib.so-device-usb-3A0-n-2"
    phone = "adb:127.0.0.1:5555?tool=/opt/some%2Cwhere&use_gpu=true"
    assert (kind_of("adb"), kind_of("adb?tool=x"), kind_of(phone)) == (Backend.ADB,) * 3
    assert label_of(phone) == "adb:127.0.0.1:5555?use_gpu=true"
    assert label_of("adb:R5CT?tool=x") == "adb:R5CT"
    assert file_part(label_of(phone)) == "adb-127.0.0.1-5555-use_gpu-true"
    assert (kind_of("gpu"), label_of("gpu"), file_part("cpu-builtin")) == (Backend.GPU, "gpu", "cpu-builtin")
    record = one_record(requested_accelerator=label_of(asked))
    assert file_name(record) == "int8@delegate-lib.so-device-usb-3A0-n-2-1t.json"
    library = tmp_path / "lib.so"
    library.touch()
    assert parse_backends(["cpu", f"delegate:{library}"]) == ("cpu", f"delegate:{library}")


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        (["cpu-buildin"], UnknownNameError, "did you mean cpu-builtin"),
        (["gpu:0"], UnknownNameError, "unknown backend 'gpu:0'"),
        (["delegate"], UsageError, "expected delegate:PATH"),
        (["delegate?a=1"], UsageError, "expected delegate:PATH"),
        (["delegate:a.so?fast"], UsageError, "key=value"),
        (["delegate:/nowhere/a.so"], MissingError, "/nowhere/a.so: no such delegate library"),
        (["cpu", "cpu"], UsageError, "kept under one name"),
        (["delegate:a.so?a=1", "delegate:a.so?a&=1"], UsageError, "key=value|one name"),
    ],
)
def test_backends_that_cannot_be_asked_for(asked: list[str], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        parse_backends(asked)


GPU = "gpu: NVIDIA H100, backend=Vulkan, adapterType=Discrete GPU"
WHOLE, HALF = (
    Delegation(nodes=3, nodes_per_partition=(3,), left_out={}),
    Delegation(nodes=3, nodes_per_partition=(2,), left_out={"MUL": 1}),
)
FELL_BACK: dict[str, tuple[dict[str, Any], str | None]] = {
    "the processor cannot fall back": ({"delegation": HALF}, None),
    "a whole graph": ({"requested_accelerator": "gpu", "actual_accelerator": GPU, "delegation": WHOLE}, None),
    "a part": (
        {"requested_accelerator": "gpu", "actual_accelerator": GPU, "delegation": HALF},
        f"{GPU} took 2 of 3 operators; left to the CPU: 1 MUL",
    ),
    "nothing": (
        {"requested_accelerator": "delegate:a.so", "delegation": WHOLE},
        "was asked for delegate:a.so and ran on the CPU",
    ),
    "nothing known": (
        {"requested_accelerator": "edgetpu", "actual_accelerator": "edgetpu", "delegation": None},
        "was asked for edgetpu and ran on the CPU",
    ),
    "software": (
        {"requested_accelerator": "gpu", "actual_accelerator": "gpu: llvmpipe", "delegation": WHOLE},
        "ran on gpu: llvmpipe, no device",
    ),
    "absent": (
        {"status": Status.UNAVAILABLE, "reason": "no driver", "latency_ms": None},
        "unavailable: no driver",
    ),
    "a device that fails": (
        {
            "requested_accelerator": "gpu",
            "status": Status.FAILED,
            "reason": "it crashed",
            "latency_ms": None,
        },
        "failed: it crashed",
    ),
    "a processor that fails": (
        {"status": Status.FAILED, "reason": "it crashed", "latency_ms": None},
        None,
    ),
}


@pytest.mark.parametrize("name", FELL_BACK)
def test_a_required_device(name: str) -> None:
    changes, reason = FELL_BACK[name]
    record = one_record(**changes)
    assert fallback(record) == reason
    if reason is None:
        require_device([record])
        return
    with pytest.raises(DeviceError, match="^int8@") as caught:
        require_device([one_record(), record])
    assert str(caught.value).endswith(reason) and caught.value.exit_code == 5


def test_a_software_gpu_is_ok_and_has_no_latency(model: Path) -> None:
    engine = dataclasses.replace(ENGINE, accelerator="gpu: SwiftShader, adapterType=CPU / Software")
    found = Outcome(status=Status.OK, reason=None, rounds=(one_round([1.0, 2.0], engine=engine),))
    job = Job(name="tiny", model=model, backend="gpu", threads=1)
    record = station.record_of(job, found, DEVICE, "2026-11-21T10:00:00+00:00")
    assert (record.status, record.latency_ms, record.init_ms, record.rounds_ms) == (Status.OK, None, None, ())
    assert record.reason == f"ran on {engine.accelerator}: correctness only, no latency"
    assert record.engine == engine and record.delegation is not None
    with pytest.raises(UsageError, match="correctness only"):
        compare_latency(record, record)
    timed = one_record(actual_accelerator="gpu: SwiftShader")  # such as other programs may write
    claim = compare_latency(timed, timed, anyway=True)
    assert (claim.finding, claim.p50_ratio) == (Finding.NOT_DISTINGUISHABLE, None)
    assert claim.reason == "A ran on gpu: SwiftShader: correctness only"


def kept() -> list[Path]:
    return sorted(RESULTS.rglob("*.bench.json"))


@pytest.mark.skipif(not kept(), reason="bench/results holds no kept records")
@pytest.mark.parametrize("path", kept(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_kept_records_still_read(path: Path) -> None:
    record = read_bench(path)
    assert file_name(record) == path.name.replace(".bench.json", ".json")
    assert kind_of(record.requested_accelerator) in Backend


def test_an_engine_that_times_itself_is_asked_for_what_is_missing() -> None:
    asked: list[int] = []

    def time_runs(count: int) -> list[float]:
        asked.append(count)
        return [2.0] * count

    clock = clock_of(time_runs)
    assert clock(lambda: None, min_runs=3, min_ms=0) == [2.0] * 3
    assert clock(lambda: None, min_runs=5, min_ms=31) == [2.0] * 16
    assert asked == [3, 5, 11]
    assert len(clock(lambda: None, min_runs=1, min_ms=3000)) == 1500 and max(asked) == 1000


def test_a_worker_of_another_environment(model: Path) -> None:
    loaded = open_tflite_runtime(model, 2, HERE)
    try:
        assert (loaded.engine.threads, loaded.engine.name) == (2, "ai-edge-litert")
        took = loaded.clock(loaded.run, min_runs=4, min_ms=0)
        assert len(took) >= 4 and min(took) > 0
        assert loaded.init_ms is not None and loaded.init_ms > 0 and not loaded.first_run
        images = np.random.Generator(np.random.PCG64(1)).integers(0, 256, (3, PX, PX, 3), np.uint8)
        np.testing.assert_array_equal(loaded.runtime().logits(images), LitertRuntime(model).logits(images))
    finally:
        loaded.close()


@pytest.mark.slow
def test_the_old_runtime_is_measured_in_its_own_environment(tmp_path: Path) -> None:
    data, exported, verified, out = (tmp_path / name for name in ("data", "export", "verify", "bench"))
    write_dataset(data)
    write_exported(exported, verified)
    config = dataclasses.replace(QUICK, backends=("tflite-runtime",))
    bench(dataset_folder=data, exported=exported, verified=verified, config=config, out=out)
    record = read_bench(out / "int8@tflite-runtime-1t.json")
    assert record.status is Status.OK, record.reason
    assert record.engine is not None
    assert (record.engine.name, record.engine.version) == ("tflite-runtime", "2.14.0")
    assert record.latency_ms is not None and record.latency_ms.first is None
    assert record.evaluation is not None and record.evaluation.runtime == "tflite-runtime"
    assert fallback(record) is None


def test_a_file_that_is_not_compiled_for_the_edge_tpu(model: Path) -> None:
    found = run_worker(request(model, "edgetpu"))
    assert not isinstance(found, Round)
    assert found[0] is Status.FAILED
    assert found[1].startswith("not compiled for the Edge TPU: none of its 1 operators is edgetpu-custom-op")


def test_a_compiled_file_without_the_library(tmp_path: Path) -> None:
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        path = tmp_path / "compiled_edgetpu.tflite"
        path.write_bytes(average_pool(custom="edgetpu-custom-op"))
        assert run_worker(request(path, "edgetpu")) == (Status.UNAVAILABLE, HOW_TO_GET)
        return
    pytest.skip(f"{LIBRARY} is installed here: its absence cannot be seen")


def test_keras_runs_keras_files_only(model: Path) -> None:
    found = run_worker(request(model, "keras"))
    assert found == (Status.FAILED, "not a Keras model, expected a .keras or .h5 file")


@pytest.mark.tf
def test_the_float_student_of_a_run_is_measured_by_keras(tmp_path: Path) -> None:
    data, exported, verified, out = (tmp_path / name for name in ("data", "export", "verify", "bench"))
    write_dataset(data)
    write_exported(exported, verified)
    write_student(tmp_path / "distill")
    config = dataclasses.replace(QUICK, backends=("keras", "cpu"))
    bench(dataset_folder=data, exported=exported, verified=verified, config=config, out=out)
    assert sorted(path.name for path in out.glob("*.json")) == ["distill@keras-1t.json", "int8@cpu-1t.json"]
    record = read_bench(out / "distill@keras-1t.json")
    assert record.status is Status.OK, record.reason
    assert record.engine is not None
    assert (record.engine.name, record.engine.threads) == ("tensorflow", 1)
    assert record.latency_ms is not None and record.delegation is None and record.partitions is None
    assert record.evaluation is not None
    assert (record.evaluation.runtime, record.evaluation.operating_point.threshold) == ("keras", 1.5)
    answers = read_predictions(out / "distill@keras-1t.predictions.csv", CARD.malignant)
    red = answers.logits[:, LABELS.index("mel")]  # the mean of raw bytes
    assert 30 < red[~answers.labels].max() < red[answers.labels].min() < 255


def write_student(folder: Path) -> None:
    """A Keras model that answers the mean of each channel, evaluated anyhow."""
    folder.mkdir()
    keras = lazy.keras()
    image = keras.Input((PX, PX, 3))
    keras.Model(image, keras.layers.GlobalAveragePooling2D()(image)).save(folder / "model.keras")
    assert CARD.operating_point is not None
    predictions = Predictions(
        image_ids=("a", "b"),
        labels=np.array([True, False]),
        logits=np.array([[2, 1, 0], [0, 1, 0]], np.float32),
        names=LABELS,
        malignant=CARD.malignant,
    )
    record = evaluate(
        predictions,
        operating_point=dataclasses.replace(CARD.operating_point, threshold=1.5),
        temperature=1.0,
        artefact="distill",
        runtime="keras",
        engine=ENGINE,
        split="test",
        attributes={},
    )
    write_json(folder / "evaluation.json", record)


def test_the_command_ends_with_5_where_a_required_device_is_absent(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VK_DRIVER_FILES", str(tmp_path / "absent.json"))
    quick = ("--threads", "1", "--set", "min_seconds=0", "--set", "min_runs=2", "--set", "rounds=1", "--json")
    command = [sys.executable, "-c", "from edgekd.cli.app import main; main()"]
    asked = ["bench", str(model), "--backend", "cpu,gpu", "--require-device", *quick]
    done = subprocess.run([*command, *asked], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 5
    assert "edgekd: tiny@gpu-1t: unavailable: no Vulkan driver answers" in done.stderr
    records = json.loads(done.stdout)
    assert [(one["requested_accelerator"], one["status"]) for one in records] == [
        ("cpu", "ok"),
        ("gpu", "unavailable"),
    ]
    assert edgekd("bench", model, "--backend", "cpu", "--require-device", *quick).exit_code == 0


def test_a_record_with_a_reason_and_a_latency_is_refused() -> None:
    with pytest.raises(UsageError, match="status ok"):
        one_record(reason="why")
    found: BenchRecord = one_record(reason="correctness only", latency_ms=None)
    assert found.status is Status.OK
