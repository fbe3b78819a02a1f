"""What is wrong with a data set: unreadable and suspicious images, copies, leaks, and who is (not) in it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from edgekd.console import progress
from edgekd.data.census import UNDIVIDED, UNKNOWN, SourceCensus, census, split_counts
from edgekd.data.leaks import PRECEDENCE, Link, Reason, image_links
from edgekd.data.parallel import in_processes
from edgekd.data.signature import SIDE, signature
from edgekd.data.source import DataSource
from edgekd.data.table import Row, Split
from edgekd.errors import ImageError

SCHEMA = "edgekd.audit/1"
_TINY_PX, _INPUT_PX = 64, 224
_LONG = 2.5
_FLAT = 4.0
_DARK, _BRIGHT = 20.0, 245.0
_CHUNK = 16
_SHOWN, _MOST = 50, 6


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """What the audit keeps of one image, a kilobyte and a half.

    `sha256` of size and pixels; `mean` and `std` of the grey values 0 to 255; `signature` the base64 of
    `edgekd.data.signature`. With `error` the rest is empty.
    """

    image_id: str
    sha256: str = ""
    width: int = 0
    height: int = 0
    mean: float = 0.0
    std: float = 0.0
    signature: str = ""
    error: str = ""

    def thumbnail(self) -> NDArray[np.uint8]:
        """The signature as the uint8 [32, 32] it encodes."""
        return np.frombuffer(base64.b64decode(self.signature), np.uint8).reshape(SIDE, SIDE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One image and what is the matter with it."""

    image_id: str
    source: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Two images that show the same picture; `dropped` is the one a run leaves out, where they are a leak."""

    first: str
    first_split: str
    first_diagnosis: str
    second: str
    second_split: str
    second_diagnosis: str
    reason: Reason
    distance: float | None
    dropped: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """`audit.json`. `identical` groups of ids with equal pixels; `leaks` the matches across splits."""

    schema: str
    images: int
    unreadable: tuple[Finding, ...]
    suspicious: tuple[Finding, ...]
    identical: tuple[tuple[str, ...], ...]
    near_identical: tuple[Match, ...]
    leaks: tuple[Match, ...]
    contradictions: tuple[Match, ...]
    counts: Mapping[str, Mapping[str, int]]
    sources: Mapping[str, SourceCensus]


def inspect_image(image: NDArray[np.uint8], image_id: str) -> ImageFacts:
    """The facts of one decoded image, RGB [H, W, 3]."""
    height, width = image.shape[:2]
    whole = hashlib.sha256(f"{width}x{height}".encode())
    whole.update(np.ascontiguousarray(image).data)
    thumbnail = signature(image)
    return ImageFacts(
        image_id=image_id,
        sha256=whole.hexdigest(),
        width=width,
        height=height,
        mean=round(float(thumbnail.mean()), 2),
        std=round(float(thumbnail.std()), 2),
        signature=base64.b64encode(thumbnail.tobytes()).decode(),
    )


def gather_facts(source: DataSource, rows: Sequence[Row], workers: int = 0) -> tuple[ImageFacts, ...]:
    """The facts of every row of `source`, in order, read by `workers` processes (0: one per core).

    Raises:
        DataError: a process was killed.
    """
    chunks = [tuple(rows[begin : begin + _CHUNK]) for begin in range(0, len(rows), _CHUNK)]
    facts: list[ImageFacts] = []
    with progress(f"audit {source.name}", len(rows), "images") as advance:
        for found in in_processes(partial(_inspect_rows, source), chunks, workers=workers):
            facts += found
            advance(len(found), "")
    return tuple(facts)


def links_of(facts: Sequence[ImageFacts], workers: int = 0) -> tuple[Link, ...]:
    """The links between the readable images: equal pixels, and the same picture; by `workers` threads."""
    seen = [one for one in facts if not one.error]
    ids = [one.image_id for one in seen]
    thumbnails = np.empty((len(seen), SIDE, SIDE), np.uint8)
    for number, one in enumerate(seen):
        thumbnails[number] = one.thumbnail()
    return image_links(ids, [one.sha256 for one in seen], thumbnails, workers=workers)


def audit(
    rows: Sequence[Row],
    facts: Sequence[ImageFacts],
    links: Sequence[Link] | None = None,
    *,
    input_px: int = _INPUT_PX,
) -> AuditRecord:
    """The record of `rows` and their `facts`, index for index; `links` are `links_of(facts)`, if known.

    An image smaller than the network's `input_px` is suspicious.
    """
    known = {row.image_id: (row, one) for row, one in reversed(list(zip(rows, facts, strict=True)))}
    if links is None:
        links = links_of([one for _, one in known.values()])
    matches = [_match(link, known[link.first][0], known[link.second][0]) for link in links]
    return AuditRecord(
        schema=SCHEMA,
        images=len(rows),
        unreadable=tuple(_findings(rows, facts, lambda one: one.error)),
        suspicious=(*_findings(rows, facts, partial(_suspicion, input_px)), *_repeated(rows)),
        identical=_identical([one for _, one in known.values()]),
        near_identical=tuple(match for match in matches if match.reason is Reason.NEAR_IDENTICAL),
        leaks=tuple(match for match in matches if match.dropped is not None),
        contradictions=tuple(match for match in matches if match.first_diagnosis != match.second_diagnosis),
        counts=split_counts(rows),
        sources=census(rows, [None if one.error else f"{one.width}x{one.height}" for one in facts]),
    )


def _inspect_rows(source: DataSource, rows: tuple[Row, ...]) -> list[ImageFacts]:
    return [_inspect_row(source, row) for row in rows]


def _inspect_row(source: DataSource, row: Row) -> ImageFacts:
    try:
        return inspect_image(source.image(row), row.image_id)
    except ImageError as error:
        return ImageFacts(image_id=row.image_id, error=error.reason)


def _findings(
    rows: Sequence[Row], facts: Sequence[ImageFacts], reason: Callable[[ImageFacts], str]
) -> Iterator[Finding]:
    for row, one in zip(rows, facts, strict=True):
        text = reason(one)
        if text:
            yield Finding(image_id=row.image_id, source=row.source, reason=text)


def _suspicion(input_px: int, facts: ImageFacts) -> str:
    """What is odd about an image; empty where nothing is."""
    if facts.error:
        return ""
    short, long = sorted((facts.width, facts.height))
    size = f"{facts.width} × {facts.height} pixels"
    found = {
        f"tiny: {size}": short < min(_TINY_PX, input_px),
        f"small: {size}, it will be enlarged": min(_TINY_PX, input_px) <= short < input_px,
        f"long: {size}, the centre square leaves most of it out": long > _LONG * short,
        f"nearly one colour: standard deviation {facts.std:g} of 255": facts.std < _FLAT,
        f"nearly black: mean {facts.mean:g} of 255": facts.mean < _DARK,
        f"nearly white: mean {facts.mean:g} of 255": facts.mean > _BRIGHT,
    }
    return "; ".join(text for text, wrong in found.items() if wrong)


def _repeated(rows: Iterable[Row]) -> Iterator[Finding]:
    """The rows whose id an earlier row has; a run keeps the first."""
    first: dict[str, Row] = {}
    for row in rows:
        known = first.setdefault(row.image_id, row)
        if known is not row:
            yield Finding(
                image_id=row.image_id, source=row.source, reason=f"its id is also in {known.source}"
            )


def _match(link: Link, first: Row, second: Row) -> Match:
    return Match(
        first=first.image_id,
        first_split=first.split or UNDIVIDED,
        first_diagnosis=first.diagnosis,
        second=second.image_id,
        second_split=second.split or UNDIVIDED,
        second_diagnosis=second.diagnosis,
        reason=link.reason,
        distance=link.distance,
        dropped=_lower(first, second),
    )


def _lower(first: Row, second: Row) -> str | None:
    if first.split is None or second.split is None or first.split is second.split:
        return None
    return min(first, second, key=lambda row: PRECEDENCE[row.split or Split.TRAIN]).image_id


def _identical(facts: Iterable[ImageFacts]) -> tuple[tuple[str, ...], ...]:
    groups: dict[str, list[str]] = {}
    for one in facts:
        if not one.error:
            groups.setdefault(one.sha256, []).append(one.image_id)
    return tuple(sorted(tuple(sorted(ids)) for ids in groups.values() if len(ids) > 1))


Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]


def audit_tables(record: AuditRecord) -> list[Table]:
    """The record for people, as (title, columns, rows); what was looked for and not found has no rows."""
    classes = list(dict.fromkeys(name for counts in record.counts.values() for name in counts))
    counted = [(split, *(str(counts[name]) for name in classes)) for split, counts in record.counts.items()]
    return [
        (f"{record.images} images", ("split", *classes), counted),
        ("sources", ("source", "images", "malignant", "lesions", "patients"), _source_lines(record)),
        ("who is in them", ("source", "", "images", "unknown"), _census_lines(record)),
        *_finding_table("unreadable", record.unreadable),
        *_finding_table("suspicious", record.suspicious),
        *_match_table("near-identical", record.near_identical),
        *_match_table("contradicting labels", record.contradictions),
        *_match_table("leaks across splits", record.leaks),
    ]


def _source_lines(record: AuditRecord) -> list[tuple[str, ...]]:
    return [
        (name, *map(str, (source.images, source.malignant, source.lesions, source.patients)))
        for name, source in record.sources.items()
    ]


def _census_lines(record: AuditRecord) -> list[tuple[str, ...]]:
    return [
        (name, kind, _most(counts), f"{counts.get(UNKNOWN, 0) / source.images:.1%}")
        for name, source in record.sources.items()
        for kind, counts in (
            ("age", source.ages),
            ("sex", source.sexes),
            ("site", source.sites),
            ("pixels", source.sizes),
        )
    ]


def _most(counts: Mapping[str, int]) -> str:
    """The largest of `counts`, and how many others there are."""
    known = sorted(
        ((count, name) for name, count in counts.items() if name != UNKNOWN), key=lambda item: -item[0]
    )
    shown = ", ".join(f"{name}: {count}" for count, name in known[:_MOST])
    return shown + (f", {len(known) - _MOST} others" if len(known) > _MOST else "")


def _finding_table(title: str, found: Sequence[Finding]) -> list[Table]:
    lines = [(one.image_id, one.source, one.reason) for one in found[:_SHOWN]]
    return [(_title(title, len(found)), ("image", "source", "reason"), [*lines])]


def _match_table(title: str, found: Sequence[Match]) -> list[Table]:
    columns = ("first", "split", "diagnosis", "second", "split", "diagnosis", "distance", "left out")
    lines: list[tuple[str, ...]] = [
        (
            *(one.first, one.first_split, one.first_diagnosis),
            *(one.second, one.second_split, one.second_diagnosis),
            "identical" if one.distance is None else f"{one.distance:.3f}",
            one.dropped or "",
        )
        for one in found[:_SHOWN]
    ]
    return [(_title(title, len(found)), columns, lines)]


def _title(title: str, count: int) -> str:
    return f"{title}: {count or 'none'}" + (f", the first {_SHOWN}" if count > _SHOWN else "")
