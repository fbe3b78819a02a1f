from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import bad_readers
from edgekd.errors import UsageError
from edgekd.plain import from_plain
from edgekd_converters import fuzz_worker
from edgekd_converters.fuzz import FuzzReport, fuzz, main
from edgekd_converters.fuzz_mutations import GENERAL, SPECIAL, mutate
from edgekd_converters.fuzz_samples import samples
from edgekd_converters.fuzz_worker import Outcome, Reader, Worker, _answer
from edgekd_converters.inspect import inspect_tflite
from edgekd_converters.standard_metadata import read_standard_metadata

TFLITE = ("plain.tflite", "metadata.tflite")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("files")
    found = samples()
    for name in TFLITE:
        (folder / name).write_bytes(found[name])
    return [str(folder / name) for name in TFLITE]


def test_the_samples_are_whole(files):
    assert [inspect_tflite(Path(file)).load_error for file in files] == [None, None]
    assert read_standard_metadata(Path(files[1])).labels == ("mel", "nv", "bkl")
    assert samples() == samples()


def test_thirty_copies_are_read_or_refused(files, capsys):
    assert main(["--count", "30", "--jobs", "1", "--json", "--quiet", *files]) == 0
    report = from_plain(FuzzReport, json.loads(capsys.readouterr().out))
    assert (report.count, report.seed, report.passed) == (30, 1, True)
    assert set(report.outcomes) == set(fuzz_worker.READERS[".tflite"])
    for counts in report.outcomes.values():
        assert counts["read"] + counts["refused"] + counts["contained"] == 30
    # Half of them must get past the first check, or nothing was tested.
    assert report.outcomes["inspect"]["read"] >= 10 and report.outcomes["inspect"]["refused"] >= 3


@pytest.mark.parametrize("suffix", [".tflite", ".keras", ".h5"])
def test_a_copy_is_a_function_of_seed_and_number(suffix):
    found = samples()
    data = found.get(f"dense{suffix}", found["metadata.tflite"])
    if suffix == ".keras" and "dense.keras" not in found:
        pytest.skip("no TensorFlow, no Keras sample")
    copies = [mutate(data, suffix, seed=3, number=number) for number in range(60)]
    assert copies == [mutate(data, suffix, seed=3, number=number) for number in range(60)]
    assert copies != [mutate(data, suffix, seed=4, number=number) for number in range(60)]
    assert sum(copy == data for _, copy in copies) <= 6  # a word may be absurd already
    wanted = GENERAL.keys() | SPECIAL.get(suffix, {}).keys()
    assert len({name for name, _ in copies} & wanted) >= len(wanted) - 3


def test_no_change_trips_over_tiny_files():
    for change in (*GENERAL.values(), *SPECIAL[".tflite"].values()):
        for data in (b"", b"T", b"\0\0\0\0TFL3"):
            rng = np.random.Generator(np.random.PCG64(1))
            assert isinstance(change(data, rng), bytes)


def test_files_that_nothing_reads_are_a_usage_error(tmp_path, capsys):
    with pytest.raises(UsageError, match="nothing reads its suffix"):
        fuzz({"a.txt": b""}, numbers=[0], seed=1)
    assert main([str(tmp_path / "absent.tflite")]) == 4
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("read", "outcome"),
    [
        (bad_readers.read, Outcome.READ),
        (bad_readers.refuse, Outcome.REFUSED),
        (bad_readers.refuse_at_length, Outcome.CRASH),
        (bad_readers.fail, Outcome.CRASH),
    ],
)
def test_only_an_error_of_one_line_is_a_clean_refusal(read, outcome):
    assert _answer(Reader(read), Path("x")).outcome is outcome


@pytest.mark.parametrize(
    ("read", "outcome", "said"),
    [
        (bad_readers.die, Outcome.CRASH, "SIGABRT"),
        (bad_readers.spin, Outcome.HANG, "processor time"),
        (bad_readers.swallow, Outcome.CRASH, "MemoryError"),
    ],
)
def test_death_endless_work_and_greed_are_seen_and_the_next_call_works(tmp_path, read, outcome, said):
    worker = Worker(0.2, 2 << 30)
    try:
        answer = worker.run(Reader(read), tmp_path)
        assert answer.outcome is outcome and said in answer.detail
        good = worker.run(Reader(bad_readers.refuse), tmp_path)
        assert good.outcome is Outcome.REFUSED
    finally:
        worker.stop()


@pytest.mark.parametrize(("instead", "outcome"), [("refuse", "contained"), ("fail", "crash")])
def test_a_native_death_counts_as_contained_only_if_its_stand_in_answers(monkeypatch, instead, outcome):
    native = {"interpreter": Reader(bad_readers.die, native=True)}
    monkeypatch.setitem(fuzz_worker.READERS, ".tflite", native)
    monkeypatch.setitem(fuzz_worker.CONTAINED_BY, "interpreter", Reader(getattr(bad_readers, instead)))
    report = fuzz({"a.tflite": b"x" * 32}, numbers=[5], seed=1, jobs=1)
    assert report.outcomes["interpreter"][outcome] == 1
    assert report.passed is (outcome == "contained")
    assert report.findings[0].number == 5


def test_a_crash_is_exit_code_3_and_its_copy_is_kept(monkeypatch, files, tmp_path, caplog):
    monkeypatch.setitem(fuzz_worker.READERS, ".tflite", {"inspect": Reader(bad_readers.fail)})
    keep = tmp_path / "keep"
    with caplog.at_level("INFO", logger="edgekd"):
        assert main(["--only", "7", "--keep", str(keep), files[0]]) == 3
    _, data = mutate(Path(files[0]).read_bytes(), ".tflite", seed=1, number=7)
    assert (keep / "7.tflite").read_bytes() == data


@pytest.mark.tf
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_hundred_copies_of_every_kind_are_read_or_refused():
    found = samples()
    report = fuzz(found, numbers=range(100), seed=2, jobs=2)
    assert report.passed, report.findings
    assert report.outcomes["load_model"]["read"] > 0
