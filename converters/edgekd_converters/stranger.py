"""`load_model`: somebody else's Keras model or SavedModel as one that takes raw pixels and gives logits.

Files come from anywhere. What would run code of theirs is refused unless they are trusted: a `Lambda` layer
(Python bytecode, run while loading), custom classes, and graph operations that touch files or Python. Sizes
are checked before anything is unpacked. Native code (HDF5, TensorFlow) can still crash on a damaged file:
call this in a process of its own, as `edgekd_converters.worker` does.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edgekd import lazy
from edgekd.errors import ModelError
from edgekd.models.catalogue import with_scaling
from edgekd.models.scaling import Scaling
from edgekd.runtimes.keras import image_sides, load_keras

MAX_BYTES = 4 << 30
_MAX_CONFIG_BYTES = 64 << 20
_MAX_ENTRIES = 100_000
_UNSAFE_LAYERS = frozenset({"Lambda", "TFSMLayer"})
_UNSAFE_OPERATIONS = frozenset({
    *("PyFunc", "PyFuncStateless", "EagerPyFunc", "ReadFile", "WriteFile", "MatchingFiles"),
    *("TFRecordDataset", "TFRecordDatasetV2", "TextLineDataset", "WholeFileReaderV2", "RpcCall"),
})  # fmt: skip
_TRUST = "if you trust its maker, export it with --trust"


def load_model(path: Path, scaling: Scaling, *, trusted: bool = False) -> Any:
    """The model in `path` (.keras, .h5 or a SavedModel folder) on raw 0..255 RGB, giving logits [n, k].

    `scaling` is what the network expects, which no file says. A softmax or sigmoid at the end of a Keras
    model is taken off: an 8-bit probability has steps of 1/256, logits carry the same ranking without them.

    Raises:
        ModelError: missing, damaged, absurdly large, not an image classifier, or holding code.
    """
    kind = "" if path.is_dir() else path.suffix
    if not path.exists() or kind not in _LOADERS:
        raise ModelError(f"{path}: no .keras or .h5 file and no SavedModel folder")
    inner = _LOADERS[kind](path, trusted)
    image_sides(inner)
    if len(inner.inputs) != 1:
        raise ModelError(f"{path}: a second input, and nothing says what belongs there; expected one image")
    inner._name = "core"
    return with_scaling(inner, scaling)


def require_no_code(path: Path) -> None:
    """Refuse the .h5 file `path` when loading it would run code of its own.

    Raises:
        ModelError: it would, or it is no Keras model.
    """
    _require_harmless(path, _h5_config(path))


def _load_keras(path: Path, trusted: bool) -> Any:
    config = _archive_config(path)
    return _without_activation(_load_described(path, config, trusted))


def _load_h5(path: Path, trusted: bool) -> Any:
    return _without_activation(_load_described(path, _h5_config(path), trusted))


def _load_described(path: Path, config: Any, trusted: bool) -> Any:
    if not trusted:
        _require_harmless(path, config)
    model = load_keras(path)
    if not model.layers:
        raise ModelError(f"{path}: a network without layers")
    return model


def _require_harmless(path: Path, config: Any) -> None:
    unsafe = sorted({name for name in _class_names(config) if name in _UNSAFE_LAYERS})
    if unsafe:
        raise ModelError(f"{path}: holds {', '.join(unsafe)}, which runs code of the file; {_TRUST}")


def _archive_config(path: Path) -> Any:
    """config.json of a .keras archive, after its sizes were checked."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            size = sum(entry.file_size for entry in entries)
            if len(entries) > _MAX_ENTRIES or size > MAX_BYTES:
                raise ModelError(
                    f"{path}: unpacks to {size} bytes in {len(entries)} entries, expected at most {MAX_BYTES}"
                )
            with archive.open("config.json") as file:
                return _parse(path, file.read(_MAX_CONFIG_BYTES + 1))
    except (OSError, KeyError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise ModelError(f"{path}: not a .keras archive ({error})") from error


def _h5_config(path: Path) -> Any:
    """The model configuration of an HDF5 file."""
    import h5py

    try:
        if path.stat().st_size > MAX_BYTES:
            raise ModelError(f"{path}: {path.stat().st_size} bytes, expected at most {MAX_BYTES}")
        with h5py.File(path, "r") as file:
            text = file.attrs.get("model_config")
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(f"{path}: not an HDF5 file that can be read ({_line(error)})") from error
    if text is None:
        raise ModelError(f"{path}: holds weights but no network; save the whole model (model.save)")
    return _parse(path, text.encode(errors="surrogateescape") if isinstance(text, str) else bytes(text))


def _parse(path: Path, text: bytes) -> Any:
    if len(text) > _MAX_CONFIG_BYTES:
        raise ModelError(f"{path}: its description is larger than {_MAX_CONFIG_BYTES} bytes")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: its description is not JSON ({_line(error)})") from error


def _class_names(config: Any) -> Iterator[str]:
    """Every class named anywhere in a Keras description, without recursion."""
    rest = [config]
    while rest:
        item = rest.pop()
        if isinstance(item, dict):
            if isinstance(item.get("class_name"), str):
                yield item["class_name"].rpartition(">")[2]
            rest.extend(item.values())
        elif isinstance(item, list):
            rest.extend(item)


def _without_activation(model: Any) -> Any:
    """`model` without a softmax or sigmoid at its end."""
    keras = lazy.keras()
    last = model.layers[-1]
    activation = getattr(getattr(last, "activation", None), "__name__", "")
    if isinstance(last, keras.layers.Softmax):
        return keras.Model(model.inputs, last.input)
    if activation not in ("softmax", "sigmoid"):
        return model

    def clone(layer: Any) -> Any:
        changed = {"activation": "linear"} if layer is last else {}
        return type(layer).from_config({**layer.get_config(), **changed})

    bare = keras.models.clone_model(model, clone_function=clone)
    bare.set_weights(model.get_weights())
    return bare


def _load_saved_model(path: Path, trusted: bool) -> Any:
    """A Keras model around the serving signature of a SavedModel."""
    unsafe = sorted(set(_operations(path)) & _UNSAFE_OPERATIONS)
    if unsafe and not trusted:
        raise ModelError(f"{path}: its graph holds {', '.join(unsafe)}, which reach outside; {_TRUST}")
    try:
        loaded = lazy.tensorflow().saved_model.load(str(path))
        signature = loaded.signatures["serving_default"]
    except Exception as error:  # anything from OSError to KeyError for a damaged folder
        raise ModelError(f"{path}: not a SavedModel with a serving signature ({_line(error)})") from error
    inputs = signature.structured_input_signature[1]
    if len(inputs) != 1 or len(signature.structured_outputs) != 1:
        raise ModelError(
            f"{path}: {len(inputs)} inputs and {len(signature.structured_outputs)} outputs, "
            "expected one of each"
        )
    ((name, spec),) = inputs.items()
    return _as_keras(loaded, signature, name, spec)


def _as_keras(loaded: Any, signature: Any, name: str, spec: Any) -> Any:
    keras = lazy.keras()

    class Signature(keras.layers.Layer):  # type: ignore[misc,name-defined]
        """The serving signature as a layer; it keeps the variables alive."""

        def __init__(self) -> None:
            super().__init__(name="signature", trainable=False)
            self.variables_of_signature = list(loaded.variables)
            self.loaded = loaded

        def call(self, image: Any) -> Any:
            (output,) = signature(**{name: image}).values()
            return output

    image = keras.Input(spec.shape[1:], name="scaled")
    return keras.Model(image, Signature()(image))


def _operations(path: Path) -> Iterator[str]:
    """The operations of a SavedModel, read without loading it."""
    from tensorflow.core.protobuf import saved_model_pb2

    file = path / "saved_model.pb"
    try:
        if file.stat().st_size > MAX_BYTES // 2:  # a protobuf holds no more
            raise ModelError(f"{file}: {file.stat().st_size} bytes, expected at most {MAX_BYTES // 2}")
        saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    except OSError as error:
        raise ModelError(f"{path}: not a SavedModel folder, {file.name} cannot be read") from error
    except Exception as error:  # protobuf's DecodeError, whose home differs between its versions
        raise ModelError(f"{file}: damaged ({_line(error)})") from error
    for graph in saved.meta_graphs:
        yield from (node.op for node in graph.graph_def.node)
        for function in graph.graph_def.library.function:
            yield from (node.op for node in function.node_def)


def _line(error: object) -> str:
    return str(error).strip().split("\n", maxsplit=1)[0]


_LOADERS: Mapping[str, Callable[[Path, bool], Any]] = {
    ".keras": _load_keras,
    ".h5": _load_h5,
    "": _load_saved_model,
}
"""By suffix; a folder has none."""
