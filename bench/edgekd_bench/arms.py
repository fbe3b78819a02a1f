"""The ways of training a student, and of rounding it to 8 bits, that `bench/methods.py` compares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgekd.config import Precision

_HINTON = "distill.method=hinton"


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A way of training: `settings` on top of the experiment, and the arm it is compared with.

    Teaching by Hinton, the default of the tool, is compared with labels alone; other methods with it.
    """

    settings: tuple[str, ...]
    against: str | None
    binary: bool = False


ARMS: Mapping[str, Arm] = {
    "none": Arm(settings=("distill.method=none",), against=None),
    "hinton": Arm(settings=(_HINTON,), against="none"),
    "dkd": Arm(settings=("distill.method=dkd",), against="hinton"),
    "dist": Arm(settings=("distill.method=dist",), against="hinton"),
    "logit-standardised": Arm(settings=("distill.method=logit_standardised",), against="hinton"),
    "focal-kl": Arm(settings=("distill.method=focal_kl", "distill.loss=focal"), against="hinton"),
    "hinton-online": Arm(settings=(_HINTON, "distill.answers=online"), against="hinton"),
    "hinton-fixed": Arm(settings=(_HINTON, "distill.answers=fixed"), against="hinton"),
    "binary-none": Arm(settings=("distill.method=none",), against="none", binary=True),
    "binary-hinton": Arm(settings=(_HINTON,), against="hinton", binary=True),
    "binary-focal-kl": Arm(
        settings=("distill.method=focal_kl", "distill.loss=focal"), against="focal-kl", binary=True
    ),
}


@dataclass(frozen=True, kw_only=True)
class Rounded:
    """A way of becoming 8-bit: the file's precision, and settings of the quantization-aware training.

    It is compared with the student made 8-bit the way `against` (empty: with the float student).
    """

    precision: Precision
    settings: tuple[str, ...] = ()
    against: str = ""


ROUNDED: Mapping[str, Rounded] = {
    "qat": Rounded(precision=Precision.INT8),
    "qat-labels": Rounded(precision=Precision.INT8, settings=("qat.float_weight=0",), against=":qat"),
    "ptq": Rounded(precision=Precision.INT8_PTQ, against=":qat"),
}
