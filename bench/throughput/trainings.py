"""What the benchmarks of training share: their options, drawn lesions, an arm as a process of its own."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from edgekd.config import DataConfig, SourceConfig, SourceKind
from edgekd.data.dataset import Dataset, open_dataset
from edgekd.data.prepare import prepare


def training_options(description: str | None, *, width: float = 0.35) -> argparse.ArgumentParser:
    """A parser that knows the network's --width and --px, --batch and --json."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--width", type=float, default=width)
    parser.add_argument("--px", type=int, default=224)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--json", action="store_true")
    return parser


def drawn_dataset(folder: Path, *, px: int, images: int) -> Dataset:
    """`images` drawn lesions, prepared in `folder` for a network of side `px`."""
    source = SourceConfig(name="drawn", kind=SourceKind.SYNTHETIC, count=images, image_px=px + 32)
    config = DataConfig(sources=(source,), input_px=px, train_px=px + 32, drop_leaks=False)
    prepare(config=config, seed=1, out=folder)
    return open_dataset(folder)


def asked(
    script: str, arm: str, options: Mapping[str, Any], names: Iterable[str], environment: Mapping[str, str]
) -> Any:
    """What `script` says of `arm`, as JSON in its last line, with those of `options` that are in `names`."""
    command = [sys.executable, script, "--arm", arm]
    for name in names:
        command += [f"--{name.replace('_', '-')}", str(options[name])]
    whole = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", **environment}
    done = subprocess.run(command, env=whole, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])
