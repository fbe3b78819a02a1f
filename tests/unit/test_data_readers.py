"""The readers: each layout, and one clear line for whatever is wrong with it."""

from __future__ import annotations

import logging
import pickle
from collections import Counter
from pathlib import Path

import pytest

from edgekd.config import SourceConfig, SourceKind
from edgekd.data.source import DataSource, open_source
from edgekd.data.table import Split
from edgekd.errors import DataError

MALIGNANT = ("mel", "bcc", "scc", "akiec")
PARTS = {"Training": "train", "Validation": "validation", "Test_v2": "test"}


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"not opened")
    return root


def source(kind: SourceKind, root: Path) -> DataSource:
    return open_source(SourceConfig(name="s", kind=kind, root=str(root)), malignant=MALIGNANT, seed=1)


def refused(kind: SourceKind, root: Path) -> str:
    """The message, which must be one line."""
    with pytest.raises(DataError) as caught:
        source(kind, root).rows()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def isic(tmp_path: Path) -> Path:
    root = tmp_path / "isic2017"
    for number, part in enumerate(PARTS):
        folder = f"ISIC-2017_{part}_Data"
        ids = [f"ISIC_{number}{n}" for n in range(3)]
        touch(root, *(f"{folder}/{one}.jpg" for one in ids), f"{folder}/{ids[0]}_superpixels.png")
        flags = ("1.0,0.0", "0.0,1.0", "0,0")
        truth = "".join(f"{one},{flag}\n" for one, flag in zip(ids, flags, strict=True))
        (root / f"ISIC-2017_{part}_Part3_GroundTruth.csv").write_text(
            "image_id,melanoma,seborrheic_keratosis\n" + truth
        )
        people = (
            f"image_id,age_approximate,sex\n{ids[0]},50.0,male\n{ids[1]},unknown,unknown\n{ids[2]},N/A,\n"
        )
        (root / folder / f"{folder}_metadata.csv").write_text(people, encoding="utf-8-sig")
    return root


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_isic2017_is_read(isic: Path) -> None:
    rows = source(SourceKind.ISIC2017, isic).rows()
    assert [row.diagnosis for row in rows] == ["mel", "bkl", "nv"] * 3
    assert [row.malignant for row in rows] == [True, False, False] * 3
    assert Counter(row.split for row in rows) == dict.fromkeys(Split, 3)
    assert (rows[0].age, rows[0].sex) == (50.0, "male")
    assert (rows[1].age, rows[1].sex, rows[2].age, rows[2].sex) == (None, None, None, None)
    assert rows[0].path == "ISIC-2017_Training_Data/ISIC_00.jpg"


TRUTH = "ISIC-2017_Training_Part3_GroundTruth.csv"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1.0,0.0", "1.0,1.0", "line 2: melanoma, seborrheic_keratosis are '1.0', '1.0'"),
        ("1.0,0.0", "2,0", "line 2: melanoma, seborrheic_keratosis are '2', '0'; expected 0 or 1"),
        ("ISIC_01", "ISIC_00", "line 3: image_id 'ISIC_00' was already used"),
        ("ISIC_01", "ISIC_77", "1 of 3 images are not in"),
        ("melanoma,", "mel,", "no column melanoma; found image_id, mel, seborrheic_keratosis"),
        ("0,0\n", '"0,0\n', "expected comma-separated values"),
    ],
)
def test_isic2017_truth_that_cannot_be_meant(isic: Path, old: str, new: str, message: str) -> None:
    edit(isic / TRUTH, old, new)
    found = refused(SourceKind.ISIC2017, isic)
    assert message in found
    assert TRUTH in found


def test_isic2017_people_that_cannot_be(isic: Path) -> None:
    name = "ISIC-2017_Test_v2_Data"
    edit(isic / name / f"{name}_metadata.csv", "50.0", "150")
    assert f"{name}_metadata.csv, line 2: age is '150', expected years from 0 to 120" in refused(
        SourceKind.ISIC2017, isic
    )


def test_isic2017_from_the_wrong_level(isic: Path) -> None:
    above = refused(SourceKind.ISIC2017, isic.parent)
    assert "expected ISIC-2017_Training_Data" in above
    assert f"did you mean {isic}?" in above
    below = refused(SourceKind.ISIC2017, isic / "ISIC-2017_Training_Data")
    assert f"did you mean {isic}?" in below
    assert "no folder" in refused(SourceKind.ISIC2017, isic / "nowhere")
    with pytest.raises(DataError, match="no folder given; use --data-root"):
        open_source(SourceConfig(name="s", kind=SourceKind.ISIC2017), malignant=MALIGNANT, seed=1)


def test_images_without_a_row_are_told(isic: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(
        isic, *(f"ISIC-2017_Training_Data/ISIC_9{n}.jpg" for n in range(5)), "ISIC-2017_Training_Data/._x.jpg"
    )
    with caplog.at_level(logging.WARNING, "edgekd"):
        assert len(source(SourceKind.ISIC2017, isic).rows()) == 9
    assert "5 images without a row" in caplog.text
    assert "ISIC_0000090, ISIC_0000091, ISIC_0000092 …" in caplog.text


@pytest.fixture
def ham(tmp_path: Path) -> Path:
    root = touch(tmp_path / "ham", "HAM10000_images_part_1/I1.jpg", "HAM10000_images_part_2/I2.jpg")
    head = "lesion_id,image_id,dx,dx_type,age,sex,localization\n"
    (root / "HAM10000_metadata.csv").write_text(
        head + "L1,I2,akiec,histo,80.0,male,Scalp\nL1,I1,nv,x,,unknown,unknown\n"
    )
    return root


def test_ham10000_is_read(ham: Path) -> None:
    first, second = source(SourceKind.HAM10000, ham).rows()
    assert (first.image_id, first.path, first.site) == ("I1", "HAM10000_images_part_1/I1.jpg", None)
    assert (second.lesion, second.age, second.site, second.malignant) == ("L1", 80.0, "scalp", True)
    assert second.split is None


def test_ham10000_folders_of_either_case_are_one(ham: Path) -> None:
    touch(ham, "ham10000_images_part_1/I1.jpg", "ham10000_images_part_2/I2.jpg")
    (ham / "HAM10000_metadata.csv").rename(ham / "HAM10000_metadata")
    assert len(source(SourceKind.HAM10000, ham).rows()) == 2
    touch(ham / "one", "HAM10000_images/I1.jpg", "HAM10000_images/I2.jpg")
    (ham / "HAM10000_metadata").rename(ham / "one" / "HAM10000_metadata.csv")
    assert len(source(SourceKind.HAM10000, ham / "one").rows()) == 2


def test_ham10000_that_is_incomplete(ham: Path) -> None:
    table = ham / "HAM10000_metadata.csv"
    edit(table, "akiec", "akiek")
    assert "line 2: unknown diagnosis 'akiek': did you mean akiec" in refused(SourceKind.HAM10000, ham)
    edit(table, "akiek", "akiec")
    edit(table, "L1,I1", ",I1")
    assert "line 3: lesion_id is ''; expected an id, for without it" in refused(SourceKind.HAM10000, ham)
    edit(table, "\n,I1", "\nL1,I1")
    (ham / "HAM10000_images_part_2" / "I2.jpg").rename(ham / "HAM10000_images_part_2" / "I3.jpg")
    assert "1 of 2 images are not in" in refused(SourceKind.HAM10000, ham)
    table.rename(ham / "HAM10000.csv")
    assert "expected HAM10000_metadata.csv in" in refused(SourceKind.HAM10000, ham)


def test_folders_per_class(tmp_path: Path) -> None:
    touch(tmp_path, "Melanoma/a.jpg", "nevus/b.PNG", "nevus/.hidden.jpg", "nevus/readme.txt")
    rows = source(SourceKind.FOLDERS, tmp_path).rows()
    assert [(row.image_id, row.diagnosis, row.split) for row in rows] == [
        ("s/Melanoma/a", "mel", None),
        ("s/nevus/b", "nv", None),
    ]


def test_folders_per_split_and_class(tmp_path: Path) -> None:
    names = [
        f"{split}/{label}/1.jpg" for split in ("Train", "val", "testing") for label in ("benign", "malignant")
    ]
    rows = source(SourceKind.FOLDERS, touch(tmp_path, *names)).rows()
    assert Counter(row.split for row in rows) == dict.fromkeys(Split, 2)
    assert len({row.image_id for row in rows}) == 6
    assert [row.malignant for row in rows] == [False, True] * 3


@pytest.mark.parametrize(
    ("names", "inside", "message"),
    [
        (["train/benign/1.jpg", "other/2.jpg"], "", "other beside the split folders train"),
        (["benign/1.jpg", "melanoa/2.jpg"], "", "unknown diagnosis 'melanoa': did you mean melanoma"),
        (["mine/benign/1.jpg"], "", "did you mean {root}/mine?"),
        (["benign/1.jpg"], "benign", "found 1 images and no folder; did you mean {root}?"),
        (["benign/sub/1.jpg"], "", "benign: no images here; found the folders sub"),
        (["train/1.jpg"], "", "train: expected class folders, found 1 images"),
        (["nv/1.jpg", "nv/1.png"], "", "1.jpg and 1.png have the same name"),
        (["nv/1.jpg"], "nowhere", "no folder"),
    ],
)
def test_folders_that_cannot_be_meant(tmp_path: Path, names: list[str], inside: str, message: str) -> None:
    root = touch(tmp_path / "data", *names)
    assert message.format(root=root) in refused(SourceKind.FOLDERS, root / inside)


def table(root: Path, text: str, encoding: str = "utf-8") -> Path:
    root.mkdir(exist_ok=True)
    (root / "t.csv").write_text(text, encoding=encoding)
    return root / "t.csv"


def test_csv_with_everything(tmp_path: Path) -> None:
    touch(tmp_path, "im/a.jpg", "im/b.jpg")
    text = (
        "image_name,file,dx,patient_id,lesion_id,set,age_approx,gender,anatom_site_general\n"
        "a,im/a.jpg,melanoma,p,l,Train,45,F,Torso\n"
        "b,im\\b.jpg,NV,,,valid,N/A,,\n"
    )
    first, second = source(SourceKind.CSV, table(tmp_path, text, "utf-8-sig")).rows()
    assert (first.image_id, first.path, first.diagnosis, first.malignant) == ("a", "im/a.jpg", "mel", True)
    assert (first.patient, first.lesion, first.split) == ("p", "l", Split.TRAIN)
    assert (first.age, first.sex, first.site) == (45.0, "female", "torso")
    assert (second.path, second.split, second.age, second.patient) == (
        "im/b.jpg",
        Split.VALIDATION,
        None,
        None,
    )


def test_csv_of_isic_2020(tmp_path: Path) -> None:
    touch(tmp_path, "train/i1.jpg", "train/i2.jpg", "train/i3.jpg")
    text = (
        "image_name,patient_id,diagnosis,benign_malignant,target\n"
        "i1,p1,unknown,benign,0\ni2,p2,melanoma,malignant,1\ni3,p2,cafe-au-lait macule,benign,0\n"
    )
    rows = source(SourceKind.CSV, table(tmp_path, text)).rows()
    assert [row.diagnosis for row in rows] == ["benign", "mel", "benign"]
    assert [row.path for row in rows] == ["train/i1.jpg", "train/i2.jpg", "train/i3.jpg"]


def test_csv_whose_ids_are_file_names(tmp_path: Path) -> None:
    touch(tmp_path, "im/i1.jpg")
    (only,) = source(SourceKind.CSV, table(tmp_path, "image,dx\ni1.jpg,nv\n")).rows()
    assert (only.image_id, only.path) == ("i1.jpg", "im/i1.jpg")


def test_csv_with_ids_of_the_archive_in_any_spelling(tmp_path: Path) -> None:
    touch(tmp_path, "im/ISIC_0000040_downsampled.jpg", "im/ISIC_12345.jpg")
    text = "image,dx\nISIC_0000040_downsampled,nv\nISIC_12345.jpg,nv\n"
    rows = source(SourceKind.CSV, table(tmp_path, text)).rows()
    assert [row.image_id for row in rows] == ["ISIC_0000040", "ISIC_0012345"]
    twice = f"{text}isic_0012345,nv\n"
    touch(tmp_path, "im/isic_0012345.jpg")
    assert "image_id 'ISIC_0012345' was already used" in refused(SourceKind.CSV, table(tmp_path, twice))


def test_csv_with_paths_only(tmp_path: Path) -> None:
    touch(tmp_path, "x/1.jpg", "y/1.jpg")
    away = tmp_path / "y" / "1.jpg"
    rows = source(SourceKind.CSV, table(tmp_path, f"path,label\nx/1.jpg,1\n{away},false\n")).rows()
    assert {row.path: row.diagnosis for row in rows} == {"x/1.jpg": "malignant", str(away): "benign"}
    assert rows[0].image_id == f"s/{str(away)[1:-4]}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the table is empty"),
        ("path,dx\n", "a header and no rows"),
        ("path,dx,dx\na.jpg,nv,nv\n", "column 'dx' comes twice"),
        ("name,dx\na,nv\n", "no column for an image (image_id, image, "),
        ("path,name\na.jpg,nv\n", "no column for a label (diagnosis, dx, class, malignant"),
        ("path;dx\na.jpg;nv\n", "found path;dx"),
        ("path,dx\na.jpg,nv\nb.jpg,nv\nc.jpg,nv\n", "line 3: 2 of 3 images are not below"),
        ("path,dx\n../a.jpg,nv\n", "line 2: path '../a.jpg' leaves the table's folder"),
        ("path,dx\na.jpg,nv\na.jpg,mel\n", "line 3: image_id 's/a' was already used"),
        ("id,path,dx\n1,a.jpg,nv\n2,a.jpg,mel\n", "line 3: path 'a.jpg' was already used"),
        ("path,dx\na.jpg,nevos\n", "line 2: unknown diagnosis 'nevos'"),
        ("path,dx\na.jpg,\n", "line 2: unknown diagnosis ''"),
        ("path,target\na.jpg,7\n", "line 2: unknown diagnosis '7'"),
        ("path,dx,target\na.jpg,mel,0\n", "line 2: diagnosis 'mel' is malignant by data.malignant, but"),
        ("path,dx,split\na.jpg,nv,dev\n", "line 2: split is 'dev'"),
        ("path,dx,split\na.jpg,nv,train\nz/a.jpg,nv,\n", "1 of 2 rows have no split"),
        ("path,dx,age\na.jpg,nv,old\n", "line 2: age is 'old'"),
        ("path,dx,age\na.jpg,nv,-1\n", "line 2: age is '-1'"),
        ("path,dx,age\na.jpg,nv,inf\n", "line 2: age is 'inf'"),
        ("path,dx,sex\na.jpg,nv,x\n", "line 2: sex is 'x'"),
        ("image_id,dx\na,nv\n", "line 2: image a lies in two places: a.jpg, z/a.jpg"),
        ("image_id,dx\nq,nv\n", "line 2: 1 of 1 images are not below"),
        ('path,dx\n"a.jpg,nv\n', "expected comma-separated values"),
        ("path,dx\na.jpg,nv,3\n", "line 2: 3 cells, the header has 2"),
    ],
)
def test_csv_that_cannot_be_meant(tmp_path: Path, text: str, message: str) -> None:
    touch(tmp_path, "a.jpg", "z/a.jpg")
    assert message in refused(SourceKind.CSV, table(tmp_path, text))


def test_csv_in_another_encoding(tmp_path: Path) -> None:
    path = table(tmp_path, "path,dx,site\na.jpg,nv,Rücken\n", "latin-1")
    assert "t.csv, line 2: byte 0xfc is not UTF-8" in refused(SourceKind.CSV, path)
    assert "is not UTF-8" in refused(SourceKind.CSV, table(tmp_path, "path,dx\n", "utf-16"))


def test_csv_that_is_a_folder(tmp_path: Path) -> None:
    table(tmp_path, "path,dx\n")
    assert "is a folder with t.csv" in refused(SourceKind.CSV, tmp_path)


def test_fingerprint_sees_every_change_and_nothing_else(isic: Path) -> None:
    reader = source(SourceKind.ISIC2017, isic)
    before = reader.fingerprint()
    assert source(SourceKind.ISIC2017, isic).fingerprint() == before
    image = isic / "ISIC-2017_Training_Data" / "ISIC_00.jpg"
    image.write_bytes(b"another length")
    changed = reader.fingerprint()
    assert changed != before
    edit(isic / TRUTH, "0.0,1.0", "0,1")
    assert reader.fingerprint() not in (before, changed)


@pytest.mark.parametrize("kind", [SourceKind.ISIC2017, SourceKind.CSV])
def test_a_reader_can_be_sent_to_another_process(isic: Path, kind: SourceKind) -> None:
    if kind is SourceKind.CSV:
        isic = table(touch(isic, "a.jpg"), "path,dx\na.jpg,nv\n")
    reader = source(kind, isic)
    assert pickle.loads(pickle.dumps(reader)).rows() == reader.rows()


@pytest.mark.real
def test_real_isic2017(shared: Path) -> None:
    rows = source(SourceKind.ISIC2017, shared / "data" / "isic2017").rows()
    count = Counter(row.split for row in rows)
    melanoma = Counter(row.split for row in rows if row.diagnosis == "mel")
    assert [count[split] for split in Split] == [2000, 150, 600]
    assert [melanoma[split] for split in Split] == [374, 30, 117]


@pytest.mark.real
def test_real_ham10000(shared: Path) -> None:
    rows = source(SourceKind.HAM10000, shared / "data" / "ham10000").rows()
    assert len(rows) == len({row.lesion for row in rows}) == 5984
    assert sum(row.diagnosis == "mel" for row in rows) == 491
