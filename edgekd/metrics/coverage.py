"""How often the intervals of this package hold the truth: `python -m edgekd.metrics.coverage [--json]`.

Proportions and paired differences are counted out exactly: every possible outcome, weighed by its chance.
AUCs, Brier scores and calibration errors are simulated, from binormal scores with a fixed seed.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, gammaln, xlogy
from scipy.stats import binom, norm

from edgekd.console import emit_json, emit_table
from edgekd.metrics.binary import Bools, Floats
from edgekd.metrics.calibration import brier_interval, ece_interval, weighted_brier, weighted_ece
from edgekd.metrics.intervals import CONFIDENCE, Estimate, auc_interval, wilson
from edgekd.metrics.paired import Pairs, auc_difference, non_inferiority, paired_difference

SIZES = ((150, 30), (600, 117))  # images, of which malignant: a small test split, and ISIC 2017's
SENSITIVITIES = (0.80, 0.85, 0.90, 0.95)
DISCORDANCES = (0.02, 0.05, 0.10, 0.20)
DIFFERENCES = (0.0, -0.02)
MISCALIBRATIONS = ((1.0, 0.0), (1.3, 0.0), (1.0, 0.6))  # slope and shift of the log odds
REPLICATES = 2000
RESAMPLED = 300
_RESAMPLES = 400
_POPULATION = 100_000
_CORRELATION = 0.9  # of two networks' scores, within a class
_AREA = 0.85


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How often one interval held the truth.

    `coverage` is the share of samples whose interval held `truth`, `below` and `above` that of samples whose
    whole interval lay below or above it. `n` images, `n_positive` malignant. `exact`: counted out, else the
    share of `replicates` simulated samples.
    """

    interval: str
    setting: str
    n: int
    n_positive: int
    truth: float
    coverage: float
    below: float
    above: float
    exact: bool
    replicates: int | None


@dataclass(frozen=True)
class _Case:
    interval: str
    setting: str
    n: int
    positives: int
    truth: float


def coverages(
    *, seed: int = 1, replicates: int = REPLICATES, resampled: int = RESAMPLED
) -> Iterator[Coverage]:
    """The coverage of every interval at every size and setting; the same for the same arguments.

    `replicates` samples for the AUCs, `resampled` for the bootstrap intervals.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    for n, positives in SIZES:
        for sensitivity in SENSITIVITIES:
            yield proportion_coverage(n, positives, sensitivity)
        for discordance in DISCORDANCES:
            for difference in DIFFERENCES:
                yield paired_coverage(n, positives, discordance, difference)
            yield gate_coverage(n, positives, discordance)
        for area in SENSITIVITIES:
            yield auc_coverage(n, positives, area, generator, replicates)
        yield auc_difference_coverage(n, positives, generator, replicates)
        for bend in MISCALIBRATIONS:
            yield from calibration_coverage(n, positives, bend, generator, resampled)


Interval = Callable[[int, int], Estimate]


def proportion_coverage(n: int, positives: int, truth: float, interval: Interval = wilson) -> Coverage:
    """The exact coverage of the interval of a sensitivity, averaged over the number of malignant images.

    That number is itself a draw: n images at a prevalence of positives / n.
    """
    sizes = np.arange(1, n + 1)
    chances = binom.pmf(sizes, n, positives / n)
    likely = chances > 1e-6 * chances.max()
    found = [_proportion(int(size), truth, interval) for size in sizes[likely]]
    held, below, above = np.average(found, axis=0, weights=chances[likely]).tolist()
    case = _Case("wilson", f"sensitivity {truth:g}", n, positives, truth)
    return _record(case, (held, below, above))


def _proportion(n: int, truth: float, interval: Interval) -> tuple[float, float, float]:
    hits = np.arange(n + 1)
    return _weigh([interval(int(k), n) for k in hits], binom.pmf(hits, n, truth), truth)


def paired_coverage(
    n: int,
    positives: int,
    discordance: float,
    truth: float,
    interval: Callable[[Pairs], Estimate] = paired_difference,
) -> Coverage:
    """The exact coverage of the interval of a paired difference of sensitivities on `positives` images.

    `discordance` is the chance that the two calls differ; where it is less than the difference, it is that.
    """
    shares = _shares(discordance, truth)
    counts = [
        Pairs(both=positives - lost - won, only_reference=lost, only_candidate=won, neither=0)
        for lost in range(_most(positives, shares[0]) + 1)
        for won in range(_most(positives, shares[1]) + 1)
        if lost + won <= positives
    ]
    chances = _chances(counts, shares)
    setting = f"difference {truth:g}, discordance {sum(shares):g}"
    case = _Case("tango_1998", setting, n, positives, truth)
    return _record(case, _weigh([interval(pair) for pair in counts], chances, truth))


def gate_coverage(n: int, positives: int, discordance: float, margin: float = 0.02) -> Coverage:
    """The exact coverage of the one-sided bound of non-inferiority when the true loss is the margin itself.

    `above` is then how often a file that is just not good enough passes; nominally 0.05.
    """

    def bound(counts: Pairs) -> Estimate:
        held = non_inferiority(counts, margin=margin)
        return Estimate(value=held.difference, low=held.lower, high=1.0, method=held.method)

    found = paired_coverage(n, positives, discordance, -margin, bound)
    return dataclasses.replace(found, interval="tango_1998, one-sided")


def _shares(discordance: float, truth: float) -> tuple[float, float]:
    """The chances of a malignant image being lost and won."""
    total = max(discordance, abs(truth))
    return (total - truth) / 2, (total + truth) / 2


def _most(n: int, share: float) -> int:
    """A count that is exceeded with a chance below 1e-9."""
    return int(binom.isf(1e-9, n, share)) if share > 0 else 0


def _chances(counts: Sequence[Pairs], shares: tuple[float, float]) -> Floats:
    """The probability of each outcome: trinomial."""
    lost, won, same = (
        np.array([getattr(pair, name) for pair in counts], np.float64)
        for name in ("only_reference", "only_candidate", "both")
    )
    orders = gammaln(lost + won + same + 1) - gammaln(lost + 1) - gammaln(won + 1) - gammaln(same + 1)
    log = orders + xlogy(lost, shares[0]) + xlogy(won, shares[1]) + xlogy(same, 1 - sum(shares))
    chances: Floats = np.exp(log)
    return chances


def auc_coverage(
    n: int, positives: int, truth: float, generator: np.random.Generator, replicates: int
) -> Coverage:
    """The simulated coverage of the interval of an AUC, scores being normal in both classes."""
    found = []
    for _ in range(replicates):
        labels = _labels(n, positives, generator)
        score = generator.normal(size=n) + labels * _separation(truth)
        found.append(auc_interval(labels, score))
    return _simulated(_Case("delong_logit", f"AUC {truth:g}", n, positives, truth), found)


def auc_difference_coverage(
    n: int, positives: int, generator: np.random.Generator, replicates: int, loss: float = 0.02
) -> Coverage:
    """The simulated coverage of the interval of a paired difference of AUCs of two like networks."""
    reference, candidate = _separation(_AREA), _separation(_AREA - loss)
    found = []
    for _ in range(replicates):
        labels = _labels(n, positives, generator)
        shared, own = generator.normal(size=(2, n))
        other = _CORRELATION * shared + np.sqrt(1 - _CORRELATION**2) * own
        found.append(auc_difference(labels, shared + labels * reference, other + labels * candidate))
    return _simulated(_Case("delong_paired", f"AUC {_AREA:g} − {loss:g}", n, positives, -loss), found)


def calibration_coverage(
    n: int, positives: int, bend: tuple[float, float], generator: np.random.Generator, replicates: int
) -> tuple[Coverage, Coverage]:
    """The simulated coverages of the intervals of Brier score and ECE.

    The log odds told are slope · true + shift, `bend` being the two. The truth is the value in a population
    of 100,000.
    """
    prevalence, (slope, shift) = positives / n, bend
    labels, proba = _told(_POPULATION, prevalence, slope, shift, generator)
    whole = np.ones(_POPULATION)
    truths = [float(weigh(labels, proba)(whole) or 0) for weigh in (weighted_brier, weighted_ece)]
    briers, errors = [], []
    for _ in range(replicates):
        sample = _told(n, prevalence, slope, shift, generator)
        briers.append(brier_interval(*sample, [None] * n, resamples=_RESAMPLES))
        errors.append(ece_interval(*sample, [None] * n, resamples=_RESAMPLES))
    setting = f"log odds {slope:g} · true {shift:+g}"
    return (
        _simulated(_Case("brier bootstrap", setting, n, positives, truths[0]), briers),
        _simulated(_Case("ece bootstrap", setting, n, positives, truths[1]), errors),
    )


def _told(
    n: int, prevalence: float, slope: float, shift: float, generator: np.random.Generator
) -> tuple[Bools, Floats]:
    """Labels and the probabilities a network tells that knows the true log odds but bends them."""
    separation = _separation(_AREA)
    labels = generator.random(n) < prevalence
    score = generator.normal(size=n) + labels * separation
    true = separation * score - separation**2 / 2 + np.log(prevalence / (1 - prevalence))
    return labels, expit(slope * true + shift)


def _labels(n: int, positives: int, generator: np.random.Generator) -> Bools:
    """Labels at a prevalence of positives / n, two of each class at least."""
    while True:
        labels = generator.random(n) < positives / n
        if min(labels.sum(), (~labels).sum()) > 1:
            return labels


def _separation(area: float) -> float:
    """The distance of two unit normal distributions whose AUC is `area`."""
    return float(norm.ppf(area) * np.sqrt(2))


def _weigh(found: Sequence[Estimate], chances: Floats, truth: float) -> tuple[float, float, float]:
    """The chances that an interval holds the truth, lies below it, and lies above it."""
    below = np.array([-np.inf if e.high is None else e.high for e in found]) < truth
    above = np.array([np.inf if e.low is None else e.low for e in found]) > truth
    total = chances.sum()
    held, low, high = (float(chances[part].sum() / total) for part in (~below & ~above, below, above))
    return held, low, high


def _record(case: _Case, shares: tuple[float, float, float], replicates: int | None = None) -> Coverage:
    coverage, below, above = shares
    return Coverage(
        interval=case.interval,
        setting=case.setting,
        n=case.n,
        n_positive=case.positives,
        truth=case.truth,
        coverage=coverage,
        below=below,
        above=above,
        exact=replicates is None,
        replicates=replicates,
    )


def _simulated(case: _Case, found: Sequence[Estimate]) -> Coverage:
    return _record(case, _weigh(found, np.ones(len(found)), case.truth), len(found))


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m edgekd.metrics.coverage", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON document instead of the table")
    parser.add_argument("--replicates", type=int, default=REPLICATES, help="samples per AUC setting")
    parser.add_argument("--resampled", type=int, default=RESAMPLED, help="samples per bootstrap setting")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    found = list(coverages(seed=asked.seed, replicates=asked.replicates, resampled=asked.resampled))
    if asked.json:
        emit_json(found)
        return
    emit_table(
        f"How often the intervals at nominal {100 * CONFIDENCE:g} % hold the truth",
        ("interval", "setting", "images", "malignant", "coverage", "below", "above", "samples"),
        [_row(entry) for entry in found],
    )


def _row(entry: Coverage) -> tuple[str, ...]:
    return (
        entry.interval,
        entry.setting,
        str(entry.n),
        str(entry.n_positive),
        *(f"{share:.3f}" for share in (entry.coverage, entry.below, entry.above)),
        "all" if entry.exact else str(entry.replicates),
    )


if __name__ == "__main__":
    _main()
