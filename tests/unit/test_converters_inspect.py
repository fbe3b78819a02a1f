from __future__ import annotations

import flatbuffers
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgekd.card import ModelCard
from edgekd.errors import ModelError
from edgekd.plain import file_digest, from_plain, to_plain
from edgekd_converters import inspect as inspect_module
from edgekd_converters.inspect import Inspection, Operator, inspect_tflite
from edgekd_converters.metadata import embed_card
from tiny_tflite import average_pool

CARD = ModelCard(name="m", precision="int8", input_px=8, labels=("mel", "nv"), malignant=("mel",))


def _written(folder, data):
    path = folder / "model.tflite"
    path.write_bytes(data)
    return path


def test_what_a_file_holds(tmp_path):
    path = _written(tmp_path, embed_card(average_pool(px=16, scale=0.5, zero_point=3), CARD))
    found = inspect_tflite(path)
    assert found.operators == (Operator(name="AVERAGE_POOL_2D", version=2, count=1),)
    assert found.tensors == {"uint8": 2}
    assert [(port.name, port.shape, port.dtype) for port in (*found.inputs, *found.outputs)] == [
        ("image", (1, 16, 16, 3), "uint8"),
        ("mean", (1, 1, 1, 3), "uint8"),
    ]
    assert (found.inputs[0].scale, found.inputs[0].zero_point) == (0.5, 3)
    assert (found.float_operators, found.dynamic_tensors, found.macs) == (0, 0, 0)
    assert found.has_card and found.metadata == ("edgekd.card",)
    assert found.load_error is None and found.delegate_partitions is not None
    assert (found.sha256, found.size_bytes) == (file_digest(path), path.stat().st_size)
    assert from_plain(Inspection, to_plain(found)) == found


def test_float_operators_are_counted(tmp_path):
    found = inspect_tflite(_written(tmp_path, average_pool(dtype="float32")))
    assert found.float_operators == 1
    assert found.inputs[0].scale is None


def test_a_compiled_file_is_described_though_it_cannot_run_here(tmp_path):
    found = inspect_tflite(_written(tmp_path, average_pool(custom="edgetpu-custom-op")))
    assert [operator.name for operator in found.operators] == ["edgetpu-custom-op"]
    assert found.delegate_partitions is None
    assert found.load_error is not None and "edgetpu-custom-op" in found.load_error


def test_a_bomb_of_shared_tables_is_refused(tmp_path, monkeypatch):
    # Forty subgraphs that are one, of forty tensors that are one: a small file can say millions this way.
    builder = flatbuffers.Builder(1024)
    schema.TensorStart(builder)
    tensors = _vector(builder, schema.TensorEnd(builder), 40)
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, tensors)
    graphs = _vector(builder, schema.SubGraphEnd(builder), 40)
    schema.ModelStart(builder)
    schema.ModelAddSubgraphs(builder, graphs)
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    path = _written(tmp_path, bytes(builder.Output()))
    assert inspect_tflite(path).tensors == {"float32": 1600}
    monkeypatch.setattr(inspect_module, "_MAX_ITEMS", 1500)
    with pytest.raises(ModelError, match="more than 1500 items in its tables"):
        inspect_tflite(path)


def _vector(builder, table, count):
    builder.StartVector(4, count, 4)
    for _ in range(count):
        builder.PrependUOffsetTRelative(table)
    return builder.EndVector()


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(ModelError, match="cannot be read"):
        inspect_tflite(tmp_path / "absent.tflite")
    with pytest.raises(ModelError, match=r"not a \.tflite file"):
        inspect_tflite(_written(tmp_path, b"\x89PNG\r\n\x1a\n" + bytes(64)))


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "macs", "operators"),
    [  # multiplications as published: MobileNetV1 0.25@128 14 M, V1 0.75@192 239 M, V2 1.0@224 300 M
        ("mobilenet_v1_0.25_128_quant", 13_570_304, 31),
        ("mobilenet_v1_0.75_192_quant", 239_274_240, 31),
        ("mobilenet_v2_1.0_224_quant", 300_775_552, 66),
        ("tf2_mobilenet_v2_1.0_224_ptq", 300_775_552, 68),
        ("mobilenet_edgetpu_224_1.0_uint8", None, 78),
        ("mobilenet_v1_0.25_128_quant_edgetpu", 0, 1),
    ],
)
def test_other_peoples_files(shared, name, macs, operators):
    path = shared / "peer_models" / f"{name}.tflite"
    found = inspect_tflite(path)
    assert found.macs == macs
    assert sum(operator.count for operator in found.operators) == operators
    assert found.float_operators == 0 and not found.has_card
    assert (found.load_error is None) is ("_edgetpu" not in name.removeprefix("mobilenet_edgetpu"))


@pytest.mark.real
def test_a_card_fits_into_other_peoples_files(shared, tmp_path):
    for name in ("mobilenet_v1_0.25_128_quant", "mobilenet_v1_0.25_128_quant_edgetpu"):
        path = shared / "peer_models" / f"{name}.tflite"
        before = inspect_tflite(path)
        after = inspect_tflite(_written(tmp_path, embed_card(path.read_bytes(), CARD)))
        assert after.has_card
        assert (after.operators, after.tensors, after.load_error) == (
            before.operators,
            before.tensors,
            before.load_error,
        )
