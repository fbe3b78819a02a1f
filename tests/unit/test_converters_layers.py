from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import hard_to_quantize
from edgekd.errors import ModelError, UsageError
from edgekd.plain import from_plain, to_plain
from edgekd.runtimes.litert import LitertRuntime
from edgekd_converters.layers import LayerReport, layer_report, layer_table
from edgekd_converters.layers_graph import layer_names, match, read_graph
from edgekd_converters.layers_pack import pack
from edgekd_converters.layers_process import ask
from edgekd_converters.layers_sums import CEILING_DB, Sums
from hard_to_quantize import BAD, NEXT
from tiny_tflite import average_pool
from tolerances import EXACT_ARITHMETIC

LAYERS = ("stem", BAD, NEXT, "mix", "features", "logits")


@pytest.fixture(scope="module")
def images():
    return hard_to_quantize.images(6)


@pytest.fixture(scope="module")
def report(images):
    return layer_report(*hard_to_quantize.files(planted=True), images)


@pytest.fixture(scope="module")
def healthy(images):
    return layer_report(*hard_to_quantize.files(planted=False), images)


@pytest.mark.tf
def test_the_planted_layer_is_named_as_the_worst(report):
    worst = report.worst(1)[0]
    assert (worst.layer, worst.operator) == (BAD, "DEPTHWISE_CONV_2D")
    assert worst.channel_loss > 0.5  # all channels but the large one
    # What it rounded away is gone for all behind it, yet is not their own doing.
    behind = {layer.layer: layer for layer in report.layers}
    assert behind["mix"].accumulated_sqnr_db < 15
    assert behind["mix"].own_sqnr_db > 25
    # The large channel outshines the lost ones: this figure alone would have called the layer healthy.
    assert worst.own_sqnr_db > 25


@pytest.mark.tf
def test_a_network_without_fault_has_none(healthy, report):
    assert max(layer.channel_loss for layer in healthy.layers) < 0.05
    assert 10 * healthy.worst(1)[0].logit_error < report.worst(1)[0].logit_error
    assert all(layer.zero_channels == layer.bias_at_limit == 0 for layer in healthy.layers)
    assert healthy.foreign_weights == ()


@pytest.mark.tf
def test_the_report_says_what_the_file_holds(healthy):
    assert tuple(layer.layer for layer in healthy.layers) == LAYERS
    stem = healthy.layers[0]
    assert stem.shape == (1, 16, 16, 8) and stem.dtype == "int8" and stem.zero_point == -128
    assert stem.macs == 16 * 16 * 8 * 27 and stem.bytes == 27 * 8 + 4 * 8
    assert 0 <= stem.own_shift <= 1 and 0 < stem.own_cosine <= 1
    assert from_plain(LayerReport, json.loads(json.dumps(to_plain(healthy)))) == healthy
    columns, rows = layer_table(healthy, 3)
    assert len(rows) == 3 and all(len(row) == len(columns) for row in rows)


@pytest.mark.tf
def test_the_last_layer_agrees_with_the_answers_of_both_files(healthy, images):
    exact, rounded = (
        LitertRuntime(path, kernels="builtin").logits(images).astype(np.float64)
        for path in hard_to_quantize.files(planted=False)
    )
    expected = 10 * np.log10((exact**2).sum() / ((exact - rounded) ** 2).sum())
    # Float32 logits of order one: a relative 1e-7 of the signal against a noise some 1e-3 of it.
    assert healthy.layers[-1].accumulated_sqnr_db == pytest.approx(expected, abs=1e-2)


@pytest.mark.tf
def test_a_file_against_itself_shows_no_error(images):
    exact, _ = hard_to_quantize.files(planted=True)
    report = layer_report(exact, exact, images[:2])
    for layer in report.layers:
        assert layer.accumulated_sqnr_db == layer.own_sqnr_db == CEILING_DB
        assert (layer.logit_error, layer.channel_loss, layer.own_cosine) == (0, 0, 1)
        assert (layer.dtype, layer.scale, layer.at_ends, layer.clipped) == ("float32", None, 0, 0)


@pytest.mark.tf
def test_dead_channels_and_cut_offsets_are_counted(tmp_path, images):
    exact, rounded = hard_to_quantize.files(planted=False)
    graph = read_graph(rounded)
    node = graph.nodes[LAYERS.index(NEXT)]
    kernel, bias = (graph.model.buffers[graph.tensors[tensor].buffer] for tensor in node.constants)
    values = np.frombuffer(bytes(kernel.data), np.int8).reshape(graph.shape(node.constants[0])).copy()
    values[3] = 0
    offsets = np.frombuffer(bytes(bias.data), np.int32).copy()
    offsets[3] = 2**31 - 1
    kernel.data, bias.data = values.view(np.uint8).reshape(-1), offsets.view(np.uint8)
    (tmp_path / "dead.tflite").write_bytes(pack(graph.model))
    report = layer_report(exact, tmp_path / "dead.tflite", images[:2])
    dead = report.layers[LAYERS.index(NEXT)]
    assert (dead.zero_channels, dead.bias_at_limit) == (1, 1)
    assert report.foreign_weights == (NEXT,)
    assert "1 zero channels, 1 offsets at ±2³¹" in {row[-1] for row in layer_table(report)[1]}


@pytest.mark.tf
def test_files_of_two_networks_are_not_matched(tmp_path):
    exact, rounded = (read_graph(path) for path in hard_to_quantize.files(planted=False))
    match(exact, rounded)
    assert layer_names(rounded, exact) == LAYERS
    (tmp_path / "pool.tflite").write_bytes(average_pool(px=32))
    with pytest.raises(ModelError, match=r"is not operator .* of .*: operator AVERAGE_POOL_2D for CONV_2D"):
        match(exact, read_graph(tmp_path / "pool.tflite"))


@pytest.mark.tf
def test_the_command_tells_the_worst_first(tmp_path):
    import typer

    from edgekd.cli.layers import layers
    from tiny_dataset import prepare

    prepare(tmp_path / "data")
    for path in hard_to_quantize.files(planted=True):
        (tmp_path / "export" / path.stem).mkdir(parents=True)
        (tmp_path / "export" / path.stem / "model.tflite").write_bytes(path.read_bytes())
    app = typer.Typer()
    app.command()(layers)
    asked = [str(tmp_path), "--precision", "int8-ptq", "--images", "3", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    title, _, worst, *_ = done.stdout.splitlines()
    assert "the worst 6 of 6 layers, 3 validation images" in title and BAD in worst
    kept = from_plain(LayerReport, json.loads((tmp_path / "out" / "layers.json").read_text()))
    assert kept.worst(1)[0].layer == BAD
    picture = (tmp_path / "out" / "layers.svg").read_text()
    assert all(word in picture for word in (BAD, "accumulated", "signal to quantization noise"))


def test_a_file_that_is_not_fed_with_bytes_is_refused(tmp_path):
    for name, dtype in (("float", "float32"), ("byte", "uint8")):
        (tmp_path / name).write_bytes(average_pool(dtype=dtype))
    with pytest.raises(ModelError, match=r"the input is float32 \[1, 8, 8, 3\], the images are uint8"):
        layer_report(tmp_path / "float", tmp_path / "byte", np.zeros((1, 8, 8, 3), np.uint8))


def test_what_is_no_image_or_no_model_is_refused(tmp_path):
    with pytest.raises(UsageError, match="expected uint8"):
        layer_report(tmp_path / "a", tmp_path / "b", np.zeros((0, 8, 8, 3), np.uint8))
    (tmp_path / "a").write_bytes(bytes(80))
    with pytest.raises(ModelError, match=r"not a \.tflite file"):
        layer_report(tmp_path / "a", tmp_path / "a", np.zeros((1, 8, 8, 3), np.uint8))


def test_a_crash_is_told_in_one_line():
    with pytest.raises(ModelError, match=r"the work: crashed \(exit status 1\): .*no_such_module") as caught:
        ask("edgekd_converters.no_such_module", {}, LayerReport, timeout_s=60, what="the work")
    assert "\n" not in str(caught.value)


def test_sums_say_the_same_in_pieces_and_as_a_whole():
    rng = np.random.Generator(np.random.PCG64(1))
    exact = rng.normal(0, 1, (10, 4, 4, 3)) * [100, 1, 1]
    rounded = exact + rng.normal(0.3, 0.1, exact.shape)
    sums = Sums()
    for f, q in zip(exact, rounded, strict=True):
        sums.add(f[np.newaxis], q[np.newaxis])
    noise, signal = ((rounded - exact) ** 2), exact**2
    assert sums.sqnr_db == pytest.approx(10 * np.log10(signal.sum() / noise.sum()), rel=EXACT_ARITHMETIC)
    cosine = (exact * rounded).sum() / np.sqrt(signal.sum() * (rounded**2).sum())
    assert sums.cosine == pytest.approx(cosine, rel=EXACT_ARITHMETIC)
    loss = (noise.sum(axis=(0, 1, 2)) / signal.sum(axis=(0, 1, 2))).mean()
    assert sums.channel_loss == pytest.approx(loss, rel=EXACT_ARITHMETIC)
    shift = 160 * ((rounded - exact).mean(axis=(0, 1, 2)) ** 2).sum() / noise.sum()
    assert sums.shift == pytest.approx(shift, rel=EXACT_ARITHMETIC)
    # Ten images or one: what is kept is one number per channel and figure.
    kept = [value for value in vars(sums).values() if isinstance(value, np.ndarray)]
    assert {value.shape for value in kept} == {(3,)}


def test_sums_of_silence():
    sums = Sums()
    sums.add(np.zeros((2, 3)), np.zeros((2, 3)))
    assert (sums.sqnr_db, sums.cosine, sums.channel_loss, sums.shift) == (CEILING_DB, 1.0, 0.0, 0.0)
    sums.add(np.zeros((2, 3)), np.array([[1.0, 0, 0]] * 2))
    assert (sums.sqnr_db, sums.cosine, sums.channel_loss) == (-CEILING_DB, 0.0, 1 / 3)
    assert sums.shift == 0.5  # a mean of ½ over four values, of 1² twice
