"""`edgekd doctor`: what is installed, which backends answer, and how to get what is missing."""

from __future__ import annotations

import os
import platform

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
    "umap-learn": ("embed", "embed"),
    "optuna": ("search", "search"),
    "fastapi": ("serve", "serve"),
    "uvicorn": ("serve", "serve"),
    "model-signing": ("sign", "bundle --sign, verify-bundle --key"),
}


def doctor(as_json: Json = False) -> None:
    """Say what is installed, which backends answer, and how to get what is missing.

    Example: edgekd doctor
    """
    from edgekd_bench.states import backend_states

    versions = tool_versions(tuple(_PACKAGES))
    engines = backend_states()
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {_python()}"
    if as_json:
        console.emit_json({"machine": machine, "packages": versions, "engines": engines})
        return
    console.emit_text(machine)
    console.emit_table(
        "", ("package", "version", "for", "get it"), [_row(*item) for item in versions.items()]
    )
    rows = [(engine.name, "yes" if engine.answers else "no", engine.note) for engine in engines]
    console.emit_table("", ("backend", "answers", "note"), rows)


def _python() -> str:
    return f"Python {platform.python_version()}"


def _row(package: str, version: str) -> tuple[str, str, str, str]:
    extra, purpose = _PACKAGES[package]
    target = f"edgekd[{extra}]" if extra else "edgekd"
    return package, version, purpose, f"pip install '{target}'" if version == "absent" else ""
