"""What needs no client: the exported file by published rules, and when a client is a skip or a failure."""

from __future__ import annotations

import io
import shutil
import sys
import zipfile

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgekd.card import read_card
from edgekd.config import Precision
from edgekd.errors import MissingError
from edgekd.runtimes.environments import Recipe
from edgekd.runtimes.litert import LitertRuntime
from edgekd_converters.metadata import find_card, strip_card
from edgekd_converters.standard_metadata import find_standard_metadata, strip_standard_metadata
from line.clients import environments
from pooled_line import exported
from tiny_dataset import CLASSES, PX
from tiny_tflite import average_pool

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
CLIENT = Recipe(pythons=(HERE,), requirements=("client==1",), module="no_such_client", distribution="client")


def test_an_exported_file_is_one_that_generic_clients_read(tmp_path):
    folder = exported(tmp_path, Precision.INT8)
    model = (folder / "model.tflite").read_bytes()
    graph = schema.Model.GetRootAs(model, 0).Subgraphs(0)
    image = graph.Tensors(graph.Inputs(0))
    # MediaPipe and LiteRT.js take uint8 and not int8; LiteRT.js fails at run on a batch of −1.
    assert image.Type() == schema.TensorType.UINT8
    assert image.ShapeAsNumpy().tolist() == [1, PX, PX, 3] and image.ShapeSignatureLength() == 0
    # The names stand one a line in an archive at the end, as zip tools see it; the card is there as well.
    assert zipfile.ZipFile(io.BytesIO(model)).read("labels.txt").decode().split() == list(CLASSES)
    assert find_standard_metadata(model).labels == CLASSES
    assert find_card(model) == read_card(folder / "card.json")


def test_what_an_exported_file_carries_changes_no_answer(tmp_path):
    path, bare = exported(tmp_path, Precision.INT8) / "model.tflite", tmp_path / "bare.tflite"
    bare.write_bytes(strip_standard_metadata(strip_card(path.read_bytes())))
    assert bare.read_bytes() == average_pool(px=PX, scale=1 / 16, zero_point=128)
    images = np.random.Generator(np.random.PCG64(3)).integers(0, 256, (4, PX, PX, 3), np.uint8)
    images[:, ..., 0] //= 2
    logits = LitertRuntime(path).logits(images)
    assert np.ptp(logits) > 2
    np.testing.assert_array_equal(logits, LitertRuntime(bare).logits(images))


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """An empty cache, no program but these: the function writes one, a shell script."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "mkdir", "ln"):
        (folder / name).symlink_to(shutil.which(name))
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("EDGEKD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(environments, "RECIPES", {"client": CLIENT})
    monkeypatch.setattr(environments, "BROWSERS", ("chromium",))

    def write(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return write


UV = """\
case "$1" in
  venv) for last; do :; done; mkdir -p "$last/bin"; ln -s "$4" "$last/bin/python";;
  pip) {install};;
esac"""


def test_a_client_that_cannot_be_had_is_a_skip_with_its_reason(tool):
    tool("uv", UV.format(install='echo "error: no route to pypi" >&2; exit 1'))
    with pytest.raises(pytest.skip.Exception, match="no route to pypi.*connect to the network"):
        environments.client_python("client")


def test_a_client_that_is_had_and_does_not_import_is_a_failure(tool):
    tool("uv", UV.format(install="true"))
    with pytest.raises(MissingError, match="ModuleNotFoundError: No module named 'no_such_client'"):
        environments.client_python("client")


def test_no_npm_no_network_and_no_browser_are_skips_with_their_reasons(tool):
    with pytest.raises(pytest.skip.Exception, match="no program npm here: apt install npm"):
        environments.litert_js()
    tool("npm", "echo 'npm error code ENOTFOUND' >&2; exit 1")
    with pytest.raises(pytest.skip.Exception, match="npm cannot install @litertjs/core.*code ENOTFOUND"):
        environments.litert_js()
    with pytest.raises(pytest.skip.Exception, match="no program chromium here: apt install chromium"):
        environments.browser()


def test_litert_js_is_installed_once(tool):
    tool("npm", 'for last; do case "$last" in */made) mkdir "$last/node_modules";; esac; done')
    first = environments.litert_js()
    tool("npm", "exit 1")
    assert environments.litert_js() == first and first.is_dir()
