"""The leaderboard: what stands on it, what is left out, and that its pictures hold the points."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_data import LABELS, one_record
from command import edgekd
from edgekd.card import OperatingPoint
from edgekd.metrics.evaluation import EvaluationRecord, evaluate
from edgekd.metrics.intervals import Estimate
from edgekd.metrics.predictions import Predictions
from edgekd.plain import write_json
from edgekd_bench.leaderboard import (
    Point,
    evaluated_alike,
    latency_points,
    markdown,
    pareto,
    read_board,
    size_points,
    write_board,
)
from edgekd_bench.record import BenchRecord, Latency, file_name
from edgekd_bench.round import Status

POINT = OperatingPoint(rule="sensitivity_at_least(0.9)", threshold=0.0, fitted_on="validation")


def evaluation(missed: int, n: int = 40) -> EvaluationRecord:
    labels = np.arange(n) < n // 2
    score = np.where(labels, 2.0, -2.0)
    score[:missed] = -1.0
    said = Predictions(
        image_ids=tuple(f"image{k}" for k in range(n)),
        labels=labels,
        logits=np.stack([score, np.zeros(n), np.full(n, -30.0)], axis=1).astype(np.float32),
        names=LABELS,
        malignant=("mel", "bcc"),
    )
    return evaluate(said, operating_point=POINT, artefact="x", runtime="litert", engine={}, split="test")


def record(name: str, *, missed: int, p50: float, size: int, **changes: Any) -> BenchRecord:
    found = one_record(name, evaluation=evaluation(missed))
    latency = Latency(min=p50, p50=p50, p90=1.2 * p50, p95=2 * p50, p99=3 * p50, mean=p50, first=p50, n=60)
    model = dataclasses.replace(found.model, size_bytes=size, sha256=name)
    return dataclasses.replace(found, **{"model": model, "latency_ms": latency, **changes})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A fast file, a sensitive one, one that both beat, and a software GPU faster than anything."""
    root = tmp_path / "records"
    root.mkdir()
    for one in (
        record("int8", missed=4, p50=1.0, size=600_000),
        record("fp32", missed=1, p50=2.0, size=1_600_000),
        record("worse", missed=6, p50=3.0, size=2_000_000),
        record("toy", missed=0, p50=0.01, size=900_000, actual_accelerator="gpu: SwiftShader"),
    ):
        write_json(root / file_name(one), one)
    (root / "foreign.json").write_text("[]", encoding="utf-8")
    return root


def points_of(folder: Path) -> list[Point]:
    (points,) = latency_points(read_board(folder)).values()
    return points


def test_a_simulation_has_no_place_in_a_latency_picture(folder: Path) -> None:
    assert {point.label for point in points_of(folder)} == {"int8", "fp32", "worse"}
    assert {point.label for point in size_points(read_board(folder))} == {"int8", "fp32", "worse", "toy"}
    (row,) = [line for line in markdown(read_board(folder)).splitlines() if line.startswith("| toy |")]
    assert "gpu: SwiftShader: correctness only" in row
    assert "0.01" not in row


def test_the_front_holds_what_no_other_beats(folder: Path) -> None:
    assert [point.label for point in pareto(points_of(folder))] == ["int8", "fp32"]
    assert [point.label for point in pareto(size_points(read_board(folder)))] == ["int8", "toy"]


def test_noise_is_drawn_and_marked_but_not_compared(folder: Path) -> None:
    noisy = record("int8", missed=4, p50=1.0, size=600_000, noise=("busy",))
    write_json(folder / file_name(noisy), noisy)
    points = points_of(folder)
    assert {point.label for point in points if point.noisy} == {"int8"}
    assert [point.label for point in pareto(points)] == ["fp32"]
    assert "1.00 (1.20)†" in markdown(read_board(folder))


@given(st.lists(st.tuples(st.floats(0.1, 9), st.floats(0, 1)), min_size=1, max_size=12))
def test_every_point_is_on_the_front_or_beaten_by_it(pairs: list[tuple[float, float]]) -> None:
    points = [
        Point(
            label=str(n), cost=cost, cost_to=cost, sensitivity=Estimate(value=value, low=0, high=1, method="")
        )
        for n, (cost, value) in enumerate(pairs)
    ]
    front = pareto(points)
    assert {front[0].cost, front[-1].sensitivity.value} == {
        min(cost for cost, _ in pairs),
        max(value for _, value in pairs),
    }
    for point in points:
        beaten = [f for f in front if f.cost <= point.cost and f.sensitivity.value >= point.sensitivity.value]
        assert beaten


def test_order_is_by_sensitivity_then_speed(folder: Path) -> None:
    assert [entry.label for entry in read_board(folder)] == ["toy", "fp32", "int8", "worse"]


def test_of_a_file_measured_again_the_last_quiet_one_is_drawn(folder: Path) -> None:
    for name, hour, p50, noise in (("a", 11, 1.1, ()), ("b", 12, 1.2, ()), ("c", 13, 9.9, ("busy",))):
        again = record("int8", missed=4, p50=p50, size=600_000, noise=noise)
        again = dataclasses.replace(again, measured_at=f"2026-11-21T{hour}:00:00+00:00")
        (folder / name).mkdir()
        write_json(folder / name / file_name(again), again)
    assert [point.cost for point in points_of(folder) if point.label == "int8"] == [1.2]
    assert markdown(read_board(folder)).count("| int8 |") == 4
    assert "| 2026-11-21 13:00 |" in markdown(read_board(folder))


def test_engines_have_panels_of_their_own(folder: Path) -> None:
    other = record("int8", missed=4, p50=5.0, size=600_000, requested_accelerator="cpu-reference")
    write_json(folder / file_name(other), other)
    assert [where.split(", ")[1] for where in latency_points(read_board(folder))] == ["cpu", "cpu-reference"]


def test_a_file_that_failed_says_why(folder: Path) -> None:
    failed = one_record("bad", status=Status.FAILED, reason="it | crashed", latency_ms=None, engine=None)
    write_json(folder / file_name(failed), failed)
    (row,) = [line for line in markdown(read_board(folder)).splitlines() if line.startswith("| bad |")]
    assert r"failed: it \| crashed" in row
    assert read_board(folder)[-1].label == "bad"


def test_other_images_are_another_picture(folder: Path) -> None:
    other = dataclasses.replace(record("other", missed=0, p50=1.0, size=1), evaluation=evaluation(0, 60))
    write_json(folder / file_name(other), other)
    entries = read_board(folder)
    assert "other" not in {entry.label for entry in evaluated_alike(entries)}
    text = markdown(entries)
    assert "n = 40, 20 malignant" in text and "n = 60, 30 malignant" in text
    assert "the split that most records share" in text


def test_files_that_share_a_name_are_told_apart_by_their_run(folder: Path) -> None:
    again = record("int8", missed=2, p50=1.1, size=600_001)
    again = dataclasses.replace(again, model=dataclasses.replace(again.model, sha256="another"))
    (folder / "second" / "bench").mkdir(parents=True)
    write_json(folder / "second" / "bench" / file_name(again), again)
    labels = {entry.label for entry in read_board(folder)}
    assert labels == {"second/int8", "records/int8", "fp32", "worse", "toy"}


def test_the_board_is_written_whole_and_alike_each_time(folder: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for out in (one, two):
        write_board(folder, out)
    names = {"leaderboard.md", "leaderboard.html"}
    names |= {f"pareto_{kind}.{form}" for kind in ("latency", "size") for form in ("svg", "png")}
    assert {path.name for path in one.iterdir()} == names
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in names)
    assert (one / "pareto_size.png").read_bytes().startswith(b"\x89PNG")
    drawn = (one / "pareto_latency.svg").read_text(encoding="utf-8")
    assert ">int8<" in drawn and ">toy<" not in drawn
    page = (one / "leaderboard.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 2 and "<script" not in page and "src=" not in page
    assert 'href="http' not in page and "url(http" not in page


def test_names_from_a_record_cannot_write_the_page(folder: Path, tmp_path: Path) -> None:
    evil = record("<script>alert(1)</script>", missed=1, p50=1.5, size=1)
    write_json(folder / "evil.json", evil)
    write_board(folder, tmp_path / "out")
    for name in ("leaderboard.html", "pareto_latency.svg"):
        assert "<script" not in (tmp_path / "out" / name).read_text(encoding="utf-8")


def test_without_evaluations_there_is_a_table_and_no_picture(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", one_record())
    write_board(tmp_path, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"leaderboard.md", "leaderboard.html"}
    assert "No record was evaluated" in (tmp_path / "out" / "leaderboard.md").read_text(encoding="utf-8")


def test_bad_input_is_one_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("", encoding="utf-8")
    for arguments, code, said in (
        ([tmp_path / "absent"], 2, "no such folder"),
        ([tmp_path / "empty", "--out", tmp_path / "o"], 4, "no benchmark record"),
        ([folder, "--quiet", "--out", tmp_path / "file"], 2, "is a file"),
    ):
        done = edgekd("leaderboard", *arguments)
        assert (done.exit_code, done.stdout) == (code, "")
        last = done.stderr.splitlines()[-1]
        assert last.startswith("edgekd: ") and said in last and "Traceback" not in done.stderr


def test_the_command_prints_what_it_writes(folder: Path, tmp_path: Path) -> None:
    done = edgekd("leaderboard", folder, "--out", tmp_path / "o")
    assert done.exit_code == 0, done.stderr
    assert "skipped 1 JSON files" in done.stderr
    written = (tmp_path / "o" / "leaderboard.md").read_text(encoding="utf-8")
    assert written == f"# Leaderboard\n\n{done.stdout}"
    entries = json.loads(edgekd("leaderboard", folder, "--json").stdout)
    assert [entry["label"] for entry in entries] == ["toy", "fp32", "int8", "worse"]
