"""The table of the published systems: ours from kept records, and "not run" where there are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench_data import ENGINE
from edgekd.plain import write_json
from edgekd_bench import systems
from edgekd_bench.results import keep, read_kept
from edgekd_bench.systems import PUBLISHED, Network, SystemRecord
from edgekd_bench.tables import drifted, fill
from fake_run import build_run

MARKED = "<!-- systems:systems -->\n<!-- /table -->\n"
RECORD = SystemRecord(
    schema=systems.SCHEMA,
    experiment="khan2022",
    sources=("isic2017", "ham10000"),
    input_px=224,
    train=1999,
    engine=ENGINE,
    networks={
        "teach": Network(name="resnet50", parameters=23_591_810, training_seconds=3700, test_seconds=14.55),
        "distill": Network(name="dsnet", parameters=268_898, training_seconds=125, test_seconds=2.57),
        "qat": Network(name="dsnet", parameters=268_898, training_seconds=42, test_seconds=None),
    },
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kept records of one system, and a README that asks for the table."""
    root = tmp_path_factory.mktemp("kept")
    kept = root / "results" / "khan2022"
    keep(build_run(root / "run", n=400), kept, command="edgekd run khan2022")
    write_json(kept / systems.RECORD, RECORD)
    (root / "results" / "systems").mkdir()
    return root / "results"


def rows(results: Path) -> list[list[str]]:
    lines = [line for line in fill(MARKED, results).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_system_has_its_row_and_what_was_not_run_says_so(results: Path) -> None:
    found = rows(results)
    assert {len(row) for row in found} == {len(found[0])}
    by_title = {row[0]: row for row in found[2:] if row[0]}
    assert list(by_title) == [system.title for system in PUBLISHED]
    for system in PUBLISHED:
        row = by_title[system.title]
        assert row[1:3] == [system.reported, system.reading]
        assert (row[3] == "not run") == (system.experiment != "khan2022")


def test_a_system_that_was_run_shows_network_size_and_times(results: Path) -> None:
    head, *body = rows(results)
    where = {name: number for number, name in enumerate(head)}
    first = next(number for number, row in enumerate(body) if row[0].startswith("B. "))
    teacher, student, file = body[first : first + 3]
    assert teacher[where["data here"]] == "isic2017 + ham10000, 1,999 images, 224 px"
    assert [row[where["network"]] for row in (teacher, student, file)] == [
        "teach: resnet50",
        "distill: dsnet",
        "int8: dsnet",
    ]
    assert teacher[where["training"]] == "1 h 01 min" and student[where["training"]] == "2 min 05 s"
    assert [row[where["test split"]] for row in (teacher, student, file)] == ["14.6 s", "2.6 s", "–"]
    assert student[where["parameters"]] == "268,898"
    kept = {artefact.name: artefact for artefact in read_kept(results / "khan2022")}
    said = kept["distill"].evaluation
    assert student[where["AUC"]].startswith(f"{said.auc.value:.3f} [")
    assert student[where["test n (malignant)"]] == f"{said.n} ({said.n_positive})"
    right = said.confusion.true_positive + said.confusion.true_negative
    assert student[where["accuracy"]].startswith(f"{right / said.n:.3f} [")
    assert file[where["kB"]] == f"{(kept['int8'].size_bytes or 0) / 1000:.0f}"
    assert file[where["ms"]][0].isdigit() and student[where["ms"]] == "–"


def test_the_table_drifts_when_a_record_changes(results: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(fill(MARKED, results), encoding="utf-8")
    assert drifted([readme], results) == []
    readme.write_text(readme.read_text(encoding="utf-8").replace("268,898 |", "268,899 |"), encoding="utf-8")
    assert len(drifted([readme], results)) == 1


def test_without_kept_records_nothing_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert systems._main([str(tmp_path), str(tmp_path / "absent")]) == 4
    assert "no kept results" in capsys.readouterr().err
