"""What the page of an INVENTED run says of a verdict: where, for whom, why; and of records without that."""

from __future__ import annotations

import html
import shutil
from pathlib import Path
from typing import Any

import pytest

from edgekd.config import Precision, ReportConfig, VerifyConfig
from edgekd.report.station import report
from edgekd_converters.verdict import Check, failed
from edgekd_converters.verdict_judge import refuse
from fake_run import build_run, read, write_json_at


@pytest.fixture(autouse=True)
def _sketched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are left empty."""
    pytest.importorskip("jinja2", reason="jinja2 is not installed (extra: report)")
    monkeypatch.setattr("edgekd.report.figures.draw", lambda paint, height_inches: "<svg ></svg>")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_run(tmp_path_factory.mktemp("run"), n=400)


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


def written(run: Path, out: Path) -> str:
    out.mkdir(exist_ok=True)
    report(run=run, config=ReportConfig(), out=out)
    return (out / "index.html").read_text(encoding="utf-8")


def test_each_verdict_says_for_whom_where_and_why(whole: Path, tmp_path: Path) -> None:
    page = written(whole, tmp_path)
    record: Any = read(whole / "verify" / "int8" / "verdict.json")
    assert record["discordant"] and record["worst_subgroup"] and record["reasons"]
    for image in record["discordant"]:
        kind = "malignant" if image["malignant"] else "benign"
        assert f"<li>{image['image_id']}: {kind}, {image['outcome']}, score " in page
    worst = record["worst_subgroup"]
    assert f"{worst['attribute']}; {worst['n_positive']} malignant of {worst['n']}" in page
    assert f"{worst['sensitivity']['value']:.3f}" in page
    assert f"{record['decision_agreement']['value']:.3f}" in page
    for reason in record["reasons"]:
        assert reason["message"] in html.unescape(page)
    assert '<span class="badge bad">lowest</span>' in page
    evaluation: Any = read(whole / "verify" / "int8" / "evaluation.json")
    assert f"[{evaluation['ece_interval']['low']:.3f}," in page


def test_a_verdict_of_an_earlier_version_is_shown(run: Path, tmp_path: Path) -> None:
    path = run / "verify" / "int8" / "verdict.json"
    later = {"reasons", "reference_threshold", "candidate_threshold", "decision_agreement", "discordant"}
    later |= {"top_agreement", "worst_subgroup", "artefact_sha256"}
    write_json_at(path, {name: value for name, value in read(path).items() if name not in later})
    assert "What is missing" not in written(run, tmp_path / "report")


def test_a_file_that_could_not_be_run_has_its_reason(run: Path, tmp_path: Path) -> None:
    refused = refuse(
        [failed(Check.RUNS, "it crashed (INVENTED)")],
        precision=Precision.INT8,
        reference_name="distill",
        split="test",
        config=VerifyConfig(),
        artefact_sha256=None,
    )
    shutil.rmtree(run / "verify" / "int8")
    write_json_at(run / "verify" / "int8" / "verdict.json", refused)
    page = written(run, tmp_path / "report")
    assert "it crashed (INVENTED)" in page
    assert "verify/int8/evaluation.json is not there" in page
