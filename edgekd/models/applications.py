"""The networks of `tf_keras.applications`, each with the input scaling it was trained with.

ConvNeXt is left out: saved as `.keras` it does not load again in tf-keras 2.21.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgekd import lazy
from edgekd.models.scaling import Scaling

if TYPE_CHECKING:
    import tf_keras


APPLICATIONS: Mapping[str, tuple[str, Scaling]] = {
    "densenet121": ("DenseNet121", Scaling.TORCH),
    "densenet169": ("DenseNet169", Scaling.TORCH),
    "densenet201": ("DenseNet201", Scaling.TORCH),
    "efficientnet_b0": ("EfficientNetB0", Scaling.OWN),
    "efficientnet_b1": ("EfficientNetB1", Scaling.OWN),
    "efficientnet_b2": ("EfficientNetB2", Scaling.OWN),
    "efficientnet_b3": ("EfficientNetB3", Scaling.OWN),
    "efficientnet_b4": ("EfficientNetB4", Scaling.OWN),
    "efficientnet_b5": ("EfficientNetB5", Scaling.OWN),
    "efficientnet_b6": ("EfficientNetB6", Scaling.OWN),
    "efficientnet_b7": ("EfficientNetB7", Scaling.OWN),
    "efficientnet_v2_b0": ("EfficientNetV2B0", Scaling.OWN),
    "efficientnet_v2_b1": ("EfficientNetV2B1", Scaling.OWN),
    "efficientnet_v2_b2": ("EfficientNetV2B2", Scaling.OWN),
    "efficientnet_v2_b3": ("EfficientNetV2B3", Scaling.OWN),
    "efficientnet_v2_s": ("EfficientNetV2S", Scaling.OWN),
    "efficientnet_v2_m": ("EfficientNetV2M", Scaling.OWN),
    "efficientnet_v2_l": ("EfficientNetV2L", Scaling.OWN),
    "inception_resnet_v2": ("InceptionResNetV2", Scaling.SIGNED),
    "inception_v3": ("InceptionV3", Scaling.SIGNED),
    "mobilenet": ("MobileNet", Scaling.SIGNED),
    "mobilenet_v3_large": ("MobileNetV3Large", Scaling.OWN),
    "mobilenet_v3_small": ("MobileNetV3Small", Scaling.OWN),
    "nasnet_large": ("NASNetLarge", Scaling.SIGNED),
    "nasnet_mobile": ("NASNetMobile", Scaling.SIGNED),
    "regnet_x_016": ("RegNetX016", Scaling.OWN),
    "regnet_x_032": ("RegNetX032", Scaling.OWN),
    "regnet_y_016": ("RegNetY016", Scaling.OWN),
    "regnet_y_032": ("RegNetY032", Scaling.OWN),
    "resnet50": ("ResNet50", Scaling.CAFFE),
    "resnet101": ("ResNet101", Scaling.CAFFE),
    "resnet152": ("ResNet152", Scaling.CAFFE),
    "resnet50_v2": ("ResNet50V2", Scaling.SIGNED),
    "resnet101_v2": ("ResNet101V2", Scaling.SIGNED),
    "resnet152_v2": ("ResNet152V2", Scaling.SIGNED),
    "resnet_rs50": ("ResNetRS50", Scaling.OWN),
    "resnet_rs101": ("ResNetRS101", Scaling.OWN),
    "vgg16": ("VGG16", Scaling.CAFFE),
    "vgg19": ("VGG19", Scaling.CAFFE),
    "xception": ("Xception", Scaling.SIGNED),
}


def application(constructor: str, *, px: int, weights: str | None) -> tf_keras.Model:
    """The convolutional part of `tf_keras.applications.<constructor>`; `weights` is None or "imagenet"."""
    build = getattr(lazy.keras().applications, constructor)
    return build(include_top=False, weights=weights, input_shape=(px, px, 3))
