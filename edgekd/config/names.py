"""The names a configuration chooses from, and how it refuses a contradiction."""

from __future__ import annotations

import enum

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
    TFRECORD = "tfrecord"
    SYNTHESISED = "synthesised"


class Loss(enum.StrEnum):
    """The supervised losses on diagnosis logits."""

    CROSS_ENTROPY = "cross_entropy"
    CLASS_WEIGHTED = "class_weighted"
    FOCAL = "focal"
    LOGIT_ADJUSTED = "logit_adjusted"


class HairRemoval(enum.StrEnum):
    """How hairs are taken out of a picture: not at all, as Adepu et al. 2023 did, or by a better recipe."""

    NONE = "none"
    ADEPU2023 = "adepu2023"
    ORIENTED = "oriented"


class Optimizer(enum.StrEnum):
    """What turns gradients into steps; `radam_lookahead` is rectified Adam inside Lookahead."""

    ADAMW = "adamw"
    ADAM = "adam"
    ADADELTA = "adadelta"
    RADAM_LOOKAHEAD = "radam_lookahead"


class Strategy(enum.StrEnum):
    """How training is spread: one process, all GPUs of a machine, workers that reach each other, or TPUs."""

    SINGLE = "single"
    MIRRORED = "mirrored"
    MULTIWORKER = "multiworker"
    TPU = "tpu"


class PatientField(enum.StrEnum):
    """What is known of the person and can be an input of a network."""

    AGE = "age"
    SEX = "sex"
    SITE = "site"


class DistillMethod(enum.StrEnum):
    """How the student listens to the teacher; `none` trains the undistilled twin."""

    NONE = "none"
    HINTON = "hinton"
    DKD = "dkd"
    DIST = "dist"
    FOCAL_KL = "focal_kl"
    LOGIT_STANDARDISED = "logit_standardised"


class Answers(enum.StrEnum):
    """Which of the teacher's answers a student hears.

    Stored ones for the very views it sees; asked for in every step, for views that never repeat; or one
    stored answer for the whole picture, whatever view of it the student sees.
    """

    CACHED = "cached"
    ONLINE = "online"
    FIXED = "fixed"


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


def require(condition: bool, message: str) -> None:
    """Refuse a contradictory configuration.

    Raises:
        UsageError: `condition` does not hold.
    """
    if not condition:
        raise UsageError(message)
