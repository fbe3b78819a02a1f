"""What the tests of embeddings share: hand-made networks with a dense layer at their end, and images."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field

import numpy as np

from edgekd.data.table import Row, Split
from edgetpu_files import Op, T, ints, network, options

STEP, ZERO = 1 / 127.5, 128
OUTPUTS = 3


def images(count: int, px: int, seed: int = 1) -> np.ndarray:
    """Images uint8 [count, px, px, 3] of different brightness."""
    rng = np.random.Generator(np.random.PCG64(seed))
    base = rng.integers(20, 200, (count, 1, 1, 3))
    return (base + rng.integers(0, 50, (count, px, px, 3))).astype(np.uint8)


@dataclass(frozen=True)
class Held:
    """Images in memory, as a store; reading number `deadly` ends a process other than `keeper`."""

    values: np.ndarray
    deadly: int = -1
    keeper: int = field(default_factory=os.getpid)

    def __len__(self) -> int:
        return len(self.values)

    def read(self, indices: np.ndarray) -> np.ndarray:
        if self.deadly in indices and os.getpid() != self.keeper:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.values[indices]


def bytes_with_convolution(px: int) -> bytes:
    """Bytes → mean of every channel → a convolution on that one pixel → [1, 3]."""
    mean = T((1, 1, 1, 3), "uint8", scale=STEP, zero_point=ZERO)
    weights = T((OUTPUTS, 1, 1, 3), "uint8", np.arange(9, dtype=np.uint8), scale=0.1, zero_point=4)
    offset = T((OUTPUTS,), "int32", np.zeros(OUTPUTS, "<i4"), scale=STEP * 0.1)
    wide = T((1, 1, 1, OUTPUTS), "uint8", scale=0.05, zero_point=ZERO)
    flat = T((1, OUTPUTS), "uint8", scale=0.05, zero_point=ZERO)
    tensors = [T((1, px, px, 3), "uint8", scale=STEP, zero_point=ZERO), mean, weights, offset, wide]
    convolution = options(
        "Conv2DOptions", strideH=1, strideW=1, padding=1, dilationHFactor=1, dilationWFactor=1
    )
    ops = [
        Op("AVERAGE_POOL_2D", (0,), (1,), _pool(px)),
        Op("CONV_2D", (1, 2, 3), (4,), convolution),
        Op("RESHAPE", (4, 5), (6,)),
    ]
    return network([*tensors, ints(1, OUTPUTS), flat], ops)


def floats_with_softmax(px: int) -> bytes:
    """float32 → mean of every channel → fully connected → softmax → [1, 3]."""
    weights = T((OUTPUTS, 3), "float32", np.eye(3, dtype="<f4"))
    tensors = [T((1, px, px, 3), "float32"), T((1, 1, 1, 3), "float32"), weights]
    tensors += [T((OUTPUTS,), "float32", np.zeros(3, "<f4")), T((1, OUTPUTS), "float32", name="logits")]
    ops = [
        Op("AVERAGE_POOL_2D", (0,), (1,), _pool(px)),
        Op("FULLY_CONNECTED", (1, 2, 3), (4,), options("FullyConnectedOptions")),
        Op("SOFTMAX", (4,), (5,), options("SoftmaxOptions", beta=1.0)),
    ]
    return network([*tensors, T((1, OUTPUTS), "float32")], ops)


def rows(count: int) -> tuple[Row, ...]:
    """Rows of three diagnoses in turn, two images a patient; the last was made from the first."""
    known = [
        Row(
            image_id=f"image{number}",
            path=f"{number}.png",
            diagnosis=("mel", "nv", "bkl")[number % 3],
            malignant=number % 3 == 0,
            patient=f"person{number // 2}",
            split=Split.TRAIN,
            source="made",
            parent="image0" if number == count - 1 else None,
        )
        for number in range(count)
    ]
    return tuple(known)


def _pool(px: int) -> object:
    return options("Pool2DOptions", filterHeight=px, filterWidth=px, strideH=1, strideW=1, padding=1)
