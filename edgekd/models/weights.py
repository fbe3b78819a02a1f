"""First weights: from Keras' own download, or from a file in any of Keras' three formats."""

from __future__ import annotations

import hashlib
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekd import lazy
from edgekd.errors import ModelError

if TYPE_CHECKING:
    import tf_keras

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_CONNECT_SECONDS = 15.0
_NAME_A_FILE = (
    "name a file with --set teach.model.weights=FILE (student: distill.model.weights), "
    "or ask for random weights with =none"
)


def weights_sha256(model: Any) -> str:
    """The sha256 of the shapes and values of all weights of `model`, in their order."""
    whole = hashlib.sha256()
    for value in model.get_weights():
        whole.update(f"{value.dtype}{value.shape}".encode())
        whole.update(np.ascontiguousarray(value).data)
    return whole.hexdigest()


def load_published(backbone: tf_keras.Model, build: Callable[[], tf_keras.Model], what: str) -> None:
    """Set the weights of `backbone` to those of ImageNet that `build` downloads, or finds in ~/.keras.

    Raises:
        ModelError: there are none for `what`, or they cannot be downloaded (given up after seconds).
    """
    try:
        with _impatient(), redirect_stdout(sys.stderr):
            published = build()
    except ValueError as error:
        raise ModelError(f"no ImageNet weights for {what} ({first_line(error)}); {_NAME_A_FILE}") from error
    except Exception as error:  # Keras raises a bare Exception for every failed download
        raise ModelError(
            f"cannot download the ImageNet weights of {what} ({first_line(error)}); {_NAME_A_FILE}"
        ) from error
    backbone.set_weights(published.get_weights())


def load_file(
    core: tf_keras.Model,
    backbone: tf_keras.Model,
    path: Path,
    what: str,
    *,
    whole: tf_keras.Model | None = None,
) -> None:
    """Set the weights of `backbone` (or of all of `core`, where the file holds a head that fits) from `path`.

    Read are `.weights.h5`, the older `.h5` (weights or whole model; no code in it is run) and `.keras`.
    Where `backbone` is the beginning of a longer network, that is `whole`, and its weights do as well.

    Raises:
        ModelError: there is no such file, it is none of the three, or it does not fit `what`.
    """
    if not path.is_file():
        raise ModelError(f"weights file {path} does not exist; {_NAME_A_FILE}")
    with path.open("rb") as file:
        magic = file.read(8)
    if magic.startswith(_ZIP):
        _assign(core, backbone, _arrays_of_model(path), path, what)
    elif magic == _HDF5:
        _load_hdf5(core, backbone, path, what, whole)
    else:
        raise ModelError(f"{path} is neither HDF5 nor .keras, expected the weights of {what}")
    if not all(np.isfinite(array).all() for array in core.get_weights()):
        raise ModelError(f"{path} holds weights that are not finite numbers, expected the weights of {what}")


def load_model(path: Path) -> tf_keras.Model:
    """The whole model saved in `path` (`.keras`), uncompiled.

    Raises:
        ModelError: the file is missing or is not a model; code inside it (a Lambda layer) is refused.
    """
    try:
        return lazy.keras().models.load_model(path, compile=False)
    except Exception as error:  # zip, JSON, HDF5 and layer errors all surface here
        raise ModelError(f"{path} is not a Keras model that loads: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """What `error` says, in one line of at most 200 characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:199] + "…"


def _arrays_of_model(path: Path) -> Sequence[NDArray[Any]]:
    model = load_model(path)
    inner = [layer for layer in model.layers if layer.name == "core"]
    return list((inner[0] if inner else model).get_weights())


def _load_hdf5(
    core: tf_keras.Model, backbone: tf_keras.Model, path: Path, what: str, whole: tf_keras.Model | None
) -> None:
    h5py = lazy.optional("h5py", package="h5py", extra="train")
    try:
        with h5py.File(path) as file:
            older = file.get("model_weights", file)
            arrays = _arrays_by_layer(older) if "layer_names" in older.attrs else None
            total = _count_values(file)
    except OSError as error:
        raise ModelError(f"{path} cannot be read as HDF5: {first_line(error)}") from error
    if arrays is not None:
        _assign(core, backbone, arrays, path, what)
        return
    sizes = {model.count_params(): model for model in (whole, backbone, core) if model is not None}
    if total not in sizes:
        raise ModelError(_misfit(path, f"{total:,} values", backbone, what))
    try:
        sizes[total].load_weights(path)
    except (ValueError, KeyError) as error:
        raise ModelError(_misfit(path, first_line(error), backbone, what)) from error
    if whole is not None and sizes[total] is whole:
        _copy_by_name(whole, backbone)


def _copy_by_name(source: tf_keras.Model, target: tf_keras.Model) -> None:
    for layer in target.layers:
        if layer.weights:
            layer.set_weights(source.get_layer(layer.name).get_weights())


def _arrays_by_layer(group: Any) -> Sequence[NDArray[Any]]:
    layers = (group[name] for name in group.attrs["layer_names"])
    return [layer[name][()] for layer in layers for name in layer.attrs["weight_names"]]


def _count_values(file: Any) -> int:
    sizes: list[int] = []

    def visit(name: str, item: Any) -> None:
        if hasattr(item, "size") and not name.startswith("optimizer"):
            sizes.append(item.size)

    file.visititems(visit)
    return sum(sizes)


def _assign(
    core: tf_keras.Model, backbone: tf_keras.Model, arrays: Sequence[NDArray[Any]], path: Path, what: str
) -> None:
    """Set `core` when every shape fits, else `backbone` when the first shapes fit (another head follows)."""
    shapes = [array.shape for array in arrays]
    for target in (core, backbone):
        expected = [tuple(weight.shape) for weight in target.weights]
        if shapes[: len(expected)] == expected and (target is backbone or len(shapes) == len(expected)):
            target.set_weights(arrays[: len(expected)])
            return
    total = sum(array.size for array in arrays)
    raise ModelError(_misfit(path, f"{total:,} values in {len(shapes)} arrays", backbone, what))


def _misfit(path: Path, received: str, backbone: tf_keras.Model, what: str) -> str:
    return (
        f"{path} does not fit {what}: it holds {received}, expected {backbone.count_params():,} values in "
        f"{len(backbone.weights)} arrays (the network without its head); check name, width and sliced_from"
    )


@contextmanager
def _impatient() -> Iterator[None]:
    """Give up on a silent server after seconds: Keras sets no limit of its own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_CONNECT_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
