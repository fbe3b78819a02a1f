"""What the stations after the data are asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgekd.config.fit import FitConfig, ModelConfig
from edgekd.config.names import Answers, DistillMethod, Loss, Precision, ThresholdRule, require


@dataclass(frozen=True, kw_only=True)
class TeachConfig:
    """The teacher: a network trained on the labels.

    `focal_alpha` weighs the malignant classes of the focal loss, 1 − `focal_alpha` the benign ones (0:
    both 1). With `folds` there are so many teachers, each trained without a part of the training images
    (whole patients and lesions), and a student hears of an image from the one that did not see it
    (0: one teacher, which saw all). With `repeats` that is done so often, divided otherwise each time: so
    many teachers did not see an image, and the student hears their mean.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    loss: Loss = Loss.CROSS_ENTROPY
    focal_gamma: float = 2.0
    focal_alpha: float = 0.0
    folds: int = 0
    repeats: int = 1

    def __post_init__(self) -> None:
        require(
            self.repeats == 1 or (self.repeats > 1 and self.folds > 0),
            f"teach.repeats is {self.repeats}, expected 1, or more of teach.folds",
        )
        require(self.folds >= 0 and self.folds != 1, f"teach.folds is {self.folds}, expected 0 or 2 and more")
        require(0 <= self.focal_alpha < 1, f"teach.focal_alpha is {self.focal_alpha}, expected [0, 1)")


@dataclass(frozen=True, kw_only=True)
class DistillConfig:
    """The student: labels and the teacher's stored outputs together.

    loss = (1 − `teacher_weight`) · supervised + `teacher_weight` · distillation. `variants` is the number
    of stored augmentations per image. `alpha` and `beta` weigh the two terms of DKD (target, non-target)
    and of DIST (between, within classes). `seed` is added to the experiment's, for
    several students of one teacher. `cache` is a folder where several runs keep the teachers' outputs
    together, and may do so at once (empty: teacher_cache/ of this run's distill). `answers` other than
    cached are there to be compared with it; they know no `variants`: views never repeat.
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
    cache: str = ""
    answers: Answers = Answers.CACHED

    def __post_init__(self) -> None:
        require(self.temperature > 0, f"distill.temperature is {self.temperature}, expected more than 0")
        require(
            0 <= self.teacher_weight <= 1,
            f"distill.teacher_weight is {self.teacher_weight}, expected 0 to 1",
        )
        require(self.variants >= 1, f"distill.variants is {self.variants}, expected 1 or more")


@dataclass(frozen=True, kw_only=True)
class QatConfig:
    """Quantization-aware fine-tuning of the student.

    `float_weight` is the share of the loss that follows the float student's own outputs.
    """

    fit: FitConfig = field(default_factory=lambda: FitConfig(epochs=3, learning_rate=1e-4, warmup_epochs=0.2))
    float_weight: float = 0.5
    temperature: float = 2.0

    def __post_init__(self) -> None:
        require(0 <= self.float_weight <= 1, f"qat.float_weight is {self.float_weight}, expected 0 to 1")
        require(self.temperature > 0, f"qat.temperature is {self.temperature}, expected more than 0")


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
        require(
            0 <= self.max_sensitivity_drop < 1,
            f"export.max_sensitivity_drop is {self.max_sensitivity_drop:g}, expected 0 to below 1",
        )
        require(len(self.precisions) > 0, "export.precisions is empty, expected at least one")
        require(
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
        require(0 < self.target <= 1, f"verify.target is {self.target}, expected (0, 1]")
        require(0 < self.margin < 1, f"verify.margin is {self.margin}, expected between 0 and 1")
        require(0.5 < self.confidence < 1, f"verify.confidence is {self.confidence}, expected 0.5 to 1")


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """How latency is measured: per thread count, at least `min_runs` runs and `min_seconds` seconds.

    `sustained_minutes` of uninterrupted load follow for each file; 0 for none.
    """

    backends: tuple[str, ...] = ("cpu",)
    threads: tuple[int, ...] = (1, 2)
    min_runs: int = 50
    min_seconds: float = 1.0
    rounds: int = 25
    sustained_minutes: float = 0.0

    def __post_init__(self) -> None:
        require(min(self.threads, default=0) >= 1, f"bench.threads is {self.threads}, expected 1 or more")
        require(self.min_runs >= 2, f"bench.min_runs is {self.min_runs}, expected 2 or more")
        minutes = self.sustained_minutes
        require(minutes == 0 or minutes >= 1, f"bench.sustained_minutes is {minutes}, expected 1 or more")


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """The pages."""

    title: str = ""
