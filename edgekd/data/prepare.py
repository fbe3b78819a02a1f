"""The data station: from labelled images anywhere to a table, a split, an audit and prepared pixels.

    out/table.csv split.json audit.json      what survived, who is where and what was left out, what was found
    out/store/<split>/…                      the pixels (`edgekd.data.store`), also at the teacher's side
    out/dataset.json                         written last: what later stations need to know

The split is drawn before any image is opened, for it decides the size an image is stored at; leaks between
splits are only seen in the pixels. An image that then must go loses its row, its record is not used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

from edgekd.config import DataConfig
from edgekd.console import log
from edgekd.data import shards
from edgekd.data.audit import ImageFacts, audit, links_of
from edgekd.data.dataset import describe, store_folder
from edgekd.data.leaks import Reason, leak_drops
from edgekd.data.source import DataSource, open_source
from edgekd.data.split import Assignment, SplitRecord, assign_splits, check_splits, split_record
from edgekd.data.store import write_manifest
from edgekd.data.synthesised import require_unseen
from edgekd.data.table import Row, Split, read_table, write_table
from edgekd.errors import storage_errors
from edgekd.plain import digest, write_json


def fingerprint(config: DataConfig, seed: int) -> str:
    """A sha256 that changes when an image or label of any source does; no image is read.

    Raises:
        DataError: a source is missing or contradicts itself.
    """
    return _fingerprint(_open(config, seed))


def prepare(*, config: DataConfig, seed: int, out: Path) -> dict[str, float]:
    """Prepare the data set `config` describes in the folder `out`, and count what is in it.

    Repeated after a kill, it goes on from the shards that were finished; the bytes do not depend on that,
    nor on the number of workers.

    Raises:
        DataError: a source is missing or contradicts itself, images cannot be read, or a split is of no use.
        StorageError: the disk is full or cannot be written.
    """
    sources = _open(config, seed)
    assignment = _assign(sources, config, seed)
    check_splits(assignment.rows)
    require_unseen(sources.values(), assignment.rows)
    with storage_errors(out):
        jobs = _plan(assignment.rows, config, out, _fingerprint(sources))
        facts = _store(jobs, sources, config.workers)
        found = [facts[row.image_id] for row in assignment.rows]
        record = _record(assignment, found, config, seed, out, sources=sources)
        rows = read_table(out / "table.csv")
        write_json(out / "dataset.json", describe(record, config, rows))
        for part in jobs:
            shards.forget(part)
    return {**_counts(record), "train_synthetic": float(sum(row.parent is not None for row in rows))}


def _open(config: DataConfig, seed: int) -> dict[str, DataSource]:
    return {
        source.name: open_source(source, malignant=config.malignant, seed=seed) for source in config.sources
    }


def _assign(sources: Mapping[str, DataSource], config: DataConfig, seed: int) -> Assignment:
    """Every row of the `sources` with its split, and what they leave out."""
    rows = [row for source in sources.values() for row in source.rows()]
    left_out = [one for source in sources.values() for one in source.left_out()]
    return assign_splits(rows, config, seed, left_out)


def _fingerprint(sources: Mapping[str, DataSource]) -> str:
    return digest({name: source.fingerprint() for name, source in sources.items()})


def _plan(rows: Sequence[Row], config: DataConfig, out: Path, content: str) -> list[tuple[shards.Job, ...]]:
    """The jobs of every store."""
    jobs = []
    for split in Split:
        inside = [row for row in rows if row.split is split]
        for folder, px in _stores(split, config, out):
            folder.mkdir(parents=True, exist_ok=True)
            jobs.append(shards.plan(folder, inside, px=px, fingerprint=content, hair=config.hair))
    return jobs


def _stores(split: Split, config: DataConfig, out: Path) -> list[tuple[Path, int]]:
    """Where the images of `split` are stored, and at which side."""
    if split is Split.TRAIN:
        return [(store_folder(out, split), config.train_px)]
    closer = config.teacher_px not in (0, config.input_px)
    again = [(store_folder(out, split, config.teacher_px), config.teacher_px)] if closer else []
    return [(store_folder(out, split), config.input_px), *again]


def _store(
    jobs: Sequence[tuple[shards.Job, ...]], sources: Mapping[str, DataSource], workers: int
) -> dict[str, ImageFacts]:
    """Make all shards, whatever their store, then the manifest of each store; the facts by image id."""
    made = shards.make([job for part in jobs for job in part], sources, workers=workers)
    finished = iter(made)
    for part in jobs:
        write_manifest(
            part[0].path.parent,
            px=part[0].px,
            image_ids=[row.image_id for job in part for row in job.rows],
            shards=[one.shard for one in islice(finished, len(part))],
        )
    return {facts.image_id: facts for one in made for facts in one.facts}


def _record(
    assignment: Assignment,
    facts: Sequence[ImageFacts],
    config: DataConfig,
    seed: int,
    out: Path,
    *,
    sources: Mapping[str, DataSource],
) -> SplitRecord:
    """Look for leaks, drop them, and write table, split and audit."""
    links = links_of(facts, config.workers)
    leaks = leak_drops(assignment.rows, links) if config.drop_leaks else ()
    require_unseen(sources.values(), assignment.rows, links if config.drop_leaks else ())
    gone = {leak.image_id for leak in leaks}
    kept = [row for row in assignment.rows if row.image_id not in gone]
    record = split_record(kept, (*assignment.dropped, *leaks), links, seed)
    write_json(out / "audit.json", audit(assignment.rows, facts, links, input_px=config.input_px))
    write_json(out / "split.json", record)
    write_table(out / "table.csv", kept)
    if record.dropped:
        log.warning("%d images left out, see split.json: %s", len(record.dropped), _told(record))
    log.info("%s", record.disjointness.statement)
    return record


def _reasons(record: SplitRecord) -> Counter[Reason]:
    """How many images were left out for which reason."""
    return Counter(one.reason for one in record.dropped)


def _told(record: SplitRecord) -> str:
    return ", ".join(
        f"{count} {reason.replace('_', ' ')}" for reason, count in _reasons(record).most_common()
    )


def _counts(record: SplitRecord) -> dict[str, float]:
    """Images and malignant images of each split, and how many were left out, and why."""
    reasons = {f"dropped_{reason}": float(count) for reason, count in sorted(_reasons(record).items())}
    found: dict[str, float] = {"dropped": float(len(record.dropped)), **reasons}
    for split, classes in record.counts.items():
        sizes = {name: float(sum(sources.values())) for name, sources in classes.items()}
        found[f"{split}_images"] = sum(sizes.values())
        found[f"{split}_malignant"] = sum(sizes[name] for name in record.malignant)
    return found
