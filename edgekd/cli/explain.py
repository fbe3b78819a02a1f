"""`edgekd explain`: what the answer for one image hangs on, as a picture."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekd import console
from edgekd.cli.options import Card, Force, Json, ModelFile, Quiet, Verbose
from edgekd.errors import ImageError, UsageError
from edgekd.plain import parse_enum
from edgekd.runs import require_run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekd.card import ModelCard
    from edgekd.explain import Explanation


def explain(
    model: ModelFile,
    image: Annotated[Path, typer.Argument(metavar="IMAGE", show_default=False)],
    card: Card = None,
    method: Annotated[
        str, typer.Option(help="occlusion (any model) or gradient (a Keras model).")
    ] = "occlusion",
    patch: Annotated[
        int, typer.Option(help="Pixels of a patch's side [default: a seventh].", min=0, show_default=False)
    ] = 0,
    stride: Annotated[
        int, typer.Option(help="Pixels it moves by [default: half a patch].", min=0, show_default=False)
    ] = 0,
    fill: Annotated[str, typer.Option(help="What hides it: mean (colour of the picture) or grey.")] = "mean",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png", help="[default: IMAGE's name-METHOD.png, here].", show_default=False
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Keep it in this run, for its report page.", show_default=False),
    ] = None,
    judge_anyway: Annotated[
        bool, typer.Option("--judge-anyway", help="Also a photo that cannot be judged.")
    ] = False,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Draw how MODEL's score for IMAGE changes when parts of it are hidden.

    The map shows what the network reacts to, not where a disease is. Of the person nothing is known.

    Example: edgekd explain runs/quickstart/export/int8/model.tflite lesion.jpg
    """
    console.configure(quiet=quiet, verbose=verbose)
    from edgekd import assess
    from edgekd import explain as made

    way: made.Method = parse_enum(made.Method, method, "method")
    hiding: made.Fill = parse_enum(made.Fill, fill, "fill")
    if way is made.Method.GRADIENT and (patch or stride):
        raise UsageError("--patch and --stride are those of --method occlusion, a gradient has none")
    target = _target(out or Path(f"{image.stem}-{way}.png"), force=force)
    if report is not None:
        require_run(report)
    facts = assess.find_card(model, card)
    seen = _seen(facts, image, judge_anyway=judge_anyway)
    if way is made.Method.GRADIENT:
        explanation = _gradient(model, facts, seen)
    else:
        explanation = _occlusion(model, facts, seen, (patch, stride), hiding)
    made.write(target, explanation, f"{facts.name}: {image.name}")
    if report is not None:
        _keep(report, explanation, facts.name, image)
    _show(explanation, target, as_json=as_json)


def _target(path: Path, *, force: bool) -> Path:
    if path.exists() and not force:
        raise UsageError(f"{path} exists: give --force to replace it, or another --out")
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent} is not a folder: make it first, or give another --out")
    return path


def _seen(card: ModelCard, image: Path, *, judge_anyway: bool) -> NDArray[np.uint8]:
    """What the network sees of `image`, which must be fit to be judged."""
    from edgekd import assess
    from edgekd.imaging.decode import read_image

    pixels = assess.pixels(card, read_image(image))
    found = assess.photo(card, pixels)
    if found and found.flags and not judge_anyway:
        raise ImageError(image, f"cannot judge this photo: {found.reason}; --judge-anyway explains it still")
    return pixels


def _occlusion(
    model: Path, card: ModelCard, seen: NDArray[np.uint8], sides: tuple[int, int], fill: str
) -> Explanation:
    from edgekd import assess, explain

    runtime = assess.open_runtime(model)
    assess.check_card(runtime, card)
    patch, stride = sides
    nothing = assess.nobody(card)
    return explain.occlusion(
        runtime, card, seen, nothing, patch=patch, stride=stride, fill=explain.Fill(fill)
    )


def _gradient(model: Path, card: ModelCard, seen: NDArray[np.uint8]) -> Explanation:
    from edgekd import assess, explain
    from edgekd.runtimes.keras import KerasRuntime, load_keras

    if model.suffix not in (".keras", ".h5"):
        raise UsageError(
            f"{model}: a gradient needs a Keras model (.keras, .h5), as distill/model.keras of a run; "
            "--method occlusion works on every file"
        )
    network = load_keras(model)
    assess.check_card(KerasRuntime(network), card)
    return explain.gradient(network, card, seen, assess.nobody(card))


def _keep(run: Path, explanation: Explanation, model: str, image: Path) -> None:
    from edgekd.explain import draw_svg
    from edgekd.explained import Explained, keep

    record = Explained(
        image=image.name,
        model=model,
        method=explanation.method,
        meaning=explanation.meaning,
        score=explanation.score,
        patch_px=explanation.patch_px,
        stride_px=explanation.stride_px,
    )
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", f"{image.stem}-{model}-{explanation.method}")
    keep(run, name, record, draw_svg(explanation, f"{model}: {image.name}"))
    console.log.info("kept in %s; show it with: edgekd report %s --force", run, run)


def _show(explanation: Explanation, out: Path, *, as_json: bool) -> None:
    if not as_json:
        console.emit_text(f"{out}: score {explanation.score:+.3f}. {explanation.meaning}")
        return
    values = explanation.values
    console.emit_json(
        {
            "schema": "edgekd.explanation/1",
            "method": explanation.method,
            "meaning": explanation.meaning,
            "picture": str(out),
            "score": explanation.score,
            "patch_px": explanation.patch_px,
            "stride_px": explanation.stride_px,
            "fill": explanation.fill,
            "values": [[float(f"{value:.6g}") for value in row] for row in values.tolist()],
        }
    )
