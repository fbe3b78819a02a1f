"""The official layouts of ISIC 2016 to 2020, with rows of the official tables and small images."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgekd.config import DataConfig, SourceConfig, SourceKind
from edgekd.data.source import DataSource, open_source
from edgekd.data.split import Assignment, assign_splits
from edgekd.data.table import Row
from edgekd.errors import DataError

MALIGNANT = ("mel", "bcc", "scc", "akiec")

HEAD_2018 = "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC"
GROUPS_2018 = """image,lesion_id,diagnosis_confirm_type
ISIC_0025030,HAM_0000118,histopathology
ISIC_0027419,HAM_0000118,histopathology
ISIC_0027344,HAM_0003069,histopathology
ISIC_0027347,HAM_0005234,serial imaging showing no change
"""
TRUTH_2018 = f"""{HEAD_2018}
ISIC_0027419,0.0,0.0,0.0,0.0,1.0,0.0,0.0
ISIC_0025030,0.0,0.0,0.0,0.0,1.0,0.0,0.0
ISIC_0027344,0.0,0.0,0.0,0.0,1.0,0.0,0.0
ISIC_0027347,0.0,1.0,0.0,0.0,0.0,0.0,0.0
"""
HEAD_2019 = "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK"
TRUTH_2019 = f"""{HEAD_2019}
ISIC_0000000,0,1,0,0,0,0,0,0,0
ISIC_0000040_downsampled,1,0,0,0,0,0,0,0,0
ISIC_0024329,0,0,0,0,0,0,0,1,0
ISIC_0024468,0,0,0,1,0,0,0,0,0
ISIC_0025030,0,0,0,0,1,0,0,0,0
ISIC_0027419,0,0,0,0,1,0,0,0,0
"""
PEOPLE_2019 = """image,age_approx,anatom_site_general,lesion_id,sex
ISIC_0000000,55,anterior torso,,female
ISIC_0000040_downsampled,65,lower extremity,,female
ISIC_0024329,75,lower extremity,HAM_0002954,female
ISIC_0024468,75,head/neck,HAM_0006301,male
ISIC_0025030,80,head/neck,HAM_0000118,male
ISIC_0027419,80,head/neck,HAM_0000118,male
"""
HEAD_2020 = (
    "image_name,patient_id,sex,age_approx,anatom_site_general_challenge,diagnosis,benign_malignant,target"
)
TRUTH_2020 = f"""{HEAD_2020}
ISIC_0079038,IP_5295861,male,70.0,torso,unknown,benign,0
ISIC_8521950,IP_5295861,male,70.0,torso,unknown,benign,0
ISIC_1358441,IP_5831170,male,70.0,head/neck,solar lentigo,benign,0
ISIC_8361472,IP_5831170,male,70.0,torso,solar lentigo,benign,0
ISIC_3097899,IP_0491775,male,55.0,torso,cafe-au-lait macule,benign,0
ISIC_4225838,IP_9124285,male,55.0,head/neck,atypical melanocytic proliferation,benign,0
ISIC_0149568,IP_0962375,female,55.0,upper extremity,melanoma,malignant,1
ISIC_0052212,IP_2842074,female,50.0,lower extremity,nevus,benign,0
ISIC_0333589,IP_0877882,female,55.0,torso,lentigo NOS,benign,0
"""
COPIES_2020 = "image_name_1,image_name_2\nISIC_0079038,ISIC_8521950\nISIC_0087297,ISIC_4755972\n"

HEAD_2017 = "image_id,melanoma,seborrheic_keratosis"
TRUTHS_2017 = {
    "Training": f"{HEAD_2017}\nISIC_0000000,0.0,0.0\nISIC_0000002,1.0,0.0\nISIC_0012090,0.0,1.0\n",
    "Validation": f"{HEAD_2017}\nISIC_0001769,0.0,0.0\nISIC_0012099,1.0,0.0\n",
    "Test_v2": f"{HEAD_2017}\nISIC_0012086,0.0,1.0\nISIC_0012258,1.0,0.0\n",
}
PEOPLE_2017 = "image_id,age_approximate,sex\nISIC_0000000,55,female\nISIC_0012090,unknown,unknown\n"

TABLES = {
    SourceKind.ISIC2016: {
        "ISBI2016_ISIC_Part3_Training_GroundTruth.csv": (
            "ISIC_0000000,benign\nISIC_0000001,benign\nISIC_0000002,malignant\n"
        ),
        "ISBI2016_ISIC_Part3_Test_GroundTruth.csv": "ISIC_0000003,0\nISIC_0000012,0\nISIC_0000040,1\n",
    },
    SourceKind.ISIC2017: {
        **{f"ISIC-2017_{part}_Part3_GroundTruth.csv": text for part, text in TRUTHS_2017.items()},
        **{f"ISIC-2017_{part}_Data/ISIC-2017_{part}_Data_metadata.csv": PEOPLE_2017 for part in TRUTHS_2017},
    },
    SourceKind.ISIC2018: {
        "ISIC2018_Task3_Training_GroundTruth.csv": TRUTH_2018,
        "ISIC2018_Task3_Training_LesionGroupings.csv": GROUPS_2018,
    },
    SourceKind.ISIC2019: {
        "ISIC_2019_Training_GroundTruth.csv": TRUTH_2019,
        "ISIC_2019_Training_Metadata.csv": PEOPLE_2019,
    },
    SourceKind.ISIC2020: {
        "ISIC_2020_Training_GroundTruth.csv": TRUTH_2020,
        "ISIC_2020_Training_Duplicates.csv": COPIES_2020,
    },
}
FOLDERS = {
    SourceKind.ISIC2016: ("ISBI2016_ISIC_Part3_Training_Data", "ISBI2016_ISIC_Part3_Test_Data"),
    SourceKind.ISIC2017: tuple(f"ISIC-2017_{part}_Data" for part in TRUTHS_2017),
    SourceKind.ISIC2018: ("ISIC2018_Task3_Training_Input",),
    SourceKind.ISIC2019: ("ISIC_2019_Training_Input",),
    SourceKind.ISIC2020: ("train",),
}
YEARS = tuple(TABLES)
MAIN = {kind: next(iter(tables)) for kind, tables in TABLES.items()}


def ids(table: str) -> list[str]:
    """The image ids of a table, with or without a header."""
    names = (line.partition(",")[0] for line in table.splitlines())
    return [name for name in names if name.startswith("ISIC_")]


def draw(folder: Path, names: Iterable[str]) -> None:
    """A small JPEG of its own for each name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        pixels = np.random.default_rng(int(name.split("_")[1])).integers(0, 255, (12, 16, 3), np.uint8)
        assert cv2.imwrite(str(folder / f"{name}.jpg"), pixels)


def lay_out(root: Path, kind: SourceKind) -> Path:
    """The official layout of `kind` in a folder of its name."""
    folder = root / kind
    folder.mkdir()
    for name, text in TABLES[kind].items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    for images, table in zip(FOLDERS[kind], TABLES[kind].values(), strict=False):
        draw(folder / images, ids(table))
    return folder


def source(kind: SourceKind, root: Path) -> DataSource:
    return open_source(SourceConfig(name="s", kind=kind, root=str(root)), malignant=MALIGNANT, seed=1)


def read(kind: SourceKind, root: Path) -> dict[str, Row]:
    rows = source(kind, root).rows()
    assert len({row.image_id for row in rows}) == len(rows)
    return {row.image_id: row for row in rows}


def refused(kind: SourceKind, root: Path) -> str:
    """The message, which must be one line."""
    with pytest.raises(DataError) as caught:
        source(kind, root).rows()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def divided(*sources: tuple[SourceKind, Path]) -> Assignment:
    """The rows of several years with their splits, and what is left out."""
    configs = tuple(SourceConfig(name=kind, kind=kind, root=str(root)) for kind, root in sources)
    readers = [open_source(config, malignant=("mel",), seed=1) for config in configs]
    rows = [row for reader in readers for row in reader.rows()]
    left_out = [one for reader in readers for one in reader.left_out()]
    return assign_splits(rows, DataConfig(sources=configs, malignant=("mel",)), 1, left_out)
