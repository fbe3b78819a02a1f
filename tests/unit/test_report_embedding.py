"""Points of a plane from features: the methods, how far they are to be believed, and the files."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from edgekd.errors import DataError, MissingExtraError, ModelError
from edgekd.metrics.neighbours import agreement, nearest
from edgekd.plain import from_plain, read_json
from edgekd.report.embedding import (
    COLUMNS,
    PNG,
    RECORD,
    SVG,
    TABLE,
    Colour,
    EmbeddingRecord,
    Origin,
    embed,
    write_embedding,
)
from edgekd.report.projection import Method, pca
from edgekd.runtimes.base import Engine
from edgekd.runtimes.features import Extracted
from embedding_data import rows
from tolerances import PROJECTION_FLOAT32

COUNT = 60
ENGINE = Engine(name="made", version="1", kernels="none", threads=1, isa="none")
ORIGIN = Origin(model="net.tflite", model_sha256="00", data="run", splits=("train",))


def known(values: np.ndarray) -> Extracted:
    return Extracted(values=values.astype(np.float32), layer="logits", engine=ENGINE)


def clusters(seed: int = 5) -> np.ndarray:
    """Features [60, 20]: a cluster for each diagnosis of `rows`, far apart."""
    rng = np.random.Generator(np.random.PCG64(seed))
    return 10 * rng.normal(size=(3, 20))[np.arange(COUNT) % 3] + rng.normal(size=(COUNT, 20))


def embedded(values: np.ndarray, method: Method = Method.PCA, seed: int = 0):
    return embed(known(values), rows(len(values)), ORIGIN, method=method, seed=seed)


def test_principal_components_are_those_of_scikit_learn():
    decomposition = pytest.importorskip(
        "sklearn.decomposition", reason="scikit-learn is not installed (extra: train)"
    )
    for values in (clusters(), clusters()[:15]):  # more images than features, and fewer
        found = pca(values.astype(np.float32), 0)
        theirs = decomposition.PCA(2, svd_solver="full").fit(values)
        turned = theirs.transform(values) * np.sign(theirs.components_[[0, 1], [0, 1]])
        ours = found.points * np.sign(found.points[0] * turned[0])
        np.testing.assert_allclose(ours, turned, atol=PROJECTION_FLOAT32)
        assert found.explained_variance == pytest.approx(theirs.explained_variance_ratio_, abs=1e-6)


def test_the_record_tells_what_can_be_believed():
    record = embedded(clusters()).record
    told = {one.by: one for one in record.neighbourhoods}
    assert set(told) == {Colour.DIAGNOSIS, Colour.MALIGNANT, Colour.SYNTHETIC}  # one source and one split
    diagnosis = told[Colour.DIAGNOSIS]
    assert (diagnosis.values, diagnosis.in_features, diagnosis.in_embedding) == (3, 1.0, 1.0)
    assert diagnosis.largest_share == pytest.approx(1 / 3)
    assert (record.n, record.n_malignant, record.n_synthetic, record.dims) == (COUNT, 20, 1, 20)
    assert 0.6 < record.trustworthiness < 1
    noise = np.random.Generator(np.random.PCG64(6)).normal(size=(COUNT, 20))
    lost = embedded(noise).record
    assert lost.trustworthiness < record.trustworthiness
    assert lost.neighbourhoods[0].in_features < 0.6


def test_images_of_one_patient_are_no_neighbours():
    """Every patient's two images are the same point: with them for neighbours all would be told right."""
    noise = np.random.Generator(np.random.PCG64(8)).normal(size=(COUNT // 2, 20)).repeat(2, axis=0)
    people = [dataclasses.replace(row, diagnosis=str(row.patient)) for row in rows(COUNT)]
    found = embed(known(noise), people, ORIGIN, method=Method.PCA, seed=0)
    assert found.record.neighbourhoods[0].in_features == 0.0


def test_files_are_whole_and_the_same_every_time(tmp_path):
    for name in ("a", "b"):
        write_embedding(embedded(clusters()), tmp_path / name, Colour.DIAGNOSIS)
    for file in (TABLE, RECORD, SVG, PNG):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    found = embedded(clusters())
    assert from_plain(EmbeddingRecord, read_json(tmp_path / "a" / RECORD)) == found.record
    lines = list(csv.DictReader((tmp_path / "a" / TABLE).read_text().splitlines()))
    assert tuple(lines[0]) == COLUMNS
    assert [line["image_id"] for line in lines] == [row.image_id for row in found.rows]
    assert [line["synthetic"] for line in lines] == ["0"] * (COUNT - 1) + ["1"]
    places = np.array([[float(line["x"]), float(line["y"])] for line in lines])
    np.testing.assert_allclose(places, found.points, atol=1e-5)
    assert (tmp_path / "a" / PNG).read_bytes().startswith(b"\x89PNG")


def test_the_picture_says_what_it_shows(tmp_path):
    write_embedding(embedded(clusters()), tmp_path, Colour.DIAGNOSIS)
    texts = " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", (tmp_path / SVG).read_text()))
    assert "PCA of 60 images by diagnosis (train)" in texts
    assert "mel (malignant), n = 20" in texts and "nv, n = 20" in texts
    assert "distances between clusters mean nothing" in texts
    assert "Trustworthiness 0." in texts


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(DataError, match="9 images, expected 10 or more"):
        embedded(clusters()[:9])
    with pytest.raises(ModelError, match="what logits reads is the same for all 60 images"):
        embedded(np.ones((COUNT, 20)))
    one = [dataclasses.replace(row, patient="somebody") for row in rows(COUNT)]
    with pytest.raises(DataError, match="all 60 images are of one patient or lesion"):
        embed(known(clusters()), one, ORIGIN, method=Method.PCA, seed=0)


def test_without_umap_the_line_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingExtraError, match=r"umap-learn is not installed; .* 'edgekd\[embed\]'"):
        embedded(clusters(), Method.UMAP)


UMAP = """
import json, sys
import numpy as np
from edgekd.report.projection import umap
values = np.load(sys.argv[1])
points = [umap(values, seed).points.tolist() for seed in (1, 1, 2)]
print(json.dumps([points, sorted({"tensorflow", "keras"} & set(sys.modules))]))
"""


@pytest.mark.slow
def test_umap_is_the_same_for_a_seed_and_loads_no_tensorflow(tmp_path):
    pytest.importorskip("llvmlite", reason="umap-learn is not installed (extra: embed)")
    np.save(tmp_path / "values.npy", clusters().astype(np.float32))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", UMAP, str(tmp_path / "values.npy")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (first, again, other), loaded = json.loads(done.stdout)
    assert first == again and first != other and loaded == []
    near = nearest(np.array(first, np.float32), k=5)
    assert agreement(near, np.arange(COUNT) % 3) == 1.0
