"""What every training is asked to do: augmentation, loop and network."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgekd.config.names import IMAGENET, NO_WEIGHTS, HairRemoval, Optimizer, require

_DEGREES = {"rotation_degrees": 180, "shear_degrees": 45}


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Augmentations; each image is a pure function of (seed, image, variant).

    `crop_scale_min` is the least area of the random resized crop (1 switches it off). Colour strengths
    are the largest relative change. `cutout_count` squares of `cutout_fraction` of the side;
    `microscope_probability` for a dark circular mask. `rotation_degrees`, `shear_degrees`, `zoom` and
    `shift` (both as shares) are the largest of an affine map, drawn evenly to either side. With
    `hair_probability` the hairs are taken out of a view by `hair`: an augmentation, the phone does
    nothing.
    """

    crop_scale_min: float = 0.5
    flips: bool = True
    quarter_turns: bool = True
    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    hue: float = 0.02
    cutout_count: int = 0
    cutout_fraction: float = 0.1
    microscope_probability: float = 0.0
    rotation_degrees: float = 0.0
    shear_degrees: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    hair: HairRemoval = HairRemoval.NONE
    hair_probability: float = 0.0

    def __post_init__(self) -> None:
        require(0 < self.crop_scale_min <= 1, f"crop_scale_min is {self.crop_scale_min}, expected (0, 1]")
        require(
            0 <= self.microscope_probability <= 1,
            f"microscope_probability is {self.microscope_probability}, expected 0 to 1",
        )
        require(self.cutout_count >= 0, f"cutout_count is {self.cutout_count}, expected 0 or more")
        require(0 <= self.cutout_fraction <= 1, f"cutout_fraction is {self.cutout_fraction}, expected 0 to 1")
        require(
            0 <= self.hair_probability <= 1, f"hair_probability is {self.hair_probability}, expected 0 to 1"
        )
        require(
            self.hair_probability == 0 or self.hair is not HairRemoval.NONE,
            f"hair_probability is {self.hair_probability} and hair is none, expected a recipe",
        )
        for name, most in _DEGREES.items():
            value = getattr(self, name)
            require(0 <= value <= most, f"{name} is {value}, expected 0 to {most}")
        for name in ("brightness", "contrast", "saturation", "hue", "zoom", "shift"):
            value = getattr(self, name)
            require(0 <= value < 1, f"{name} is {value}, expected 0 or more and below 1")


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """The one training loop.

    An epoch draws `images_per_epoch` images (0: as many as the training split holds): sources by their
    share, classes within a source by count ** `class_power` (1: as they come, 0: equally, 0.5: the square
    root); with `positive_share` the malignant ones of every source make up that share of its draws,
    whatever they count (0: no such thing). Warm-up is linear, the rest a cosine to 0. `average_decay` is
    the decay per step of the averaged weights used for evaluation (0: none). Stops after
    `patience_epochs` without a better validation AUC (0: never).
    """

    epochs: int = 10
    images_per_epoch: int = 0
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    warmup_epochs: float = 1.0
    class_power: float = 0.5
    positive_share: float = 0.0
    optimizer: Optimizer = Optimizer.ADAMW
    label_smoothing: float = 0.05
    average_decay: float = 0.0
    batch_norm_momentum: float = 0.95
    patience_epochs: int = 0
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        require(self.epochs >= 1, f"epochs is {self.epochs}, expected 1 or more")
        require(self.batch_size >= 2, f"batch_size is {self.batch_size}, expected 2 or more")
        require(self.learning_rate > 0, f"learning_rate is {self.learning_rate}, expected more than 0")
        require(0 <= self.positive_share < 1, f"positive_share is {self.positive_share}, expected [0, 1)")
        require(0 <= self.label_smoothing < 1, f"label_smoothing is {self.label_smoothing}, expected [0, 1)")
        require(0 <= self.average_decay < 1, f"average_decay is {self.average_decay}, expected [0, 1)")
        require(
            0 < self.batch_norm_momentum < 1,
            f"batch_norm_momentum is {self.batch_norm_momentum}, expected between 0 and 1",
        )


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A network of the catalogue and where its first weights come from.

    `weights` is "imagenet" (downloaded by Keras), the path of a weights file, or "none" by explicit choice.
    `frozen`: only the head is trained. `patient_units` are the dense layers that patient data go through
    before they join the picture's features, where the data have them.

    MobileNetV2 can be made smaller in two ways that keep weights of ImageNet. With `blocks` it ends after so
    many of its 17 blocks and the widening convolution that follows them (0: all); `weights` may be those
    of the whole network. With `sliced_from` the weights are those of that width, and the channels that say
    most are taken out of them (0: the weights are of this `width`).
    """

    name: str = "mobilenet_v2"
    width: float = 1.0
    weights: str = IMAGENET
    dropout: float = 0.2
    frozen: bool = False
    patient_units: tuple[int, ...] = (16,)
    blocks: int = 0
    sliced_from: float = 0.0

    def __post_init__(self) -> None:
        require(self.width > 0, f"width is {self.width}, expected more than 0")
        require(self.blocks >= 0, f"blocks is {self.blocks}, expected 0 (all) or more")
        require(
            self.sliced_from == 0 or self.sliced_from >= self.width,
            f"sliced_from is {self.sliced_from}, expected 0 or a width of {self.width} or more",
        )
        require(
            self.sliced_from == 0 or self.weights != NO_WEIGHTS,
            f"sliced_from is {self.sliced_from} and weights is none, expected the weights of that width",
        )
        require(0 <= self.dropout < 1, f"dropout is {self.dropout}, expected [0, 1)")
