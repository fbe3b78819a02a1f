"""What a run is asked to do: one frozen dataclass per station, and `Experiment` which holds them all.

Every configuration refuses contradictions the moment it is made; `edgekd.settings` reads and writes them
as text.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from edgekd.errors import UsageError


class SourceKind(enum.StrEnum):
    """The layouts a data set can be read from."""

    ISIC2016 = "isic2016"
    ISIC2017 = "isic2017"
    ISIC2018 = "isic2018"
    ISIC2019 = "isic2019"
    ISIC2020 = "isic2020"
    HAM10000 = "ham10000"
    FOLDERS = "folders"
    CSV = "csv"
    SYNTHETIC = "synthetic"


class Loss(enum.StrEnum):
    """The supervised losses on diagnosis logits."""

    CROSS_ENTROPY = "cross_entropy"
    CLASS_WEIGHTED = "class_weighted"
    FOCAL = "focal"
    LOGIT_ADJUSTED = "logit_adjusted"


class DistillMethod(enum.StrEnum):
    """How the student listens to the teacher; `none` trains the undistilled twin."""

    NONE = "none"
    HINTON = "hinton"
    DKD = "dkd"
    DIST = "dist"
    FOCAL_KL = "focal_kl"


class Precision(enum.StrEnum):
    """The artefacts, each named by what its weights and arithmetic became.

    TFLite: float, half, 8-bit weights, all 8-bit from quantization-aware training, the same from calibration
    alone (post-training quantization), with some layers left in float, and 16-bit activations on 8-bit
    weights. Core ML packages: float, half, 8-bit weights, weights from a palette of 16 values.
    """

    FP32 = "fp32"
    FP16 = "fp16"
    DYNAMIC = "dynamic"
    INT8 = "int8"
    INT8_PTQ = "int8-ptq"
    INT8_MIXED = "int8-mixed"
    INT16X8 = "int16x8"
    COREML_FP32 = "coreml-fp32"
    COREML_FP16 = "coreml-fp16"
    COREML_INT8 = "coreml-int8"
    COREML_PAL4 = "coreml-pal4"


class ThresholdRule(enum.StrEnum):
    """How the operating point is fitted on validation."""

    SENSITIVITY_AT_LEAST = "sensitivity_at_least"
    SPECIFICITY_AT_LEAST = "specificity_at_least"
    YOUDEN = "youden"


IMAGENET = "imagenet"
NO_WEIGHTS = "none"


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UsageError(message)


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """One data set of an experiment.

    `root` is its folder (CSV: the table); `share` its part of the training draws, relative to the other
    sources; `train_only` keeps it out of validation and test; `optional` lets a run go without it. `count`
    and `image_px` belong to the synthetic generator.
    """

    name: str
    kind: SourceKind
    root: str = ""
    share: float = 1.0
    train_only: bool = False
    optional: bool = False
    count: int = 0
    image_px: int = 0

    def __post_init__(self) -> None:
        _require(self.share > 0, f"source {self.name}: share is {self.share}, expected more than 0")
        synthetic = self.kind is SourceKind.SYNTHETIC
        _require(not synthetic or self.count > 0, f"source {self.name}: a synthetic source needs count > 0")
        _require(
            not synthetic or self.image_px >= 32,
            f"source {self.name}: a synthetic source needs image_px ≥ 32, got {self.image_px}",
        )


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Sources, split and the size of the prepared pixels.

    `malignant` names the diagnoses counted as malignant. Training images are stored at `train_px` (room
    for random crops), validation and test images at `input_px`, which is the network's input. Sources
    without an official split are divided by `validation_fraction` and `test_fraction`, stratified, grouped
    by patient and lesion. `drop_leaks` removes the train (or validation) side of near-identical pairs.
    """

    sources: tuple[SourceConfig, ...]
    malignant: tuple[str, ...] = ("mel", "bcc", "scc", "akiec")
    input_px: int = 224
    train_px: int = 256
    validation_fraction: float = 0.15
    test_fraction: float = 0.20
    drop_leaks: bool = True
    workers: int = 0

    def __post_init__(self) -> None:
        _require(len(self.sources) > 0, "data.sources is empty, expected at least one source")
        names = [source.name for source in self.sources]
        _require(len(set(names)) == len(names), f"data.sources: names must differ, got {', '.join(names)}")
        _require(32 <= self.input_px <= 1024, f"data.input_px is {self.input_px}, expected 32 to 1024")
        _require(
            self.train_px >= self.input_px,
            f"data.train_px ({self.train_px}) is below data.input_px ({self.input_px})",
        )
        parts = self.validation_fraction + self.test_fraction
        _require(
            min(self.validation_fraction, self.test_fraction) > 0 and parts < 1,
            f"data.validation_fraction + data.test_fraction is {parts:g}, expected > 0 each and < 1 together",
        )


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Augmentations; each image is a pure function of (seed, image, variant).

    `crop_scale_min` is the least area of the random resized crop (1 switches it off). Colour strengths are
    the largest relative change. `cutout_count` squares of `cutout_fraction` of the side;
    `microscope_probability` for a dark circular mask.
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

    def __post_init__(self) -> None:
        _require(0 < self.crop_scale_min <= 1, f"crop_scale_min is {self.crop_scale_min}, expected (0, 1]")
        _require(
            0 <= self.microscope_probability <= 1,
            f"microscope_probability is {self.microscope_probability}, expected 0 to 1",
        )
        _require(self.cutout_count >= 0, f"cutout_count is {self.cutout_count}, expected 0 or more")
        _require(
            0 <= self.cutout_fraction <= 1, f"cutout_fraction is {self.cutout_fraction}, expected 0 to 1"
        )
        for name in ("brightness", "contrast", "saturation", "hue"):
            value = getattr(self, name)
            _require(0 <= value < 1, f"{name} is {value}, expected 0 or more and below 1")


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """The one training loop.

    An epoch draws `images_per_epoch` images (0: as many as the training split holds): sources by their
    share, classes within a source by count ** `class_power` (1: as they come, 0: equally, 0.5: the square
    root). Warm-up is linear, the rest a cosine to 0. `average_decay` is the decay per step of the averaged
    weights used for evaluation (0: none). Stops after `patience_epochs` without a better validation AUC
    (0: never).
    """

    epochs: int = 10
    images_per_epoch: int = 0
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    warmup_epochs: float = 1.0
    class_power: float = 0.5
    label_smoothing: float = 0.05
    average_decay: float = 0.0
    batch_norm_momentum: float = 0.95
    patience_epochs: int = 0
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        _require(self.epochs >= 1, f"epochs is {self.epochs}, expected 1 or more")
        _require(self.batch_size >= 2, f"batch_size is {self.batch_size}, expected 2 or more")
        _require(self.learning_rate > 0, f"learning_rate is {self.learning_rate}, expected more than 0")
        _require(0 <= self.label_smoothing < 1, f"label_smoothing is {self.label_smoothing}, expected [0, 1)")
        _require(0 <= self.average_decay < 1, f"average_decay is {self.average_decay}, expected [0, 1)")
        _require(
            0 < self.batch_norm_momentum < 1,
            f"batch_norm_momentum is {self.batch_norm_momentum}, expected between 0 and 1",
        )


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A network of the catalogue and where its first weights come from.

    `weights` is "imagenet" (downloaded by Keras), the path of a weights file, or "none" by explicit choice.
    """

    name: str = "mobilenet_v2"
    width: float = 1.0
    weights: str = IMAGENET
    dropout: float = 0.2

    def __post_init__(self) -> None:
        _require(self.width > 0, f"width is {self.width}, expected more than 0")
        _require(0 <= self.dropout < 1, f"dropout is {self.dropout}, expected [0, 1)")


@dataclass(frozen=True, kw_only=True)
class TeachConfig:
    """The teacher: a network trained on the labels."""

    model: ModelConfig = field(default_factory=ModelConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    loss: Loss = Loss.CROSS_ENTROPY
    focal_gamma: float = 2.0


@dataclass(frozen=True, kw_only=True)
class DistillConfig:
    """The student: labels and the teacher's stored outputs together.

    loss = (1 − `teacher_weight`) · supervised + `teacher_weight` · distillation. `variants` is the number
    of stored augmentations per image. `alpha` and `beta` weigh the two terms of DKD (target, non-target)
    and of DIST (between, within classes). `seed` is added to the experiment's, for
    several students of one teacher.
    """

    model: ModelConfig = field(default_factory=lambda: ModelConfig(width=0.35))
    fit: FitConfig = field(default_factory=FitConfig)
    loss: Loss = Loss.CROSS_ENTROPY
    focal_gamma: float = 2.0
    focal_alpha: float = 0.9
    method: DistillMethod = DistillMethod.HINTON
    temperature: float = 3.0
    teacher_weight: float = 0.7
    alpha: float = 1.0
    beta: float = 1.0
    variants: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        _require(self.temperature > 0, f"distill.temperature is {self.temperature}, expected more than 0")
        _require(
            0 <= self.teacher_weight <= 1,
            f"distill.teacher_weight is {self.teacher_weight}, expected 0 to 1",
        )
        _require(self.variants >= 1, f"distill.variants is {self.variants}, expected 1 or more")


@dataclass(frozen=True, kw_only=True)
class QatConfig:
    """Quantization-aware fine-tuning of the student.

    `float_weight` is the share of the loss that follows the float student's own outputs.
    """

    fit: FitConfig = field(default_factory=lambda: FitConfig(epochs=3, learning_rate=1e-4, warmup_epochs=0.2))
    float_weight: float = 0.5
    temperature: float = 2.0

    def __post_init__(self) -> None:
        _require(0 <= self.float_weight <= 1, f"qat.float_weight is {self.float_weight}, expected 0 to 1")
        _require(self.temperature > 0, f"qat.temperature is {self.temperature}, expected more than 0")


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Which artefacts are made, and from how many training images calibrated ones read their ranges.

    `max_sensitivity_drop` is how much sensitivity int8-mixed may lose on validation against fp32, at the same
    specificity; layers are kept in float until it holds.
    """

    precisions: tuple[Precision, ...] = (
        Precision.FP32,
        Precision.FP16,
        Precision.DYNAMIC,
        Precision.INT8,
        Precision.INT8_PTQ,
    )
    calibration_images: int = 200
    max_sensitivity_drop: float = 0.01

    def __post_init__(self) -> None:
        _require(
            0 <= self.max_sensitivity_drop < 1,
            f"export.max_sensitivity_drop is {self.max_sensitivity_drop:g}, expected 0 to below 1",
        )
        _require(len(self.precisions) > 0, "export.precisions is empty, expected at least one")
        _require(
            self.calibration_images >= 1,
            f"export.calibration_images is {self.calibration_images}, expected 1 or more",
        )


@dataclass(frozen=True, kw_only=True)
class VerifyConfig:
    """What every artefact must hold.

    `target` is the sensitivity or specificity of the threshold rule; `margin` the loss of sensitivity
    against the float student that is still tolerated (non-inferiority, one-sided `confidence`).
    `parity_absolute` bounds the largest difference to Keras of the fp32 file in logits, `parity_steps` the
    mean one of the others in steps of an 8-bit output.
    """

    rule: ThresholdRule = ThresholdRule.SENSITIVITY_AT_LEAST
    target: float = 0.90
    margin: float = 0.02
    confidence: float = 0.95
    parity_images: int = 64
    parity_steps: float = 2.0
    parity_absolute: float = 0.05

    def __post_init__(self) -> None:
        _require(0 < self.target <= 1, f"verify.target is {self.target}, expected (0, 1]")
        _require(0 < self.margin < 1, f"verify.margin is {self.margin}, expected between 0 and 1")
        _require(0.5 < self.confidence < 1, f"verify.confidence is {self.confidence}, expected 0.5 to 1")


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """How latency is measured: per thread count, at least `min_runs` runs and `min_seconds` seconds.

    `sustained_minutes` of uninterrupted load follow for each file; 0 for none.
    """

    backends: tuple[str, ...] = ("cpu",)
    threads: tuple[int, ...] = (1, 2)
    min_runs: int = 50
    min_seconds: float = 1.0
    rounds: int = 10
    sustained_minutes: float = 0.0

    def __post_init__(self) -> None:
        _require(min(self.threads, default=0) >= 1, f"bench.threads is {self.threads}, expected 1 or more")
        _require(self.min_runs >= 2, f"bench.min_runs is {self.min_runs}, expected 2 or more")
        minutes = self.sustained_minutes
        _require(minutes == 0 or minutes >= 1, f"bench.sustained_minutes is {minutes}, expected 1 or more")


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """The pages."""

    title: str = ""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Everything a run is asked to do; written whole to `RUN/experiment.json`."""

    name: str
    seed: int = 1
    data: DataConfig
    teach: TeachConfig = field(default_factory=TeachConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)
    qat: QatConfig = field(default_factory=QatConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    verify: VerifyConfig = field(default_factory=VerifyConfig)
    bench: BenchConfig = field(default_factory=BenchConfig)
    report: ReportConfig = field(default_factory=ReportConfig)
