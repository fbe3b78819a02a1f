"""Made data sets of every layout, several at once: what is kept shares nothing across splits.

The tables have patients, lesions, images under one id in several data sets, copies under other ids, and
copies that were resized, compressed or turned; the official parts contradict each other as they like.
"""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekd.config import DataConfig, SourceConfig, SourceKind
from edgekd.data.audit import gather_facts, links_of
from edgekd.data.leaks import Dropped, leak_drops
from edgekd.data.source import open_source
from edgekd.data.split import assign_splits
from edgekd.data.table import Row, Split
from skin_pictures import VERSIONS, encoded, picture

PICTURES = 12
PX = 96


@dataclass(frozen=True)
class Made:
    """One image: its number in the archive, what it shows and how, and what a table may say of it."""

    number: int
    shows: int
    version: int
    ill: bool
    unknown: bool
    patient: int
    lesion: int
    part: int

    @property
    def id(self) -> str:
        return f"ISIC_{self.number:07d}"


@functools.cache
def file_of(shows: int, version: int) -> bytes:
    return encoded(picture(shows, PX), version)


def put(folder: Path, image: Made, name: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name or image.id}.jpg").write_bytes(file_of(image.shows, image.version))


def table(path: Path, head: str, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in ([head] if head else []) + list(lines)))


def parts(images: Sequence[Made], names: Sequence[str]) -> Iterator[tuple[str, list[Made]]]:
    """The images of each part: one at least, then wherever each wants to be."""
    for number, name in enumerate(names):
        yield (
            name,
            [
                image
                for at, image in enumerate(images)
                if (at if at < len(names) else image.part % len(names)) == number
            ],
        )


def isic2016(root: Path, images: Sequence[Made]) -> None:
    for part, inside in parts(images, ("Training", "Test")):
        name = f"ISBI2016_ISIC_Part3_{part}"
        table(root / f"{name}_GroundTruth.csv", "", [f"{one.id},{int(one.ill)}" for one in inside])
        for one in inside:
            put(root / f"{name}_Data", one)


def isic2017(root: Path, images: Sequence[Made]) -> None:
    for part, inside in parts(images, ("Training", "Validation", "Test_v2")):
        name = f"ISIC-2017_{part}"
        table(
            root / f"{name}_Part3_GroundTruth.csv",
            "image_id,melanoma,seborrheic_keratosis",
            [f"{one.id},{int(one.ill)},0" for one in inside],
        )
        table(
            root / f"{name}_Data" / f"{name}_Data_metadata.csv",
            "image_id,age_approximate,sex",
            [f"{one.id},unknown,male" for one in inside],
        )
        for one in inside:
            put(root / f"{name}_Data", one)


def isic2018(root: Path, images: Sequence[Made]) -> None:
    for part, inside in parts(images, ("Training", "Validation", "Test")[: 1 + 2 * (images[0].part % 2)]):
        name = f"ISIC2018_Task3_{part}"
        table(
            root / f"{name}_GroundTruth.csv",
            "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC",
            [f"{one.id},{int(one.ill)},{int(not one.ill)},0,0,0,0,0" for one in inside],
        )
        table(
            root / f"{name}_LesionGroupings.csv",
            "image,lesion_id",
            [f"{one.id},HAM_{one.lesion}" for one in inside],
        )
        for one in inside:
            put(root / f"{name}_Input", one)


def isic2019(root: Path, images: Sequence[Made]) -> None:
    for part, inside in parts(images, ("Training", "Test")[: 1 + images[0].part % 2]):
        name, files = (
            f"ISIC_2019_{part}",
            {one: one.id + "_downsampled" * (one.version == 1) for one in inside},
        )
        table(
            root / f"{name}_GroundTruth.csv",
            "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK",
            [
                f"{files[one]},{int(one.ill and not one.unknown)},{int(not one.ill and not one.unknown)},"
                f"0,0,0,0,0,0,{int(one.unknown)}"
                for one in inside
            ],
        )
        table(
            root / f"{name}_Metadata.csv",
            "image,age_approx,anatom_site_general,lesion_id,sex",
            [f"{files[one]},,,{f'HAM_{one.lesion}' if one.lesion else ''}," for one in inside],
        )
        for one in inside:
            put(root / f"{name}_Input", one, files[one])


def isic2020(root: Path, images: Sequence[Made]) -> None:
    table(
        root / "ISIC_2020_Training_GroundTruth.csv",
        "image_name,patient_id,sex,age_approx,anatom_site_general_challenge,diagnosis,benign_malignant,target",
        [
            f"{one.id},IP_{one.patient},,,,unknown,{'malignant,1' if one.ill else 'benign,0'}"
            for one in images
        ],
    )
    first: dict[tuple[int, int], Made] = {}
    for one in images:
        first.setdefault((one.shows, one.patient), one)
    pairs = [(first[one.shows, one.patient].id, one.id) for one in images]
    table(
        root / "ISIC_2020_Training_Duplicates.csv",
        "image_name_1,image_name_2",
        ["ISIC_0,ISIC_1", *(f"{a},{b}" for a, b in pairs if a != b)],
    )
    for one in images:
        put(root / "train", one)


def ham10000(root: Path, images: Sequence[Made]) -> None:
    table(
        root / "HAM10000_metadata.csv",
        "lesion_id,image_id,dx,dx_type,age,sex,localization",
        [f"HAM_{one.lesion},{one.id},{'mel' if one.ill else 'nv'},histo,,," for one in images],
    )
    for one in images:
        put(root / "HAM10000_images", one)


def csv(root: Path, images: Sequence[Made]) -> None:
    table(
        root / "table.csv",
        "image,dx,patient_id,lesion_id",
        [
            f"{one.id},{'mel' if one.ill else 'nv'},{f'IP_{one.patient}' if one.patient else ''},"
            f"{f'HAM_{one.lesion}' if one.lesion else ''}"
            for one in images
        ],
    )
    for one in images:
        put(root / "images", one)


def folders(root: Path, images: Sequence[Made]) -> None:
    for split, inside in parts(images, ("train", "validation", "test")):
        for one in inside:
            put(root / split / ("melanoma" if one.ill else "nevus"), one)


WRITERS: Mapping[SourceKind, Callable[[Path, Sequence[Made]], None]] = {
    SourceKind.ISIC2016: isic2016,
    SourceKind.ISIC2017: isic2017,
    SourceKind.ISIC2018: isic2018,
    SourceKind.ISIC2019: isic2019,
    SourceKind.ISIC2020: isic2020,
    SourceKind.HAM10000: ham10000,
    SourceKind.CSV: csv,
    SourceKind.FOLDERS: folders,
}
IMAGES = st.lists(
    st.builds(
        Made,
        number=st.integers(2, 30),
        shows=st.integers(0, PICTURES - 1),
        version=st.integers(0, VERSIONS - 1),
        ill=st.booleans(),
        unknown=st.booleans(),
        patient=st.integers(0, 5),
        lesion=st.integers(0, 5),
        part=st.integers(0, 5),
    ),
    min_size=3,
    max_size=12,
    unique_by=lambda one: one.number,
)


@dataclass(frozen=True)
class Kept:
    """What came of several data sets, and what each image of theirs shows."""

    rows: Sequence[Row]
    dropped: Sequence[Dropped]
    shown: Mapping[tuple[str, str], int]


def keep(made: Sequence[tuple[SourceKind, Sequence[Made]]], seed: int, root: Path) -> Kept:
    """Write the data sets, read them, divide them, and drop what connects two splits."""
    sources, shown = [], {}
    for number, (kind, images) in enumerate(made):
        name = f"{kind}_{number}"
        WRITERS[kind](root / name, images)
        place = root / name / ("table.csv" if kind is SourceKind.CSV else "")
        sources.append(SourceConfig(name=name, kind=kind, root=str(place)))
        shown |= {(name, one.id): one.shows for one in images}
    config = DataConfig(sources=tuple(sources), malignant=("mel",))
    readers = {one.name: open_source(one, malignant=("mel",), seed=1) for one in sources}
    rows = [row for reader in readers.values() for row in reader.rows()]
    left_out = [one for reader in readers.values() for one in reader.left_out()]
    found = assign_splits(rows, config, seed, left_out)
    facts = [
        fact
        for name, reader in readers.items()
        for fact in gather_facts(reader, [row for row in found.rows if row.source == name], workers=1)
    ]
    leaks = leak_drops(found.rows, links_of(facts))
    gone = {one.image_id for one in leaks}
    kept = [row for row in found.rows if row.image_id not in gone]
    return Kept(kept, (*found.dropped, *leaks), shown)


def archive_id(image_id: str) -> str:
    """The id in the archive, of which a folder's images have lost the sight."""
    return image_id.rpartition("/")[2]


def check(kept: Kept) -> None:
    places: dict[tuple[str, object], set[Split | None]] = defaultdict(set)
    for row in kept.rows:
        keys = {
            "id": row.image_id,
            "picture": kept.shown[row.source, archive_id(row.image_id)],
            "patient": row.patient,
            "lesion": row.lesion,
        }
        for what, key in keys.items():
            if key is not None:
                places[what, key].add(row.split)
    assert {key: splits for key, splits in places.items() if len(splits) > 1} == {}
    told = [(row.source, archive_id(row.image_id)) for row in (*kept.rows, *kept.dropped)]
    assert sorted(told) == sorted(kept.shown)


@pytest.mark.parametrize("kind", WRITERS)
@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow])
@given(first=IMAGES, second=IMAGES, other=st.sampled_from(list(WRITERS)), seed=st.integers(0, 5))
def test_no_reader_leaks(
    kind: SourceKind, first: list[Made], second: list[Made], other: SourceKind, seed: int
) -> None:
    with tempfile.TemporaryDirectory() as root:
        check(keep([(kind, first), (other, second)], seed, Path(root)))


@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(list(WRITERS)), IMAGES), min_size=3, max_size=4), st.integers(0, 5))
def test_no_mixture_leaks(made: list[tuple[SourceKind, list[Made]]], seed: int) -> None:
    with tempfile.TemporaryDirectory() as root:
        check(keep(made, seed, Path(root)))


def test_the_check_sees_a_leak(tmp_path: Path) -> None:
    images = [Made(n, n % 3, 0, n % 2 == 0, False, n, n, n) for n in range(2, 11)]
    kept = keep([(SourceKind.ISIC2017, images)], 1, tmp_path)
    check(kept)
    assert kept.dropped
    shutil.rmtree(tmp_path / "isic2017_0")
    every = [
        Row(
            image_id=one.image_id,
            path="",
            diagnosis="nv",
            malignant=False,
            split=one.split,
            source=one.source,
        )
        for one in kept.dropped
    ]
    with pytest.raises(AssertionError):
        check(Kept([*kept.rows, *every], (), kept.shown))
