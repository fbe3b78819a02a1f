"""`edgekd data tfrecord`: shards of a run, and what is refused in one line."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

import command


def edgekd(*arguments: str, cwd: Path) -> Any:
    """The command in this process, in the folder `cwd`."""
    with contextlib.chdir(cwd):
        return command.edgekd(*arguments)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of which the data is prepared."""
    folder = tmp_path_factory.mktemp("place")
    small = ("--set", "data.sources.synthetic.count=60", "--set", "data.workers=1")
    done = edgekd("run", "quickstart", "--quick", "--to", "data", "--out", "run", *small, cwd=folder)
    assert done.exit_code == 0, done.stderr
    return folder


def test_the_shards_of_a_run(place: Path) -> None:
    done = edgekd("data", "tfrecord", "run", "--out", "shards", "--workers", "1", "--json", cwd=place)
    assert done.exit_code == 0, done.stderr
    manifest = json.loads(done.stdout)
    files = {path.name for path in (place / "shards").glob("*.tfrec")}
    assert files == {shard["file"] for shard in manifest["shards"]}
    assert sum(sum(counts.values()) for counts in manifest["counts"].values()) == 60
    found = edgekd("data", "inspect", "shards", "--kind", "tfrecord", "--json", cwd=place)
    assert found.exit_code == 0, found.stderr
    told = {(one["split"], one["diagnosis"]): one["images"] for one in json.loads(found.stdout)["counts"]}
    assert told == {
        (split, name): n for split, counts in manifest["counts"].items() for name, n in counts.items() if n
    }


def test_help_has_an_example(place: Path) -> None:
    done = edgekd("data", "tfrecord", "--help", cwd=place)
    assert "edgekd data tfrecord" in done.stdout.split("Example:")[1]


def test_people_get_a_table(place: Path) -> None:
    done = edgekd("data", "tfrecord", "run", "--out", "table", "--workers", "1", "--jpeg", "90", cwd=place)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[0] == "table, jpeg"
    assert [line.split()[0] for line in done.stdout.splitlines()[2:]] == ["train", "validation", "test"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere", "--out", "x"], 2, "not a run folder"),
        (["run", "--out", "full"], 2, "holds other files already"),
        (["run", "--out", "x", "--jpeg", "0"], 2, "--jpeg"),
        (["run"], 2, "--out"),
    ],
)
def test_what_is_refused(place: Path, arguments: list[str], code: int, message: str) -> None:
    (place / "full").mkdir(exist_ok=True)
    (place / "full" / "mine.txt").write_text("mine")
    done = edgekd("data", "tfrecord", *arguments, cwd=place)
    assert done.exit_code == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_shards_are_recognised(place: Path) -> None:
    assert edgekd("data", "tfrecord", "run", "--out", "seen", "--workers", "1", cwd=place).exit_code == 0
    found = edgekd("data", "inspect", "seen", "--json", cwd=place)
    assert found.exit_code == 0, found.stderr
    assert json.loads(found.stdout)["kind"] == "tfrecord"
