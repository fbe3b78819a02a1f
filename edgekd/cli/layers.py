"""`edgekd layers`: where an 8-bit file loses."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekd import console
from edgekd.cli.options import Json, Quiet, RunFolder, Verbose
from edgekd.config import Precision
from edgekd.errors import ModelError, UsageError
from edgekd.plain import parse_enum, write_json, write_text

if TYPE_CHECKING:
    from edgekd_converters.layers import LayerReport

_IMAGES, _ROWS = 64, 15
_MEASURABLE = (Precision.INT8, Precision.INT8_PTQ, Precision.INT8_MIXED, Precision.INT16X8)


def layers(
    run: RunFolder,
    precision: Annotated[str, typer.Option(help="Which file of the run.")] = Precision.INT8.value,
    images: Annotated[int, typer.Option(help="How many validation images.", min=1)] = _IMAGES,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for layers.json and layers.svg; made when absent.", show_default=False),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show what 8 bits did to every layer of a file of RUN, on validation images; the worst first.

    Example: edgekd layers runs/quickstart --precision int8 --out layers
    """
    console.configure(quiet=quiet, verbose=verbose)
    chosen: Precision = parse_enum(Precision, precision, "precision")
    if chosen not in _MEASURABLE:
        raise UsageError(f"{chosen} rounds no activation, expected one of {', '.join(_MEASURABLE)}")
    record = _report(run, chosen, images)
    if out is not None:
        _write(record, out)
    if as_json:
        console.emit_json(record)
        return
    _show(record, f"{run}, {chosen}")


def _report(run: Path, precision: Precision, count: int) -> LayerReport:
    from edgekd.data.dataset import open_dataset
    from edgekd_converters.layers import layer_report

    quantized = run / "export" / precision / "model.tflite"
    if not quantized.is_file():
        raise ModelError(f"{quantized}: no such file; run edgekd export {run} --{precision} first")
    samples = open_dataset(run / "data").validation
    chosen = samples.images.read(range(min(count, len(samples))))
    with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
        return layer_report(_float_file(run, precision, Path(folder)), quantized, chosen)


def _float_file(run: Path, precision: Precision, folder: Path) -> Path:
    """The float file of the same weights: the run's own, or one made from the quantization-aware model."""
    if precision is Precision.INT8:
        from edgekd_converters.layers_twin import write_twin

        twin = folder / "twin.tflite"
        write_twin(student=run / "distill" / "model.keras", qat=run / "qat" / "model.h5", output=twin)
        return twin
    path = run / "export" / Precision.FP32 / "model.tflite"
    if not path.is_file():
        raise ModelError(f"{path}: no such file; run edgekd export {run} --fp32 first")
    return path


def _write(record: LayerReport, out: Path) -> None:
    from edgekd.drawing import colour, draw
    from edgekd_converters.layers_figure import HEIGHT_INCHES, layers_painter

    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "layers.json", record)
    painter = layers_painter(record, strong=colour("int8"), weak=colour("teacher"))
    write_text(out / "layers.svg", draw(painter, height_inches=HEIGHT_INCHES))


def _show(record: LayerReport, title: str) -> None:
    from edgekd_converters.layers import layer_table

    columns, rows = layer_table(record, _ROWS)
    console.emit_table(
        f"{title}: the worst {len(rows)} of {len(record.layers)} layers, {record.n_images} validation images "
        f"(logit error: {record.n_logit_images}), {record.engine}",
        columns,
        rows,
    )
    if record.foreign_weights:
        console.log.warning(
            "%d layers hold other weights than the float file, not only rounded ones: %s",
            len(record.foreign_weights),
            ", ".join(record.foreign_weights),
        )
