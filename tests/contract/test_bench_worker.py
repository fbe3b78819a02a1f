"""The worker and the station, with real processes, on a file of one operator."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench_data import CARD, DEVICE, LABELS, PX, write_dataset, write_exported
from edgekd.config import BenchConfig
from edgekd.errors import ModelError, UnknownNameError, UsageError
from edgekd.metrics.evaluation import evaluate
from edgekd.metrics.predictions import read_predictions
from edgekd.plain import read_json
from edgekd_bench import measure, station, worker
from edgekd_bench.backends import open_backend
from edgekd_bench.measure import Job, run_worker
from edgekd_bench.record import Latency, Sustained, read_bench
from edgekd_bench.round import Backend, Request, Round, SplitRequest, Status, Window
from edgekd_bench.station import bench, bench_files
from tiny_tflite import average_pool

QUICK = BenchConfig(min_runs=6, min_seconds=0.0, rounds=2, threads=(1, 2))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.tflite"
    path.write_bytes(average_pool(px=PX))
    return path


def request(model: Path, **changes: object) -> Request:
    fields = {"model": str(model), "backend": Backend.CPU, "threads": 1, "min_runs": 7, "min_seconds": 0.0}
    return Request(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_worker_holds_nothing_but_the_engine() -> None:
    code = (
        "import sys, edgekd_bench.worker; print({'scipy', 'tensorflow', 'cv2', 'typer'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def check_order(found: Latency) -> None:
    assert 0 < found.min <= found.p50 <= found.p90 <= found.p95 <= found.p99
    assert found.min <= found.mean
    assert found.first is not None and found.first > 0


def test_a_round_measures_what_was_asked(model: Path) -> None:
    found = run_worker(request(model))
    assert isinstance(found, Round)
    assert len(found.runs_ms) >= 7
    assert min(found.runs_ms) > 0 and found.init_ms > 0
    assert found.first_ms is not None and found.first_ms > 0
    assert found.timer_precision_ms > 0
    assert found.input[0].shape == (1, PX, PX, 3) and found.input[0].dtype == "uint8"
    assert found.engine.name == "ai-edge-litert" and found.engine.threads == 1
    assert found.delegation is not None and found.delegation.nodes == 1
    assert sum(found.delegation.nodes_per_partition) + sum(found.delegation.left_out.values()) == 1
    assert found.peak_memory_bytes is None or found.peak_memory_bytes > 0
    assert found.sustained == ()


@pytest.mark.parametrize("backend", ["cpu", "cpu-builtin"])
def test_memory_is_divided_into_steps(tmp_path: Path, backend: str) -> None:
    """A picture of 1000 by 1000 bytes takes pages when it is filled in, before the first run."""
    path = tmp_path / "large.tflite"
    path.write_bytes(average_pool(px=1000))
    found = run_worker(request(path, backend=backend, min_runs=1))
    assert isinstance(found, Round)
    if found.peak_memory_bytes is None:
        pytest.skip("this system does not tell the peak of memory")
    assert found.memory is not None
    steps = (found.memory.load, found.memory.allocate, found.memory.invoke)
    assert min(steps) >= 0
    assert 3_000_000 < max(steps) <= found.peak_memory_bytes
    assert found.peak_memory_bytes <= sum(steps) + 4_000_000


def test_a_sustained_load_is_cut_into_windows(model: Path) -> None:
    found = run_worker(request(model, min_runs=1, windows=3, window_seconds=0.01))
    assert isinstance(found, Round)
    assert len(found.sustained) == 3
    assert all(window.p50_ms > 0 and window.n > 1 for window in found.sustained)


def test_a_round_lasts_as_long_as_asked(model: Path) -> None:
    found = run_worker(request(model, min_runs=1, min_seconds=0.02))
    assert isinstance(found, Round)
    assert sum(found.runs_ms) >= 20


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "LiteRT cannot load it"),
        (b"not a model at all", "LiteRT cannot load it"),
        (average_pool(custom="edgetpu-custom-op"), "edgetpu-custom-op"),
    ],
)
def test_a_file_that_does_not_load_is_a_reason(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "broken.tflite"
    path.write_bytes(content)
    found = run_worker(request(path))
    assert not isinstance(found, Round)
    assert found[0] is Status.FAILED
    assert message in found[1]
    assert str(tmp_path) not in found[1]


def killed_by(code: str) -> Callable[..., object]:
    """`subprocess.run` whose worker runs `code` instead."""
    original = measure.subprocess.run

    def run(command: list[str], **options: object) -> object:
        return original([sys.executable, "-c", code], **options)  # type: ignore[call-overload]

    return run


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "the engine crashed (SIGSEGV)"),
        ("raise SystemExit(3)", "the worker ended with status 3: it said nothing"),
        ("1 / 0", "the worker ended with status 1: ZeroDivisionError: division by zero"),
    ],
)
def test_a_crash_is_a_reason(model: Path, monkeypatch: pytest.MonkeyPatch, code: str, reason: str) -> None:
    monkeypatch.setattr(measure.subprocess, "run", killed_by(code))
    assert run_worker(request(model)) == (Status.FAILED, reason)


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA bounds memory on Linux only")
def test_a_model_that_eats_memory_is_stopped(tmp_path: Path) -> None:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    path = tmp_path / "greedy.tflite"
    path.write_bytes(average_pool(px=int((memory / 3) ** 0.5)))  # its input alone fills the machine
    status, reason = run_worker(request(path))
    assert status is Status.FAILED
    assert "memory" in reason


def test_what_native_code_prints_does_not_mix_with_the_answer(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noisy = (
        "import os, sys; from pathlib import Path; import edgekd_bench.worker as worker;"
        "worker._answer = lambda request: os.write(1, b'noise') and {'status': 'failed', 'reason': 'none'};"
        "worker._main(Path(sys.argv[1]))"
    )
    original = measure.subprocess.run
    monkeypatch.setattr(
        measure.subprocess,
        "run",
        lambda command, **options: original([sys.executable, "-c", noisy, command[-1]], **options),
    )
    assert run_worker(request(model)) == (Status.FAILED, "none")


@pytest.mark.parametrize(
    ("backend", "kernels"), [("cpu", "xnnpack"), ("cpu-builtin", "builtin"), ("cpu-reference", "reference")]
)
def test_the_test_split_runs_on_the_kernels_and_threads_that_were_timed(
    tmp_path: Path, model: Path, backend: str, kernels: str
) -> None:
    write_dataset(tmp_path / "data")
    loaded = open_backend(model, 2, backend)
    runtime = loaded.runtime()
    assert (loaded.engine.kernels, loaded.engine.threads) == (kernels, 2)
    assert runtime.engine == loaded.engine
    asked = SplitRequest(
        dataset=str(tmp_path / "data"),
        labels=LABELS,
        malignant=CARD.malignant,
        predictions=str(tmp_path / "p.csv"),
    )
    worker.predict_test(runtime, asked)
    assert len(read_predictions(tmp_path / "p.csv", CARD.malignant).image_ids) == 12


def test_a_worker_that_hangs_is_a_reason(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure.subprocess, "run", killed_by("import time; time.sleep(60)"))
    assert run_worker(request(model), timeout_s=0.5) == (Status.FAILED, "not done after 0.5 s")


def test_a_job_that_failed_once_stays_failed(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = run_worker(request(model))
    seen: list[str] = []

    def worker(asked: Request, **_: object) -> object:
        seen.append(f"{Path(asked.model).stem}{asked.threads}")
        return (Status.FAILED, "it crashed") if seen[-1] == "tiny2" and seen.count("tiny2") == 2 else good

    monkeypatch.setattr(measure, "run_worker", worker)
    jobs = [Job(name="tiny", model=model, backend=Backend.CPU, threads=n) for n in (1, 2, 4)]
    found = measure.measure(jobs, BenchConfig(rounds=4))
    assert seen == ["tiny1", "tiny2", "tiny4", "tiny4", "tiny2", "tiny1", "tiny1", "tiny4", "tiny4", "tiny1"]
    assert [(one.status, len(one.rounds)) for one in found] == [
        (Status.OK, 4),
        (Status.FAILED, 0),
        (Status.OK, 4),
    ]


def test_a_sustained_load_comes_after_the_rounds(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    windows = tuple(Window(p50_ms=ms, n=9, temperature_c=50.0, frequency_mhz=None) for ms in (2.0, 2.5))
    good = run_worker(request(model))
    assert isinstance(good, Round)
    seen: list[tuple[int, int]] = []

    def worker(asked: Request, **_: object) -> object:
        seen.append((asked.threads, asked.windows))
        if seen[-1] == (2, 2):
            return Status.FAILED, "not done after 1020 s"
        return dataclasses.replace(good, sustained=windows if asked.windows else ())

    monkeypatch.setattr(measure, "run_worker", worker)
    one, two = bench_files({"tiny": model}, dataclasses.replace(QUICK, sustained_minutes=1.0))
    assert seen == [(1, 0), (2, 0), (2, 0), (1, 0), (1, 2), (2, 2)]
    assert one.sustained == Sustained(window_s=30.0, windows=windows, last_to_first=1.25)
    assert two.status is Status.FAILED and two.sustained is None
    assert two.reason == "under sustained load: not done after 1020 s"


def test_less_than_a_minute_is_no_sustained_load() -> None:
    with pytest.raises(UsageError, match=r"bench.sustained_minutes is 0.5, expected 1 or more"):
        BenchConfig(sustained_minutes=0.5)


def test_the_station_measures_sensitivity_on_the_engine_it_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(station, "describe_device", lambda: dataclasses.replace(DEVICE, cores=1))
    data, exported, verified, out = (tmp_path / name for name in ("data", "export", "verify", "bench"))
    write_dataset(data)
    write_exported(exported, verified)
    metrics = bench(dataset_folder=data, exported=exported, verified=verified, config=QUICK, out=out)
    assert sorted(path.name for path in out.glob("*.json")) == ["int8@cpu-1t.json", "int8@cpu-2t.json"]
    for threads in (1, 2):
        record = read_bench(out / f"int8@cpu-{threads}t.json")
        assert record.status is Status.OK and record.threads == threads
        assert record.latency_ms is not None and record.latency_ms.n >= QUICK.min_runs
        check_order(record.latency_ms)
        assert metrics[f"int8@cpu-{threads}t_p50_ms"] == record.latency_ms.p50
        assert record.engine is not None and record.engine.threads == threads
        assert (
            record.evaluation is not None
            and record.evaluation.engine == read_json(out / f"int8@cpu-{threads}t.json")["engine"]
        )
        assert record.model.size_bytes == (exported / "int8" / "model.tflite").stat().st_size
        assert str(tmp_path) not in (out / f"int8@cpu-{threads}t.json").read_text()
        predictions = read_predictions(out / f"int8@cpu-{threads}t.predictions.csv", CARD.malignant)
        # The file answers the mean of each channel: a malignant image has 90 more of red on average.
        means = predictions.logits[:, LABELS.index("mel")]
        assert means[predictions.labels].min() > means[~predictions.labels].max()
        assert CARD.operating_point is not None
        again = evaluate(
            predictions,
            operating_point=CARD.operating_point,
            temperature=CARD.temperature,
            artefact="int8",
            runtime="litert",
            engine=record.engine,
            split="test",
            attributes={},
        )
        assert {part.attribute for part in record.evaluation.subgroups} >= {"sex"}
        assert dataclasses.replace(record.evaluation, engine=None, subgroups=()) == dataclasses.replace(
            again, engine=None
        )
        assert ("2 threads on 1 cores" in record.noise) is (threads == 2)
    assert metrics["not_run"] == 0


def test_the_station_reports_a_file_that_does_not_run(tmp_path: Path) -> None:
    data, exported, verified, out = (tmp_path / name for name in ("data", "export", "verify", "bench"))
    write_dataset(data)
    write_exported(exported, verified, names=("fp32", "int8"))
    (exported / "fp32" / "model.tflite").write_bytes(average_pool(px=PX, custom="strange"))
    config = BenchConfig(min_runs=2, min_seconds=0.0, rounds=1, threads=(1,))
    metrics = bench(dataset_folder=data, exported=exported, verified=verified, config=config, out=out)
    assert metrics["not_run"] == 1
    failed = read_bench(out / "fp32@cpu-1t.json")
    assert failed.status is Status.FAILED and failed.reason is not None and "strange" in failed.reason
    assert failed.latency_ms is None and failed.evaluation is None
    assert read_bench(out / "int8@cpu-1t.json").status is Status.OK


def test_other_peoples_files_are_timed_without_an_evaluation(model: Path) -> None:
    (record,) = bench_files(
        {"theirs": model}, BenchConfig(min_runs=2, min_seconds=0.0, rounds=1, threads=(1,))
    )
    assert record.status is Status.OK
    assert record.evaluation is None and record.model.precision is None
    assert np.isfinite(record.init_ms)


def test_unknown_backends_and_missing_files_are_refused(tmp_path: Path, model: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown backend 'cpuu': did you mean cpu"):
        bench_files({"tiny": model}, BenchConfig(backends=("cpuu",)))
    with pytest.raises(ModelError, match=r"absent\.tflite"):
        bench_files({"tiny": tmp_path / "absent.tflite"}, QUICK)


def test_the_station_needs_exported_and_verified_files(tmp_path: Path) -> None:
    data, exported, verified, out = (tmp_path / name for name in ("data", "export", "verify", "bench"))
    write_dataset(data)
    with pytest.raises(ModelError, match="run edgekd export first"):
        bench(dataset_folder=data, exported=exported, verified=verified, config=QUICK, out=out)
    write_exported(exported, verified)
    (verified / "int8" / "card.json").unlink()
    with pytest.raises(ModelError, match="no readable model card"):
        bench(dataset_folder=data, exported=exported, verified=verified, config=QUICK, out=out)


@pytest.mark.real
def test_a_published_network_is_delegated_as_a_whole(shared: Path) -> None:
    path = shared / "peer_models" / "tf2_mobilenet_v2_1.0_224_ptq.tflite"
    found = run_worker(request(path, min_runs=3))
    assert isinstance(found, Round)
    assert found.delegation is not None and found.delegation.nodes_per_partition == (65,)
    assert found.delegation.nodes == 68
    assert found.peak_memory_bytes is None or found.peak_memory_bytes > path.stat().st_size / 2
