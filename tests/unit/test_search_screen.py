"""What a student costs, measured before it is trained; and the whole verb in processes that are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgekd.config import ModelConfig
from edgekd.data.dataset import open_dataset
from edgekd.errors import ContractError, UsageError
from tiny_dataset import prepare

pytestmark = [pytest.mark.tf, pytest.mark.slow]  # a conversion and processes that measure: 20 s

SMALL = ModelConfig(name="dsnet", width=0.25, weights="none")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory):
    """A data set, the untrained file of a student, and what is known of it."""
    from edgekd.search.screen import untrained_file

    root = tmp_path_factory.mktemp("screen")
    dataset = open_dataset(prepare(root / "data"))
    facts = untrained_file(SMALL, 32, dataset=dataset, out=root / "reference.tflite")
    return root, dataset, facts


def test_an_untrained_file_is_whole_8_bit_and_carries_a_card(places) -> None:
    from edgekd.models.catalogue import build
    from edgekd.models.describe import describe
    from edgekd_converters.inspect import inspect_tflite
    from edgekd_converters.metadata import read_card

    root, dataset, facts = places
    inspection = inspect_tflite(root / "reference.tflite")
    assert inspection.load_error is None
    assert inspection.float_operators == 0
    assert read_card(root / "reference.tflite").labels == dataset.classes
    known = describe(build(SMALL, input_px=32, n_logits=3, seed=5))
    assert facts == {"parameters": known.parameters, "macs": known.macs}


def test_a_screen_is_measured_once_and_relative_to_the_reference(places, tmp_path, monkeypatch) -> None:
    from edgekd.search import screen

    root, dataset, facts = places
    reference = root / "reference.tflite"
    monkeypatch.setattr(screen, "untrained_file", lambda *a, out, **k: _copy(reference, out) or facts)
    ask = {"dataset": dataset, "reference": reference, "folder": tmp_path, "threads": 1, "rounds": 1}
    found = screen.screen(SMALL, 32, **ask)
    assert found.size_bytes == reference.stat().st_size
    assert 0 < found.latency_ms < 1000
    assert 0 < found.relative_latency < 1000
    assert screen.screen(SMALL, 32, **ask) == found
    (place,) = tmp_path.iterdir()
    assert json.loads((place / "screen.json").read_text())["size_bytes"] == found.size_bytes


def test_a_reference_that_does_not_run_is_named(places, tmp_path) -> None:
    from edgekd.search.screen import _measured

    root, _, facts = places
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"TFL3")
    with pytest.raises(ContractError, match="reference .*broken"):
        _measured(root / "reference.tflite", broken, facts, threads=1, rounds=1)


def _copy(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes())


def test_a_search_whose_process_is_killed_goes_on_and_answers(places, tmp_path) -> None:
    """About 60 s: two processes of the real verb, the first ended by SIGKILL during a training."""
    pytest.importorskip("optuna", reason="needs Optuna: the extra search")
    root, _, _ = places
    main = "from edgekd.cli.app import main; main()"
    command = [sys.executable, "-c", main, "search", "quickstart", "--quick", "--trials", "2"]
    command += [
        "--rounds",
        "1",
        "--reference",
        str(root / "reference.tflite"),
        "--out",
        str(tmp_path / "out"),
    ]
    command += ["--space", "distill.model.width=0.25,0.5", "--set", "distill.fit.epochs=4", "--json"]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 240
    while not list(tmp_path.glob("out/trials/*/.distill.tmp/checkpoint/state.npz")):
        assert first.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "going on after epoch" in done.stderr or "kept" in done.stderr
    record = json.loads(done.stdout)
    assert len(record["trials"]) == 2
    assert (tmp_path / "out" / "pareto.png").is_file()
    others = [*command[:-3], "--set", "distill.fit.epochs=5"]
    other = subprocess.run(others, capture_output=True, text=True, check=False)
    assert other.returncode == UsageError.exit_code
    assert "holds another search (options, digest differ)" in other.stderr
