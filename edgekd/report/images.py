"""The section about the images: how many of what, which were left out, and what the audit found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from edgekd.data.audit import AuditRecord, Match
from edgekd.data.leaks import Dropped
from edgekd.data.split import SplitRecord
from edgekd.data.table import Row, Split
from edgekd.report import words
from edgekd.report.blocks import Block, Cell, Listing, Section, Table, row
from edgekd.report.records import Records

_SHOWN = 100


def data_section(records: Records) -> Section | None:
    """How many images of what, and which were left out; None without the table."""
    if not records.rows:
        return None
    blocks: list[Block] = [_split_table(records.rows), _diagnosis_table(records)]
    if len({line.source for line in records.rows}) > 1:
        blocks.append(_source_table(records.rows))
    if records.split is not None:
        blocks += _left_out(records.split)
    if records.audit is not None:
        blocks += _findings(records.audit)
    told = records.split.disjointness.statement if records.split else "split.json is missing"
    lead = f"{told[0].upper()}{told[1:]}."
    return Section(anchor="data", title="The images", lead=lead, blocks=tuple(blocks))


def _split_table(rows: Sequence[Row]) -> Table:
    return Table(
        caption="Images by split; prevalence is the share of malignant images.",
        columns=("split", "images", "malignant", "benign", "prevalence", "patients", "lesions"),
        rows=tuple(_counts(split.value, [r for r in rows if r.split is split]) for split in Split),
    )


def _source_table(rows: Sequence[Row]) -> Table:
    sources = sorted({line.source for line in rows})
    return Table(
        caption="Images by source and split.",
        columns=("source", "images", "malignant", "benign", "prevalence", "patients", "lesions"),
        rows=tuple(
            _counts(f"{source}, {split.value}", part)
            for source in sources
            for split in Split
            if (part := [r for r in rows if r.source == source and r.split is split])
        ),
    )


def _counts(name: str, rows: Sequence[Row]) -> tuple[Cell, ...]:
    malignant = sum(line.malignant for line in rows)
    return row(
        name,
        words.whole(len(rows)),
        words.whole(malignant),
        words.whole(len(rows) - malignant),
        words.share(malignant, len(rows)),
        *(_distinct(getattr(line, field) for line in rows) for field in ("patient", "lesion")),
    )


def _distinct(values: Iterable[str | None]) -> str:
    found = {value for value in values if value is not None}
    return words.whole(len(found)) if found else "unknown"


def _diagnosis_table(records: Records) -> Table:
    counts = Counter((line.diagnosis, line.split) for line in records.rows)
    malignant = {line.diagnosis for line in records.rows if line.malignant}
    names = records.dataset.classes if records.dataset else sorted({line.diagnosis for line in records.rows})
    return Table(
        caption="Images by diagnosis and split.",
        columns=("diagnosis", "counted as", *(split.value for split in Split)),
        rows=tuple(
            row(
                name,
                "malignant" if name in malignant else "benign",
                *(words.whole(counts[name, split]) for split in Split),
            )
            for name in names
        ),
    )


def _left_out(split: SplitRecord) -> tuple[Block, ...]:
    """Why images were left out, and each of them by name."""
    if not split.dropped:
        return ()
    counts = Counter((one.reason, one.split) for one in split.dropped)
    table = Table(
        caption=f"Images left out before training: {len(split.dropped)}. Another image stands for them, "
        "they would connect two splits, or their diagnosis is not known.",
        columns=("reason", "split", "images"),
        rows=tuple(
            row(_plain(reason), where.value if where else "none given", words.whole(count))
            for (reason, where), count in sorted(counts.items(), key=str)
        ),
    )
    return table, Listing(title="images left out", items=_shortened([_dropped(one) for one in split.dropped]))


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _dropped(one: Dropped) -> str:
    distance = "" if one.distance is None else f", distance {one.distance:.3f}"
    where = f" in {one.partner_split}" if one.partner_split else ""
    partner = f", {one.partner}{where}{distance}" if one.partner else ""
    return f"{one.image_id} ({one.source}): {_plain(one.reason)}{partner}"


def _findings(audit: AuditRecord) -> Iterable[Block]:
    """What the audit found before anything was left out."""
    found = {
        "unreadable": [f"{one.image_id} ({one.source}): {one.reason}" for one in audit.unreadable],
        "suspicious": [f"{one.image_id} ({one.source}): {one.reason}" for one in audit.suspicious],
        "identical": [", ".join(group) for group in audit.identical],
        "near-identical": [_match(one) for one in audit.near_identical],
        "contradicting labels": [_match(one) for one in audit.contradictions],
    }
    yield Table(
        caption=f"What the audit found in {words.whole(audit.images)} images, before any was left out.",
        columns=("finding", "count"),
        rows=tuple(row(name, words.whole(len(lines))) for name, lines in found.items()),
    )
    for name, lines in found.items():
        if lines:
            yield Listing(title=f"{name}: {len(lines)}", items=_shortened(lines))


def _match(one: Match) -> str:
    first = f"{one.first} ({one.first_diagnosis}, {one.first_split})"
    return f"{first} – {one.second} ({one.second_diagnosis}, {one.second_split})"


def _shortened(lines: Sequence[str]) -> tuple[str, ...]:
    more = len(lines) - _SHOWN
    rest = (f"and {more} more in the records of the station data",) if more > 0 else ()
    return (*lines[:_SHOWN], *rest)
