"""`edgekd check`: what it says on stdout, its one line of reason, and the exit code."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from edgekd.cli.app import app
from edgekd.cli.check import Found, judge, run_checks
from edgekd.config import ModelConfig
from edgekd.errors import ContractError
from edgekd.plain import from_plain
from edgekd_converters.compat import CompatRecord, LoadRecord, TargetRuntime
from edgekd_converters.edgetpu import EdgeTpuCheck
from edgekd_converters.edgetpu_compiled import CompiledFile
from edgekd_converters.edgetpu_compiler import COMPILER, CompileRecord
from edgekd_converters.gpu_check import GpuCheck
from edgetpu_files import Op, T, compiled, executable, network, single
from tiny_mlpackage import average
from tiny_tflite import average_pool

LOG = """\
Edge TPU Compiler version 16.0.384591198

Model compiled successfully in 12 ms.
On-chip memory used for caching model parameters: 1.00KiB
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 1
Total number of operations: 1

Operator                       Count      Status

AVERAGE_POOL_2D                1          Mapped to Edge TPU
"""


@pytest.fixture
def path(tmp_path):
    """A file that every runtime runs and an Edge TPU takes."""
    return _written(tmp_path, average_pool())


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """Puts a script named edgetpu_compiler on the PATH, which prints `log` and gives out `made`."""

    def put(log, made=b""):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        (tmp_path / "log").write_text(log)
        (tmp_path / "made").write_bytes(made)
        script = folder / COMPILER
        copy = f'cp {tmp_path}/made "$3/$(basename "$4" .tflite)_edgetpu.tflite"' if made else "exit 1"
        script.write_text(f"#!/bin/sh\ncat {tmp_path}/log\n{copy}\n")
        script.chmod(0o755)

    return put


def _written(folder, data, name="model.tflite"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def _dense_12():
    """One operator in a version that runtimes before LiteRT do not know, in float."""
    tensors = [T((1, 4), "float32"), T((3, 4), "float32", data=np.ones(12, "<f4")), T((1, 3), "float32")]
    return network(tensors, [Op("FULLY_CONNECTED", (0, 1), (2,))], version=12)


def _asked(*arguments, code=0):
    done = CliRunner().invoke(app, ["check", *map(str, arguments)])
    assert done.exit_code == code, done.output
    lines = [line for line in done.stderr.splitlines() if line.startswith("edgekd: ")]
    assert len(lines) == (code != 0) and "Traceback" not in done.stderr
    return done.stdout if code in (0, 3, 5) else lines[0], "".join(lines)


def test_all_runtimes_by_table(path):
    table, _ = _asked(path)
    head, *rows = table.splitlines()
    assert head.split() == ["runtime", "version", "accepts", "refused"]
    assert [row.split()[::2] for row in rows] == [[runtime.value, "yes"] for runtime in TargetRuntime]


def test_a_refusal_names_operator_version_and_runtime(tmp_path):
    path = _written(tmp_path, _dense_12())
    table, reason = _asked(path, code=3)
    said = "FULLY_CONNECTED version 12: tflite-2.9 accepts version 1-"
    assert said in table and said in reason and reason.endswith("(and 2 more)")
    assert _asked(path, "--runtime", "litert-2")[0].split()[-2:] == ["2.3.0", "yes"]


def test_one_json_document(path, tmp_path, monkeypatch):
    monkeypatch.setenv("VK_DRIVER_FILES", str(tmp_path / "absent.json"))
    monkeypatch.setenv("PATH", str(tmp_path))
    out, _ = _asked(path, *("--runtime", "litert-2", "--load", "--edgetpu", "--gpu", "--json"), code=5)
    found = json.loads(out)
    assert found["file"] == str(path) and found["compiled"] is None
    assert from_plain(CompatRecord, found["compat"][0]).passed
    assert from_plain(LoadRecord, found["load"][0]).agrees
    assert from_plain(EdgeTpuCheck, found["edgetpu"]).mapped == 1
    assert from_plain(CompileRecord, found["compile"]).status == "unavailable"
    assert from_plain(GpuCheck, found["gpu"]).passed is None


def test_nothing_but_what_was_asked_for_is_checked(path):
    found = json.loads(_asked(path, "--edgetpu", "--json")[0])
    assert (found["compat"], found["load"], found["gpu"]) == ([], [], None)


def test_loading_is_proved_there(path, tmp_path):
    table, _ = _asked(path, "--runtime", "litert-2", "--load")
    assert "4 images of noise, against ai-edge-litert 2." in table
    row = table.splitlines()[-1].split()
    assert row[:6] == ["litert-2", "yes", "yes", "0.00", "0.00", "100%"]
    floats = _written(tmp_path, average_pool(dtype="float32"), "float.tflite")
    _asked(floats, "--runtime", "litert-2", "--load", "--input-range", "0,255")


def test_a_runtime_that_answers_otherwise_or_not_at_all_fails(path):
    (record,) = run_checks(path, ["litert-2"], load=True).load
    wrong = replace(record, agrees=False, mean_difference_steps=41.5)
    with pytest.raises(
        ContractError, match=r"x: litert-2 answers otherwise than ai-edge-litert .* 41\.5 steps"
    ):
        judge([Found(file="x", load=(wrong,))])
    absent = replace(record, loaded=False, reason="it crashed")
    with pytest.raises(ContractError, match="x: litert-2 does not run it: it crashed"):
        judge([Found(file="x", load=(absent,))])
    judge([Found(file="x", load=(record,))])


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--load"], 2, "--load needs the runtime"),
        (["--runtime", "tflite-runtime-2.13"], 2, "did you mean tflite-runtime-2.14"),
        (
            ["--runtime", "litert-2", "--load", "--input-range", "1"],
            2,
            "takes two numbers, e.g. -1,1, got '1'",
        ),
    ],
)
def test_what_cannot_be_meant(path, options, code, words):
    assert words in _asked(path, *options, code=code)[0]


@pytest.mark.parametrize("options", [[], ["--edgetpu"], ["--gpu"], ["--runtime", "litert-2", "--load"]])
def test_hostile_files_are_one_line(tmp_path, options):
    whole = average_pool()
    noise = np.random.Generator(np.random.PCG64(5)).bytes(5000)
    hostile = {
        "empty": b"",
        "cut": whole[: len(whole) // 2],
        "random": noise,
        "marked": noise[:4] + b"TFL3" + noise,
    }
    for name, data in hostile.items():
        line, _ = _asked(_written(tmp_path, data, name), *options, code=4)
        assert f"{name}: " in line
    assert "No such file" in _asked(tmp_path / "absent.tflite", *options, code=4)[0]


@pytest.mark.parametrize("inputs", [[], [T((1, 4), "uint8")], [T((1, 8192, 8192, 3), "uint8")]])
def test_what_takes_no_image_is_not_loaded(tmp_path, inputs):
    data = single("RELU", inputs, T((1, 4), "uint8")) if inputs else network([], [])
    line, _ = _asked(_written(tmp_path, data), "--runtime", "litert-2", "--load", code=4)
    assert "model.tflite: " in line


def test_by_rule_only_where_there_is_no_compiler(path, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    said, _ = _asked(path, "--edgetpu")
    assert "Edge TPU: 1 of 1 operators, by rule" in said
    assert "edgetpu_compiler is not on the PATH, by rule only" in said


def test_a_rule_that_is_broken_names_operator_layer_and_limit(tmp_path):
    image = T((1, 4), name="image")
    tensors = [image, *(T((1, 4), name=f"core/grow_{n}/Exp") for n in range(5))]
    path = _written(tmp_path, network(tensors, [Op("EXP", (n,), (n + 1,)) for n in range(5)]))
    table, reason = _asked(path, "--edgetpu", code=3)
    said = "an Edge TPU would run 0 of 5 operators; EXP of layer grow_0: EXP is not among the operations"
    assert said in reason
    assert "EXP       5      grow_0, grow_1, grow_2 and 2 more" in table


def test_the_compilers_log_is_shown(path, compiler):
    compiler(LOG, compiled([executable(name="model", kind=0, parameters=77)]))
    said, _ = _asked(path, "--edgetpu")
    assert "edgetpu_compiler 16.0.384591198: ok" in said and "by rule only" not in said
    assert "AVERAGE_POOL_2D  1      Mapped to Edge TPU" in said
    assert "0 bytes of parameters cached, 77 streamed" in said


def test_the_compiler_has_the_last_word(path, compiler, tmp_path):
    left = compiled([executable(name="model", kind=0, parameters=1)], left=("RELU",))
    compiler(LOG, left)
    assert "left operators to the CPU: 1 RELU" in _asked(path, "--edgetpu", code=3)[1]
    compiler("Edge TPU Compiler version 16.0\nModel not quantized\n")
    assert "edgetpu_compiler: Model not quantized" in _asked(path, "--edgetpu", code=3)[1]
    compiler("what a mess\n")
    assert "edgetpu_compiler ended with status 1" in _asked(path, "--edgetpu", code=3)[1]
    compiler(LOG, compiled([executable(name="model", kind=0, parameters=1)]))
    broken = _written(tmp_path, single("EXP", [T((1, 4))], T((1, 4))), "broken.tflite")
    assert "0 of 1 operators, by rule" in _asked(broken, "--edgetpu")[0]


def test_a_compiled_file_tells_what_it_holds(tmp_path):
    parts = [
        executable(name="run", kind=2, parameters=0, bitstream=300),
        executable(name="load", kind=1, parameters=5000, bitstream=200),
    ]
    path = _written(tmp_path, compiled(parts))
    said, _ = _asked(path, "--edgetpu")
    assert "5000 bytes of parameters cached, 0 streamed; operators left on the CPU: none" in said
    assert [line.split() for line in said.splitlines()[2:]] == [
        ["run", "execution-only", "0", "300"],
        ["load", "parameter-caching", "5000", "200"],
    ]
    assert "with the delegate of an Edge TPU only" in _asked(path, code=3)[1]


def test_without_a_gpu_it_says_how_to_get_one(path, tmp_path, monkeypatch):
    monkeypatch.setenv("VK_DRIVER_FILES", str(tmp_path / "absent.json"))
    said, reason = _asked(path, "--gpu", code=5)
    assert said.strip() == "GPU: unavailable" and "install its driver and libvulkan1" in reason


def test_a_run_is_one_table(tmp_path):
    _written(tmp_path, average_pool(), "export/int8/model.tflite")
    table, _ = _asked(tmp_path, "--runtime", "litert-2", "--runtime", "tflite-2.9")
    assert [line.split()[1:] for line in table.splitlines()] == [["litert-2", "tflite-2.9"], ["yes", "yes"]]
    _written(tmp_path, _dense_12(), "export/dynamic/model.tflite")
    table, reason = _asked(tmp_path, code=3)
    assert "dynamic/model.tflite: FULLY_CONNECTED version 12: tflite-2.9" in reason
    assert "FULLY_CONNECTED 12" in table.splitlines()[1] and "no" not in table.split()
    found = json.loads(_asked(tmp_path, "--json", code=3)[0])
    assert [len(one["compat"]) for one in found["files"]] == [len(TargetRuntime)] * 2
    assert "take one .tflite file" in _asked(tmp_path, "--edgetpu", code=2)[0]
    assert "run edgekd export" in _asked(tmp_path / "export" / "int8", code=4)[0]


def test_other_kinds_of_files_are_one_line(tmp_path):
    keras = _written(tmp_path, b"", "theirs.keras")
    assert "a Keras model, expected a .tflite file" in _asked(keras, code=4)[0]
    package = average(tmp_path / "theirs.mlpackage")
    said, _ = _asked(package)
    assert said.startswith("Core ML mlProgram, specification version ") and said.count("\n") == 1
    assert "iOS 1" in said and "macOS 1" in said
    assert json.loads(_asked(package, "--json")[0])["coreml"]["kind"] == "mlProgram"
    for option in ("--edgetpu", "--gpu"):
        assert "take one .tflite file" in _asked(package, option, code=2)[0]
    assert "--runtime is for .tflite files" in _asked(package, "--runtime", "litert-2", code=2)[0]
    (package / "Manifest.json").unlink()
    assert "no Manifest.json" in _asked(package, code=4)[0]


@pytest.mark.real
def test_models_of_peers(shared):
    folder = shared / "peer_models"
    files = sorted(folder.glob("*.tflite"))
    if not files:
        pytest.skip(f"no models in {folder}")
    for path in files:
        found = json.loads(_asked(path, "--edgetpu", "--json")[0])
        if path.stem.endswith("_edgetpu"):
            held = from_plain(CompiledFile, found["compiled"])
            assert len(held.executables) == 2 and held.on_cpu == {}
            assert held.cached_parameter_bytes > 500_000 and held.streamed_parameter_bytes == 0
        else:
            rules = from_plain(EdgeTpuCheck, found["edgetpu"])
            assert rules.mapped == rules.operators >= 28
            assert all(record["passed"] for record in json.loads(_asked(path, "--json")[0])["compat"])


@pytest.mark.tf
def test_a_student_that_breaks_a_rule_is_refused_before_anything_is_made(tmp_path):
    from edgekd.experiments import load_experiment
    from edgekd.pipeline import write_experiment
    from edgekd.runs import Run

    experiment = load_experiment("quickstart", quick=True)
    model = ModelConfig(name="mobilenet_v3_small", weights="none")
    write_experiment(Run(tmp_path), replace(experiment, distill=replace(experiment.distill, model=model)))
    done = CliRunner().invoke(app, ["distill", str(tmp_path), "--check", "edgetpu"])
    assert done.exit_code == 3, done.output
    assert "mobilenet_v3_small, width 1, 48 px: an Edge TPU would run 4 of 109 operators" in done.stderr
    assert "HARD_SWISH of layer multiply: HARD_SWISH is not among the operations" in done.stderr
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


@pytest.mark.tf
def test_a_student_that_keeps_the_rules_goes_on(tmp_path):
    asked = [
        "run",
        "quickstart",
        "--quick",
        "--out",
        str(tmp_path / "run"),
        "--dry-run",
        "--check",
        "edgetpu",
    ]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    assert "student dsnet, width 0.25, 48 px: an Edge TPU would run all 9 operators" in done.stderr
    assert "distill  missing" in done.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--check", "edgetp"], "unknown check 'edgetp': did you mean edgetpu"),
        (["--check", "edgetpu", "--set", "distill.model.name=mobilnet_v2"], "did you mean mobilenet_v2"),
    ],
)
def test_a_check_before_that_cannot_be_meant(tmp_path, options, words):
    done = CliRunner().invoke(app, ["run", "quickstart", "--out", str(tmp_path / "run"), *options])
    assert done.exit_code == 2 and words in done.stderr
    assert not (tmp_path / "run").exists()
