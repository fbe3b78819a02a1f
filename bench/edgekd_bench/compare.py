"""Whether one latency is better or worse than another, or cannot be told apart from it.

Rounds are the unit. Every round is a process of its own, and its runs follow one another within a fraction of
a second: they share the state of the machine and count as one measurement, their median. The ratio of two
latencies is that of the trimmed geometric means over the rounds: the tenth of the rounds at either end is
left out, the drift of the machine stays in. Its interval is a bootstrap over rounds. Rounds of one command
are interleaved, so their differences are resampled in pairs and drift drops out; rounds of two commands are
resampled apart, and drift between them is what the smallest difference of interest is for.

A difference is claimed only when the whole interval lies beyond that smallest difference.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t, trim_mean

from edgekd.errors import UsageError
from edgekd.metrics.intervals import Estimate
from edgekd_bench.record import BenchRecord, file_name
from edgekd_bench.round import Status, simulated

SCHEMA = "edgekd.bench-comparison/1"
SMALLEST_DIFFERENCE = 0.03
MIN_ROUNDS = 5

_RESAMPLES, _LEVEL, _SEED = 10_000, 0.95, 0
_TRIMMED = 0.1

Floats = NDArray[np.float64]


class Finding(enum.StrEnum):
    """What can be said of B against A."""

    BETTER = "better"
    WORSE = "worse"
    NOT_DISTINGUISHABLE = "not distinguishable"


@dataclass(frozen=True, kw_only=True)
class LatencyComparison:
    """B against A (schema edgekd.bench-comparison/1).

    `p50_ratio` is the latency of B over that of A, below 1 when B is faster; null where the records hold too
    few rounds. `rounds` are those of A and B; `interleaved` when they were measured in one command, round by
    round. `differing` names the circumstances that differ and were let pass.
    """

    schema: str = SCHEMA
    a: str
    b: str
    finding: Finding
    reason: str
    p50_ratio: Estimate | None
    smallest_difference: float
    rounds: tuple[int, ...]
    interleaved: bool
    differing: tuple[str, ...]


def compare_latency(
    a: BenchRecord,
    b: BenchRecord,
    *,
    smallest_difference: float = SMALLEST_DIFFERENCE,
    anyway: bool = False,
) -> LatencyComparison:
    """Whether `b` is faster or slower than `a` by more than the fraction `smallest_difference`.

    A file that ran in A and failed in B is worse. Noise in rounds that were not interleaved forbids a claim;
    nothing is ever claimed of a simulation.

    Raises:
        UsageError: the circumstances differ, or one latency is a simulation's, and not `anyway`.
    """
    differing = differences(a, b)
    if differing and not anyway:
        raise UsageError(
            f"{file_name(a)} and {file_name(b)} are not comparable: {'; '.join(differing)}; "
            "measure both in one command, or compare --anyway"
        )
    interleaved = a.measured_at == b.measured_at and len(a.rounds_ms) == len(b.rounds_ms)
    settled, ratio = _settled(a, b, noise_forbids=not (interleaved or anyway)), None
    if settled is None:
        medians = [[one.p50 for one in record.rounds_ms] for record in (a, b)]
        ratio = ratio_of_rounds(*medians, paired=interleaved)
        settled = judge(ratio, smallest_difference)
    finding, reason = settled
    return LatencyComparison(
        a=file_name(a).removesuffix(".json"),
        b=file_name(b).removesuffix(".json"),
        finding=finding,
        reason=reason,
        p50_ratio=ratio,
        smallest_difference=smallest_difference,
        rounds=(len(a.rounds_ms), len(b.rounds_ms)),
        interleaved=interleaved,
        differing=differing,
    )


def ratio_of_rounds(a: Sequence[float], b: Sequence[float], *, paired: bool) -> Estimate:
    """How much longer the rounds `b` take than `a`, with its 95 % interval; `paired`: b[n] follows a[n].

    The ratio of the geometric means, a tenth of the rounds (pairs: of the ratios) left out at either end.

    A bootstrap over rounds; its spread is widened by √(n / (n − 1)) and its tails are those of Student's t,
    so that it keeps its promise with few rounds (expanded percentiles: Hesterberg, What Teachers Should Know
    About the Bootstrap, The American Statistician 69, 2015).

    Raises:
        UsageError: fewer than 2 rounds, or pairs of unequal length.
    """
    first, second = np.log(np.asarray(a, np.float64)), np.log(np.asarray(b, np.float64))
    if min(first.size, second.size) < 2 or (paired and first.size != second.size):
        raise UsageError(f"{first.size} and {second.size} rounds, expected 2 or more, as pairs equally many")
    generator = np.random.Generator(np.random.PCG64(_SEED))
    if paired:
        parts, freedom = [second - first], float(first.size - 1)
    else:
        parts, freedom = [second, -first], _welch(first, second)
    spread = np.sum([_deviations(part, generator) for part in parts], axis=0)
    tail = float(norm.cdf(t.ppf((1 - _LEVEL) / 2, freedom)))
    low, high = np.quantile(spread, [tail, 1 - tail])
    centre = sum(float(_typical(part)) for part in parts)
    unit = "pairs of rounds" if paired else "rounds"
    return Estimate(
        value=float(np.exp(centre)),
        low=float(np.exp(centre + low)),
        high=float(np.exp(centre + high)),
        method=f"bootstrap_{unit.replace(' ', '_')}({_LEVEL})",
    )


def judge(ratio: Estimate, smallest_difference: float) -> tuple[Finding, str]:
    """Finding and reason: a claim needs the whole interval beyond the smallest difference of interest."""
    low, high, margin = float(ratio.low or 0), float(ratio.high or np.inf), 1 + smallest_difference
    if low > margin:
        return Finding.WORSE, f"slower by more than {smallest_difference:.0%}"
    if high < 1 / margin:
        return Finding.BETTER, f"faster by more than {smallest_difference:.0%}"
    if low >= 1 / margin and high <= margin:
        return Finding.NOT_DISTINGUISHABLE, f"equal within {smallest_difference:.0%}"
    return Finding.NOT_DISTINGUISHABLE, f"the interval holds differences below {smallest_difference:.0%}"


def differences(a: BenchRecord, b: BenchRecord) -> tuple[str, ...]:
    """The circumstances that forbid to compare two latencies, in words; empty when there is none."""
    one, two = _circumstances(a), _circumstances(b)
    shared = [name for name in one if name in two]
    found = [f"{name} {one[name]} and {two[name]}" for name in shared if one[name] != two[name]]
    simulated = {file_name(r): engine for r in (a, b) if (engine := simulation(r)) is not None}
    return (*found, *(f"{name} ran on {engine}: correctness only" for name, engine in simulated.items()))


def simulation(record: BenchRecord) -> str | None:
    """The software GPU or emulator that ran `record`; None for hardware, whose latencies mean something."""
    return simulated([record.actual_accelerator, record.engine.accelerator if record.engine else None])


def _circumstances(record: BenchRecord) -> Mapping[str, object]:
    """What has to agree; a file that did not run has no engine."""
    device, engine = record.device, record.engine
    found = {
        "backend": record.requested_accelerator,
        "threads": record.threads,
        "processor": device.cpu,
        "instruction sets": device.isa,
        "cores": device.cores,
        "governor": device.governor,
    }
    if engine is None:
        return found
    return {
        **found,
        "engine": f"{engine.name} {engine.version}",
        "kernels": engine.kernels,
        "accelerator": engine.accelerator,
    }


def _settled(a: BenchRecord, b: BenchRecord, *, noise_forbids: bool) -> tuple[Finding, str] | None:
    """What settles the matter before any statistics."""
    if a.status is Status.OK and b.status is Status.FAILED:
        return Finding.WORSE, f"B failed: {b.reason}"
    for name, record in (("A", a), ("B", b)):
        if record.status is not Status.OK:
            return Finding.NOT_DISTINGUISHABLE, f"{name} did not run: {record.reason}"
        if (engine := simulation(record)) is not None:
            return Finding.NOT_DISTINGUISHABLE, f"{name} ran on {engine}: correctness only"
        if not record.rounds_ms:
            return Finding.NOT_DISTINGUISHABLE, f"the record {name} holds no rounds"
        if len(record.rounds_ms) < MIN_ROUNDS:
            found = f"{len(record.rounds_ms)} rounds in {name}, at least {MIN_ROUNDS} are needed"
            return Finding.NOT_DISTINGUISHABLE, found
        if noise_forbids and record.noise:
            return Finding.NOT_DISTINGUISHABLE, f"{name} was measured in noise: {'; '.join(record.noise)}"
    return None


def _deviations(rounds: Floats, generator: np.random.Generator) -> Floats:
    """How far `_typical` of resampled `rounds` lies from that of `rounds`, widened for their small number."""
    n = rounds.size
    drawn = _typical(rounds[generator.integers(0, n, (_RESAMPLES, n))])
    return np.asarray((drawn - _typical(rounds)) * sqrt(n / (n - 1)))


def _typical(rounds: Floats) -> Floats:
    """The trimmed mean over the last axis of `rounds` (logarithms)."""
    return np.asarray(trim_mean(rounds, _TRIMMED, axis=-1))


def _welch(a: Floats, b: Floats) -> float:
    """Welch's degrees of freedom of the difference of two samples."""
    parts = [one.var(ddof=1) / one.size for one in (a, b)]
    below = sum(part**2 / (one.size - 1) for part, one in zip(parts, (a, b), strict=True))
    return float(sum(parts) ** 2 / below) if below > 0 else float(min(a.size, b.size) - 1)
