"""`edgekd bundle` and `edgekd verify-bundle` as somebody types them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import bundle_data
from bundle_data import copy, write_model
from command import edgekd


def test_verify_bundle_says_what_it_saw() -> None:
    done = edgekd("verify-bundle", bundle_data.made())
    assert done.exit_code == 0, done.stderr
    assert "tiny, int8, for android" in done.stdout
    assert "verdict    none" in done.stdout
    assert "signature  absent" in done.stdout
    assert "golden     18 pictures: all bytes equal, all logits equal" in done.stdout


def test_verify_bundle_gives_each_problem_a_line_and_exit_code_3(tmp_path: Path) -> None:
    bundle = copy(tmp_path)
    (bundle / "LICENSE").unlink()
    (bundle / "more.txt").write_text("x")
    done = edgekd("verify-bundle", bundle)
    assert done.exit_code == 3
    assert done.stdout.splitlines() == ["LICENSE is missing", "more.txt is not in the manifest"]
    assert "2 problems; do not use this bundle" in done.stderr
    done = edgekd("verify-bundle", bundle, "--json")
    assert done.exit_code == 3
    told = json.loads(done.stdout)
    assert (told["schema"], told["passed"], len(told["problems"])) == ("edgekd.bundle_check/1", False, 2)


def test_verify_bundle_of_nothing(tmp_path: Path) -> None:
    assert edgekd("verify-bundle", tmp_path / "nowhere").exit_code == 4
    assert edgekd("verify-bundle", tmp_path).exit_code == 3


def test_somebodys_model_becomes_a_bundle_that_holds(tmp_path: Path) -> None:
    model, out = write_model(tmp_path / "model"), tmp_path / "out"
    asked = ("bundle", model, "--android", "--out", out)
    done = edgekd(*asked)
    assert done.exit_code == 3
    assert "--unverified" in done.stderr
    assert not out.exists()
    done = edgekd(*asked, "--unverified", "--json")
    assert done.exit_code == 0, done.stderr
    (told,) = json.loads(done.stdout)
    assert (told["folder"], told["made"], told["manifest"]["verdict"]) == (str(out), True, "none")
    assert edgekd("verify-bundle", out).exit_code == 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--unverified", "--out", "b"), "for what?"),
        (("--android", "--unverified"), "--out DIR"),
        (("--android", "--web", "--unverified", "--out", "b"), "one platform"),
        (("--android", "--precision", "int9", "--out", "b"), "int9"),
        (("--android", "--precision", "int8", "--out", "b"), "--precision chooses"),
    ],
)
def test_what_cannot_be_meant_is_exit_code_2(tmp_path: Path, more: tuple[str, ...], said: str) -> None:
    done = edgekd("bundle", write_model(tmp_path), *more)
    assert done.exit_code == 2
    assert said in done.stderr


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    done = edgekd("bundle", tmp_path, "--android")
    assert done.exit_code == 2
    assert "is not a run folder" in done.stderr
    assert "--card belongs to a MODEL" in edgekd("bundle", tmp_path, "--android", "--card", "x").stderr


def test_bundles_are_signed_from_the_command_line(tmp_path: Path) -> None:
    pytest.importorskip("model_signing", reason="the extra sign is not installed")
    private, public, other = bundle_data.keys()
    model, out = write_model(tmp_path / "model"), tmp_path / "out"
    done = edgekd("bundle", model, "--android", "--unverified", "--out", out, "--sign", private)
    assert done.exit_code == 0, done.stderr
    done = edgekd("verify-bundle", out, "--key", public)
    assert done.exit_code == 0, done.stdout
    assert "signature  valid" in done.stdout
    assert edgekd("verify-bundle", out, "--key", other).exit_code == 3
    shutil.rmtree(out)
    done = edgekd("bundle", model, "--android", "--unverified", "--out", out, "--sign", tmp_path / "no.pem")
    assert done.exit_code == 4
    assert not out.exists()


@pytest.mark.parametrize("verb", ["bundle", "verify-bundle"])
def test_help_has_examples(verb: str) -> None:
    assert edgekd(verb, "--help").stdout.count("Example:") >= 2
