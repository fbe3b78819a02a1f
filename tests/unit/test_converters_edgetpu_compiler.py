"""The compiler's log and our calling it.

The compiler itself cannot be had here: logs are synthetic, written in the form of those in public threads
(google-coral/edgetpu issues 60, 342, 490, 512; figures changed), and the program is a script that prints one.
So this proves that we call and read as documented, not what a compiler would do.
"""

from __future__ import annotations

import pytest

from edgekd.errors import ModelError
from edgekd.plain import from_plain, to_plain
from edgekd_converters.edgetpu_compiler import CompileRecord, CompileStatus, compile_edgetpu
from edgekd_converters.edgetpu_log import CompilerLog, LogRow, parse_log
from edgekd_converters.edgetpu_rules import DTYPE, LIMITED, MAPPED, RANK, SUBGRAPHS, UNSUPPORTED, VERSION
from edgetpu_files import compiled, executable
from tiny_tflite import average_pool

WHOLE = """\
Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 812 ms.

Input model: student.tflite
Input size: 612.50KiB
Output model: student_edgetpu.tflite
Output size: 1.25MiB
On-chip memory used for caching model parameters: 750.00KiB
On-chip memory remaining for caching model parameters: 6.50MiB
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 1
Total number of operations: 66
Operation log: student_edgetpu.log
See the operation log file for individual operation details.
"""
PARTLY = """\
Edge TPU Compiler version 2.1.302470888

Model compiled successfully in 12264 ms.

Input model: model2.tflite
Input size: 8.00MiB
Output model: model2_edgetpu.tflite
Output size: 9.50MiB
On-chip memory available for caching model parameters: 7.75KiB
On-chip memory used for caching model parameters: 6.75MiB
Off-chip memory used for streaming uncached model parameters: 1.25MiB
Number of Edge TPU subgraphs: 1
Total number of operations: 30
Operation log: model2_edgetpu.log

Model successfully compiled but not all operations are supported by the Edge TPU. For details, visit \
g.co/coral/model-reqs.
Number of operations that will run on Edge TPU: 20
Number of operations that will run on CPU: 10

Operator                       Count      Status

DEQUANTIZE                     2          Operation is working on an unsupported data type
DEPTHWISE_CONV_2D              19         Mapped to Edge TPU
LOGISTIC                       1          Operation is otherwise supported, but not mapped due to some \
unspecified limitation
CONCATENATION                  1          Mapped to Edge TPU
CONCATENATION                  2          More than one subgraph is not supported
TRANSPOSE                      1          Operation not supported
CONV_2D                        1          Operation version not supported
ADD                            1          Tensor has unsupported rank (up to 3 innermost dimensions mapped)
RESHAPE                        2          Something the compiler learnt to say later
"""
FAILED = """\
Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.
ERROR: Restored original execution plan after delegate application failure.
Compilation failed: Compilation failed due to large activation tensors in model.
Compilation child process completed within timeout period.
Compilation failed!
"""
UNQUANTIZED = "Edge TPU Compiler version 2.1.302470888\nInvalid model: model.tflite\nModel not quantized\n"


def test_a_log_without_a_table():
    found = parse_log(WHOLE)
    assert (found.version, found.operators, found.subgraphs) == ("16.0.384591198", 66, 1)
    assert (found.input_bytes, found.output_bytes) == (627_200, 1_310_720)
    assert (found.cached_bytes, found.cache_left_bytes, found.streamed_bytes) == (768_000, 6_815_744, 0)
    assert found.rows == () and found.error is None
    assert from_plain(CompilerLog, to_plain(found)) == found


def test_a_log_with_every_status():
    found = parse_log(PARTLY)
    assert (found.mapped, found.on_cpu, found.operators) == (20, 10, 30)
    assert found.rows[0] == LogRow(operator="DEQUANTIZE", count=2, status=DTYPE)
    statuses = {row.status for row in found.rows}
    assert {DTYPE, MAPPED, LIMITED, SUBGRAPHS, UNSUPPORTED, VERSION, RANK} < statuses
    assert found.rows[-1].status == "Something the compiler learnt to say later"
    assert (found.cache_left_bytes, found.streamed_bytes) == (7936, 1_310_720)


def test_a_table_that_was_cut_short():
    with pytest.raises(ModelError, match="a log of 30 operators whose table holds 28"):
        parse_log(PARTLY.rsplit("RESHAPE", maxsplit=1)[0])
    with pytest.raises(ModelError, match="21 mapped operators whose table holds 20"):
        parse_log(PARTLY.replace("run on Edge TPU: 20", "run on Edge TPU: 21"))


@pytest.mark.parametrize(
    ("text", "words"), [(FAILED, "large activation tensors"), (UNQUANTIZED, "Invalid model")]
)
def test_a_failure_is_its_own_line(text, words):
    error = parse_log(text).error
    assert error is not None and words in error


@pytest.mark.parametrize("text", ["", "hello\nworld", "\x00" * 100])
def test_what_is_no_log(text):
    with pytest.raises(ModelError, match="not a log of edgetpu_compiler"):
        parse_log(text)


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Puts a script named edgetpu_compiler on the PATH; it takes `-s -o DIR FILE` as documented."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def put(body):
        path = folder / "edgetpu_compiler"
        path.write_text(f'#!/bin/sh\n[ "$1 $2" = "-s -o" ] && [ $# = 4 ] || exit 64\n{body}\n')
        path.chmod(0o755)

    return put


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "student.tflite"
    path.write_bytes(average_pool())
    return path


def test_a_file_is_compiled(program, source, tmp_path):
    ready, log, out = tmp_path / "ready", tmp_path / "log", tmp_path / "out"
    ready.write_bytes(compiled([executable(name="model", kind=0, parameters=77)]))
    log.write_text(WHOLE)
    program(f'cat {log}; cp {ready} "$3/student_edgetpu.tflite"')
    found = compile_edgetpu(source, out)
    assert (found.status, found.output, found.reason) == (CompileStatus.OK, "student_edgetpu.tflite", None)
    assert found.compiled is not None and found.compiled.streamed_parameter_bytes == 77
    assert found.log is not None and found.log.version == "16.0.384591198"
    assert found.sha256 == found.compiled.sha256 != found.source_sha256
    assert from_plain(CompileRecord, to_plain(found)) == found


def test_what_the_compiler_refuses_is_a_record(program, source, tmp_path):
    (tmp_path / "log").write_text(FAILED)
    program(f"cat {tmp_path / 'log'} >&2; exit 1")
    found = compile_edgetpu(source, tmp_path / "out")
    assert found.status is CompileStatus.FAILED and found.output is None
    assert found.reason is not None and "large activation tensors" in found.reason


def test_success_without_a_file_is_a_failure(program, source, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "student_edgetpu.tflite").write_bytes(b"of an earlier day")
    (tmp_path / "log").write_text(WHOLE)
    program(f"cat {tmp_path / 'log'}")
    found = compile_edgetpu(source, out)
    assert found.status is CompileStatus.FAILED and "wrote no student_edgetpu.tflite" in str(found.reason)


def test_nonsense_is_a_failure(program, source, tmp_path):
    program("echo segmentation fault; exit 139")
    found = compile_edgetpu(source, tmp_path / "out")
    assert found.status is CompileStatus.FAILED and "ended with status 139" in str(found.reason)


def test_a_compiler_that_hangs(program, source, tmp_path):
    program("exec sleep 60")
    found = compile_edgetpu(source, tmp_path / "out", timeout_s=0.2)
    assert found.status is CompileStatus.FAILED and "not done after 0.2 s" in str(found.reason)


def test_without_the_compiler(source, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = compile_edgetpu(source, tmp_path / "out")
    assert found.status is CompileStatus.UNAVAILABLE and "edgetpu-compiler" in str(found.reason)
    with pytest.raises(ModelError, match="no such model file"):
        compile_edgetpu(tmp_path / "absent.tflite", tmp_path)
