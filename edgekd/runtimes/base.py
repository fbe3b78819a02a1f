"""`Runtime`: what every engine offers; `Engine`: what has to stand beside every figure it gives."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import ModelError

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

    `input_px` is the side of its square input, `n_logits` the number of outputs.
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

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Raw outputs [n, k] for RGB `images` [n, input_px, input_px, 3].

        Raises:
            ModelError: the images do not fit the input, or the model failed on them.
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
