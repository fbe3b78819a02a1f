"""Every student of the catalogue becomes a file that computes in integers alone."""

from __future__ import annotations

import numpy as np
import pytest

from edgekd.config import ModelConfig
from edgekd.models.catalogue import STUDENTS, build, core
from integer_files import opened

pytestmark = [pytest.mark.tf, pytest.mark.slow]

PX = 32
IMAGES = np.random.default_rng(3).integers(0, 256, (32, PX, PX, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", list(STUDENTS))
def test_a_student_is_whole_integers(name: str) -> None:
    from edgekd.models.quantize import quantization_aware

    student = build(ModelConfig(name=name, width=0.35, weights="none"), input_px=PX, n_logits=3, seed=1)
    quantized = core(quantization_aware(core(student), [IMAGES]))
    interpreter = opened(quantized, PX)
    assert {tensor["dtype"] for tensor in interpreter.get_tensor_details()} <= {np.uint8, np.int8, np.int32}
    assert tuple(interpreter.get_output_details()[0]["shape"]) == (1, 3)
