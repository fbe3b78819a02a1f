"""`edgekd export`: the artefacts of a run, or of anybody's Keras model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekd import console
from edgekd.cli.options import Force, Json, Quiet, Settings, Verbose
from edgekd.cli.stations import make_station
from edgekd.config import ExportConfig, Precision
from edgekd.errors import ModelError, UnknownNameError, UsageError
from edgekd.pipeline import Station

if TYPE_CHECKING:
    from edgekd.models.scaling import Scaling

_COREML = (Precision.COREML_FP16, Precision.COREML_INT8, Precision.COREML_PAL4)


def export(
    source: Annotated[
        Path, typer.Argument(metavar="RUN|MODEL", help="A run folder, a .keras or .h5 file, or a SavedModel.")
    ],
    int8: Annotated[
        bool, typer.Option("--int8", help="All 8-bit: quantization-aware of a RUN, else calibrated.")
    ] = False,
    int8_ptq: Annotated[bool, typer.Option("--int8-ptq", help="All 8-bit, calibrated.")] = False,
    int16x8: Annotated[bool, typer.Option("--int16x8", help="16-bit activations, 8-bit weights.")] = False,
    mixed: Annotated[
        bool,
        typer.Option(
            "--mixed",
            help="Calibrated 8-bit of a RUN, the fewest layers kept in float; with --fp32, --int8-ptq.",
        ),
    ] = False,
    max_sensitivity_drop: Annotated[
        float | None,
        typer.Option(
            help="What --mixed may lose on validation against fp32 [default: 0.01].", show_default=False
        ),
    ] = None,
    fp16: Annotated[bool, typer.Option("--fp16", help="Half-precision weights.")] = False,
    fp32: Annotated[bool, typer.Option("--fp32", help="Float.")] = False,
    dynamic: Annotated[bool, typer.Option("--dynamic", help="8-bit weights, float activations.")] = False,
    coreml: Annotated[
        bool, typer.Option("--coreml", help="Core ML packages: half, 8-bit and 4-bit weights.")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="All of these, of a RUN.")] = False,
    scaling: Annotated[
        str,
        typer.Option(
            help="What a MODEL not made by edgekd expects of pixels: signed (-1 to 1), unit (0 to 1), "
            "own (0 to 255), torch or caffe.",
            show_default=False,
        ),
    ] = "",
    calibrate: Annotated[
        Path | None,
        typer.Option(help="Images to calibrate a MODEL on: a folder or data set.", show_default=False),
    ] = None,
    trust: Annotated[bool, typer.Option("--trust", help="Let the file of a MODEL run its own code.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the files of a MODEL [default: beside it].", show_default=False),
    ] = None,
    settings: Settings = None,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Convert the student of RUN, or anybody's Keras MODEL, to TFLite and Core ML.

    Example: edgekd export runs/quickstart --int8 --int8-ptq --fp16

    Example: edgekd export runs/quickstart --mixed --max-sensitivity-drop 0.01

    Example: edgekd export theirs.keras --scaling signed --int8 --calibrate photos/
    """
    console.configure(quiet=quiet, verbose=verbose)
    named = {
        Precision.FP32: fp32 or mixed,
        Precision.FP16: fp16,
        Precision.DYNAMIC: dynamic,
        Precision.INT8: int8,
        Precision.INT8_PTQ: int8_ptq or mixed,
        Precision.INT8_MIXED: mixed,
        Precision.INT16X8: int16x8,
        **dict.fromkeys(_COREML, coreml),
    }
    chosen = tuple(precision for precision, wanted in named.items() if wanted or everything)
    if source.is_file() or (source / "saved_model.pb").is_file():
        if Precision.INT8_MIXED in chosen:
            raise UsageError("a mixed file is judged on the labelled images of a RUN, a MODEL has none")
        files = _Stranger(source, scaling, calibrate, trust)
        files.export(chosen or (Precision.FP16,), out, force=force, as_json=as_json)
        return
    if out is not None or scaling or calibrate is not None:
        raise UsageError("--out, --scaling and --calibrate belong to a MODEL; a RUN has its own")
    wanted = [*(settings or []), *([f"export.precisions={','.join(chosen)}"] if chosen else [])]
    if max_sensitivity_drop is not None:
        wanted.append(f"export.max_sensitivity_drop={max_sensitivity_drop}")
    make_station(source, Station.EXPORT, wanted, force=force, as_json=as_json)


class _Stranger:
    """A model file outside a run, and how it is to be read."""

    def __init__(self, model: Path, scaling: str, calibrate: Path | None, trust: bool) -> None:
        self._model, self._scaling, self._calibrate, self._trust = model, scaling, calibrate, trust

    def export(
        self, precisions: Sequence[Precision], out: Path | None, *, force: bool, as_json: bool
    ) -> None:
        """Write one file per precision and show them."""
        from edgekd_converters.export import export_file, size_bytes

        precisions = tuple(dict.fromkeys(self._meant(precision) for precision in precisions))
        targets = self._targets(precisions, out or self._model.parent, force=force)
        made = {
            precision: export_file(
                self._model,
                precision,
                path,
                calibration_files=self._files(precision),
                scaling=self._known_scaling(),
                trusted=self._trust,
            )
            for precision, path in targets.items()
        }
        if as_json:
            console.emit_json({p.value: {"path": str(targets[p]), "conversion": made[p]} for p in made})
            return
        rows = [(p.value, f"{size_bytes(targets[p]) / 1e6:.2f}", str(targets[p])) for p in made]
        console.emit_table("", ("precision", "MB", "file"), rows)

    def _meant(self, precision: Precision) -> Precision:
        """Of a float model, "int8" can only be the calibrated one."""
        ours = not self._scaling and self._model.suffix == ".h5"
        return Precision.INT8_PTQ if precision is Precision.INT8 and not ours else precision

    def _targets(
        self, precisions: Sequence[Precision], folder: Path, *, force: bool
    ) -> dict[Precision, Path]:
        from edgekd_converters.artefacts import ROUTES

        suffixes = {precision: Path(ROUTES[precision].file).suffix for precision in precisions}
        targets = {p: folder / f"{self._model.stem}.{p}{suffix}" for p, suffix in suffixes.items()}
        taken = [path for path in targets.values() if path.exists()]
        if taken and not force:
            raise UsageError(f"{taken[0]} is there already: choose another --out, or --force")
        if not folder.is_dir():
            raise ModelError(f"{folder}: no such folder to write to")
        return targets

    def _files(self, precision: Precision) -> tuple[Path, ...]:
        from edgekd_converters.artefacts import ROUTES
        from edgekd_converters.calibration import choose_files

        if not ROUTES[precision].calibrated:
            return ()
        if self._calibrate is None:
            raise UsageError(f"{precision} needs images to calibrate on: --calibrate FOLDER")
        return choose_files(self._calibrate, count=ExportConfig().calibration_images, seed=1)

    def _known_scaling(self) -> Scaling | None:
        from edgekd.models.scaling import Scaling

        if not self._scaling:
            return None
        if self._scaling not in set(Scaling):
            raise UnknownNameError("scaling", self._scaling, list(Scaling))
        return Scaling(self._scaling)
