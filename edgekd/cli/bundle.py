"""`edgekd bundle`: what a phone or web project copies in."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekd import console, demo_model, pipeline
from edgekd.cli.options import Card, Json, Quiet, Verbose
from edgekd.config import Experiment, Precision
from edgekd.console import log
from edgekd.errors import UsageError
from edgekd.locate import locate_data, locate_weights
from edgekd.pipeline import Station
from edgekd.plain import parse_enum
from edgekd.runs import require_run
from edgekd.training.workers import own_run

if TYPE_CHECKING:
    from edgekd.bundle.make import Wishes
    from edgekd.bundle.manifest import Manifest

_FOLDER, _SPACE, _DOCKER = "bundle", "space", "space-docker"


@dataclass(frozen=True, kw_only=True)
class Order:
    """One bundle that is asked for: where it goes, what goes in, where it is put."""

    platform: str
    precision: str = ""
    out: Path | None = None
    card: Path | None = None
    data: Path | None = None
    unverified: bool = False
    space: bool = False
    docker: bool = False
    force: bool = False
    key: Path | None = None
    licence: Path | None = None

    def wishes(self, *, owned: bool) -> Wishes:
        """The part that is about the folder; `owned`: it lies in the run folder."""
        from edgekd.bundle.make import Wishes

        return Wishes(key=self.key, licence=self.licence, space=self.space, force=self.force, owned=owned)


@dataclass(frozen=True, kw_only=True)
class Bundled:
    """A bundle that is there now; `made` is false where it was there before, the same to the byte."""

    folder: Path
    made: bool
    manifest: Manifest


def bundle(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|MODEL",
            help="A run folder, or anybody's .tflite or .mlpackage with a card.",
            show_default=False,
        ),
    ],
    android: Annotated[bool, typer.Option("--android", help="For an Android app.")] = False,
    ios: Annotated[
        bool, typer.Option("--ios", help="For an iOS app: Core ML and a Swift file, not run here.")
    ] = False,
    web: Annotated[
        bool, typer.Option("--web", help="A page anyone can host; the photo stays in it.")
    ] = False,
    space: Annotated[
        bool, typer.Option("--space", help="The page as a folder for Hugging Face Spaces.")
    ] = False,
    space_docker: Annotated[
        bool,
        typer.Option(
            "--space-docker", help="The REST service as a folder for Hugging Face Spaces; not built here."
        ),
    ] = False,
    precision: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The artefact, e.g. int8 or coreml-fp16 [default: int8, on iOS coreml-fp16].",
            show_default=False,
        ),
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(help="The folder [default: RUN/bundle/PLATFORM].", show_default=False),
    ] = None,
    sign: Annotated[
        Path | None,
        typer.Option(
            metavar="KEY", help="Sign it with this private EC key (PEM); nothing leaves the machine."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="A folder of golden pictures, which go into the bundle [default: of the test split where it "
            "is CC0, else drawn].",
            show_default=False,
        ),
    ] = None,
    licence: Annotated[
        Path | None,
        typer.Option("--license", help="The licence text of the model, for LICENSE.", show_default=False),
    ] = None,
    card: Card = None,
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Even if its verdict is not passed; the manifest says so.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a bundle in --out that files were added to.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write model, card, golden pictures with answers, licence and a manifest of sha256 into one folder.

    Of a RUN everything missing up to verify is made first. Only a file whose verdict is passed is bundled.
    Check a bundle with edgekd verify-bundle.

    Example: edgekd bundle runs/isic2017 --android --ios --web

    Example: edgekd bundle runs/quickstart --android --unverified

    Example: edgekd bundle runs/isic2017 --android --out app/src/main/assets/bundle --sign key.pem

    Example: edgekd bundle theirs.tflite --card card.json --android --unverified --out theirs-bundle

    A key for --sign: openssl ecparam -name prime256v1 -genkey -noout -out key.pem; the public half of it:
    openssl ec -in key.pem -pubout -out key.pub
    """
    console.configure(quiet=quiet, verbose=verbose)
    order = Order(
        platform="",
        precision=parse_enum(Precision, precision, "precision").value if precision else "",
        out=out,
        card=card,
        data=data,
        unverified=unverified,
        force=force,
        key=sign,
        licence=licence,
    )
    named = (("android", android), ("ios", ios), ("web", web))
    orders = [dataclasses.replace(order, platform=name) for name, asked in named if asked]
    orders += [dataclasses.replace(order, platform="web", space=True)] if space else []
    orders += [dataclasses.replace(order, platform="android", docker=True)] if space_docker else []
    _check(source, orders)
    found = [_fill_docker(source, order) if order.docker else _fill(source, order) for order in orders]
    _show(found, as_json=as_json)


def bundle_of_run(
    run: Path,
    platform: str,
    *,
    precision: str = "",
    out: Path | None = None,
    unverified: bool = False,
    force: bool = False,
) -> Path:
    """The folder of the bundle of `run` for `platform`, made or kept, with all it stands on.

    Raises:
        EdgekdError: as `edgekd bundle`.
    """
    order = Order(platform=platform, precision=precision, out=out, unverified=unverified, force=force)
    return _fill(run, order).folder


def bundle_of_demo() -> Path:
    """The folder of the web bundle of the model that comes with edgekd, made or kept in the user's cache.

    Raises:
        EdgekdError: as `edgekd bundle`.
    """
    from edgekd.bundle.make import Wishes, write_bundle
    from edgekd.bundle.manifest import Platform
    from edgekd.bundle.source import contents_of_model
    from edgekd.runtimes.environments import cache_folder

    folder = cache_folder() / "demo"
    contents = contents_of_model(demo_model.MODEL, None, unverified=True)
    write_bundle(folder, Platform.WEB, contents, Wishes(licence=demo_model.LICENCE, owned=True))
    return folder


def _check(source: Path, orders: Sequence[Order]) -> None:
    if not orders:
        raise UsageError("for what? --android, --ios, --web, --space, --space-docker: one or more")
    if len(orders) > 1 and orders[0].out is not None:
        raise UsageError(
            "--out is the folder of one bundle: ask for one platform, or leave it to RUN/bundle/"
        )
    if _is_model(source):
        if orders[0].out is None:
            raise UsageError("where to? a MODEL belongs to no run: --out DIR")
        if orders[0].precision:
            raise UsageError(
                "--precision chooses among the files of a RUN; a MODEL is one, its card says which"
            )
    elif orders[0].card is not None:
        raise UsageError("--card belongs to a MODEL; the card of a RUN is that of verify")


def _is_model(source: Path) -> bool:
    return source.is_file() or source.suffix in (".tflite", ".mlpackage")


def _fill(source: Path, order: Order) -> Bundled:
    """Make one bundle."""
    from edgekd.bundle.make import write_bundle
    from edgekd.bundle.manifest import Platform
    from edgekd.bundle.source import contents_of_model

    platform = Platform(order.platform)
    if not _is_model(source):
        return _of_run(source, order)
    folder = _out(order, source)
    contents = contents_of_model(source, order.card, unverified=order.unverified, data=order.data)
    manifest, made = write_bundle(folder, platform, contents, order.wishes(owned=False))
    return Bundled(folder=folder, made=made, manifest=manifest)


def _fill_docker(source: Path, order: Order) -> Bundled:
    """Make the folder of a service: the plain bundle, and beside it what Spaces builds from."""
    from edgekd.bundle.docker_space import BUNDLE, write_docker_space

    folder = order.out or source / _FOLDER / _DOCKER
    bundled = _fill(source, dataclasses.replace(order, out=folder / BUNDLE))
    write_docker_space(folder)
    return dataclasses.replace(bundled, folder=folder)


def _of_run(root: Path, order: Order) -> Bundled:
    from edgekd.bundle.make import write_bundle
    from edgekd.bundle.manifest import Platform
    from edgekd.bundle.source import choose_precision, contents_of_run

    run, platform = require_run(root), Platform(order.platform)
    experiment = locate_weights(locate_data(pipeline.open_experiment(run), None), None)
    precision = choose_precision(platform, order.precision, experiment.export.precisions)
    experiment = _exporting(experiment, precision)
    with own_run(run, experiment.strategy) as own:
        pipeline.make(own, experiment, Station.VERIFY)
        contents = contents_of_run(
            own.root, experiment, precision, unverified=order.unverified, data=order.data
        )
        folder = _out(order, root)
        manifest, made = write_bundle(folder, platform, contents, order.wishes(owned=order.out is None))
    return Bundled(folder=folder, made=made, manifest=manifest)


def _exporting(experiment: Experiment, precision: Precision) -> Experiment:
    """`experiment` with `precision` among the files it exports."""
    known = experiment.export.precisions
    if precision in known:
        return experiment
    log.info("%-8s %s is exported too", "export", precision)
    export = dataclasses.replace(experiment.export, precisions=(*known, precision))
    return dataclasses.replace(experiment, export=export)


def _out(order: Order, root: Path) -> Path:
    return order.out or root / _FOLDER / (_SPACE if order.space else order.platform)


def _show(found: Sequence[Bundled], *, as_json: bool) -> None:
    if as_json:
        console.emit_json(
            [{"folder": str(one.folder), "made": one.made, "manifest": one.manifest} for one in found]
        )
        return
    rows = [
        (
            str(one.folder),
            "made" if one.made else "kept",
            one.manifest.precision,
            str(one.manifest.verdict),
            str(len(one.manifest.files)),
            f"{sum(facts.size_bytes for facts in one.manifest.files.values()) / 1e6:.2f}",
        )
        for one in found
    ]
    console.emit_table("", ("bundle", "", "model", "verdict", "files", "MB"), rows)
