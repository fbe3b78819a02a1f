"""From a prepared run to a folder of synthetic malignant images, marked for ever.

    DIR/metrics.jsonl timing.jsonl samples/     the training (`edgekd.training.synthesis.train`)
    DIR/generator.keras generator.json          the generator after the last epoch, and what made it
    DIR/backward.keras                          the one that turns malignant into benign: the control
    DIR/images/000000.png …                     what it made of benign training photographs
    DIR/table.csv                               one row per image, `parent` names the photograph
    DIR/synthesis.json                          written last: how they came about

Only photographs of the training split are opened, here and in training.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.console import log, progress
from edgekd.data.dataset import Dataset
from edgekd.data.sampling import generator as chance
from edgekd.data.synthesised import IMAGES, RECORD, SCHEMA, TABLE, SynthesisRecord, read_record
from edgekd.data.table import Row, Split, write_table
from edgekd.errors import UsageError, storage_errors
from edgekd.models.cyclegan import load_generator
from edgekd.plain import digest, file_digest, from_plain, read_json, to_plain, write_json
from edgekd.runs import tool_versions
from edgekd.training.checkpoint import remove_checkpoint
from edgekd.training.determinism import begin, save_model
from edgekd.training.synthesis.config import SynthesisConfig
from edgekd.training.synthesis.gan import translate
from edgekd.training.synthesis.pictures import write_png
from edgekd.training.synthesis.train import Kinds, find_kinds, pictures, train

GENERATOR, BACKWARD, TRAINED = "generator.keras", "backward.keras", "generator.json"

_SOURCE = "synthesised"
_TOOLS = ("tensorflow", "tf-keras", "numpy", "opencv-python-headless")
_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class Trained:
    """`generator.json`: the generator in `sha256` after `epochs` in `steps`, and a digest of its training."""

    training: str
    sha256: str
    epochs: int
    steps: int


def synthesise(
    *,
    dataset: Dataset,
    run: str,
    config: SynthesisConfig,
    seed: int,
    out: Path,
    force: bool = False,
    minutes: float = 0.0,
) -> SynthesisRecord | None:
    """The record of the synthetic images of `dataset` in `out`; None where `minutes` ended the training.

    `run` is the name of the experiment. What is there and still the same is kept, a killed or paused training
    goes on; with the same training and another `count` only the images are made anew.

    Raises:
        UsageError: `out` holds the images of another training (unless `force`), or there are fewer benign
            photographs than images wanted.
        ContractError: training diverged.
        StorageError: the disk is full or cannot be written.
    """
    kinds = find_kinds(dataset, config.diagnosis)
    count = _count(kinds, config)
    training = digest([_training(config), kinds.diagnosis, seed, dataset.train_px, kinds.ids()])
    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        if force:
            _forget(out)
        known = _known(out, training)
        if known is not None and known.images == count:
            log.info("%s holds these images already", out)
            return known
        trained = _trained(kinds, config, seed=seed, training=training, out=out, minutes=minutes)
        if trained is None:
            return None
        (out / RECORD).unlink(missing_ok=True)
        rows = _make(kinds, config, seed=seed, count=count, mark=trained.sha256[:8], out=out)
        table = {"table_sha256": file_digest(out / TABLE), "data_table_sha256": _table_digest(dataset)}
        record = SynthesisRecord(
            schema=SCHEMA,
            run=run,
            training=training,
            generator_sha256=trained.sha256,
            train_ids_sha256=_ids_digest(kinds),
            seen=kinds.ids(),
            diagnosis=kinds.diagnosis,
            px=config.px,
            epochs=trained.epochs,
            steps=trained.steps,
            seed=seed,
            benign=len(kinds.benign),
            malignant=kinds.all_malignant(),
            images=len(rows),
            config=to_plain(config),
            tools=tool_versions(_TOOLS),
            **table,
        )
        write_json(out / RECORD, record)
    return record


def _training(config: SynthesisConfig) -> dict[str, Any]:
    """What of `config` the generator depends on; the diagnosis found stands for the one asked for."""
    return {name: value for name, value in to_plain(config).items() if name not in ("count", "diagnosis")}


def _table_digest(dataset: Dataset) -> str:
    return file_digest(dataset.folder / "table.csv")


def _ids_digest(kinds: Kinds) -> str:
    ids = sorted(row.image_id for row in kinds.samples.rows if row.parent is None)
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


def _count(kinds: Kinds, config: SynthesisConfig) -> int:
    """How many images to make: as many as asked for, or as the malignant photographs are short."""
    benign, malignant = len(kinds.benign), kinds.all_malignant()
    count = config.count or benign - malignant
    if not 0 < count <= benign:
        raise UsageError(
            f"{count} images wanted of {benign} benign photographs beside {malignant} malignant ones: each "
            f"benign one is turned once, give --count 1 to {benign}"
        )
    return count


def _forget(out: Path) -> None:
    for name in (RECORD, TRAINED):
        (out / name).unlink(missing_ok=True)
    remove_checkpoint(out)


def _known(out: Path, training: str) -> SynthesisRecord | None:
    """The record in `out`, if all it speaks of is there and of the training that is wanted."""
    if not (out / RECORD).exists():
        return None
    record = read_record(out)
    if record.training != training:
        raise UsageError(f"{out} holds images of another training: choose another --out, or --force")
    files = {GENERATOR: record.generator_sha256, TABLE: record.table_sha256}
    return record if all(_holds(out / name, found) for name, found in files.items()) else None


def _holds(path: Path, sha256: str) -> bool:
    return path.is_file() and file_digest(path) == sha256


def _trained(
    kinds: Kinds, config: SynthesisConfig, *, seed: int, training: str, out: Path, minutes: float
) -> Trained | None:
    """The finished generator in `out`, trained now if it is not there; None if time ran out."""
    found = _found(out)
    if found is not None and found.training == training:
        return found
    begin(seed)
    gan, history = train(kinds, config, seed=seed, identity=training, out=out, minutes=minutes)
    if len(history) < config.epochs:
        return None
    save_model(gan.to_benign, out / BACKWARD)
    save_model(gan.to_malignant, out / GENERATOR)
    made = Trained(
        training=training,
        sha256=file_digest(out / GENERATOR),
        epochs=len(history),
        steps=history[-1].step,
    )
    write_json(out / TRAINED, made)
    remove_checkpoint(out)
    return made


def _found(out: Path) -> Trained | None:
    try:
        found = from_plain(Trained, read_json(out / TRAINED), TRAINED)
    except (OSError, ValueError, UsageError):
        return None
    return found if _holds(out / GENERATOR, found.sha256) else None


def _make(
    kinds: Kinds, config: SynthesisConfig, *, seed: int, count: int, mark: str, out: Path
) -> Sequence[Row]:
    """Write the images and their table; the rows, sorted by id."""
    folder = out / IMAGES
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    chosen = chance(seed, "parents").permutation(kinds.benign)[:count]
    rows = []
    with progress("translate", count, "images") as advance:
        for number, (parent, picture) in enumerate(_translated(out, kinds, chosen, config.px)):
            path = f"{IMAGES}/{number:06d}.png"
            write_png(out / path, picture)
            rows.append(_child(kinds.samples.rows[parent], path, kinds.diagnosis, mark))
            advance(1, "")
    rows.sort(key=lambda row: row.image_id)
    write_table(out / TABLE, rows)
    return rows


def _translated(
    out: Path, kinds: Kinds, chosen: NDArray[np.int64], px: int
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Each of the photographs `chosen` with what the generator in `out` makes of it, a few in memory."""
    model = load_generator(out / GENERATOR)
    for first in range(0, len(chosen), _AT_ONCE):
        part = chosen[first : first + _AT_ONCE]
        made = translate(model, pictures(kinds.samples, part, px))
        yield from zip(part.tolist(), made, strict=True)


def _child(parent: Row, path: str, diagnosis: str, mark: str) -> Row:
    """The row of an image made from `parent`, with its lesion and patient."""
    return replace(
        parent,
        image_id=f"{parent.image_id}+{diagnosis}-{mark}",
        path=path,
        diagnosis=diagnosis,
        malignant=True,
        split=Split.TRAIN,
        source=_SOURCE,
        parent=parent.image_id,
    )
