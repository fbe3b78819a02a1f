"""The Kotlin library on a JVM against Python: the same pixels, scores and logits; records both can read.

`android_demo/ci/run` starts these tests. They compile Kotlin and convert two small models:
a minute of one core.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

import kotlin_person
import kotlin_side
from command import edgekd
from conftest import ROOT
from edgekd.card import read_card
from edgekd.config import Precision
from edgekd.imaging.decode import read_image
from edgekd_bench.compare import differences
from edgekd_bench.record import BenchRecord, file_name, read_bench
from edgekd_bench.round import Status

pytestmark = [pytest.mark.slow, pytest.mark.tf]

CI = ROOT / "android_demo" / "ci"
MODELS = ((Precision.INT8_PTQ, 48), (Precision.FP32, 64))


@pytest.fixture(scope="module")
def jars() -> dict[str, list[str]]:
    """The compiled library, its tests, and what they need."""
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("no JDK 17 here: apt-get install openjdk-17-jdk-headless")
    built = subprocess.run([sys.executable, CI / "build.py"], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    found: dict[str, str | list[str]] = json.loads(built.stdout)
    return {name: [part] if isinstance(part, str) else part for name, part in found.items()}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Bundles of an 8-bit and of a float model, of different input, and of two that also take a person."""
    folder = tmp_path_factory.mktemp("bundles")
    made = []
    for precision, px in MODELS:
        model = kotlin_side.write_model(folder / f"{precision}.tflite", precision, px)
        made.append(kotlin_side.write_bundle_of(model, folder / precision, precision, px))
    return made + kotlin_person.write_person_bundles(folder)


def junit(jars: dict[str, list[str]], classes: list[str], **properties: object) -> str:
    """What JUnit prints, when every test of `classes` passed."""
    given = [f"-D{name.replace('_', '.')}={value}" for name, value in properties.items()]
    path = os.pathsep.join(part for parts in jars.values() for part in parts)
    command = ["java", "-Xmx700m", *given, "-cp", path, "org.junit.runner.JUnitCore", *classes]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^OK \(\d+ tests?\)$", done.stdout, re.MULTILINE), done.stdout
    return done.stdout


def litert(bundles: list[Path]) -> dict[str, object]:
    spec = find_spec("ai_edge_litert")
    assert spec is not None and spec.origin is not None
    return {
        "edgekd_litert": Path(spec.origin).with_name("libLiteRt.so"),
        "edgekd_litert_version": version("ai-edge-litert"),
        "edgekd_bundles": os.pathsep.join(map(str, bundles)),
    }


def test_the_library_by_itself(jars: dict[str, list[str]]) -> None:
    with zipfile.ZipFile(jars["tests"][0]) as archive:
        names = re.findall(r"^(org/edgekd/core/\w+Test)\.class$", "\n".join(archive.namelist()), re.MULTILINE)
    classes = [name.replace("/", ".") for name in names if not name.endswith("/VectorsTest")]
    assert len(classes) >= 7
    junit(jars, classes)


def test_the_library_needs_no_invokedynamic_and_no_platform(jars: dict[str, list[str]]) -> None:
    """Old dexers refuse the one, phones lack parts of the other: these packages are on all of them."""
    with zipfile.ZipFile(jars["core"][0]) as archive:
        classes = [archive.read(name) for name in archive.namelist() if name.endswith(".class")]
    packages = set(re.findall(rb"\b(javax?/(?:[a-z]+/)+)[A-Z]", b"".join(classes)))
    known = {b"java/lang/", b"java/io/", b"java/math/", b"java/nio/", b"java/nio/charset/", b"java/security/"}
    assert len(classes) > 50 and packages - {b"java/util/"} <= known
    assert not any(b"LambdaMetafactory" in one or b"StringConcatFactory" in one for one in classes)


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, int]:
    """A folder of what Python makes of pictures, logits and persons; how many bytes and how many persons."""
    folder = tmp_path_factory.mktemp("vectors")
    return folder, kotlin_side.write_vectors(folder), kotlin_person.write_person_vectors(folder)


def test_every_pixel_score_and_person(jars: dict[str, list[str]], vectors: tuple[Path, int, int]) -> None:
    folder, written, persons = vectors
    assert written >= 1_000_000 and persons >= 3_000
    said = junit(jars, ["org.edgekd.core.VectorsTest"], edgekd_vectors=folder)
    compared = re.search(r"compared (\d+) bytes, (\d+) shapes", said)
    assert compared and int(compared[1]) == written and int(compared[2]) >= 30, said
    assert re.search(r"compared \d{4,} scores", said) and re.search(r"compared \d{2,} photos", said)
    assert f"compared {persons} persons" in said


@pytest.mark.real
def test_every_pixel_of_real_images(jars: dict[str, list[str]], shared: Path, tmp_path: Path) -> None:
    files = sorted((shared / "data").rglob("*.jpg"))[::25][:60]
    assert len(files) >= 20
    written = kotlin_side.write_vectors(tmp_path, [read_image(file) for file in files])
    kotlin_person.write_person_vectors(tmp_path)
    said = junit(jars, ["org.edgekd.core.VectorsTest"], edgekd_vectors=tmp_path)
    assert f"compared {written} bytes" in said


def test_a_byte_that_differs_is_noticed(jars: dict[str, list[str]], vectors: tuple[Path, int, int]) -> None:
    """The comparison compares: one grey level in one byte of one picture fails it."""
    one = vectors[0] / "020.out"
    right = one.read_bytes()
    one.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    try:
        with pytest.raises(AssertionError, match=r"prepare .* 020 expected:<0> but was:<1>"):
            junit(jars, ["org.edgekd.core.VectorsTest"], edgekd_vectors=vectors[0])
    finally:
        one.write_bytes(right)


def test_real_inference(jars: dict[str, list[str]], bundles: list[Path]) -> None:
    """Logits equal to Python's to the last bit, nothing allocated per call."""
    said = junit(
        jars, [f"org.edgekd.jvm.{name}" for name in ("GoldenTest", "AllocationTest")], **litert(bundles)
    )
    for bundle in bundles:
        assert re.search(rf"kotlin-{bundle.name}: All \d+ golden pictures give the answer of Python", said)


def test_what_is_known_of_a_person_moves_the_answer_as_in_python(
    jars: dict[str, list[str]], bundles: list[Path], tmp_path: Path
) -> None:
    """Of two 8-bit models with a second input, which comes first in one file and last in the other."""
    models = bundles[len(MODELS) :]
    written = kotlin_person.write_person_answers(tmp_path, models)
    said = junit(jars, ["org.edgekd.jvm.PersonTest"], edgekd_persons=tmp_path, **litert(bundles))
    compared = re.findall(r"kotlin-(\S+): (\d+) persons$", said, re.MULTILINE)
    assert [name for name, _ in compared] == [model.name for model in models]
    assert sum(int(count) for _, count in compared) == written >= 15


def test_the_pixel_paths_are_timed_against_each_other(
    jars: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(CI)
    bench = importlib.import_module("preprocess_bench")
    monkeypatch.setattr(bench, "HEIGHT", 300)
    monkeypatch.setattr(bench, "WIDTH", 400)
    assert bench.main(["--px", "32", "--rounds", "2", "--runs", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "edgekd.throughput/1" and found["identical"] is True
    assert found["python"]["n"] == found["kotlin"]["n"] == 6 and len(found["rounds"]) == 2
    ratio = found["kotlin"]["p50_ms"] / found["python"]["p50_ms"]
    assert found["kotlin_over_python"] == pytest.approx(ratio) and found["java"]


@pytest.fixture(scope="module")
def records(
    jars: dict[str, list[str]], bundles: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of the benchmark records that the Kotlin library wrote."""
    folder = tmp_path_factory.mktemp("records")
    junit(jars, ["org.edgekd.jvm.BenchmarkTest"], edgekd_records=folder, **litert(bundles))
    return folder


def test_records_are_read(records: Path, bundles: list[Path]) -> None:
    found = {path.stem: read_bench(path) for path in records.iterdir()}
    measured = {f"ok-{number}": bundle for number, bundle in enumerate(bundles)}
    assert set(found) == {*measured, "again", "emulator", "no-gpu", "broken", "mismatch"}
    for name, bundle in measured.items():
        record, card = found[name], read_card(bundle / "card.json")
        manifest = json.loads((bundle / "manifest.json").read_text())
        assert record.model.sha256 == manifest["files"]["model.tflite"]["sha256"]
        assert record.model.precision == card.precision
        person = [(1, len(card.patient.columns))] if card.patient else []
        shapes = [(1, card.input_px, card.input_px, 3), *person]
        assert [one.shape for one in record.model.input] == shapes
        assert file_name(record) == f"kotlin-{bundle.name}@cpu-1t.json"
        _check_latency(record)
    assert found["ok-0"].device.cpu == "Maker Model (Chip) “ü”"
    assert found["again"].noise[0] == "power saving is on"
    assert differences(found["ok-0"], found["again"]) == ()


def _check_latency(record: BenchRecord) -> None:
    latency = record.latency_ms
    assert latency is not None and record.status is Status.OK and len(record.rounds_ms) == record.rounds == 5
    assert 0 < latency.min <= latency.p50 <= latency.p90 <= latency.p95 <= latency.p99
    assert latency.n == sum(one.n for one in record.rounds_ms) >= 100
    assert latency.first and record.init_ms and record.timer_precision_ms
    assert record.engine and record.engine.kernels == "xnnpack" and record.actual_accelerator == "cpu"
    assert record.versions["golden set"].startswith("All ") and record.versions["app"] == "1.0"


def test_records_without_a_latency_say_why(records: Path) -> None:
    emulator = read_bench(records / "emulator.json")
    assert emulator.reason == "ran on emulator: correctness only, no latency"
    assert (emulator.status, emulator.latency_ms, emulator.rounds_ms) == (Status.OK, None, ())
    absent = read_bench(records / "no-gpu.json")
    assert (absent.status, absent.requested_accelerator, absent.actual_accelerator) == (
        "unavailable",
        "gpu",
        None,
    )
    for name in ("broken", "mismatch"):
        assert read_bench(records / f"{name}.json").status is Status.FAILED


def test_records_are_compared_and_ranked(records: Path, tmp_path: Path) -> None:
    compared = edgekd("compare", records / "ok-0.json", records / "again.json", "--json")
    assert compared.exit_code == 0, compared.stderr
    assert json.loads(compared.stdout)[0]["rounds"] == [5, 5]
    board = edgekd("leaderboard", records, "--out", tmp_path)
    assert board.exit_code == 0, board.stderr
    assert "Maker Model" in (tmp_path / "leaderboard.md").read_text()
