"""Every network edgekd can train, by name.

A built model is a line of three: input `image` (float32 [n, px, px, 3], raw RGB from 0 to 255), the scaling
the network was trained with, and a model named `core` that gives raw logits (float32 [n, k]). With patient
data there is a second input, `patient` (float32 [n, f], 0 to 1), which goes to the core as it is and joins
the picture's features behind dense layers of its own.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekd import lazy
from edgekd.config import IMAGENET, NO_WEIGHTS, ModelConfig
from edgekd.console import log
from edgekd.errors import ModelError, UnknownNameError, UsageError
from edgekd.models import weights
from edgekd.models.applications import APPLICATIONS, application
from edgekd.models.densenet import densenet161
from edgekd.models.dsnet import dsnet
from edgekd.models.efficientnet_lite import efficientnet_lite0
from edgekd.models.mobilenet import mobilenet_v2, mobilenet_v3_small_minimalistic
from edgekd.models.mobilenet_v4 import mobilenet_v4_conv_small
from edgekd.models.scaling import Scaling, scale
from edgekd.models.slice import sliced
from edgekd.models.weights import first_line
from edgekd.patient_input import TENSOR
from edgekd.plain import digest

if TYPE_CHECKING:
    import tf_keras

CORE = "core"
_FEATURES = "features"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """How the networks of one name are made.

    `backbone` takes px, weights (None or "imagenet"), with `widths` width and with `cuts` blocks, and gives a
    flat model up to its last feature map. `cuts`: it can end early, or be sliced from a wider one.
    `flatten`: the head reads the whole feature map instead of its average.
    """

    backbone: Callable[..., tf_keras.Model]
    scaling: Scaling = Scaling.SIGNED
    widths: bool = False
    cuts: bool = False
    flatten: bool = False
    published: bool = True


STUDENTS: Mapping[str, Family] = {
    "mobilenet_v2": Family(backbone=mobilenet_v2, widths=True, cuts=True),
    "mobilenet_v3_small_minimalistic": Family(backbone=mobilenet_v3_small_minimalistic, widths=True),
    "mobilenet_v4_conv_small": Family(backbone=mobilenet_v4_conv_small, widths=True, published=False),
    "efficientnet_lite0": Family(backbone=efficientnet_lite0, widths=True, published=False),
    "dsnet": Family(backbone=dsnet, widths=True, flatten=True, published=False),
}
"""The networks whose every layer can be quantized to 8 bits."""

CATALOGUE: Mapping[str, Family] = {
    **STUDENTS,
    "densenet161": Family(backbone=densenet161, scaling=Scaling.TORCH, published=False),
    **{
        name: Family(backbone=partial(application, constructor), scaling=own)
        for name, (constructor, own) in APPLICATIONS.items()
    },
}


def names() -> tuple[str, ...]:
    """The names `build` knows: the students first, then all others."""
    return tuple(CATALOGUE)


def build(
    config: ModelConfig, *, input_px: int, n_logits: int, seed: int, n_features: int = 0
) -> tf_keras.Model:
    """A network for images of `input_px` with `n_logits` raw logits, its first weights set.

    With `n_features` it takes a patient vector of that length as well.

    All that is not loaded is drawn from `seed`, by initializers of their own: neither the global generators
    nor what was built before play a part. `config.frozen`: everything below the head rests, and its batch
    normalization uses its moving averages in training too.

    Raises:
        UnknownNameError: no network has this name.
        UsageError: the network does not exist at this width, number of blocks or input size.
        ModelError: the weights cannot be had, or do not fit.
    """
    if config.name not in CATALOGUE:
        raise UnknownNameError("model", config.name, CATALOGUE)
    family = CATALOGUE[config.name]
    try:
        backbone = _backbone(family, config, input_px, None)
    except ValueError as error:
        raise UsageError(f"{config.name} cannot be built at {input_px} px: {first_line(error)}") from error
    inner = _seeded(_with_head(backbone, family, config, n_logits, n_features), seed)
    _load(inner, family, config, input_px)
    if config.frozen:
        _freeze(inner, config)
    return with_scaling(inner, family.scaling)


def with_scaling(core: tf_keras.Model, scaling: Scaling) -> tf_keras.Model:
    """`core` behind the input `image` (raw 0 to 255 RGB) and `scaling`; the weights are shared.

    A patient vector, where `core` takes one, is the second input.
    """
    keras = lazy.keras()
    shape, *others = [tensor.shape[1:] for tensor in core.inputs]
    image = keras.Input(shape, name="image")
    scaled = scale(image, scaling)
    if not others:
        return keras.Model(image, core(scaled), name="pixels_to_logits")
    patient = keras.Input(others[0], name=TENSOR)
    return keras.Model([image, patient], core([scaled, patient]), name="pixels_to_logits")


def core(model: tf_keras.Model) -> tf_keras.Model:
    """The part of `model` behind its scaling: scaled input [n, px, px, 3] to raw logits [n, k].

    Raises:
        ModelError: `model` was not built by edgekd.
    """
    for layer in model.layers:
        if layer.name == CORE:
            return layer
    raise ModelError(f"model {model.name!r} has no part named {CORE!r}, expected a model built by edgekd")


def set_batch_norm_momentum(model: tf_keras.Model, momentum: float) -> None:
    """Set the momentum of every batch normalization in `model`, however deep.

    Keras gives MobileNetV2 0.999: after a short fine-tune the averages lag and evaluation looks like chance.
    Call it before the first training step: a traced step keeps the momentum it was traced with.
    """
    for layer in leaves(model):
        if isinstance(layer, lazy.keras().layers.BatchNormalization):
            layer.momentum = momentum


def leaves(model: tf_keras.Model) -> Iterator[Any]:
    """Every layer of `model` that does the computing: nested models and wrappers are opened."""
    for layer in model.layers:
        if isinstance(layer, lazy.keras().Model):
            yield from leaves(layer)
        else:
            yield getattr(layer, "layer", layer)


def _backbone(family: Family, config: ModelConfig, px: int, published: str | None) -> tf_keras.Model:
    if not family.widths and config.width != 1:
        raise UsageError(f"{config.name} exists at width 1 only, got {config.width:g}; set width=1")
    if not family.cuts and (config.blocks or config.sliced_from):
        given = f"blocks={config.blocks} and sliced_from={config.sliced_from:g}"
        raise UsageError(f"{config.name} can be neither cut nor sliced, got {given}; leave both 0")
    width = {"width": config.width} if family.widths else {}
    blocks = {"blocks": config.blocks} if family.cuts else {}
    return family.backbone(px=px, weights=published, **width, **blocks)


def _with_head(
    backbone: tf_keras.Model, family: Family, config: ModelConfig, n_logits: int, n_features: int
) -> tf_keras.Model:
    layers = lazy.keras().layers
    gather = layers.Flatten if family.flatten else layers.GlobalAveragePooling2D
    x = gather(name=_FEATURES)(backbone.output)
    inputs = [backbone.input]
    if n_features:
        inputs.append(lazy.keras().Input((n_features,), name=TENSOR))
        x = layers.Concatenate(name="fusion")([x, _patient_part(inputs[1], config.patient_units)])
    x = layers.Dropout(config.dropout, name="dropout")(x)
    logits = layers.Dense(n_logits, dtype="float32", name="logits")(x)
    return lazy.keras().Model(inputs if n_features else backbone.input, logits, name=CORE)


def _patient_part(patient: Any, units: tuple[int, ...]) -> Any:
    layers = lazy.keras().layers
    for number, width in enumerate(units, start=1):
        patient = layers.Dense(width, name=f"patient_dense{number}")(patient)
        patient = layers.ReLU(name=f"patient_relu{number}")(patient)
    return patient


def _freeze(inner: tf_keras.Model, config: ModelConfig) -> None:
    """Let only the layers behind the features of the image learn."""
    if config.weights == NO_WEIGHTS or config.sliced_from:
        kind = "sliced" if config.sliced_from else "random"
        log.warning("%s is frozen on %s weights: its head learns from arbitrary features", config.name, kind)
    for layer in lazy.keras().Model(inner.inputs[0], inner.get_layer(_FEATURES).input).layers:
        layer.trainable = False


def _seeded(model: tf_keras.Model, seed: int) -> tf_keras.Model:
    """`model` made anew, every initializer and dropout with a seed of its own derived from `seed`."""
    config = model.get_config()
    _set_seeds(config, (int(digest([seed, n])[:7], 16) for n in itertools.count()))
    return lazy.keras().Model.from_config(config)


def _set_seeds(node: Any, seeds: Iterator[int]) -> None:
    if isinstance(node, dict):
        if "seed" in node:
            node["seed"] = next(seeds)
        node = list(node.values())
    if isinstance(node, list | tuple):
        for part in node:
            _set_seeds(part, seeds)


def _load(inner: tf_keras.Model, family: Family, config: ModelConfig, px: int) -> None:
    if config.weights == NO_WEIGHTS:
        return
    backbone = lazy.keras().Model(inner.inputs[0], inner.get_layer(_FEATURES).input)
    if not config.sliced_from:
        _fill(inner, backbone, family, config, px)
        return
    wider = dataclasses.replace(config, width=config.sliced_from, sliced_from=0.0)
    wide = _backbone(family, wider, px, None)
    _fill(wide, wide, family, wider, px)
    sliced(wide, backbone)


def _fill(
    inner: tf_keras.Model, backbone: tf_keras.Model, family: Family, config: ModelConfig, px: int
) -> None:
    """Set `backbone`, or all of `inner`, to weights that are of `config`'s own width."""
    what = config.name + (f" width {config.width:g}" if family.widths else "")
    what += (f" ending after block {config.blocks}" if config.blocks else "") + f" at {px} px"
    if config.weights == IMAGENET:
        weights.load_published(backbone, lambda: _published(family, config, px), what)
        return
    whole = _backbone(family, dataclasses.replace(config, blocks=0), px, None) if config.blocks else None
    weights.load_file(inner, backbone, Path(config.weights).expanduser(), what, whole=whole)


def _published(family: Family, config: ModelConfig, px: int) -> tf_keras.Model:
    if not family.published:
        raise ValueError("nobody has published any")
    return _backbone(family, config, px, IMAGENET)
