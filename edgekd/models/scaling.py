"""From raw pixels to what a network was trained on, as the first layers inside the graph."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from edgekd import lazy
from edgekd.errors import ModelError

if TYPE_CHECKING:
    import tf_keras

_LAYER = "scaling_"
_TORCH_MEAN = (0.485, 0.456, 0.406)
_TORCH_DEVIATION = (0.229, 0.224, 0.225)
_CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)


class Scaling(enum.StrEnum):
    """What happens to a pixel p (0 to 255, RGB) before the first convolution.

    `signed`: p / 127.5 − 1. `byte`: (p − 128) / 127.5, which is what an 8-bit tensor of scale 1/127.5 and
    zero point 128 stands for (a quantization-aware model). `torch`: (p / 255 − mean) / deviation of ImageNet.
    `caffe`: BGR order, minus the mean of ImageNet. `unit`: p / 255. `own`: nothing, the network holds its own
    scaling.
    """

    SIGNED = "signed"
    BYTE = "byte"
    TORCH = "torch"
    CAFFE = "caffe"
    UNIT = "unit"
    OWN = "own"


BYTE_SPANS: Mapping[Scaling, tuple[float, float]] = {
    Scaling.SIGNED: (-128 / 127.5, 127 / 127.5),
    Scaling.BYTE: (-128 / 127.5, 127 / 127.5),
    Scaling.UNIT: (0.0, 1.0),
}
"""What bytes 0 and 255 become where the quantization of a uint8 input can stand for the scaling.

For `signed` half a step is missing: −1 has no place on a grid with 0 on it.
"""


def scale(image: Any, scaling: Scaling) -> Any:
    """The Keras tensor `image` (float32 [n, px, px, 3], 0 to 255, RGB) scaled; the last layer tells how."""
    return _LAYERS[scaling](image, _LAYER + scaling)


def scaling(model: tf_keras.Model) -> Scaling:
    """The scaling inside `model`.

    Raises:
        ModelError: `model` was not built by edgekd.
    """
    for layer in model.layers:
        if layer.name.startswith(_LAYER):
            return Scaling(layer.name.removeprefix(_LAYER))
    raise ModelError(
        f"model {model.name!r} was not built by edgekd and does not say what it expects of pixels: "
        "tell with --scaling signed (-1 to 1), unit (0 to 1), own (0 to 255), torch or caffe"
    )


def _rescaling(factor: Any, offset: Any) -> Callable[[Any, str], Any]:
    def layer(image: Any, name: str) -> Any:
        return lazy.keras().layers.Rescaling(factor, offset=offset, name=name)(image)

    return layer


def _caffe(image: Any, name: str) -> Any:
    # An operator layer: unlike a Lambda it is saved as a name, and loads without custom objects.
    reversed_channels = lazy.tensorflow().reverse(image, axis=[-1])
    offset = [-mean for mean in _CAFFE_MEAN_BGR]
    return lazy.keras().layers.Rescaling(1.0, offset=offset, name=name)(reversed_channels)


_LAYERS: Mapping[Scaling, Callable[[Any, str], Any]] = {
    Scaling.SIGNED: _rescaling(1 / 127.5, -1.0),
    Scaling.BYTE: _rescaling(1 / 127.5, -128 / 127.5),
    Scaling.TORCH: _rescaling(
        [1 / (255 * deviation) for deviation in _TORCH_DEVIATION],
        [-mean / deviation for mean, deviation in zip(_TORCH_MEAN, _TORCH_DEVIATION, strict=True)],
    ),
    Scaling.CAFFE: _caffe,
    Scaling.UNIT: _rescaling(1 / 255, 0.0),
    Scaling.OWN: _rescaling(1.0, 0.0),
}
