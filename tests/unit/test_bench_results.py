"""Kept results and the tables made from them."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from bench_data import CARD, LABELS, one_record
from edgekd.card import OperatingPoint
from edgekd.config import Precision, VerifyConfig
from edgekd.errors import DataError, UnknownNameError, UsageError
from edgekd.metrics.evaluation import evaluate, read_evaluation
from edgekd.metrics.predictions import Predictions, write_predictions
from edgekd.plain import read_json, write_json
from edgekd_bench import results, tables
from edgekd_bench.leaderboard import markdown, read_board
from edgekd_bench.record import file_name, read_bench
from edgekd_bench.results import keep, read_kept
from edgekd_bench.round import Status
from edgekd_bench.tables import drifted, fill
from edgekd_converters.verdict_judge import judge

COMMAND = "edgekd run tiny"
POINT = OperatingPoint(rule="sensitivity_at_least(0.9)", threshold=0.0, fitted_on="validation")
MARKED = "before\n<!-- table:tiny -->\n<!-- /table -->\nafter\n"


def predictions(missed: int) -> Predictions:
    """20 malignant images of which `missed` score low, and 20 benign ones of which one scores high."""
    labels = np.arange(40) < 20
    score = np.where(labels, 2.0, -2.0)
    score[:missed], score[-1] = -1.0, 1.0
    logits = np.stack([score, np.zeros(40), np.full(40, -30.0)], axis=1).astype(np.float32)
    return Predictions(
        image_ids=tuple(f"image{n}" for n in range(40)),
        labels=labels,
        logits=logits,
        names=LABELS,
        malignant=CARD.malignant,
    )


def write_evaluated(folder: Path, name: str, missed: int) -> None:
    folder.mkdir(parents=True)
    said = predictions(missed)
    record = evaluate(
        said, operating_point=POINT, artefact=name, runtime="litert", engine={"threads": 1}, split="test"
    )
    write_predictions(folder / "predictions.csv", said)
    write_json(folder / "evaluation.json", record)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with a student, two verified files and their benchmarks."""
    root = tmp_path / "run"
    write_evaluated(root / "distill", "distill", 1)
    (root / "bench").mkdir()
    for name, missed, size in (("int8", 2, 600_000), ("fp32", 1, 1_500_000)):
        write_evaluated(root / "verify" / name, name, missed)
        verdict = judge(
            predictions(missed),
            predictions(1),
            thresholds=(0.0, 0.0),
            precision=Precision(name),
            reference_name="distill",
            split="test",
            config=VerifyConfig(),
        )
        write_json(root / "verify" / name / "verdict.json", verdict)
        for threads in (1, 2):
            found = one_record(name, threads)
            found = dataclasses.replace(found, model=dataclasses.replace(found.model, size_bytes=size))
            write_json(root / "bench" / file_name(found), found)
    return root


@pytest.fixture
def kept(run: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "results" / "tiny"
    keep(run, folder, command=COMMAND)
    return folder


def test_kept_files_have_the_promised_names(kept: Path) -> None:
    assert {path.name for path in kept.iterdir()} == {
        "README.md",
        *(
            f"{name}.{kind}"
            for name in ("distill", "int8", "fp32")
            for kind in ("evaluation.json", "predictions.csv")
        ),
        *(f"{name}.verdict.json" for name in ("int8", "fp32")),
        *(f"{name}@cpu-{n}t.bench.json" for name in ("int8", "fp32") for n in (1, 2)),
    }


def test_the_readme_says_command_machine_and_date(kept: Path) -> None:
    text = (kept / "README.md").read_text(encoding="utf-8")
    for fact in (COMMAND, "2026-11-21", "A Processor", "4 cores", "ai-edge-litert 2.3.0", "| int8 |"):
        assert fact in text
    assert drifted([kept / "README.md"], kept.parent) == []


def test_records_come_in_the_order_of_the_line_and_by_size(kept: Path) -> None:
    found = read_kept(kept)
    assert [artefact.name for artefact in found] == ["distill", "fp32", "int8"]
    assert found[0].verdict is None and found[0].bench == ()
    assert [record.threads for record in found[1].bench] == [1, 2]


def test_nothing_is_overwritten_unasked(kept: Path, run: Path) -> None:
    with pytest.raises(UsageError, match="--force"):
        keep(run, kept, command=COMMAND)
    keep(run, kept, command="another", force=True)
    assert "another" in (kept / "README.md").read_text(encoding="utf-8")


def test_an_unverified_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="run edgekd verify first"):
        keep(tmp_path, tmp_path / "results" / "x", command=COMMAND)
    assert not (tmp_path / "results").exists()
    with pytest.raises(DataError, match="no kept results"):
        read_kept(tmp_path)


def test_a_table_shows_the_records(kept: Path) -> None:
    text = fill(MARKED, kept.parent)
    assert text.startswith("before\n<!-- table:tiny -->\n| artefact |")
    assert text.endswith("<!-- /table -->\nafter\n")
    (row,) = [line for line in text.splitlines() if line.startswith("| int8 |")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1] == "600"
    curve = read_evaluation(kept / "int8.evaluation.json").curve
    assert cells[3] == f"{curve.sensitivity_at_specificity_90:.3f}" == "1.000"
    assert cells[4].startswith("0.900 [")
    assert cells[6].startswith("-0.050 [")
    assert cells[8] == "97.5%"  # one image of 40
    assert cells[-2:] == ["1.25 (1.50)", "1.25 (1.50)"]
    for fact in ("n = 40, 20 malignant (50.0%)", "sensitivity_at_least(0.9)", "wilson(0.95)", "A Processor"):
        assert fact in text
    assert "†" not in text


def test_a_file_that_was_not_timed_has_its_size_from_the_inspection(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "verify" / "int8", run / "verify" / "coreml-int8")
    (run / "export" / "coreml-int8").mkdir(parents=True)
    write_json(run / "export" / "coreml-int8" / "inspect.json", {"size_bytes": 580_400})
    keep(run, tmp_path / "results" / "tiny", command=COMMAND)
    found = read_kept(tmp_path / "results" / "tiny")
    assert [artefact.name for artefact in found] == ["distill", "fp32", "int8", "coreml-int8"]
    assert found[-1].bench == () and found[-1].size_bytes == 580_400
    assert "| coreml-int8 | 580 |" in fill(MARKED, tmp_path / "results")


def change(kept: Path, name: str, **changes: object) -> None:
    path = kept / name
    write_json(path, dataclasses.replace(read_bench(path), **changes))  # type: ignore[arg-type]


def test_noise_failures_and_another_sensitivity_show(kept: Path) -> None:
    change(kept, "int8@cpu-1t.bench.json", noise=("p90 is 2.0 times p50", "p90 is 10.0 times p50", "busy"))
    change(kept, "int8@cpu-2t.bench.json", status=Status.FAILED, reason="it crashed", latency_ms=None)
    other = read_kept(kept)[0].evaluation
    change(kept, "fp32@cpu-1t.bench.json", evaluation=other)
    text = fill(MARKED, kept.parent)
    assert "| 1.25 (1.50)† | failed |" in text
    assert "† The machine was not quiet (at worst: busy; p90 is 10.0 times p50)" in text
    assert "1.25 (1.50), sensitivity" not in text  # the same value is not repeated
    write_json(kept / "distill.evaluation.json", read_json(kept / "int8.evaluation.json"))
    change(kept, "fp32@cpu-1t.bench.json", evaluation=read_kept(kept)[0].evaluation)
    assert "| 1.25 (1.50), sensitivity 0.900 [" in fill(MARKED, kept.parent)


def test_filling_twice_changes_nothing(kept: Path) -> None:
    once = fill(MARKED, kept.parent)
    assert fill(once, kept.parent) == once
    assert fill("no table here\n", kept.parent) == "no table here\n"


def test_an_unknown_table_is_named(kept: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean tiny"):
        fill(MARKED.replace("tiny", "tinny"), kept.parent)


def test_drift_is_found_and_mended(kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(MARKED, encoding="utf-8")
    arguments = ["--results", str(kept.parent), str(readme)]
    assert tables._main(["--check", *arguments]) == 3
    assert "tables differ from the kept records" in capsys.readouterr().err
    assert tables._main(arguments) == 0
    assert tables._main(["--check", *arguments]) == 0
    change(kept, "int8@cpu-1t.bench.json", noise=("busy",))
    assert tables._main(["--check", *arguments]) == 3
    assert tables._main([str(tmp_path / "absent.md")]) == 4


def test_the_commands_answer_with_exit_codes(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "results" / "tiny"
    assert results._main([str(run), str(folder), "--command", COMMAND]) == 0
    assert results._main([str(run), str(folder), "--command", COMMAND]) == 2
    assert "exists" in capsys.readouterr().err


def test_a_board_shows_the_records_that_were_not_evaluated_too(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "peers"
    folder.mkdir(parents=True)
    for record in (one_record(), one_record(threads=2)):
        write_json(folder / file_name(record), record)
    marked = "<!-- board:peers -->\n<!-- /table -->\n"
    filled = fill(marked, folder.parent)
    assert filled == f"<!-- board:peers -->\n{markdown(read_board(folder))}<!-- /table -->\n"
    assert len([line for line in filled.splitlines() if line.startswith("| ")]) == 4
    page = tmp_path / "page.md"
    page.write_text(filled.replace("| 2 |", "| 3 |"), encoding="utf-8")
    assert drifted([page], folder.parent) != []


def test_no_table_of_this_repository_has_drifted() -> None:
    root = Path(__file__).resolve().parents[2]
    kept = root / "bench" / "results"
    if not kept.is_dir():
        pytest.skip("bench/results holds no kept results yet")
    files = [
        path
        for pattern in ("*.md", "bench/*.md", "bench/results/*/*.md", "converters/*.md")
        for path in sorted(root.glob(pattern))
    ]
    assert root / "README.md" in files
    assert drifted(files, kept) == []
