"""What a student costs, found before it is trained: its untrained int8 file on this machine.

Neither size nor latency depends on what the weights are: the network is built from nothing, calibrated on
noise and measured beside a reference in the same rounds, so that a busy machine slows both.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from edgekd.card import ModelCard
from edgekd.config import NO_WEIGHTS, BenchConfig, ModelConfig, Precision
from edgekd.console import log
from edgekd.data.dataset import Dataset
from edgekd.data.parallel import available_cores
from edgekd.errors import ContractError
from edgekd.plain import digest, file_digest, from_plain, read_json, write_json
from edgekd.search.record import Screen
from edgekd_bench.measure import Job, Outcome, latency, measure, noise

REFERENCE = ModelConfig(name="mobilenet_v2", width=1.0, weights=NO_WEIGHTS)
REFERENCE_PX = 224
_CALIBRATION = 8
_MIN_RUNS, _MIN_SECONDS = 50, 1.0


def screen(
    model: ModelConfig,
    px: int,
    *,
    dataset: Dataset,
    reference: Path,
    folder: Path,
    threads: int,
    rounds: int,
) -> Screen:
    """The cost of `model` for pictures of `px` and the classes of `dataset`, beside the file `reference`.

    What was measured before of the same network is read from below `folder`.

    Raises:
        UsageError: the network does not exist at this width, depth or size.
        ModelError: it cannot be converted.
        ContractError: one of the two files does not run.
    """
    shape = _shape(model)
    known = [
        digest([shape, px, dataset.classes, len(dataset.features)]),
        threads,
        rounds,
        file_digest(reference),
    ]
    place = folder / digest(known)[:16]
    if (place / "screen.json").is_file():
        return from_plain(Screen, read_json(place / "screen.json"), "screen")
    place.mkdir(parents=True, exist_ok=True)
    facts = untrained_file(shape, px, dataset=dataset, out=place / "model.tflite")
    found = _measured(place / "model.tflite", reference, facts, threads=threads, rounds=rounds)
    write_json(place / "screen.json", found)
    return found


def untrained_file(model: ModelConfig, px: int, *, dataset: Dataset, out: Path) -> dict[str, int]:
    """Write the int8 file of `model` with random weights to `out`; its parameters and macs.

    Raises:
        UsageError: the network does not exist at this width, depth or size.
        ModelError: it cannot be converted.
    """
    from edgekd.models.catalogue import build
    from edgekd.models.describe import describe
    from edgekd_converters.worker import run_worker

    n_features = len(dataset.features)
    network = build(_shape(model), input_px=px, n_logits=len(dataset.classes), seed=1, n_features=n_features)
    random = np.random.Generator(np.random.PCG64(1))
    pictures = random.integers(0, 256, (_CALIBRATION, px, px, 3), np.uint8)
    vectors = random.random((_CALIBRATION, n_features), np.float32) if n_features else None
    facts = describe(network)
    with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
        keras_file = Path(folder) / "model.keras"
        network.save(keras_file)
        run_worker(keras_file, Precision.INT8_PTQ, out, calibration=pictures, features=vectors)
    _with_card(out, px, dataset)
    return {"parameters": facts.parameters, "macs": facts.macs}


def _shape(model: ModelConfig) -> ModelConfig:
    """What of `model` its cost depends on."""
    return dataclasses.replace(model, weights=NO_WEIGHTS, sliced_from=0.0, dropout=0.0, frozen=False)


def _with_card(path: Path, px: int, dataset: Dataset) -> None:
    """Give the file the card and the metadata that an exported one has, which count in its size."""
    from edgekd_converters.metadata import embed_card
    from edgekd_converters.standard_metadata import embed_standard_metadata

    card = ModelCard(
        name="untrained",
        precision=Precision.INT8_PTQ,
        input_px=px,
        labels=dataset.classes,
        malignant=dataset.malignant,
        patient=dataset.patient,
    )
    path.write_bytes(embed_card(embed_standard_metadata(path.read_bytes(), card), card))


def _measured(
    candidate: Path, reference: Path, facts: dict[str, int], *, threads: int, rounds: int
) -> Screen:
    config = BenchConfig(threads=(threads,), rounds=rounds, min_runs=_MIN_RUNS, min_seconds=_MIN_SECONDS)
    jobs = [
        Job(name=name, model=path, backend="cpu", threads=threads)
        for name, path in (("candidate", candidate), ("reference", reference))
    ]
    mine, theirs = (_rounds(job, outcome) for job, outcome in zip(jobs, measure(jobs, config), strict=True))
    ratios = [median(a.runs_ms) / median(b.runs_ms) for a, b in zip(mine, theirs, strict=True)]
    troubles = noise(mine, threads=threads, cores=available_cores())
    found = Screen(
        size_bytes=candidate.stat().st_size,
        latency_ms=latency(mine).p50,
        reference_ms=latency(theirs).p50,
        relative_latency=median(ratios),
        rounds=rounds,
        threads=threads,
        engine=mine[0].engine.describe(),
        noise=troubles,
        **facts,
    )
    if troubles:
        log.warning(
            "the machine is not quiet (%s): latency relative to the reference, measured in the same rounds, "
            "is the steadier figure",
            "; ".join(troubles),
        )
    return found


def _rounds(job: Job, outcome: Outcome) -> Sequence[Any]:
    if not outcome.rounds:
        raise ContractError(f"the {job.name} {job.model} does not run here: {outcome.reason}")
    return outcome.rounds
