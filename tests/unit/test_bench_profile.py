"""The profile of operators and the roofline: which kernel did what, how much work it was, and its limits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given
from hypothesis import strategies as st

from command import edgekd
from edgekd.errors import ModelError
from edgekd.plain import from_plain, read_json, to_plain
from edgekd_bench.profile import Profile, grouped, profile, rows, write_profile
from edgekd_bench.profile_graph import Operation, assign, operations, runs_in_eight_bits
from edgekd_bench.profile_litert import Event
from edgekd_bench.roofline import Bandwidth, Peaks, convolution, least_ms, measure_peaks
from tiny_tflite import average_pool

PEAKS = Peaks(
    threads=1,
    float32_gmac_per_s=10.0,
    int8_gmac_per_s=40.0,
    bandwidths=(Bandwidth(copy_bytes=1000, gb_per_s=100.0), Bandwidth(copy_bytes=100_000, gb_per_s=10.0)),
)


def operation(number: int, kind: str, **changes: object) -> Operation:
    given = {"macs": 100, "bytes_moved": 10, "eight_bit": False, "layer": f"layer{number}", **changes}
    return Operation(number=number, kind=kind, **given)  # type: ignore[arg-type]


def event(kernel: str, number: int | None = None, ms: float = 1.0) -> Event:
    return Event(kernel=kernel, number=number, ms=ms)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    """The profile of one real convolution on this machine."""
    path = tmp_path_factory.mktemp("model") / "one.tflite"
    path.write_bytes(convolution(side=12, window=3, channels=8, eight_bit=True))
    return profile(path, runs=5, peaks=PEAKS)


def test_the_least_time_is_the_longer_of_computing_and_moving() -> None:
    # 10⁶ multiply-adds at 10·10⁹ a second take 0.1 ms; 1500 bytes at 100·10⁹ take 15 ns.
    assert least_ms(PEAKS, macs=10**6, bytes_moved=1500, eight_bit=False) == (pytest.approx(0.1), "compute")
    assert least_ms(PEAKS, macs=10**6, bytes_moved=1500, eight_bit=True)[0] == pytest.approx(0.025)
    # 10⁶ bytes are beyond every measured size: the slowest bandwidth holds, 0.1 ms.
    assert least_ms(PEAKS, macs=1000, bytes_moved=10**6, eight_bit=False) == (pytest.approx(0.1), "memory")
    # A copy of 1000 bytes moves 2000: data of that size are in that cache, one byte more is not.
    assert least_ms(PEAKS, macs=0, bytes_moved=2000, eight_bit=False)[0] == pytest.approx(2e-5)
    assert least_ms(PEAKS, macs=0, bytes_moved=2001, eight_bit=False)[0] == pytest.approx(2.001e-4)


@given(st.integers(0, 10**9), st.integers(1, 10**9), st.booleans())
def test_more_work_never_takes_less_time(macs: int, moved: int, eight_bit: bool) -> None:
    least, _ = least_ms(PEAKS, macs=macs, bytes_moved=moved, eight_bit=eight_bit)
    for more in ((2 * macs, moved), (macs, 2 * moved)):
        assert least_ms(PEAKS, macs=more[0], bytes_moved=more[1], eight_bit=eight_bit)[0] >= least


@pytest.mark.parametrize("eight_bit", [False, True])
def test_the_convolution_that_shows_the_peak_is_one(tmp_path: Path, eight_bit: bool) -> None:
    path = tmp_path / "peak.tflite"
    path.write_bytes(convolution(side=5, window=3, channels=4, eight_bit=eight_bit))
    (one,) = operations(path)
    assert (one.kind, one.macs, one.eight_bit) == ("CONV_2D", 5 * 5 * 3 * 3 * 4 * 4, eight_bit)
    item = 1 if eight_bit else 4
    assert one.bytes_moved == item * (5 * 5 * 4 * 2 + 4 * 3 * 3 * 4) + 4 * 4
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    image, answer = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    generator = np.random.default_rng(0)
    pixels = generator.integers(-20, 20, (1, 5, 5, 4)).astype(image["dtype"])
    interpreter.set_tensor(image["index"], pixels)
    interpreter.invoke()
    weights = np.random.Generator(np.random.PCG64(0)).integers(-127, 128, (4, 3, 3, 4), np.int8)
    centre = np.einsum("hwi,ohwi->o", pixels[0, 1:4, 1:4].astype(float), weights.astype(float))
    # Scales: 0.02 of the image times 0.01 of the weights; floats are weights / (127 · channels).
    expected = np.clip(np.round(centre * 0.0002), -128, 127) if eight_bit else centre / (127 * 4)
    got = interpreter.get_tensor(answer["index"])[0, 2, 2]
    np.testing.assert_allclose(got, expected, atol=1 if eight_bit else 1e-4)


def test_kernels_find_their_operators_in_order() -> None:
    work = [
        operation(0, "CONV_2D"),
        operation(1, "DEPTHWISE_CONV_2D"),
        operation(2, "CONV_2D"),
        operation(3, "ADD"),
        operation(4, "FULLY_CONNECTED"),
    ]
    events = [
        event("Convolution (NHWC, QC8) IGEMM"),
        event("Convolution (NHWC, QC8) DWConv"),
        event("Transpose of nothing in the file"),
        event("Fully Connected (NC, QS8) GEMM"),  # how XNNPACK does a 1 × 1 convolution
        event("Add (ND, QS8)"),
        event("Fully Connected (NC, QS8) GEMM"),
    ]
    assert [one and one.number for one in assign(events, work)] == [0, 1, None, 2, 3, 4]


def test_a_depthwise_kernel_is_no_plain_convolution() -> None:
    assert assign([event("Convolution (NHWC) DWConv")], [operation(0, "CONV_2D")]) == [None]


def test_an_event_outside_of_a_delegate_knows_its_place() -> None:
    work = [operation(0, "CUSTOM"), operation(1, "CUSTOM")]
    assert assign([event("Custom", 1)], work) == [work[1]]
    assert assign([event("Custom")], work) == [None]


@given(st.lists(st.sampled_from(["Add (ND)", "Multiply (ND)", "Sigmoid"]), max_size=8))
def test_a_kernel_for_each_operator_is_assigned_to_it(kernels: list[str]) -> None:
    kinds = {"Add (ND)": "ADD", "Multiply (ND)": "MUL", "Sigmoid": "LOGISTIC"}
    work = [operation(number, kinds[kernel]) for number, kernel in enumerate(kernels)]
    assert assign([event(kernel) for kernel in kernels], work) == work


def test_too_many_operators_are_refused() -> None:
    with pytest.raises(ModelError, match="6000 kernels for 6000 operators: too many"):
        assign([event("Add")] * 6000, [operation(0, "ADD")] * 6000)


def test_bits_are_those_that_are_multiplied() -> None:
    dynamic = operation(0, "FULLY_CONNECTED")
    assert runs_in_eight_bits(event("Fully Connected (NC, QD8, F32)"), dynamic)
    assert not runs_in_eight_bits(event("Fully Connected (NC, F32)"), dynamic)
    assert runs_in_eight_bits(event("CONV_2D", 0), operation(0, "CONV_2D", eight_bit=True))


def test_a_real_profile(found: Profile) -> None:
    assert found.name == "one" and found.runs == 5
    assert sum(one.share for one in found.operators) == pytest.approx(1)
    assert found.between_ms == pytest.approx(found.invoke_ms - sum(one.ms for one in found.operators))
    (conv,) = [one for one in found.operators if one.kind == "CONV_2D"]
    assert conv.macs == 12 * 12 * 3 * 3 * 8 * 8
    assert conv.least_ms == pytest.approx(
        least_ms(PEAKS, macs=conv.macs, bytes_moved=2944, eight_bit=True)[0]
    )
    assert from_plain(Profile, to_plain(found)) == found
    assert {group.name for group in found.by_kind} == {one.kind for one in found.operators}
    assert sum(group.ms for group in grouped(found.operators, lambda one: one.layer)) == pytest.approx(
        sum(one.ms for one in found.operators)
    )
    assert len(rows(found)) == len(found.operators)


def test_a_profile_is_written_with_its_picture(found: Profile, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write_profile(found, tmp_path / folder)
    assert {path.name for path in (tmp_path / "one").iterdir()} == {
        "profile.json",
        "profile.svg",
        "profile.png",
    }
    assert from_plain(Profile, read_json(tmp_path / "one" / "profile.json")) == found
    drawn = (tmp_path / "one" / "profile.svg").read_text(encoding="utf-8")
    assert "CONV_2D" in drawn and "roofline" in drawn
    assert (tmp_path / "one" / "profile.png").read_bytes().startswith(b"\x89PNG")
    assert drawn == (tmp_path / "two" / "profile.svg").read_text(encoding="utf-8")


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken.tflite").write_bytes(b"not a model at all")
    good = tmp_path / "good.tflite"
    good.write_bytes(average_pool(px=8))
    for arguments, code in (
        ([tmp_path / "absent.tflite"], 4),
        ([tmp_path / "broken.tflite"], 4),
        ([good, "--threads", 0], 2),
        ([good, "--out", good], 2),
    ):
        done = edgekd("profile", *arguments)
        assert (done.exit_code, done.stdout) == (code, ""), done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_command_measures_the_peaks_of_this_machine(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(convolution(side=12, window=3, channels=8, eight_bit=True))
    done = edgekd("profile", path, "--runs", 5, "--json", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["peaks"]["int8_gmac_per_s"] > 0
    assert [one["copy_bytes"] for one in record["peaks"]["bandwidths"]] == sorted(
        one["copy_bytes"] for one in record["peaks"]["bandwidths"]
    )
    assert (tmp_path / "out" / "profile.png").is_file()
    peaks = measure_peaks(1)
    assert min(peaks.float32_gmac_per_s, peaks.int8_gmac_per_s) > 0
