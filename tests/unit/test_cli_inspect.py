from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

import tiny_line
from edgekd.cli.app import app
from edgekd.config import Precision
from edgekd.plain import from_plain
from edgekd_converters.coreml_inspect import CoremlInspection
from edgekd_converters.inspect import Inspection, inspect_tflite
from tiny_tflite import average_pool


def run(*arguments):
    return CliRunner().invoke(app, ["inspect", *map(str, arguments)])


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(average_pool())
    return path


def test_a_tflite_file_is_told_in_two_tables(model):
    done = run(model)
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0] == str(model)
    assert any(line.startswith("AVERAGE_POOL_2D") for line in lines)
    assert any(line.startswith("runs here") and "yes" in line for line in lines)
    assert any(line.startswith("metadata") and "no card" in line for line in lines)


def test_json_is_the_record(model):
    assert from_plain(Inspection, json.loads(run(model, "--json").output)) == inspect_tflite(model)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model.tflite", b"", "not a .tflite file"),
        ("model.tflite", b"TFL3" * 40, ".tflite file"),
        ("model.onnx", b"x", "expected a .tflite file or an .mlpackage folder"),
        ("model.mlpackage", b"x", "model.mlpackage"),
    ],
)
def test_anything_else_is_one_line_and_exit_code_4(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    done = run(tmp_path / name)
    assert done.exit_code == 4
    assert said in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.tf
def test_a_core_ml_package_is_told_too(tmp_path):
    pytest.importorskip("coremltools", reason="coremltools is not installed (extra: coreml)")
    package = tiny_line.export_model(tmp_path / "export", Precision.COREML_FP16)
    done = run(package)
    assert done.exit_code == 0, done.output
    assert "mlProgram, specification version 7" in done.output and "edgekd's card" in done.output
    assert "float16" in done.output
    record = from_plain(CoremlInspection, json.loads(run(package, "--json").output))
    assert record.has_card and record.unknown_operations == ()
