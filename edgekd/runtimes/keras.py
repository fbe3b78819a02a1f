"""`KerasRuntime`: a Keras model on TensorFlow's CPU kernels."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd import lazy
from edgekd.errors import ModelError
from edgekd.runtimes.base import Engine, Features, check_features, check_images, isa


class KerasRuntime:
    """The logits of a Keras model that takes raw 0..255 RGB as float32 and answers [n, k].

    A second input takes patient vectors, float32 [n, f].
    """

    def __init__(self, model: Any) -> None:
        """`model` is a Keras model or the path of a .keras file.

        Raises:
            ModelError: the file cannot be read, or the model's input or output has another shape.
        """
        self._model = load_keras(Path(model)) if isinstance(model, str | os.PathLike) else model
        self._input_px, self._n_logits = image_sides(self._model)
        self._n_features = int(self._model.inputs[1].shape[-1]) if len(self._model.inputs) > 1 else 0
        self._engine = keras_engine()

    @property
    def engine(self) -> Engine:
        """TensorFlow, its version and threads."""
        return self._engine

    @property
    def input_px(self) -> int:
        """The side of the square input, in pixels."""
        return self._input_px

    @property
    def n_logits(self) -> int:
        """The number of outputs."""
        return self._n_logits

    @property
    def n_features(self) -> int:
        """The length of the patient vector; 0 for a model of pictures alone."""
        return self._n_features

    def logits(self, images: NDArray[np.uint8], features: Features | None = None) -> NDArray[np.float32]:
        """Raw outputs [n, k] for RGB `images` [n, input_px, input_px, 3] and `features`, in one batch."""
        check_images(images, self._input_px)
        known = check_features(features, len(images), self._n_features)
        if not len(images):  # TensorFlow fails on an empty batch
            return np.empty((0, self._n_logits), np.float32)
        pixels = images.astype(np.float32)
        output = self._model.predict_on_batch([pixels, known] if self._n_features else pixels)
        return np.asarray(output, np.float32).reshape(len(images), self._n_logits)

    def close(self) -> None:
        """Let go of the model."""
        self._model = None


def keras_engine() -> Engine:
    """TensorFlow, as Keras models run on it in this process."""
    tensorflow = lazy.tensorflow()
    threads = tensorflow.config.threading.get_intra_op_parallelism_threads()
    return Engine(
        name="tensorflow",
        version=tensorflow.__version__,
        kernels="keras",
        threads=threads or os.cpu_count() or 1,
        isa=isa(),
    )


def load_keras(path: Path) -> Any:
    """The Keras model in the file `path`, without its optimizer.

    Raises:
        ModelError: the file is missing or Keras cannot read it.
    """
    if not path.exists():
        raise ModelError(f"{path}: no such model file")
    try:
        return lazy.keras().models.load_model(path, compile=False)
    except Exception as error:  # Keras raises anything from OSError to TypeError for a damaged file
        reason = str(error).strip().split("\n", maxsplit=1)[0]
        raise ModelError(f"{path}: not a Keras model that tf-keras can load ({reason})") from error


def image_sides(model: Any) -> tuple[int, int]:
    """The input side in pixels and the number of outputs of a Keras image classifier.

    Raises:
        ModelError: `model` does not map one square RGB image, and at most one patient vector, to one vector.
    """
    inputs, outputs = model.inputs or [], model.outputs or []
    shapes = [tuple(tensor.shape) for tensor in (*inputs, *outputs)]
    ranks = [len(shape) for shape in shapes]
    if len(outputs) == 1 and ranks in ([4, 2], [4, 2, 2]) and all(shape[-1] for shape in shapes):
        _, height, width, channels = shapes[0]
        if height and height == width and channels == 3:
            return int(height), int(shapes[-1][1])
    raise ModelError(
        f"Keras model {model.name!r} maps {shapes}: expected one square RGB input [n, px, px, 3], "
        "at most one of patient values [n, f] behind it, and one output [n, k]"
    )
