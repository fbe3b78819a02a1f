from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgekd.cli.app import app
from edgekd.plain import from_plain, write_json
from edgekd.report.embedding import EmbeddingRecord
from embedding_data import bytes_with_convolution, floats_with_softmax, images
from tiny_dataset import COUNT, PX, prepare


def run(*arguments):
    return CliRunner().invoke(app, ["embed", "--method", "pca", "--quiet", *map(str, arguments)])


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with prepared images and one exported file."""
    root = tmp_path_factory.mktemp("run")
    prepare(root / "data")
    write_json(root / "experiment.json", {})
    (root / "export" / "int8").mkdir(parents=True)
    (root / "export" / "int8" / "model.tflite").write_bytes(bytes_with_convolution(PX))
    return root


def test_a_file_of_a_run_is_shown_on_the_images_of_that_run(line, tmp_path):
    out, model = tmp_path / "out", line / "export" / "int8" / "model.tflite"
    done = run(model, "--split", "validation,test", "--colour", "split", "--out", out)
    assert done.exit_code == 0, done.stderr
    assert f"{2 * COUNT} images (validation, test), {2 * COUNT // 3} malignant" in done.stdout
    assert [path.name for path in sorted(out.iterdir())] == [
        f"embedding.{suffix}" for suffix in ("csv", "json", "png", "svg")
    ]
    assert "by split" in (out / "embedding.svg").read_text()
    assert run(model, "--out", out).exit_code == 2  # nothing is overwritten silently
    again = run(model, "--split", "all", "--out", out, "--force", "--json")
    record = from_plain(EmbeddingRecord, json.loads(again.stdout))
    assert (record.n, record.dims, record.splits) == (3 * COUNT, 3, ("train", "validation", "test"))
    assert {one.by.value for one in record.neighbourhoods} == {"diagnosis", "malignant", "split"}


def test_somebodys_file_on_a_folder_of_labelled_pictures(tmp_path):
    for number, image in enumerate(images(24, 40)):
        folder = tmp_path / "pictures" / ("mel", "nv")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{number}.png"), image)
    model = tmp_path / "theirs.tflite"
    model.write_bytes(floats_with_softmax(PX))
    asked = (
        model,
        "--data",
        tmp_path / "pictures",
        "--scaling",
        "signed",
        "--out",
        tmp_path / "out",
        "--json",
    )
    done = run(*asked)
    assert done.exit_code == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["n"], record["n_malignant"], record["layer"]) == (24, 12, "logits")
    table = np.genfromtxt(
        tmp_path / "out" / "embedding.csv", delimiter=",", names=True, dtype=None, encoding=None
    )
    assert set(table["diagnosis"]) == {"mel", "nv"} and not table["synthetic"].any()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--split", "tests"), 2, "did you mean test"),
        (("--split", "test,test"), 2, "a split is named twice"),
        (("--colour", "diagnose"), 2, "did you mean diagnosis"),
        (("--scaling", "torch"), 2, "a .tflite file takes one of"),
        (("--data", "nowhere"), 4, "nowhere: no such file or folder"),
    ],
)
def test_bad_use_is_one_line(line, tmp_path, arguments, code, said):
    done = run(line / "export" / "int8" / "model.tflite", "--out", tmp_path / "out", *arguments)
    assert (done.exit_code, done.stdout) == (code, "")
    assert said in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_what_lies_nowhere_is_one_line(line, tmp_path):
    lonely = tmp_path / "model.tflite"
    lonely.write_bytes(bytes_with_convolution(PX // 2))
    for arguments, code, said in (
        ((lonely,), 2, "lies in no run: say which images with --data"),
        (
            (lonely, "--data", line),
            4,
            f"prepared at {PX} px, hair removal none, the model takes {PX // 2} px",
        ),
        ((line,), 4, "no .tflite, .keras or .h5 file"),
    ):
        done = run(*arguments, "--out", tmp_path / "out")
        assert done.exit_code == code
        assert said in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.tf
@pytest.mark.filterwarnings("ignore:.*HDF5 file")
def test_code_in_a_file_is_not_run(line, tmp_path):
    from edgekd import lazy

    keras, ran = lazy.keras(), tmp_path / "ran"
    image = keras.Input((PX, PX, 3))
    touching = keras.layers.Lambda(lambda x, ran=str(ran): (open(ran, "a").close(), x)[1])  # noqa: PTH123
    keras.Model(image, keras.layers.Flatten()(touching(image)), name="core").save(tmp_path / "model.h5")
    ran.unlink()
    done = run(tmp_path / "model.h5", "--data", line, "--out", tmp_path / "out")
    assert done.exit_code == 4
    assert "holds Lambda, which runs code of the file" in done.stderr
    assert not ran.exists()
