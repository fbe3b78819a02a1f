"""The intervals hold the truth as often as they say, and the test would notice one that does not."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from edgekd.metrics.coverage import (
    DIFFERENCES,
    DISCORDANCES,
    MISCALIBRATIONS,
    SENSITIVITIES,
    SIZES,
    auc_coverage,
    calibration_coverage,
    gate_coverage,
    paired_coverage,
    proportion_coverage,
)
from edgekd.metrics.intervals import Estimate, auc_interval
from edgekd.metrics.paired import Pairs

LEAST, MOST = 0.93, 0.97
# A share of 600 samples has a standard error of at most 0.0091 where the truth is 0.95; three of them.
SIMULATED = 0.027
# Below about five expected discordant images nearly every sample holds none, one or two of them: an interval
# can only be too wide then, and this one is.
FEW = 5


def wald(successes: int, n: int) -> Estimate:
    """What everybody writes first."""
    p = successes / n
    half = 1.959964 * math.sqrt(p * (1 - p) / n)
    return Estimate(value=p, low=p - half, high=p + half, method="wald")


def wald_difference(counts: Pairs) -> Estimate:
    n, lost, won = counts.n, counts.only_reference, counts.only_candidate
    value = (won - lost) / n
    half = 1.959964 * math.sqrt(max(lost + won - (won - lost) ** 2 / n, 0)) / n
    return Estimate(value=value, low=value - half, high=value + half, method="wald")


def unpaired_difference(counts: Pairs) -> Estimate:
    """As if the two had been judged on different images, both at a sensitivity of about 0.9."""
    value = (counts.only_candidate - counts.only_reference) / counts.n
    half = 1.959964 * math.sqrt(2 * 0.9 * 0.1 / counts.n)
    return Estimate(value=value, low=value - half, high=value + half, method="unpaired")


@pytest.mark.parametrize(("n", "positives"), SIZES)
@pytest.mark.parametrize("sensitivity", SENSITIVITIES)
def test_wilson(n: int, positives: int, sensitivity: float) -> None:
    found = proportion_coverage(n, positives, sensitivity)
    assert found.exact and LEAST <= found.coverage <= MOST
    assert found.coverage + found.below + found.above == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("n", "positives"), SIZES)
def test_wald_would_be_noticed(n: int, positives: int) -> None:
    assert proportion_coverage(n, positives, 0.95, wald).coverage < LEAST


@pytest.mark.parametrize(("n", "positives"), SIZES)
@pytest.mark.parametrize("discordance", DISCORDANCES)
@pytest.mark.parametrize("difference", DIFFERENCES)
def test_the_paired_interval(n: int, positives: int, discordance: float, difference: float) -> None:
    found = paired_coverage(n, positives, discordance, difference)
    assert found.exact and found.coverage >= LEAST
    if positives * discordance >= FEW:
        assert found.coverage <= MOST


@pytest.mark.parametrize("positives", [30, 117, 300])
@pytest.mark.parametrize("discordance", DISCORDANCES)
def test_a_file_that_is_just_not_good_enough_seldom_passes(positives: int, discordance: float) -> None:
    """Nominally one in twenty; counts are whole, so it is not exactly that."""
    found = gate_coverage(5 * positives, positives, discordance)
    assert found.above <= 0.062
    assert found.below == 0


def test_wrong_paired_intervals_would_be_noticed() -> None:
    assert paired_coverage(150, 30, 0.10, -0.02, wald_difference).coverage < LEAST
    assert paired_coverage(600, 117, 0.02, -0.02, wald_difference).coverage < LEAST
    assert paired_coverage(600, 117, 0.05, 0.0, unpaired_difference).coverage > MOST


def test_the_chances_of_the_outcomes_are_those_of_a_trinomial() -> None:
    """Counted out against simulated, at one setting: three standard errors of 4,000 samples are 0.011."""
    exact = paired_coverage(150, 30, 0.2, -0.05).coverage
    generator = np.random.Generator(np.random.PCG64(2))
    draws = generator.multinomial(30, [0.125, 0.075, 0.8], size=4000)
    from edgekd.metrics.paired import paired_difference

    kinds, repeats = np.unique(draws, axis=0, return_counts=True)
    found = [
        paired_difference(Pairs(both=int(same), only_reference=int(lost), only_candidate=int(won), neither=0))
        for lost, won, same in kinds
    ]
    held = [e.low is not None and e.high is not None and e.low <= -0.05 <= e.high for e in found]
    assert np.average(held, weights=repeats) == pytest.approx(exact, abs=0.011)


@pytest.mark.parametrize(("n", "positives"), SIZES)
@pytest.mark.parametrize("area", [0.80, 0.95])
def test_delong(n: int, positives: int, area: float) -> None:
    found = auc_coverage(n, positives, area, np.random.Generator(np.random.PCG64(3)), 600)
    assert LEAST - SIMULATED <= found.coverage <= MOST + SIMULATED


def test_an_auc_interval_at_another_confidence_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "edgekd.metrics.coverage.auc_interval", lambda labels, score: auc_interval(labels, score, 0.80)
    )
    found = auc_coverage(600, 117, 0.85, np.random.Generator(np.random.PCG64(3)), 600)
    assert found.coverage < LEAST - SIMULATED


@pytest.mark.slow
@pytest.mark.parametrize(("n", "positives"), SIZES)
@pytest.mark.parametrize("bend", MISCALIBRATIONS)
def test_brier_and_ece(n: int, positives: int, bend: tuple[float, float]) -> None:
    """Three standard errors of 300 samples are 0.038."""
    generator = np.random.Generator(np.random.PCG64(4))
    brier, ece = calibration_coverage(n, positives, bend, generator, 300)
    assert brier.coverage >= LEAST - 0.038
    assert ece.coverage >= LEAST - 0.038  # conservative by construction: no upper limit


def test_the_percentile_interval_of_a_calibration_error_would_be_noticed() -> None:
    """Well calibrated probabilities: the naive interval never holds their error of zero, ours does."""
    from edgekd.metrics.calibration import ece_interval, weighted_ece
    from edgekd.metrics.intervals import cluster_bootstrap

    generator = np.random.Generator(np.random.PCG64(5))
    naive, ours = [], []
    for _ in range(12):
        proba = generator.beta(1, 4, 200)
        labels = generator.random(200) < proba
        naive.append(cluster_bootstrap(weighted_ece(labels, proba), [None] * 200, resamples=200).low)
        ours.append(ece_interval(labels, proba, [None] * 200, resamples=200).low)
    assert min(naive) > 0
    assert sum(low == 0 for low in ours) >= 9  # each holds with 0.975: nine of twelve fail with 1e-4


def test_the_command_prints_every_setting() -> None:
    command = [sys.executable, "-m", "edgekd.metrics.coverage", "--replicates", "3", "--resampled", "1"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert {entry["interval"] for entry in found} == {
        *("wilson", "tango_1998", "tango_1998, one-sided", "delong_logit", "delong_paired"),
        *("brier bootstrap", "ece bootstrap"),
    }
    assert len(found) == len({(entry["interval"], entry["setting"], entry["n"]) for entry in found})
    assert all(entry["exact"] is (entry["replicates"] is None) for entry in found)
