"""What the synthesis is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgekd.config import AugmentConfig
from edgekd.config.names import require


@dataclass(frozen=True, kw_only=True)
class SynthesisConfig:
    """A CycleGAN between the benign training photographs and those of a malignant `diagnosis`.

    `diagnosis` empty: mel, or `malignant` where no more is known.

    Networks, losses and schedule are those of Zhu et al. 2017 (batches of one, Adam at 2e-4 with β₁ 0.5,
    constant for half of the steps, then linearly to 0, `pool` earlier pictures for the discriminators);
    `identity_weight` 1 is MelaNet's. `width` multiplies the channels, `blocks` 0 is the paper's number for
    `px`. An epoch shows `images_per_epoch` photographs of either kind (0: as many as there are benign
    ones), turned, mirrored and cropped by `augment`; colours stay, they are part of a diagnosis. `count`
    images are made then (0: as many as the malignant photographs are short of the benign ones).
    """

    px: int = 128
    width: float = 1.0
    blocks: int = 0
    epochs: int = 200
    images_per_epoch: int = 0
    batch_size: int = 1
    learning_rate: float = 2e-4
    beta_1: float = 0.5
    cycle_weight: float = 10.0
    identity_weight: float = 1.0
    pool: int = 50
    diagnosis: str = ""
    count: int = 0
    augment: AugmentConfig = field(
        default_factory=lambda: AugmentConfig(
            crop_scale_min=0.8, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0
        )
    )

    def __post_init__(self) -> None:
        require(32 <= self.px <= 1024 and self.px % 4 == 0, f"px is {self.px}, expected 32 to 1024, by fours")
        for name in ("width", "learning_rate", "cycle_weight"):
            require(getattr(self, name) > 0, f"{name} is {getattr(self, name)}, expected more than 0")
        for name in ("epochs", "batch_size"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}, expected 1 or more")
        for name in ("blocks", "images_per_epoch", "identity_weight", "pool", "count"):
            require(getattr(self, name) >= 0, f"{name} is {getattr(self, name)}, expected 0 or more")
        require(0 <= self.beta_1 < 1, f"beta_1 is {self.beta_1}, expected [0, 1)")
