"""`Runtime`: what every engine offers; `Engine`: what has to stand beside every figure it gives."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekd.data.patient import to_bytes
from edgekd.errors import ModelError

Features = NDArray[np.float32]

_ISA_FLAGS = (
    *("avx", "avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_int8", "amx_bf16", "asimd", "asimdhp", "asimddp", "i8mm", "sve", "sve2"),
)


@dataclass(frozen=True, kw_only=True)
class Engine:
    """The program and the hardware that computed an output.

    `name` and `version` are those of the distribution; `kernels` its set of implementations (8-bit kernels
    are not bit-equal to one another); `isa` the machine and its instruction sets that matter to them;
    `accelerator` what did the work.
    """

    name: str
    version: str
    kernels: str
    threads: int
    isa: str
    accelerator: str = "cpu"

    def describe(self) -> str:
        """The engine in one line, for tables and records."""
        return f"{self.name} {self.version}, {self.kernels}, {self.threads} threads, {self.isa}"


class Runtime(Protocol):
    """An engine holding one model, ready to turn pixels into logits.

    `input_px` is the side of its square input, `n_logits` the number of outputs, `n_features` the length of
    the patient vector it takes beside the picture (0: none).
    """

    @property
    def engine(self) -> Engine:
        """What computes."""

    @property
    def input_px(self) -> int:
        """The side of the square input, in pixels."""

    @property
    def n_logits(self) -> int:
        """The number of outputs."""

    @property
    def n_features(self) -> int:
        """The length of the patient vector; 0 for a model of pictures alone."""

    def logits(self, images: NDArray[np.uint8], features: Features | None = None) -> NDArray[np.float32]:
        """Raw outputs [n, k] for RGB `images` [n, input_px, input_px, 3] and patient vectors `features`.

        `features` [n, n_features], 0 to 1 in steps of 1/255, are given where the model takes them.

        Raises:
            ModelError: images or features do not fit the inputs, or the model failed on them.
        """

    def close(self) -> None:
        """Give the memory back; the runtime cannot be used afterwards."""


def check_images(images: NDArray[np.uint8], input_px: int) -> None:
    """Nothing, when `images` fit a network of side `input_px`.

    Raises:
        ModelError: not uint8 or not [n, input_px, input_px, 3].
    """
    if images.dtype != np.uint8 or images.shape[1:] != (input_px, input_px, 3):
        shape = ", ".join(str(side) for side in images.shape)
        raise ModelError(
            f"the model takes uint8 images [n, {input_px}, {input_px}, 3], got {images.dtype} [{shape}]: "
            "prepare them with edgekd.imaging"
        )


def beside(features: Features) -> tuple[Features, ...]:
    """What `logits` gets beside the images: `features` [n, f], or nothing where there are none (f = 0)."""
    return (features,) if features.shape[1] else ()


def check_features(features: Features | None, n_images: int, n_features: int) -> Features:
    """`features` (float32 [n, 0] in place of none), when they fit a network that takes `n_features`.

    Raises:
        ModelError: missing, not asked for, of another shape, or outside 0 to 1.
    """
    known = np.zeros((n_images, 0), np.float32) if features is None else features
    if known.shape != (n_images, n_features):
        raise ModelError(
            f"the model takes {n_features} patient values beside each of {n_images} pictures, got "
            f"{list(known.shape)}: give them (or none) as its card says"
        )
    if known.size and not (known.min() >= 0 and known.max() <= 1):
        raise ModelError("patient values lie outside 0 to 1: make them with edgekd.data.patient.encode")
    return np.asarray(known, np.float32)


def to_patient_input(features: Features, dtype: Any) -> NDArray[Any]:
    """Patient vectors as a tensor of `dtype` stores them: their bytes, the bytes less 128, or as they are."""
    if dtype == np.float32:
        return features
    stored = to_bytes(features)
    return stored if dtype == np.uint8 else (stored ^ 0x80).view(np.int8)


def isa() -> str:
    """The processor's architecture and the instruction sets that change 8-bit results: "x86_64 avx2 fma"."""
    flags = _cpu_flags()
    return " ".join([platform.machine(), *(flag for flag in _ISA_FLAGS if flag in flags)])


def _cpu_flags() -> frozenset[str]:
    """The words of the "flags" (x86) or "Features" (ARM) line of /proc/cpuinfo; empty without one."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        name, _, words = line.partition(":")
        if name.strip() in {"flags", "Features"}:
            return frozenset(words.split())
    return frozenset()
