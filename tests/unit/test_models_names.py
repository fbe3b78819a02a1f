"""The list of networks, without TensorFlow."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edgekd.config import ModelConfig
from edgekd.errors import UnknownNameError
from edgekd.models import catalogue


def test_students_come_first() -> None:
    assert catalogue.names()[: len(catalogue.STUDENTS)] == tuple(catalogue.STUDENTS)


@pytest.mark.parametrize(
    "name",
    ["efficientnet_b0", "efficientnet_b7", "efficientnet_v2_s", "inception_resnet_v2", "vgg16", "resnet50"],
)
def test_the_teachers_of_the_published_systems_are_known(name: str) -> None:
    assert name in catalogue.names()


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown model 'mobilnet_v2': did you mean mobilenet_v2"):
        catalogue.build(ModelConfig(name="mobilnet_v2"), input_px=224, n_logits=2, seed=1)


def test_listing_names_does_not_load_tensorflow() -> None:
    code = (
        "import sys; from edgekd.models.catalogue import names; names(); print('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
