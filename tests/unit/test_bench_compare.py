"""Better, worse or not distinguishable: the statistics on simulated machines, and what is not compared."""

from __future__ import annotations

import dataclasses
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_data import DEVICE, ENGINE, one_record, one_round
from edgekd.config import BenchConfig
from edgekd.errors import DataError, UsageError
from edgekd.plain import to_plain, write_json
from edgekd_bench.compare import Finding, compare_latency, judge, ratio_of_rounds, simulation
from edgekd_bench.folders import compare_paths, holds_bench, read_folder, regressions
from edgekd_bench.measure import apart, round_latencies
from edgekd_bench.record import BenchRecord, RoundLatency, file_name
from edgekd_bench.round import Status
from tolerances import EXACT_ARITHMETIC

QUIET_ROUNDS = (1.0, 1.01, 0.99, 1.0, 1.02, 1.0, 1.01, 0.99, 1.0, 1.0)
PAIRS, ROUNDS, RUNS = 100, BenchConfig.rounds, 60


def record(medians: tuple[float, ...] = QUIET_ROUNDS, *, factor: float = 1.0, **changes: Any) -> BenchRecord:
    rounds = tuple(RoundLatency(p50=factor * ms, p90=1.1 * factor * ms, n=60) for ms in medians)
    return one_record(**{"rounds_ms": rounds, **changes})


LATER = {"measured_at": "2026-11-22T10:00:00+00:00"}


@dataclass(frozen=True)
class Machine:
    """How a machine wanders, in relative units.

    `level` from command to command, `drift` from round to round (memory 0.8), `within` from run to run
    (memory 0.9), and the share of rounds in which something else runs and costs 5 to 40 %.
    """

    level: float
    drift: float
    within: float
    disturbed: float

    def state(self, generator: np.random.Generator) -> Any:
        """The log slowness of each round of a command."""
        steps = generator.normal(0, self.drift * np.sqrt(1 - 0.8**2), ROUNDS)
        return generator.normal(0, self.level) + _remembered(steps[np.newaxis], 0.8)[0]

    def medians(self, generator: np.random.Generator, state: Any, slowdown: float = 0.0) -> list[float]:
        steps = generator.normal(0, self.within * np.sqrt(1 - 0.9**2), (ROUNDS, RUNS))
        runs = _remembered(steps, 0.9) + generator.exponential(0.02, (ROUNDS, RUNS)) + state[:, np.newaxis]
        hit = generator.random(ROUNDS) < self.disturbed
        runs[hit] += generator.uniform(0.05, 0.4, (hit.sum(), 1))
        return [float(ms) for ms in np.median(np.exp(runs), axis=1) * (1 + slowdown)]


def _remembered(steps: Any, memory: float) -> Any:
    found = np.empty_like(steps)
    now = np.zeros(steps.shape[0])
    for n in range(steps.shape[1]):
        now = memory * now + steps[:, n]
        found[:, n] = now
    return found


QUIET = Machine(level=0.01, drift=0.008, within=0.02, disturbed=0.02)
ROUGH = Machine(level=0.015, drift=0.02, within=0.05, disturbed=0.10)


def claims(machine: Machine, *, interleaved: bool, slowdown: float) -> int:
    """In how many of `PAIRS` pairs of measurements B was called worse or better, as it deserves."""
    generator, found = np.random.default_rng(20_261_121), 0
    for _ in range(PAIRS):
        states = [machine.state(generator) for _ in range(2)]
        a = machine.medians(generator, states[0])
        b = machine.medians(generator, states[0 if interleaved else 1], slowdown)
        finding, _ = judge(ratio_of_rounds(a, b, paired=interleaved), 0.03)
        if not interleaved and (apart(a) or apart(b)):
            finding = Finding.NOT_DISTINGUISHABLE
        found += finding is not Finding.NOT_DISTINGUISHABLE if slowdown == 0 else finding is Finding.WORSE
    return found


@pytest.mark.parametrize("interleaved", [True, False])
@pytest.mark.parametrize("machine", [QUIET, ROUGH])
def test_the_same_thing_is_seldom_called_different(machine: Machine, interleaved: bool) -> None:
    assert claims(machine, interleaved=interleaved, slowdown=0) <= PAIRS // 20


@pytest.mark.parametrize("interleaved", [True, False])
def test_a_planted_tenth_is_found(interleaved: bool) -> None:
    assert claims(QUIET, interleaved=interleaved, slowdown=0.10) >= PAIRS - PAIRS // 20


def test_runs_of_a_round_are_not_independent() -> None:
    """An interval from all runs as if they were independent would claim a difference where there is none."""
    generator, wrong = np.random.default_rng(1), 0
    for _ in range(PAIRS):
        a, b = (QUIET.medians(generator, QUIET.state(generator)) for _ in range(2))
        low, high = (ratio_of_rounds(a * 6, b * 6, paired=False).low, 1.0)
        wrong += low is not None and low > high
    assert wrong > PAIRS // 20


@given(st.lists(st.floats(0.1, 100), min_size=5, max_size=9), st.floats(0.2, 5), st.booleans())
def test_the_ratio_knows_no_unit_and_no_direction(a: list[float], factor: float, paired: bool) -> None:
    b = a[::-1]
    there, scaled = (ratio_of_rounds(a, [factor * ms for ms in b], paired=paired) for factor in (1, factor))
    assert there.value is not None and there.low is not None and there.high is not None
    assert there.low <= there.value <= there.high
    assert scaled.value == pytest.approx(factor * there.value, rel=EXACT_ARITHMETIC * 100)
    back = ratio_of_rounds(b, a, paired=paired)
    assert back.value == pytest.approx(1 / there.value, rel=EXACT_ARITHMETIC * 100)


def test_the_finding_is_about_b() -> None:
    a, slower = record(), record(factor=1.1)
    assert compare_latency(a, slower).finding is Finding.WORSE
    assert compare_latency(slower, a).finding is Finding.BETTER
    same = compare_latency(a, a)
    assert (same.finding, same.reason) == (Finding.NOT_DISTINGUISHABLE, "equal within 3%")
    assert same.interleaved and same.rounds == (10, 10)
    assert to_plain(same)["schema"] == "edgekd.bench-comparison/1"


def test_a_difference_below_the_one_of_interest_is_not_claimed() -> None:
    a, b = record((1.0,) * 9), record((1.02,) * 9)
    assert compare_latency(a, b).reason == "equal within 3%"
    assert compare_latency(a, b, smallest_difference=0.01).finding is Finding.WORSE
    unsure = compare_latency(record((1.0, 1.2) * 5, **LATER), record((1.1, 0.9) * 5))
    assert unsure.reason == "the interval holds differences below 3%"


def test_pairs_of_one_command_cancel_its_drift() -> None:
    drifting = tuple(1.1**n for n in range(10))
    assert compare_latency(record(drifting), record(drifting, factor=1.1)).finding is Finding.WORSE
    apart = compare_latency(record(drifting), record(drifting, factor=1.1, **LATER))
    assert apart.finding is Finding.NOT_DISTINGUISHABLE and not apart.interleaved


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rounds_ms": ()}, "the record B holds no rounds"),
        ({"rounds_ms": record().rounds_ms[:3]}, "3 rounds in B, at least 5 are needed"),
        ({"noise": ("busy",), **LATER}, "B was measured in noise: busy"),
        (
            {"status": Status.UNAVAILABLE, "reason": "no GPU", "latency_ms": None, "engine": None},
            "B did not run: no GPU",
        ),
    ],
)
def test_what_cannot_be_judged_says_why(changes: dict[str, Any], reason: str) -> None:
    found = compare_latency(record(), record(factor=2, **changes))
    assert (found.finding, found.reason, found.p50_ratio) == (Finding.NOT_DISTINGUISHABLE, reason, None)


def test_noise_in_interleaved_rounds_hits_both() -> None:
    noisy = record(factor=2, noise=("busy",))
    assert compare_latency(record(), noisy).finding is Finding.WORSE
    later = dataclasses.replace(noisy, **LATER)
    assert compare_latency(record(), later, anyway=True).finding is Finding.WORSE


def test_a_file_that_no_longer_runs_is_worse() -> None:
    failed = one_record(status=Status.FAILED, reason="it crashed", latency_ms=None, engine=None)
    assert compare_latency(record(), failed).finding is Finding.WORSE
    assert compare_latency(failed, record()).finding is Finding.NOT_DISTINGUISHABLE


@pytest.mark.parametrize(
    ("changes", "circumstance"),
    [
        ({"threads": 2}, "threads 1 and 2"),
        ({"device": dataclasses.replace(DEVICE, cpu="Another")}, "processor A Processor and Another"),
        ({"engine": dataclasses.replace(ENGINE, version="2.4.0")}, "engine ai-edge-litert 2.3.0 and"),
        ({"engine": dataclasses.replace(ENGINE, kernels="builtin")}, "kernels xnnpack and builtin"),
        ({"actual_accelerator": "SwiftShader Device"}, "ran on SwiftShader Device: correctness only"),
    ],
)
def test_other_circumstances_are_named_and_refused(changes: dict[str, Any], circumstance: str) -> None:
    other = record(**changes)
    with pytest.raises(UsageError, match=circumstance):
        compare_latency(record(), other)
    (named,) = compare_latency(record(), other, anyway=True).differing
    assert circumstance in named


def test_a_simulation_is_known_by_its_accelerator() -> None:
    assert simulation(record()) is None
    for name in ("llvmpipe (LLVM 15)", "cpu (qemu-aarch64, correctness only)"):
        assert simulation(record(actual_accelerator=name)) == name


def test_too_few_rounds_and_unequal_pairs_are_refused() -> None:
    for a, b, paired in (([1.0], [1.0], True), ([1.0, 2.0], [1.0], False), ([1.0] * 3, [1.0] * 2, True)):
        with pytest.raises(UsageError, match="expected 2 or more"):
            ratio_of_rounds(a, b, paired=paired)


def test_a_round_is_kept_by_itself() -> None:
    found = round_latencies([one_round([1.0, 2.0, 3.0]), one_round([5.0])])
    assert found == (RoundLatency(p50=2.0, p90=3.0, n=3), RoundLatency(p50=5.0, p90=5.0, n=1))


def test_records_without_rounds_still_read(tmp_path: Path) -> None:
    plain = to_plain(one_record())
    del plain["rounds_ms"]
    (tmp_path / "old.json").write_text(json.dumps(plain), encoding="utf-8")
    (found,) = read_folder(tmp_path)
    assert found.record == one_record()


# Folders


def keep(folder: Path, *records: BenchRecord) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for one in records:
        write_json(folder / file_name(one), one)
    return folder


def test_folders_are_compared_file_by_file(tmp_path: Path) -> None:
    a = keep(tmp_path / "a", record(), record(name="fp32"), record(name="alone"))
    b = keep(tmp_path / "b", record(factor=1.2, **LATER), record(name="fp32", **LATER))
    found = {one.b: one.finding for one in compare_paths(a, b)}
    assert found == {"fp32@cpu-1t": Finding.NOT_DISTINGUISHABLE, "int8@cpu-1t": Finding.WORSE}
    assert len(compare_paths(a / "int8@cpu-1t.json", b / "fp32@cpu-1t.json")) == 1


def test_paths_that_do_not_pair_are_refused(tmp_path: Path) -> None:
    a, b = keep(tmp_path / "a", record()), keep(tmp_path / "b", record(name="fp32"))
    with pytest.raises(UsageError, match="share no record"):
        compare_paths(a, b)
    with pytest.raises(UsageError, match="expected two records, or two folders"):
        compare_paths(a, b / "fp32@cpu-1t.json")
    (tmp_path / "x.json").write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match=r"x\.json"):
        compare_paths(a / "int8@cpu-1t.json", tmp_path / "x.json")


def test_a_regression_against_a_baseline(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    baseline = keep(tmp_path / "run" / "bench", record(), record(name="fp32"))
    (tmp_path / "run" / "experiment.json").write_text("{}", encoding="utf-8")
    now = [record(factor=1.2, **LATER), record(name="fp32", **LATER), record(name="new", **LATER)]
    with caplog.at_level(logging.WARNING, logger="edgekd"):
        found = regressions(now, tmp_path / "run")
    assert [one.b for one in found] == ["int8@cpu-1t"]
    assert "new@cpu-1t: not in the baseline" in caplog.text
    with pytest.raises(UsageError, match="holds no record"):
        regressions(now[2:], baseline)


HOSTILE = {
    "empty.json": "",
    "list.json": "[1, 2]",
    "deep.json": "[" * 100_000,
    "latin.json": "\xff\xfe",
    "schema.json": '{"schema": 3}',
    "half.json": '{"schema": "edgekd.bench/1", "threads": 1}',
    "other.json": '{"name": "somebody else\'s"}',
}


def test_foreign_json_is_counted_and_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keep(tmp_path / "deeper", record(), record(name="fp32"))
    for name, text in HOSTILE.items():
        (tmp_path / name).write_text(text, encoding="latin-1")
    plain = to_plain(record())
    for name, p50 in (("nan", float("nan")), ("huge", 10**400), ("zero", 0)):
        plain["latency_ms"]["p50"] = p50
        (tmp_path / f"{name}.json").write_text(json.dumps(plain), encoding="utf-8")
    (tmp_path / "step.json").write_text('{"schema": "edgekd.step/1"}', encoding="utf-8")
    (tmp_path / "folder.json").mkdir()
    with caplog.at_level(logging.WARNING, logger="edgekd"):
        assert len(read_folder(tmp_path, deep=True)) == 2
    assert f"skipped {len(HOSTILE) + 3} JSON files that are no records" in caplog.text
    assert not holds_bench(tmp_path) and holds_bench(tmp_path / "deeper")
    assert not holds_bench(tmp_path / "absent")
    with pytest.raises(UsageError, match="no such folder"):
        read_folder(tmp_path / "absent")
