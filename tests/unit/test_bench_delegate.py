"""The backend `delegate:PATH` on a small real delegate, compiled here from tests/delegate/adder.c."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from bench_data import CARD, PX, write_dataset, write_exported
from edgekd.config import BenchConfig
from edgekd.errors import DeviceError, MissingError, ModelError, UsageError
from edgekd.metrics.predictions import read_predictions
from edgekd.plain import file_digest, to_plain
from edgekd_bench.asked import require_device
from edgekd_bench.delegate import (
    DelegateRequest,
    fallback,
    open_delegate,
    open_delegated,
    parse_delegate,
)
from edgekd_bench.record import file_name, read_bench
from edgekd_bench.round import Delegation, Status
from edgekd_bench.station import bench, bench_files
from edgetpu_files import Op, T, network, options

SOURCE = Path(__file__).resolve().parents[1] / "delegate" / "adder.c"
SIZE = 4
MIXED = ("ADD", "ADD", "MUL", "ADD")


@pytest.fixture(scope="module")
def adder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler (cc or gcc) to build the test's delegate with")
    library = tmp_path_factory.mktemp("delegate") / "libadder.so"
    flags = ["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, "-o", str(library), str(SOURCE)], check=True)
    return library


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """x → x + x → + x → · x → + x: the delegate can take all but the multiplication."""
    return write_chain(tmp_path / "mixed.tflite", MIXED)


def write_chain(path: Path, kinds: Sequence[str]) -> Path:
    """A float32 [1, 4] network: each operator gets the result before it and the input."""
    names = sorted(set(kinds))
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.buffers, model.subgraphs = 3, [schema.BufferT()], [graph]
    model.operatorCodes = [_code(name) for name in names]
    graph.tensors = [_tensor(number) for number in range(len(kinds) + 1)]
    graph.inputs, graph.outputs = np.array([0], np.int32), np.array([len(kinds)], np.int32)
    graph.operators = [_operator(number, kind, names.index(kind)) for number, kind in enumerate(kinds)]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def _code(name: str) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
    code.version = 1
    return code


def _tensor(number: int) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.shape = f"t{number}", np.array([1, SIZE], np.int32)
    tensor.type, tensor.buffer = schema.TensorType.FLOAT32, 0
    return tensor


def _operator(number: int, kind: str, code: int) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex = code
    operator.inputs, operator.outputs = np.array([number, 0], np.int32), np.array([number + 1], np.int32)
    operator.builtinOptionsType = getattr(schema.BuiltinOptions, f"{kind.title()}Options")
    operator.builtinOptions = getattr(schema, f"{kind.title()}OptionsT")()
    return operator


def request(library: Path | str, **options: str) -> DelegateRequest:
    return DelegateRequest(library=str(library), options=options)


def answer(model: Path, asked: DelegateRequest) -> list[float]:
    interpreter = open_delegated(model, threads=1, request=asked)
    interpreter.allocate_tensors()
    interpreter.set_tensor(0, np.array([[1, 2, 3, 4]], np.float32))
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0].tolist()


def test_it_took_the_additions_and_xnnpack_the_rest(adder: Path, mixed: Path) -> None:
    loaded = open_delegate(mixed, 1, request(adder))
    loaded.run()
    assert loaded.engine.accelerator == "delegate:libadder.so"
    assert loaded.delegation() == Delegation(nodes=4, nodes_per_partition=(2, 1), left_out={"MUL": 1})
    assert [part.shape for part in loaded.input] == [(1, SIZE)]


def test_the_delegate_computes(adder: Path, mixed: Path) -> None:
    # y = 3x · x + x; the delegate's wrong=1 adds 1 in each of its three additions: (3x + 2) · x + x + 1.
    assert answer(mixed, request(adder)) == [3 * x * x + x for x in (1, 2, 3, 4)]
    assert answer(mixed, request(adder, wrong="1")) == [(3 * x + 2) * x + x + 1 for x in (1, 2, 3, 4)]


def test_a_whole_graph_is_one_piece(adder: Path, tmp_path: Path) -> None:
    model = write_chain(tmp_path / "additions.tflite", ("ADD", "ADD", "ADD"))
    found = open_delegate(model, 1, request(adder), require_device=True).delegation()
    assert (found.nodes_per_partition, found.left_out) == ((3,), {})
    assert fallback(found, "libadder.so") is None


def test_xnnpack_is_not_mistaken_for_the_delegate(adder: Path, tmp_path: Path) -> None:
    model = write_chain(tmp_path / "products.tflite", ("MUL", "MUL"))
    loaded = open_delegate(model, 1, request(adder))
    assert loaded.engine.accelerator == "cpu"
    assert loaded.delegation() == Delegation(nodes=2, nodes_per_partition=(), left_out={"MUL": 2})


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("0", "libadder.so took none of the 4 operators: all ran on the CPU"),
        ("1", "libadder.so took 1 of 4 operators; left to the CPU: 2 ADD, 1 MUL"),
    ],
)
def test_a_required_device_must_do_it_all(adder: Path, mixed: Path, limit: str, message: str) -> None:
    with pytest.raises(DeviceError) as caught:
        open_delegate(mixed, 1, request(adder, limit=limit), require_device=True)
    assert str(caught.value) == message
    assert caught.value.exit_code == 5


def test_an_unknown_option(adder: Path, mixed: Path) -> None:
    with pytest.raises(UsageError, match=r"^libadder.so: unknown option: bogus$"):
        open_delegate(mixed, 1, request(adder, bogus="1"))


def test_a_delegate_without_its_device(adder: Path, mixed: Path) -> None:
    with pytest.raises(DeviceError, match=r"^libadder.so did not start \(no such device\)"):
        open_delegate(mixed, 1, request(adder, device="usb"))


def test_a_refused_graph(adder: Path, mixed: Path) -> None:
    with pytest.raises(ModelError) as caught:
        open_delegate(mixed, 1, request(adder, refuse="1"))
    expected = f"{mixed}: libadder.so refuses this network (adder: this graph is not for me)"
    assert str(caught.value) == expected


def test_no_such_library(mixed: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"nothing\.so: no such delegate library$"):
        open_delegate(mixed, 1, request(tmp_path / "nothing.so"))
    with pytest.raises(MissingError, match="cannot open shared object file"):
        open_delegate(mixed, 1, request("libnosuchdelegate.so.1"))


def test_not_a_library(mixed: Path) -> None:
    with pytest.raises(
        MissingError, match=r"cannot be loaded as a library \(.*(invalid|too short)"
    ) as caught:
        open_delegate(mixed, 1, request(mixed))
    assert "\n" not in str(caught.value)


def test_a_library_that_is_no_delegate(mixed: Path, tmp_path: Path, adder: Path) -> None:
    source, library = tmp_path / "other.c", tmp_path / "libother.so"
    source.write_text("int answer(void) { return 42; }\n")
    compiler = shutil.which("cc") or "gcc"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    with pytest.raises(MissingError, match="no delegate: it has no tflite_plugin_create_delegate"):
        open_delegate(mixed, 1, request(library))


def test_a_file_that_is_no_model(adder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"broken\.tflite: LiteRT cannot load it"):
        open_delegate(broken, 1, request(adder))
    with pytest.raises(ModelError, match="no such model file"):
        open_delegate(tmp_path / "absent.tflite", 1, request(adder))


def test_a_crash_ends_only_the_process_it_is_in(adder: Path, mixed: Path) -> None:
    code = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from edgekd_bench.delegate import open_delegate, parse_delegate\n"
        "model, asked = json.loads(sys.argv[1])\n"
        "open_delegate(Path(model), 1, parse_delegate(asked))\n"
    )
    asked = json.dumps([str(mixed), f"delegate:{adder}?crash=1"])
    done = subprocess.run([sys.executable, "-c", code, asked], capture_output=True, check=False)
    assert done.returncode == -6  # SIGABRT: what measure.run_worker reports as "the engine crashed"


def test_requests_are_parsed() -> None:
    assert parse_delegate("delegate:lib.so") == parse_delegate("delegate:lib.so?") == request("lib.so")
    found = parse_delegate("delegate:/opt/a/lib.so?device=usb%3A0&quiet=")
    assert found == request("/opt/a/lib.so", device="usb:0", quiet="")
    assert found.name == "lib.so"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("delegate:", "no library"),
        ("delegate:lib.so?fast", "key=value"),
        ("delegate:lib.so?a=1&a=2", "given twice"),
    ],
)
def test_bad_requests(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_delegate(text)


QUICK = BenchConfig(threads=(1,), min_runs=2, min_seconds=0.0, rounds=2)


def test_the_command_keeps_what_the_delegate_did(adder: Path, mixed: Path) -> None:
    asked = f"delegate:{adder}"
    (record,) = bench_files({"mixed": mixed}, dataclasses.replace(QUICK, backends=(asked,)))
    assert record.status is Status.OK, record.reason
    assert (record.requested_accelerator, record.actual_accelerator) == ("delegate:libadder.so",) * 2
    assert file_name(record) == "mixed@delegate-libadder.so-1t.json"
    assert record.delegation == Delegation(nodes=4, nodes_per_partition=(2, 1), left_out={"MUL": 1})
    assert (record.partitions, record.rounds) == (2, 2)
    assert record.versions["libadder.so"] == f"sha256 {file_digest(adder)}"
    assert str(adder.parent) not in json.dumps(to_plain(record))
    with pytest.raises(DeviceError, match="took 3 of 4 operators; left to the CPU: 1 MUL"):
        require_device([record])


FAILURES = {
    "?crash=1": (Status.FAILED, "the engine crashed (SIGABRT)"),
    "?refuse=1": (Status.FAILED, "libadder.so refuses this network (adder: this graph is not for me)"),
    "?device=usb": (Status.UNAVAILABLE, "libadder.so did not start (no such device)"),
    "?bogus=1": (Status.FAILED, "libadder.so: unknown option: bogus"),
}


def test_a_delegate_that_fails_is_a_reason_and_the_rest_goes_on(adder: Path, mixed: Path) -> None:
    backends = (*(f"delegate:{adder}{options}" for options in FAILURES), "cpu")
    *failed, good = bench_files({"mixed": mixed}, dataclasses.replace(QUICK, backends=backends))
    for record, (status, reason) in zip(failed, FAILURES.values(), strict=True):
        assert record.status is status and record.reason is not None and record.reason.startswith(reason)
    assert (good.status, good.rounds) == (Status.OK, 2)


def test_sensitivity_goes_through_the_delegate(adder: Path, tmp_path: Path) -> None:
    """The delegate's wrong=1 adds 1 to every sum, and so to every logit of the test split."""
    data, exported, verified, out = (tmp_path / name for name in ("data", "export", "verify", "bench"))
    write_dataset(data)
    write_exported(exported, verified)
    (exported / "int8" / "model.tflite").write_bytes(doubled_means())
    config = dataclasses.replace(QUICK, backends=("cpu", f"delegate:{adder}?wrong=1"), rounds=1)
    bench(dataset_folder=data, exported=exported, verified=verified, config=config, out=out)
    record = read_bench(out / "int8@delegate-libadder.so-wrong-1-1t.json")
    assert record.status is Status.OK and record.evaluation is not None, record.reason
    right, wrong = (
        read_predictions(out / f"int8@{name}-1t.predictions.csv", CARD.malignant).logits
        for name in ("cpu", "delegate-libadder.so-wrong-1")
    )
    np.testing.assert_allclose(wrong, right + 1, rtol=1e-5)


def doubled_means() -> bytes:
    """uint8 image → floats → x + x → the mean of every channel."""
    image = T((1, PX, PX, 3), "uint8", scale=1 / 64)
    floats, means = T((1, PX, PX, 3), "float32"), T((1, 1, 1, 3), "float32")
    pool = options("Pool2DOptions", filterHeight=PX, filterWidth=PX, strideH=1, strideW=1, padding=1)
    return network(
        [image, floats, floats, means],
        [
            Op("DEQUANTIZE", (0,), (1,), options("DequantizeOptions")),
            Op("ADD", (1, 1), (2,), options("AddOptions")),
            Op("AVERAGE_POOL_2D", (2,), (3,), pool),
        ],
    )
