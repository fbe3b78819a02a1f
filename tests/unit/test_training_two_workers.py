"""Two processes over loopback train what one does, and one of them writes the run folder."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

import tolerances
from edgekd.config import (
    DataConfig,
    DistillConfig,
    Experiment,
    FitConfig,
    ModelConfig,
    Optimizer,
    QatConfig,
    SourceConfig,
    SourceKind,
    TeachConfig,
    VerifyConfig,
)
from edgekd.pipeline import write_experiment
from edgekd.plain import read_json
from edgekd.runs import Run

pytestmark = pytest.mark.tf

MODEL = ModelConfig(name="dsnet", width=0.1, weights="none", dropout=0.0)
FIT = FitConfig(
    epochs=2,
    images_per_epoch=48,
    batch_size=8,
    optimizer=Optimizer.ADADELTA,
    learning_rate=1.0,
    average_decay=0.5,
)
COMMAND = [sys.executable, "-c", "from edgekd.cli.app import main; main()"]
WAIT = 300


def experiment(fit=FIT):
    source = SourceConfig(name="generated", kind=SourceKind.SYNTHETIC, count=96, image_px=64)
    return Experiment(
        name="two",
        data=DataConfig(sources=(source,), input_px=32, train_px=36, workers=1),
        teach=TeachConfig(model=MODEL, fit=fit),
        distill=DistillConfig(model=MODEL, fit=fit, variants=2),
        qat=QatConfig(fit=fit),
        verify=VerifyConfig(target=0.8),
    )


def make_run(root, *, fit=FIT):
    from edgekd import pipeline

    root.mkdir()
    write_experiment(Run(root), experiment(fit))
    pipeline.make(Run(root), experiment(fit), pipeline.Station.DATA)
    return root


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [open_socket.getsockname()[1] for open_socket in sockets]
    for open_socket in sockets:
        open_socket.close()
    return ports


def start(run, station, temporary, count=2):
    """The worker processes of one command, the chief first."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    started = []
    for number in range(count):
        place = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": number}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(place), "TMPDIR": str(temporary)}
        command = [*COMMAND, station, str(run), "--strategy", "multiworker", "--json"]
        started.append(
            subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )
    return started


def finish(started):
    """What each process printed, its metrics and its log."""
    answers = []
    try:
        for process in started:
            out, log = process.communicate(timeout=WAIT)
            assert process.returncode == 0, log
            answers.append((json.loads(out)["metrics"], log))
    finally:
        for process in started:
            process.kill()
            process.wait()
    return answers


def weights(path):
    from edgekd.runtimes.keras import load_keras

    return load_keras(path).get_weights()


def largest_difference(one, other):
    return max(float(np.abs(a - b).max()) for a, b in zip(weights(one), weights(other), strict=True))


def epochs(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_two_workers_teach_what_one_process_does(tmp_path):
    from edgekd.data.dataset import open_dataset
    from edgekd.models.catalogue import build
    from edgekd.training.teach import teach

    run, temporary, reference = make_run(tmp_path / "run"), tmp_path / "tmp", tmp_path / "one"
    temporary.mkdir()
    reference.mkdir()
    started = start(run, "teach", temporary)
    dataset = open_dataset(run / "data")
    wanted = experiment()
    expected = teach(
        dataset=dataset, config=wanted.teach, verify=wanted.verify, seed=wanted.seed, out=reference
    )
    (chief, _), (beside, log) = finish(started)

    spread, single = run / "teach" / "model.keras", reference / "model.keras"
    assert largest_difference(single, spread) <= tolerances.SPREAD_WEIGHTS
    first = build(MODEL, input_px=32, n_logits=len(dataset.classes), seed=wanted.seed).get_weights()
    moved = max(float(np.abs(a - b).max()) for a, b in zip(first, weights(single), strict=True))
    assert moved > 100 * tolerances.SPREAD_WEIGHTS
    assert chief == beside
    for one, other in zip(epochs(reference), epochs(run / "teach"), strict=True):
        assert other["losses"]["loss"] == pytest.approx(one["losses"]["loss"], abs=tolerances.SPREAD_WEIGHTS)
    assert chief["teach"]["validation_auc"] == pytest.approx(expected["validation_auc"], abs=0.02)
    assert sorted(path.name for path in run.iterdir()) == [".lock", "data", "experiment.json", "teach"]
    assert read_json(run / "teach" / "step.json")["config"]["strategy"] == "multiworker"
    assert "worker 1 of 2: the chief writes the records" in log
    # TensorFlow compiles what it generates, there.
    assert {path.name for path in temporary.iterdir()} <= {"__pycache__"}


@pytest.mark.slow
def test_a_killed_cluster_goes_on_and_reaches_a_quantized_student(tmp_path):
    """Both processes die behind the chief's first epochs; the same command goes on, to the same bytes."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    fit = dataclasses.replace(FIT, epochs=6)
    whole, broken = (make_run(tmp_path / name, fit=fit) for name in ("whole", "broken"))
    finish(start(whole, "qat", temporary))
    started = start(broken, "teach", temporary)
    wait_for(broken / ".teach.tmp" / "checkpoint" / "state.npz", started)
    for process in started:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    (_, log), (_, beside) = finish(start(broken, "qat", temporary))
    assert "going on after epoch" in log
    assert "going on after epoch" in beside
    for name in ("teach/model.keras", "distill/model.keras", "qat/model.h5"):
        assert (whole / name).read_bytes() == (broken / name).read_bytes(), name
    assert read_json(broken / "qat" / "step.json")["metrics"]["parameters"] > 0


def wait_for(path, started):
    end = time.monotonic() + WAIT
    while not path.exists():
        assert time.monotonic() < end
        assert all(process.poll() is None for process in started), started[0].stderr.read()
        time.sleep(0.02)


@pytest.mark.slow
def test_a_worker_that_dies_is_one_line_to_the_others(tmp_path):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    long = dataclasses.replace(FIT, epochs=2000)
    run = make_run(tmp_path / "run", fit=long)
    chief, beside = start(run, "teach", temporary)
    wait_for(run / ".teach.tmp" / "checkpoint" / "state.npz", [chief, beside])
    beside.kill()
    _, log = chief.communicate(timeout=WAIT)
    beside.communicate()
    lines = [line for line in log.splitlines() if line.startswith("edgekd: ")]
    assert chief.returncode == 5, log
    assert len(lines) == 1
    assert "worker 0 of 2 lost another one" in lines[0]
    assert "Traceback" not in log
