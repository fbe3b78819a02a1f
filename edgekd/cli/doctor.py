"""`edgekd doctor`: what is installed, which engines answer, and how to get what is missing."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.util import find_spec

from edgekd import console
from edgekd.cli.options import Json
from edgekd.runs import tool_versions

_PACKAGES = {
    "ai-edge-litert": ("", "run .tflite files"),
    "numpy": ("", "arrays"),
    "opencv-python-headless": ("", "read images"),
    "scipy": ("", "intervals"),
    "tensorflow": ("train", "teach, distill, qat, export, verify"),
    "tf-keras": ("train", "teach, distill, qat, export, verify"),
    "tensorflow-model-optimization": ("train", "qat"),
    "scikit-learn": ("train", "splits"),
    "matplotlib": ("report", "report"),
    "jinja2": ("report", "report"),
    "coremltools": ("coreml", "Core ML files"),
}


@dataclass(frozen=True)
class Engine:
    """Whether an engine ran a network just now; `note` says how it answered or how to get it."""

    name: str
    answers: bool
    note: str


def doctor(as_json: Json = False) -> None:
    """Say what is installed, which engines answer, and how to get what is missing.

    Example: edgekd doctor
    """
    versions = tool_versions(tuple(_PACKAGES))
    engines = _engines()
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {_python()}"
    if as_json:
        console.emit_json({"machine": machine, "packages": versions, "engines": engines})
        return
    console.emit_text(machine)
    console.emit_table(
        "", ("package", "version", "for", "get it"), [_row(*item) for item in versions.items()]
    )
    rows = [(engine.name, "yes" if engine.answers else "no", engine.note) for engine in engines]
    console.emit_table("", ("engine", "answers", "note"), rows)


def _python() -> str:
    return f"Python {platform.python_version()}"


def _row(package: str, version: str) -> tuple[str, str, str, str]:
    extra, purpose = _PACKAGES[package]
    target = f"edgekd[{extra}]" if extra else "edgekd"
    return package, version, purpose, f"pip install '{target}'" if version == "absent" else ""


def _engines() -> list[Engine]:
    return [*(_litert(kernels) for kernels in ("xnnpack", "builtin", "reference")), _keras()]


def _litert(kernels: str) -> Engine:
    """Runs a one-operator network, so that "answers" is an observation."""
    from edgekd.runtimes.selftest import relu_answers

    name = f"cpu ({kernels})"
    try:
        return Engine(name, relu_answers(kernels), "LiteRT ran a one-operator network")
    except Exception as error:
        return Engine(name, False, f"{type(error).__name__}: {error}")


def _keras() -> Engine:
    if find_spec("tf_keras") and find_spec("tensorflow"):
        return Engine("keras", True, "installed (TensorFlow is not started for this)")
    return Engine("keras", False, "pip install 'edgekd[train]'")
