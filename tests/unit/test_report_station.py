"""The pages of an INVENTED run: complete, self-contained, the same every time, calm about gaps."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from edgekd.config import ReportConfig
from edgekd.report.station import report
from fake_run import build_run, read, write_json_at

NOTICE = "a research tool, not a medical device"
FIGURES = {"calibration", "costs", "differences", "net_benefit", "roc", "training"}
TOOLS = ("matplotlib", "jinja2")


@pytest.fixture(autouse=True)
def _needs_the_extra() -> None:
    for tool in TOOLS:
        pytest.importorskip(tool, reason=f"{tool} is not installed (extra: report)")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_run(tmp_path_factory.mktemp("run"), n=400)


@pytest.fixture(scope="module")
def pages(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(whole, tmp_path_factory.mktemp("report"))


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


def written(run: Path, out: Path, title: str = "") -> Path:
    out.mkdir(exist_ok=True)
    report(run=run, config=ReportConfig(title=title), out=out)
    return out


def text(folder: Path, name: str) -> str:
    return (folder / name).read_text(encoding="utf-8")


class Outline(HTMLParser):
    """Checks that elements are closed in order, and collects ids, links and references."""

    VOID = frozenset({"meta", "br", "hr", "img", "link", "input"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.wanted: set[str] = set()
        self.outside: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._collect(dict(attrs))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._collect(dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def _collect(self, attributes: dict[str, str | None]) -> None:
        if attributes.get("id"):
            self.ids.append(str(attributes["id"]))
        self.wanted |= set((attributes.get("aria-labelledby") or "").split())
        for name in ("href", "xlink:href", "src"):
            target = attributes.get(name) or ""
            if target.startswith("#"):
                self.wanted.add(target[1:])
            elif target:
                self.outside.append(target)


class TestWholeRun:
    def test_everything_is_written(self, whole: Path, pages: Path) -> None:
        names = {path.relative_to(pages).as_posix() for path in pages.rglob("*") if path.is_file()}
        assert names == {"index.html", "report.md", "model_card.md"} | {
            f"figures/{name}.svg" for name in FIGURES
        }
        assert "What is missing" not in text(pages, "index.html")

    def test_metrics(self, whole: Path, tmp_path: Path) -> None:
        assert report(run=whole, config=ReportConfig(), out=tmp_path) == {"figures": 6.0, "missing": 0.0}

    def test_the_run_is_not_touched(self, run: Path, tmp_path: Path) -> None:
        before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
        written(run, tmp_path / "report")
        assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before

    def test_the_page_is_well_formed_and_its_references_hold(self, pages: Path) -> None:
        outline = Outline(text(pages, "index.html"))
        assert outline.open == []
        assert len(outline.ids) == len(set(outline.ids))
        assert outline.wanted <= set(outline.ids)
        assert {"title", "main", "nav", "caption", "figcaption", "svg"} <= outline.tags

    def test_the_page_needs_nothing_from_outside(self, pages: Path) -> None:
        page = text(pages, "index.html")
        outline = Outline(page)
        assert outline.outside == []
        assert not {"script", "link", "img", "iframe"} & outline.tags
        assert not re.search(r"@import|url\((?!#)", page)

    def test_another_process_gives_the_same_bytes(self, whole: Path, pages: Path, tmp_path: Path) -> None:
        code = (
            "import sys; from pathlib import Path; from edgekd.config import ReportConfig;"
            "from edgekd.report.station import report;"
            "report(run=Path(sys.argv[1]), config=ReportConfig(), out=Path(sys.argv[2]))"
        )
        env = {**os.environ, "PYTHONHASHSEED": "4711", "SOURCE_DATE_EPOCH": "0"}
        subprocess.run([sys.executable, "-c", code, whole, tmp_path], check=True, env=env)
        for path in sorted(pages.rglob("*.*")):
            assert (tmp_path / path.relative_to(pages)).read_bytes() == path.read_bytes(), path

    @pytest.mark.parametrize("name", sorted(FIGURES))
    def test_figures_are_svg_without_dates(self, pages: Path, name: str) -> None:
        svg = text(pages, f"figures/{name}.svg")
        assert ET.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - our own file
        assert "<dc:date>" not in svg
        assert "var(--" not in svg
        assert "<text" in svg

    @pytest.mark.parametrize("name", ["index.html", "report.md", "model_card.md"])
    def test_every_page_says_what_it_is_not(self, pages: Path, name: str) -> None:
        assert NOTICE in text(pages, name)

    @pytest.mark.parametrize("name", ["report.md", "model_card.md"])
    def test_markdown_tables_have_rows_of_one_width(self, pages: Path, name: str) -> None:
        width = 0
        for line in text(pages, name).splitlines():
            if not line.startswith("|"):
                width = 0
                continue
            cells = len(re.findall(r"(?<!\\)\|", line))
            assert width in (0, cells), line
            width = cells


class TestNumbers:
    def test_each_file_has_its_figures(self, whole: Path, pages: Path) -> None:
        page = text(pages, "index.html")
        for precision in ("fp32", "fp16", "dynamic", "int8"):
            record: Any = read(whole / "verify" / precision / "evaluation.json")
            for figure in ("auc", "sensitivity", "specificity"):
                assert f"{record[figure]['value']:.3f}" in page
            counts = record["confusion"]
            assert f"{counts['true_positive']} of {record['n_positive']}" in page
            assert f"{record['operating_point']['threshold']:.3f}".replace("-", "−") in page

    def test_every_missed_lesion_is_named(self, whole: Path, pages: Path) -> None:
        for path in [*whole.glob("*/evaluation.json"), *whole.glob("verify/*/evaluation.json")]:
            for image_id in json.loads(path.read_text(encoding="utf-8"))["false_negatives"]:
                assert f"<li>{image_id}</li>" in text(pages, "index.html")
                assert image_id.replace("_", "\\_") in text(pages, "report.md")

    def test_circumstances_stand_beside_the_numbers(self, whole: Path, pages: Path) -> None:
        record = read(whole / "distill" / "evaluation.json")
        page = text(pages, "index.html")
        assert f"test split, n = {record['n']} images, {record['n_positive']} malignant" in page
        for fact in ("Invented CPU @ 2.00 GHz", "ai-edge-litert 2.1.6", "wilson(0.95)", "p90 5.19"):
            assert fact in page

    def test_few_positives_noise_and_failures_are_marked(self, pages: Path) -> None:
        page = text(pages, "index.html")
        assert '<span class="badge open">too few</span>' in page
        assert "others used 14 % of the processor time" in page
        assert "the process died (INVENTED)" in page

    def test_what_was_left_out_is_told(self, pages: Path) -> None:
        page = text(pages, "index.html")
        assert "invented_99999 (archive): near identical" in page
        assert "Train, validation and test share nothing" in page

    def test_commands_and_settings(self, pages: Path) -> None:
        page = text(pages, "index.html")
        assert "edgekd run invented --out runs/invented" in page
        assert "/somewhere/bin" not in page
        assert "data.sources.clinic.count = 900" in page


class TestUntrustedText:
    EVIL = '<script>alert("1")</script>'

    def test_ids_titles_and_names_cannot_inject(self, run: Path, tmp_path: Path) -> None:
        for path in [*run.glob("*/evaluation.json"), *run.glob("verify/*/evaluation.json")]:
            record = read(path)
            record["false_negatives"] = [self.EVIL, "a|b`c", "[x](javascript:alert)"]
            record["engine"] = {"name": self.EVIL}
            write_json_at(path, record)
        verdict: Any = read(run / "verify" / "int8" / "verdict.json")
        verdict["discordant"][0]["image_id"] = verdict["reasons"][0]["message"] = self.EVIL
        verdict["worst_subgroup"]["value"] = self.EVIL
        write_json_at(run / "verify" / "int8" / "verdict.json", verdict)
        card = read(run / "verify" / "int8" / "card.json")
        write_json_at(run / "verify" / "int8" / "card.json", {**card, "limits": [self.EVIL]})
        out = written(run, tmp_path / "report", title=self.EVIL)
        assert "script" not in Outline(text(out, "index.html")).tags
        for name in ("index.html", "report.md", "model_card.md"):
            assert "<script" not in text(out, name)
            assert "&lt;script&gt;" in text(out, name)
        assert "a\\|b\\`c" in text(out, "report.md")
        assert "\\[x\\](javascript:alert)" in text(out, "report.md")

    def test_a_line_break_does_not_end_a_markdown_line(self, run: Path, tmp_path: Path) -> None:
        out = written(run, tmp_path / "report", title="one\n# two")
        assert text(out, "report.md").startswith("# one # two\n")

    def test_a_folder_name_may_hold_anything(self, run: Path, tmp_path: Path) -> None:
        shutil.copytree(run / "verify" / "int8", run / "verify" / "$x_<b>&")
        out = written(run, tmp_path / "report")
        assert Outline(text(out, "index.html")).open == []
        ET.fromstring(text(out, "figures/costs.svg"))  # noqa: S314 - our own file


RECORDS = (
    "experiment.json",
    *(f"data/{name}" for name in ("table.csv", "split.json", "audit.json", "dataset.json", "step.json")),
    *(f"{station}/evaluation.json" for station in ("teach", "distill", "qat")),
    *(f"{station}/predictions.csv" for station in ("teach", "distill", "qat")),
    "teach/metrics.jsonl",
    "export/int8/inspect.json",
    *(f"verify/int8/{name}.json" for name in ("evaluation", "verdict", "parity", "card")),
    "verify/int8/predictions.csv",
)


@pytest.fixture
def sketched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are left empty, for tests of everything around them."""
    monkeypatch.setattr("edgekd.report.figures.draw", lambda paint, height_inches: "<svg ></svg>")


class TestMissing:
    @pytest.mark.usefixtures("sketched")
    @pytest.mark.parametrize("name", RECORDS)
    def test_an_absent_record_is_named(self, run: Path, tmp_path: Path, name: str) -> None:
        (run / name).unlink()
        out = written(run, tmp_path / "report")
        assert f"{name} is not there" in text(out, "index.html")
        assert "What is missing" in text(out, "report.md")

    @pytest.mark.usefixtures("sketched")
    @pytest.mark.parametrize("name", RECORDS)
    def test_an_unreadable_record_is_named(self, run: Path, tmp_path: Path, name: str) -> None:
        (run / name).write_text('{"schema": "edgekd.other/9"}', encoding="utf-8")
        assert f"{name} is not readable" in text(written(run, tmp_path / "report"), "index.html")

    def test_a_damaged_benchmark_is_named(self, run: Path, tmp_path: Path) -> None:
        (run / "bench" / "int8@cpu-1t.json").write_bytes(b"\xff\xfe")
        page = text(written(run, tmp_path / "report"), "index.html")
        assert "bench/int8@cpu-1t.json is not readable" in page

    def test_no_benchmark(self, run: Path, tmp_path: Path) -> None:
        shutil.rmtree(run / "bench")
        page = text(written(run, tmp_path / "report"), "index.html")
        assert "bench/int8@&lt;backend&gt;-&lt;threads&gt;t.json is not there" in page
        assert "How it was timed" not in page

    @pytest.mark.parametrize("gone", [("data",), ("distill", "export"), ("teach", "qat", "verify")])
    def test_figures_are_drawn_from_what_is_left(
        self, run: Path, tmp_path: Path, gone: tuple[str, ...]
    ) -> None:
        for station in gone:
            shutil.rmtree(run / station)
        out = written(run, tmp_path / "report")
        assert Outline(text(out, "index.html")).open == []
        assert list((out / "figures").glob("*.svg"))

    def test_an_empty_folder_still_gives_a_page(self, tmp_path: Path) -> None:
        (tmp_path / "run").mkdir()
        out = written(tmp_path / "run", tmp_path / "report")
        page = text(out, "index.html")
        assert "experiment.json is not there" in page
        assert NOTICE in page
        assert Outline(page).open == []
        assert NOTICE in text(out, "model_card.md")

    def test_an_undistilled_run_misses_no_teacher(self, run: Path, tmp_path: Path) -> None:
        experiment = json.loads((run / "experiment.json").read_text(encoding="utf-8"))
        experiment["distill"]["method"] = "none"
        write_json_at(run / "experiment.json", experiment)
        shutil.rmtree(run / "teach")
        page = text(written(run, tmp_path / "report"), "index.html")
        assert "What is missing" not in page
        assert "teacher, AUC" not in page

    def test_the_teachers_of_folds_have_a_curve_each(self, run: Path, tmp_path: Path) -> None:
        epochs = run / "teach" / "metrics.jsonl"
        for fold in ("fold-0", "fold-1"):
            (run / "teach" / fold).mkdir()
            shutil.copyfile(epochs, run / "teach" / fold / "metrics.jsonl")
        epochs.unlink()
        out = written(run, tmp_path / "report")
        page = text(out, "index.html")
        assert "What is missing" not in page
        assert "teach/fold-0" in page and "teach/fold-1" in page
        assert text(out, "figures/training.svg").count(">teacher<") == 1

    def test_a_core_ml_package_has_a_size_and_misses_no_benchmark(self, run: Path, tmp_path: Path) -> None:
        experiment = json.loads((run / "experiment.json").read_text(encoding="utf-8"))
        names = experiment["export"]["precisions"]
        experiment["export"]["precisions"] = ["coreml-fp16" if name == "fp16" else name for name in names]
        write_json_at(run / "experiment.json", experiment)
        for station in ("export", "verify"):
            (run / station / "fp16").rename(run / station / "coreml-fp16")
        (run / "export" / "coreml-fp16" / "model.mlpackage").mkdir()
        inspection = run / "export" / "coreml-fp16" / "inspect.json"
        write_json_at(inspection, {"schema": "edgekd.inspect-coreml/1", "size_bytes": 927_654})
        for path in (run / "bench").glob("fp16@*"):
            path.unlink()
        page = text(written(run, tmp_path / "report"), "index.html")
        assert "What is missing" not in page
        assert "0.93" in page and "coreml-fp16" in page

    def test_a_figure_that_is_undefined_is_a_dash(self, run: Path, tmp_path: Path) -> None:
        path = run / "verify" / "int8" / "evaluation.json"
        record = json.loads(path.read_text(encoding="utf-8"))
        nothing = {"value": None, "low": None, "high": None, "method": "wilson(0.95)"}
        write_json_at(
            path,
            {
                **record,
                "auc": nothing,
                "sensitivity": nothing,
                "calibration_slope": None,
                "predictive_values": [],
            },
        )
        assert "int8, AUC undefined" in text(written(run, tmp_path / "report"), "figures/roc.svg")


def test_importing_the_station_loads_no_heavy_package() -> None:
    code = (
        "import sys, edgekd.report.station;"
        "heavy = ('tensorflow', 'tf_keras', 'matplotlib', 'jinja2', 'ai_edge_litert');"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
