"""The options several verbs share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)]
DataRoot = Annotated[
    Path | None, typer.Option("--data-root", help="Folder of the experiment's data set.", show_default=False)
]
Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        help="Folder of ImageNet backbone files, instead of Keras' download.",
        envvar="EDGEKD_WEIGHTS",
        show_default=False,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="a.b=c", help="Change one setting, e.g. distill.method=none."),
]
StrategyName = Annotated[
    str,
    typer.Option(
        "--strategy",
        metavar="NAME",
        help="How training is spread: single, mirrored (the GPUs of this machine), multiworker (TF_CONFIG)"
        " or tpu.",
        show_default=False,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Make it again even if it is fresh.")]
Before = Annotated[
    str,
    typer.Option(
        "--check",
        metavar="edgetpu",
        help="Refuse a student that would not run there as a whole, before anything is made.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Warnings only.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Every detail.")]
Kind = Annotated[
    str,
    typer.Option(
        "--kind",
        help="isic2016, isic2017, isic2018, isic2019, isic2020, ham10000, folders, tfrecord or csv; found "
        "out when not given.",
        show_default=False,
    ),
]
ModelFile = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A .tflite, .keras or .h5 file.", show_default=False)
]
Card = Annotated[
    Path | None,
    typer.Option("--card", help="The model's card, if not beside or inside it.", show_default=False),
]


def with_strategy(settings: list[str] | None, strategy: str) -> list[str]:
    """`settings` and the strategy, where one was named."""
    return [*(settings or []), *([f"strategy={strategy}"] if strategy else [])]
