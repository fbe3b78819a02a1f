"""Images that a source leaves out itself end on record in the prepared data set, with the reason."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from edgekd.config import DataConfig, SourceConfig, SourceKind
from edgekd.data.prepare import prepare
from edgekd.data.split import SplitRecord
from edgekd.plain import from_plain
from skin_pictures import encoded, picture


@pytest.fixture
def config(tmp_path: Path) -> DataConfig:
    """ISIC 2019 with 3 of 18 diagnoses unknown, and ISIC 2020 with 2 of 14 images listed as copies."""
    first, second = tmp_path / "isic2019", tmp_path / "isic2020"
    (first / "ISIC_2019_Training_Input").mkdir(parents=True)
    (second / "train").mkdir(parents=True)
    truth, people = (
        ["image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK"],
        ["image,age_approx,anatom_site_general,lesion_id,sex"],
    )
    for number in range(18):
        mark = ("1,0,0,0,0,0,0,0,0", "0,1,0,0,0,0,0,0,0")[number % 2] if number < 15 else "0,0,0,0,0,0,0,0,1"
        truth.append(f"ISIC_{number:07d},{mark}")
        people.append(f"ISIC_{number:07d},50,,,male")
        path = first / "ISIC_2019_Training_Input" / f"ISIC_{number:07d}.jpg"
        path.write_bytes(encoded(picture(number, 64), 0))
    (first / "ISIC_2019_Training_GroundTruth.csv").write_text("\n".join(truth))
    (first / "ISIC_2019_Training_Metadata.csv").write_text("\n".join(people))
    head = (
        "image_name,patient_id,sex,age_approx,anatom_site_general_challenge,diagnosis,benign_malignant,target"
    )
    lines = [head]
    for number in range(100, 114):
        label = ("melanoma,malignant,1", "nevus,benign,0")[number % 2]
        lines.append(f"ISIC_{number:07d},IP_{number if number < 112 else number - 2},male,50,torso,{label}")
        path = second / "train" / f"ISIC_{number:07d}.jpg"
        path.write_bytes(encoded(picture(number if number < 112 else number - 2, 64), 3))
    (second / "ISIC_2020_Training_GroundTruth.csv").write_text("\n".join(lines))
    (second / "ISIC_2020_Training_Duplicates.csv").write_text(
        "image_name_1,image_name_2\nISIC_0000110,ISIC_0000112\nISIC_0000113,ISIC_0000111\n"
    )
    sources = tuple(
        SourceConfig(name=root.name, kind=SourceKind(root.name), root=str(root)) for root in (first, second)
    )
    return DataConfig(sources=sources, malignant=("mel",), input_px=32, train_px=32, workers=1)


def test_they_are_on_record_with_the_reason(
    config: DataConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "out").mkdir()
    with caplog.at_level(logging.WARNING, "edgekd"):
        metrics = prepare(config=config, seed=1, out=tmp_path / "out")
    told = "5 images left out, see split.json: 3 unknown diagnosis, 2 listed duplicate"
    assert [record.getMessage() for record in caplog.records] == [told]
    assert (metrics["dropped"], metrics["dropped_unknown_diagnosis"]) == (5, 3)
    assert metrics["dropped_listed_duplicate"] == 2
    record = from_plain(SplitRecord, json.loads((tmp_path / "out" / "split.json").read_text()))
    assert [(one.image_id, one.source, one.partner) for one in record.dropped] == [
        *((f"ISIC_00000{number}", "isic2019", "") for number in (15, 16, 17)),
        ("ISIC_0000112", "isic2020", "ISIC_0000110"),
        ("ISIC_0000113", "isic2020", "ISIC_0000111"),
    ]
    table = (tmp_path / "out" / "table.csv").read_text()
    assert all(one.image_id not in table for one in record.dropped)
    for one in record.dropped[3:]:
        (line,) = [line for line in table.splitlines() if line.startswith(one.partner)]
        assert f",{one.partner_split}," in line
