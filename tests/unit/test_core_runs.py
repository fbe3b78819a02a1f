"""The run folder: kept, stale and missing steps; kills, tampering and two processes at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from edgekd.errors import RunBusyError, StorageError, UsageError
from edgekd.runs import Run, State, Step, require_run


class Counter:
    """A step body that writes what it is told and counts how often it ran."""

    def __init__(self, text: str = "hello") -> None:
        self.text, self.calls = text, 0

    def __call__(self, out: Path) -> Mapping[str, float]:
        self.calls += 1
        (out / "deep").mkdir(exist_ok=True)
        (out / "deep" / "file.txt").write_text(self.text)
        return {"length": float(len(self.text))}


def a_step(make: Any, **changes: Any) -> Step:
    return Step(**{"name": "first", "make": make, "config": {"a": {"b": 1}}, "tools": ("numpy",), **changes})


def test_a_second_pass_keeps(tmp_path: Path) -> None:
    body, run = Counter(), Run(tmp_path)
    first = run.do(a_step(body))
    again = run.do(a_step(body))
    assert body.calls == 1
    assert again == first
    assert first["metrics"] == {"length": 5.0}
    assert set(first["outputs"]) == {"deep/file.txt"}
    assert not (tmp_path / ".first.tmp").exists()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"config": {"a": {"b": 2}}}, "config.a.b: 1 → 2"),
        ({"version": 2}, "version: 1 → 2"),
        ({"facts": {"weights": "x"}}, "facts.weights: None → x"),
        ({"tools": ()}, "tools.numpy"),
    ],
)
def test_a_changed_field_is_named(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    body, run = Counter(), Run(tmp_path)
    run.do(a_step(body))
    finding = run.find(a_step(body, **changes))
    assert finding.state is State.STALE
    assert reason in finding.reason
    run.do(a_step(body, **changes))
    assert body.calls == 2


def test_only_what_is_downstream_is_remade(tmp_path: Path) -> None:
    run, first, second = Run(tmp_path), Counter("one"), Counter("two")

    def both(config: int) -> None:
        run.do(a_step(first, config=config))
        run.do(a_step(second, name="second", needs=("first",)))

    both(1)
    both(2)  # the upstream step is made again, but with the same bytes
    assert (first.calls, second.calls) == (2, 1)
    first.text = "other"
    both(3)
    assert (first.calls, second.calls) == (3, 2)


def test_another_file_that_is_not_read_remakes_nothing(tmp_path: Path) -> None:
    run, last = Run(tmp_path), Counter()

    def first(text: str) -> Step:
        def make(out: Path) -> Mapping[str, float]:
            (out / "read.txt").write_text(text[0])
            (out / "audit.json").write_text(text)
            return {}

        return a_step(make, config=text)

    unread = a_step(last, name="last", needs=("first",), unread={"first": ("audit.json",)})
    for text, calls in (("aa", 1), ("ab", 1), ("ba", 2)):
        run.do(first(text))
        run.do(unread)
        assert last.calls == calls
    run.do(first("bb"))
    assert run.find(a_step(last, name="last", needs=("first",))).state is State.STALE


@pytest.mark.parametrize("harm", ["change", "delete", "record", "folder"])
def test_harm_is_noticed_and_mended(tmp_path: Path, harm: str) -> None:
    body, run = Counter(), Run(tmp_path)
    made = run.do(a_step(body))
    target = tmp_path / "first" / "deep" / "file.txt"
    if harm == "change":
        target.write_text("hullo")
    elif harm == "delete":
        target.unlink()
    elif harm == "record":
        (tmp_path / "first" / "step.json").write_text('{"schema": "edgekd.st')
    else:
        (tmp_path / "first").rename(tmp_path / "elsewhere")
    assert run.find(a_step(body)).state is not State.KEPT
    assert run.do(a_step(body))["outputs"] == made["outputs"]
    assert target.read_text() == "hello"


def test_a_failed_step_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    def fail(out: Path) -> Mapping[str, float]:
        (out / "half").write_text("half")
        raise RuntimeError("broken")

    run = Run(tmp_path)
    with pytest.raises(RuntimeError, match="broken"):
        run.do(a_step(fail))
    assert run.find(a_step(fail)).state is State.MISSING


def test_the_old_output_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    def fail(_out: Path) -> Mapping[str, float]:
        raise RuntimeError("broken")

    run = Run(tmp_path)
    run.do(a_step(Counter()))
    with pytest.raises(RuntimeError, match="broken"):
        run.do(a_step(fail, config=2))
    assert (tmp_path / "first" / "deep" / "file.txt").read_text() == "hello"
    assert run.find(a_step(Counter())).state is State.KEPT


def test_a_step_finds_its_own_leavings_but_not_those_of_another_key(tmp_path: Path) -> None:
    seen: list[bool] = []

    def once_broken(out: Path) -> Mapping[str, float]:
        seen.append((out / "checkpoint").exists())
        (out / "checkpoint").write_text("1")
        if len(seen) < 3:
            raise RuntimeError("killed")
        return {}

    run = Run(tmp_path)
    for config in (1, 1, 2):
        step = a_step(once_broken, config=config)
        if len(seen) < 2:
            with pytest.raises(RuntimeError):
                run.do(step)
        else:
            run.do(step)
    assert seen == [False, True, False]


@pytest.mark.parametrize("moment", ["before the record", "before the rename", "between the renames"])
def test_a_kill_during_the_last_moves_is_mended(tmp_path: Path, moment: str) -> None:
    body, run = Counter(), Run(tmp_path)
    run.do(a_step(body))
    work, final = tmp_path / ".first.tmp", tmp_path / "first"
    if moment == "before the record":
        final.rename(work)
        (work / "step.json").unlink()
    elif moment == "before the rename":
        final.rename(work)
    else:
        final.rename(tmp_path / ".first.old")
    run.do(a_step(body))
    assert run.find(a_step(body)).state is State.KEPT
    assert body.calls == (2 if moment == "before the record" else 1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["first"]


def test_timing_is_not_part_of_the_outputs(tmp_path: Path) -> None:
    def make(out: Path) -> Mapping[str, float]:
        (out / "timing.jsonl").write_text("{}\n")
        return {}

    assert Run(tmp_path).do(a_step(make))["outputs"] == {}


_HOLD = """
    import sys, time
    from pathlib import Path
    from edgekd.runs import Run
    with Run(Path(sys.argv[1])).locked():
        print("held", flush=True)
        time.sleep(60)
"""


def test_the_second_process_is_refused_until_the_first_is_dead(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(_HOLD), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunBusyError, match=f"process {holder.pid}"), Run(tmp_path).locked():
            pytest.fail("two processes in one run folder")
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    with Run(tmp_path).locked():
        pass


def test_a_full_disk_is_a_storage_error(tmp_path: Path) -> None:
    def fill(_out: Path) -> Mapping[str, float]:
        with Path("/dev/full").open("w") as full:
            full.write("x" * 100_000)
        return {}

    with pytest.raises(StorageError, match="No space left"):
        Run(tmp_path).do(a_step(fill))


def test_a_folder_without_an_experiment_is_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a run folder"):
        require_run(tmp_path)
