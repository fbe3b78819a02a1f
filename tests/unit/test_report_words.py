"""Numbers as text."""

from __future__ import annotations

import pytest

from edgekd.metrics.intervals import Estimate
from edgekd.metrics.paired import Verdict
from edgekd.report import words
from edgekd.report.blocks import Tone


@pytest.mark.parametrize(
    ("value", "signed", "text"),
    [
        (0.9014, False, "0.901"),
        (-0.0449, True, "−0.045"),
        (0.0449, True, "+0.045"),
        (-0.0001, True, "0.000"),
        (0.0, True, "0.000"),
        (None, False, "–"),
        (4052381.19, True, "+4.05e+06"),
    ],
)
def test_number(value: float | None, signed: bool, text: str) -> None:
    assert words.number(value, signed=signed) == text


def test_estimate() -> None:
    found = words.estimate(Estimate(value=0.9, low=0.8, high=0.953, method="wilson(0.95)"), counts="54 of 60")
    assert found.text == "0.900"
    assert found.note == "[0.800,\u00a00.953], 54 of 60"
    absent = words.estimate(Estimate(value=None, low=None, high=None, method="wilson(0.95)"), counts="0 of 0")
    assert (absent.text, absent.note) == ("–", "0 of 0")
    unbounded = words.estimate(Estimate(value=0.5, low=None, high=None, method="x"))
    assert (unbounded.text, unbounded.note) == ("0.500", "")
    assert words.estimate(None).text == "–"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0421, "0.042 ms"), (1.6234, "1.62 ms"), (16.234, "16.2 ms"), (162.34, "162 ms"), (None, "–")],
)
def test_milliseconds(value: float | None, text: str) -> None:
    assert words.milliseconds(value).replace("\u00a0", " ") == text


def test_sizes_have_the_unit_they_are_counted_in() -> None:
    assert words.megabytes(1_500_000) == "1.50\u00a0MB"
    assert words.mebibytes(3 * 2**20) == "3.0\u00a0MiB"
    assert words.megabytes(None) == words.mebibytes(None) == "–"


def test_counts_and_shares() -> None:
    assert words.whole(9999) == "9999"
    assert words.whole(2_257_984) == "2\u202f257\u202f984"
    assert words.share(60, 419) == "14.3\u00a0%"
    assert words.share(0, 0) == "–"
    assert (words.threads(1), words.threads(2)) == ("1 thread", "2 threads")
    assert (words.probability(0.0004), words.probability(0.25)) == ("< 0.001", "0.250")


def test_verdicts_are_told_by_word_and_colour() -> None:
    assert {v: words.verdict(v).tone for v in Verdict} == {
        Verdict.PASSED: Tone.GOOD,
        Verdict.FAILED: Tone.BAD,
        Verdict.UNDECIDED: Tone.OPEN,
    }
    assert words.verdict(Verdict.FAILED).text == "failed"
    assert words.verdict(None).text == "not verified"


def test_engine() -> None:
    engine = {"name": "litert", "version": "2.1", "kernels": "xnnpack", "threads": 1, "isa": "x86_64 avx2"}
    assert words.engine(engine) == "litert 2.1, xnnpack, 1 thread, x86_64 avx2"
    assert words.engine("keras") == "keras"
    assert words.engine({"name": "x"}) == "x"
