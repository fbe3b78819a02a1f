"""What a model is called with: the picture alone, or the picture and the patient vector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekd.errors import ModelError

if TYPE_CHECKING:
    import tf_keras


def n_features(model: tf_keras.Model) -> int:
    """The length of the patient vector that `model` takes beside the picture; 0: none."""
    return int(model.inputs[1].shape[-1]) if len(model.inputs) > 1 else 0


def feed(model: tf_keras.Model, images: Any, features: Any) -> Any:
    """What `model` is called with: `images` alone, or [`images`, `features`] where it takes both.

    `images` float32 [n, px, px, 3] and `features` float32 [n, f] are tensors or arrays; f = 0 without
    patient data.

    Raises:
        ModelError: `features` are not as many as the model takes.
    """
    wanted, given = n_features(model), features.shape[-1]
    if given not in (None, wanted):
        raise ModelError(
            f"the model takes {wanted} patient values beside the picture, the data have {given}: prepare the "
            "data with the patient fields it was trained on"
        )
    return [images, features] if wanted else images
