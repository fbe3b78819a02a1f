"""The station `report`: the records of a run as a page, a text and a model card.

    <report>/index.html      one file, nothing to fetch: styles and figures are inside
    <report>/report.md       the same as text
    <report>/model_card.md   after Mitchell et al. 2019 (FAT*)
    <report>/figures/*.svg   the figures alone

Only records are read, no network is run: every number on the page stands in a file of the run.
"""

from __future__ import annotations

from pathlib import Path

from edgekd.card import INTENDED_USE
from edgekd.config import ReportConfig
from edgekd.console import log
from edgekd.plain import write_text
from edgekd.report import explained, files, images, origin, quality, timing, verdicts
from edgekd.report.blocks import Figure, Page, Section
from edgekd.report.model_card import model_card
from edgekd.report.records import Records, read_records
from edgekd.report.render import render

PAGE, TEXT, CARD, FIGURES = "index.html", "report.md", "model_card.md", "figures"


def report(*, run: Path, config: ReportConfig, out: Path) -> dict[str, float]:
    """Write the pages of the run folder `run` below `out`; how many figures, and how many records missing.

    A record that is missing or unreadable is named on the page; the rest is shown.

    Raises:
        MissingExtraError: matplotlib or jinja2 is not installed.
    """
    records = read_records(run)
    page = compose(records, config, explained.explained_section(run))
    drawn = [block for part in page.sections for block in part.blocks if isinstance(block, Figure)]
    (out / FIGURES).mkdir(parents=True, exist_ok=True)
    for figure in drawn:
        write_text(out / FIGURES / f"{figure.name}.svg", figure.svg)
    write_text(out / PAGE, render("index.html.j2", page=page))
    write_text(out / TEXT, render("report.md.j2", page=page))
    write_text(out / CARD, render("model_card.md.j2", card=model_card(records, page)))
    for line in page.missing:
        log.warning("report: %s", line)
    return {"figures": float(len(drawn)), "missing": float(len(page.missing))}


def compose(records: Records, config: ReportConfig, asked_for: Section | None = None) -> Page:
    """The page of `records`: sections without a record behind them are left out.

    `asked_for` is what stands on the page only because somebody wanted it.
    """
    experiment = records.experiment
    sections = (
        files.files_section(records),
        verdicts.verdict_section(records),
        quality.accuracy_section(records),
        quality.errors_section(records),
        quality.calibration_section(records),
        quality.subgroup_section(records),
        asked_for,
        images.data_section(records),
        origin.training_section(records),
        timing.bench_section(records),
        origin.provenance_section(records),
    )
    kept: tuple[Section, ...] = tuple(section for section in sections if section is not None)
    return Page(
        title=config.title or (experiment.name if experiment else "edgekd"),
        subtitle=files.circumstances(records),
        intended_use=INTENDED_USE,
        tiles=files.tiles(records),
        missing=records.missing,
        sections=kept,
    )
