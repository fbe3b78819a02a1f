"""The command line: help is quick and light, errors are one line with the right exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgekd.cli.app import app

HEAVY = ("tensorflow", "tf_keras", "cv2", "numpy", "scipy", "ai_edge_litert", "matplotlib", "rich.progress")


def edgekd(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from edgekd.cli.app import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, timeout=120)


def one_line(errors: str) -> str:
    lines = [line for line in errors.splitlines() if line.startswith("edgekd: ")]
    assert len(lines) == 1, errors
    assert "Traceback" not in errors
    return lines[0]


def refused(*arguments: str) -> tuple[int, str]:
    """The exit code and the one line of a command run in this process, which says nothing on stdout."""
    done = CliRunner().invoke(app, arguments)
    assert done.stdout == ""
    return done.exit_code, one_line(done.stderr)


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys, edgekd.cli.app as a\n"
        "try: a.app(['--help'])\nexcept SystemExit: pass\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stderr.strip() == "[]"
    assert "quickstart" in done.stdout


@pytest.mark.parametrize(
    "verb",
    [
        *(
            "run",
            "data inspect",
            "data audit",
            "data prepare",
            "data fetch",
            "data tfrecord",
            "data synthesise",
            "teach",
            "distill",
            "qat",
            "export",
            "verify",
        ),
        *(
            "bench",
            "report",
            "evaluate",
            "predict",
            "show",
            "compare",
            "doctor",
            "check",
            "layers",
            "inspect",
        ),
        *("profile", "leaderboard", "embed", "patient", "explain", "search", "demo", "serve"),
        *("bundle", "verify-bundle"),
    ],
)
def test_every_verb_has_help_with_an_example(verb: str) -> None:
    done = CliRunner().invoke(app, [*verb.split(), "--help"])
    assert done.exit_code == 0
    assert f"edgekd {verb}" in done.stdout.split("Example:")[1]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "quickstrt"], 2, "did you mean quickstart"),
        (["run", "quickstart", "--to", "distil"], 2, "did you mean distill"),
        (["run", "quickstart", "--set", "distill.method=hintn"], 2, "did you mean hinton"),
        (["run", "quickstart", "--set", "teach.fit.epochs=x"], 2, "expected a whole number"),
        (["run", "quickstart", "--set", "teach.fit.epocs=1"], 2, "did you mean epochs"),
        (["run", "isic2017"], 2, "--data-root"),
        (["run", "isic2017", "--data-root", "nowhere"], 4, "no such folder"),
        (["run", "quickstart", "--set", "teach.model.weights=nowhere.h5"], 4, "no such weights file"),
        (["show", "nowhere"], 2, "not a run folder"),
        (["distill", "nowhere"], 2, "not a run folder"),
        (["data", "audit", "nowhere"], 4, "no such file or folder"),
        (["data", "inspect", ".", "--kind", "isic17"], 2, "did you mean isic2017"),
        (["export", "nowhere", "--int8"], 2, "not a run folder"),
        (["predict", "nowhere.tflite", "x.jpg"], 4, "nowhere.tflite"),
        (["compare", "a", "b"], 2, "no evaluation.json"),
        (["bench", "nowhere.tflite"], 4, "nowhere.tflite"),
    ],
)
def test_bad_input_is_one_line(
    arguments: Sequence[str], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, line = refused(*arguments)
    assert message in line
    assert status == code
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "quickstrt"], 2, "did you mean quickstart"),
        (["predict", "nowhere.tflite", "x.jpg"], 4, "nowhere.tflite"),
    ],
)
def test_a_shell_sees_the_same(arguments: Sequence[str], code: int, message: str, tmp_path: Path) -> None:
    done = edgekd(*arguments, cwd=tmp_path)
    assert message in one_line(done.stderr)
    assert (done.returncode, done.stdout) == (code, "")


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--scaling", "sgned", "--fp16"], 2, "did you mean signed"),
        (["--scaling", "signed", "--int8"], 2, "needs images to calibrate on: --calibrate FOLDER"),
        (["--scaling", "signed", "--int8", "--calibrate", "nowhere"], 4, "nowhere: no such file or folder"),
        (["--fp16", "--out", "nowhere"], 4, "nowhere: no such folder to write to"),
    ],
)
def test_a_strangers_model_without_what_it_takes(
    options: Sequence[str], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "theirs.keras").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    status, line = refused("export", "theirs.keras", *options)
    assert message in line
    assert status == code
    assert [path.name for path in tmp_path.iterdir()] == ["theirs.keras"]


def test_an_unknown_option_or_verb_is_a_usage_error() -> None:
    for arguments in (["run", "quickstart", "--fast"], ["runn"]):
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 2
        assert "Traceback" not in done.stderr


def test_a_run_folder_of_another_experiment_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "quickstart"
    folder.mkdir(parents=True)
    (folder / "experiment.json").write_text("{}")
    for arguments in (["run", "quickstart"], ["show", str(folder)]):
        assert "experiment.json" in refused(*arguments)[1]


def test_a_dry_run_makes_nothing(tmp_path: Path) -> None:
    done = edgekd("run", "quickstart", "--dry-run", "--to", "distill", "--json", cwd=tmp_path)
    states = json.loads(done.stdout)
    assert list(states) == ["data", "teach", "distill"]
    assert {state["state"] for state in states.values()} == {"missing"}
    assert not list(tmp_path.iterdir())


def test_doctor_lists_engines_that_answer(tmp_path: Path) -> None:
    found = json.loads(edgekd("doctor", "--json", cwd=tmp_path).stdout)
    answers = {engine["name"]: engine["answers"] for engine in found["engines"]}
    assert answers["cpu (xnnpack)"] is True
    assert found["packages"]["ai-edge-litert"] != "absent"
