"""Every known form of a benchmark tool's output, and what a phone says about itself."""

from __future__ import annotations

import pytest

from edgekd.errors import DeviceError
from edgekd_bench.adb import actual_accelerator, delegates_of
from edgekd_bench.adb_output import AppliedDelegate, check_ending, last_line, parse_output
from edgekd_bench.adb_phone import PhoneState, parse_state

WARM_UP = "INFO: count=4 first=125113 curr=112000 min=111900 max=125113 avg=115344 std=5000"
MEASURED = (
    "INFO: count=50 first=119614 curr=115889 min=111842 max=119614 avg=115246 std=1329 "
    "p5=112107 median=115350 p95=116620"
)
SUMMARY = (
    "INFO: Inference timings in us: Init: 1361236, First inference: 125113, Warmup (avg): 115344, "
    "Inference (avg): 115246"
)
MEMORY = "INFO: Memory footprint delta from the start of the tool (MB): init=132.816 overall=132.816"
OUTPUT = "\n".join(["STARTING!", WARM_UP, "", MEASURED, "", SUMMARY, MEMORY])


def test_the_figures_of_a_new_build() -> None:
    found = parse_output(OUTPUT)
    assert found.warm_up is not None
    assert (found.warm_up.count, found.warm_up.p5_ms) == (4, None)
    runs = found.runs
    assert (runs.count, runs.first_ms, runs.min_ms, runs.max_ms) == (50, 119.614, 111.842, 119.614)
    assert (runs.mean_ms, runs.std_ms) == (115.246, 1.329)
    assert (runs.p5_ms, runs.median_ms, runs.p95_ms) == (112.107, 115.350, 116.620)
    assert (found.init_ms, found.first_ms) == (1361.236, 125.113)
    assert (found.memory_init_mb, found.memory_overall_mb, found.memory_peak_mb) == (132.816, 132.816, None)
    assert (found.delegates, found.untaken, found.fallback) == ((), {}, ())


def test_an_old_build_without_percentiles_and_with_powers_of_ten() -> None:
    found = parse_output(
        "count=1 curr=3512391\n"
        "count=50 first=2990275 curr=2913402 min=2727568 max=3189954 avg=2.95034e+06 std=109798\n"
        "Inference timings in us: Init: 17187, First inference: 3512391, Warmup (avg): 3.51239e+06, "
        "Inference (avg): 2.95034e+06\n"
        "Peak memory footprint (MB): init=4.92969 overall=138.809\n"
    )
    assert found.warm_up is not None
    assert (found.warm_up.count, found.warm_up.min_ms, found.warm_up.std_ms) == (1, 3512.391, None)
    assert (found.runs.mean_ms, found.runs.median_ms) == (2950.34, None)
    assert found.memory_overall_mb == 138.809


def test_one_run_with_percentiles() -> None:
    line = "INFO: count=1 curr=1357602 p5=1357602 median=1357602 p95=1357602"
    end = SUMMARY.replace("115246", "1.24014e+06")
    found = parse_output(f"{line}\n{line.replace('1357602', '1240143')}\n{end}").runs
    assert (found.count, found.first_ms, found.median_ms) == (1, 1240.143, 1240.143)


def test_the_summary_of_the_oldest_builds() -> None:
    runs = "count=50 first=81000 curr=79000 min=78000 max=90000 avg=79760.9 std=900"
    found = parse_output(
        f"{runs}\nAverage inference timings in us: Warmup: 83235, Init: 38467, no stats: 79760.9"
    )
    assert (found.init_ms, found.first_ms, found.runs.mean_ms) == (38.467, None, pytest.approx(79.7609))


def test_output_cut_short_is_no_result() -> None:
    cut = OUTPUT[: OUTPUT.index("avg=115246") + len("avg=115")]  # 115 µs: nobody could tell
    with pytest.raises(DeviceError, match="gave no figures"):
        parse_output(cut)


@pytest.mark.parametrize(
    "prefix",
    ["07-08 15:34:26.201 I/tflite  ( 5395): ", "07-08 15:34:26.201  5395  5395 I tflite  : ", "I tflite  : "],
)
def test_logcat_puts_a_prefix_before_every_line(prefix: str) -> None:
    plain = "\n".join(line.removeprefix("INFO: ") for line in OUTPUT.splitlines())
    replaced = (
        "Though GPU delegate is explicitly applied, the model graph will not be executed by the delegate."
    )
    found = parse_output("\n".join(prefix + line for line in [*plain.splitlines(), replaced]))
    assert found.runs == parse_output(OUTPUT).runs
    assert found.fallback == (replaced,)


def test_lines_in_the_log_and_on_the_terminal_count_once() -> None:
    assert parse_output(OUTPUT + "\n" + OUTPUT) == parse_output(OUTPUT)


def test_without_a_warm_up_the_only_line_is_the_measurement() -> None:
    found = parse_output(f"{MEASURED}\n{SUMMARY}")
    assert found.warm_up is None
    assert found.runs.count == 50


def test_delegates_and_what_they_left() -> None:
    found = parse_output(
        OUTPUT + "\nVERBOSE: Replacing 1036 out of 1097 node(s) with delegate (TfLiteXNNPackDelegate) node, "
        "yielding 23 partitions for subgraph 0.\n"
        "INFO: Replacing 54 out of 61 node(s) with delegate (TfLiteGpuDelegateV2) node, "
        "yielding 3 partitions\n"
        "WARNING: Following operations are not supported by GPU delegate:\n"
        "GATHER_ND: Operation is not supported.\n"
        "CAST: Not supported Cast case.\n"
        "7 operations will run on the GPU, and the remaining 4 operations will run on the CPU.\n"
        "OTHER: not in the list\n"
    )
    assert found.delegates == (
        AppliedDelegate(name="TfLiteXNNPackDelegate", nodes=1036, of=1097, partitions=23),
        AppliedDelegate(name="TfLiteGpuDelegateV2", nodes=54, of=61, partitions=3),
    )
    assert found.untaken == {"GATHER_ND": "Operation is not supported.", "CAST": "Not supported Cast case."}
    assert found.fallback == (
        "7 operations will run on the GPU, and the remaining 4 operations will run on the CPU.",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"gave no figures; its last line: \(it printed nothing\)"),
        ("STARTING!\nERROR: Failed to mmap model\n\n", "its last line: 'ERROR: Failed to mmap model'"),
        (f"{WARM_UP}\nINFO: Running benchmark for at least 50 iterations", "its last line: 'INFO: Running"),
        (f"{WARM_UP}\ncount=50 first=12 min=ERROR\n{SUMMARY}", "is not understood: 'count=50 first=12'"),
        (f"count=3 first=12 curr=13\n{SUMMARY}", "is not understood: 'count=3 first=12 curr=13'"),
        (f"{MEASURED.replace('min=111842', 'min=911842')}\n{SUMMARY}", "contradict each other"),
        (f"{MEASURED}\n{SUMMARY.replace('Inference (avg): 115246', 'Inference (avg): 90')}", "run it alone"),
    ],
)
def test_what_is_not_understood_is_shown(text: str, message: str) -> None:
    with pytest.raises(DeviceError, match=message) as caught:
        parse_output(text)
    assert "\n" not in str(caught.value)


def test_a_last_line_is_cut() -> None:
    assert last_line("x" * 5000) == repr("x" * 200)


# What mksh 59c, Android's shell, and dash wrote after a tool of each kind.
ENDINGS = {
    "mksh, a crash": ("loading\nSegmentation fault \n", 139, r"T crashed on A \(SIGSEGV\); .*: 'loading'"),
    "mksh, a dump": ("Aborted (core dumped) \n", 134, r"\(SIGABRT\); .*: \(it printed nothing\)"),
    "mksh, another processor": (
        "E: tool: ./tool: not executable: 64-bit ELF file\n",
        1,
        "A cannot run T .*64-bit ELF file'.: take a build for this Android",
    ),
    "mksh, no interpreter": ("E: tool: ./tool: No such file or directory\n", 126, "A cannot run T"),
    "mksh, not allowed": ("E: tool: ./tool: can't execute: Permission denied\n", 126, "A cannot run T"),
    "Android 11": ("tool: ./tool: inaccessible or not found\n", 127, "A cannot run T"),
    "dash, no interpreter": ("tool: 1: exec: ./tool: not found\n", 127, "A cannot run T"),
    "the tool's own words": ("open ./m: No such file\n", 1, "T ended with status 1 on A; .*No such file'"),
    "another signal": ("loading\nTerminated by me\n", 143, r"\(signal 15\); .*: 'Terminated by me'"),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_how_a_tool_ended(name: str) -> None:
    text, status, message = ENDINGS[name]
    with pytest.raises(DeviceError, match=message):
        check_ending(text, status, tool="T", serial="A")
    check_ending(text, 0, tool="T", serial="A")


GPU = "Replacing {} out of 65 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 1 partitions\n"
DENIED = "Though GPU delegate is explicitly applied, the model graph will not be executed by the delegate.\n"
SPLIT = "7 operations will run on the GPU, and the remaining 4 operations will run on the CPU.\n"
XNNPACK = "Replacing 65 out of 65 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 1 partitions\n"


@pytest.mark.parametrize(
    ("said", "actual"),
    [
        (GPU.format(65), "gpu"),
        (GPU.format(54), "gpu"),
        (GPU.format(54) + SPLIT, "gpu"),  # counted: the record's delegation says it
        (GPU.format(0), "cpu"),
        (GPU.format(65) + DENIED, "cpu"),
        (XNNPACK, None),
        (GPU.format(65) + SPLIT, "gpu in part"),
    ],
)
def test_what_the_accelerator_did(said: str, actual: str | None) -> None:
    assert actual_accelerator("gpu", parse_output(said + OUTPUT)) == actual


def test_a_cpu_cannot_fall_back() -> None:
    report = parse_output(XNNPACK + OUTPUT)
    assert actual_accelerator("cpu", report) == "cpu"
    assert [applied.nodes for applied in delegates_of("cpu", report)] == [65]


STATE = """\
governor=schedutil
khz=1766400
governor=
khz=
governor=performance
khz=2841600
zone=41200
zone=-40000
zone=38
zone=999000
Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  level: 87
  temperature: 312
"""


def test_the_state_of_a_phone() -> None:
    assert parse_state(STATE) == PhoneState(
        governors=("performance", "schedutil"),
        frequency_mhz=(1766.4, 2841.6),
        temperature_c=41.2,
        battery_percent=87,
        battery_temperature_c=31.2,
        on_power=True,
    )


def test_a_phone_that_does_not_tell() -> None:
    found = parse_state("governor=\nkhz=\nzone=\nsh: dumpsys: not found\n")
    assert (found.governors, found.frequency_mhz, found.temperature_c) == ((), (), None)
    assert (found.battery_percent, found.battery_temperature_c, found.on_power) == (None, None, None)
