"""Heavy imports, made on first use; a missing extra answers with its pip line."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from edgekd.errors import MissingExtraError


def optional(module: str, *, package: str, extra: str) -> ModuleType:
    """The imported `module`.

    Raises:
        MissingExtraError: `package`, which belongs to `extra`, is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # what a package imports is its own affair
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and module.split(".", maxsplit=1)[0] == error.name.split(".")[0]:
            raise MissingExtraError(package, extra) from error
        raise


def tensorflow() -> Any:
    """The `tensorflow` module, set to legacy Keras and quiet, before its first import."""
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "tensorflow" in sys.modules:
        return sys.modules["tensorflow"]
    with _silent_stderr():  # what TensorFlow says before its own log level applies
        return optional("tensorflow", package="tensorflow", extra="train")


@contextmanager
def _silent_stderr() -> Iterator[None]:
    sys.stderr.flush()
    before = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)


def keras() -> Any:
    """The `tf_keras` module."""
    tensorflow()
    return optional("tf_keras", package="tf-keras", extra="train")


def tfmot() -> Any:
    """The `tensorflow_model_optimization` module."""
    tensorflow()
    return optional("tensorflow_model_optimization", package="tensorflow-model-optimization", extra="train")


def pyplot() -> Any:
    """`matplotlib.pyplot` on the file-only Agg backend."""
    optional("matplotlib", package="matplotlib", extra="report").use("Agg")
    return optional("matplotlib.pyplot", package="matplotlib", extra="report")


def jinja2() -> ModuleType:
    """The `jinja2` module."""
    return optional("jinja2", package="jinja2", extra="report")
