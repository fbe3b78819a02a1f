"""What `edgekd data fetch` can get: the files of each data set, where they are published, and on what terms.

Names, sizes and licences are those of the download page of the ISIC challenges and of the Harvard Dataverse,
seen in November 2026. The challenges publish no checksums and sizes rounded to three digits; Dataverse
publishes both. A digest stands here only if its publisher gives it, or if two independent copies agree on it
(the training table of 2016).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgekd.config import SourceKind
from edgekd.errors import UnknownNameError

_KB, _MB, _GB = 1 << 10, 1 << 20, 1 << 30
_HOSTS = (
    "https://isic-archive.s3.amazonaws.com/challenges",
    "https://isic-challenge-data.s3.amazonaws.com",
)
_PAGE = "https://challenge.isic-archive.com/data"
_CC0 = "CC0 1.0, public domain"
_NON_COMMERCIAL = "CC BY-NC 4.0: attribution, no commercial use"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """One file to download; `size_bytes` is rounded unless `exact`.

    `digest`: `md5:…` or `sha256:…` as published, or empty. `address`: what stands for the name in the
    publisher's own address. `folder`: where a zip archive is unpacked, the folder the reader expects.
    """

    name: str
    size_bytes: int
    exact: bool = False
    digest: str = ""
    address: str = ""
    folder: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A data set: its files, the addresses that hold them (tried in turn), licence, page and citation."""

    kind: SourceKind
    hosts: tuple[str, ...]
    files: tuple[RemoteFile, ...]
    licence: str
    page: str
    cite: str


def _challenge(year: int, licence: str, cite: str, *files: RemoteFile) -> Collection:
    return Collection(
        kind=SourceKind(f"isic{year}"),
        hosts=tuple(f"{host}/{year}" for host in _HOSTS),
        files=files,
        licence=licence,
        page=f"{_PAGE}/#{year}",
        cite=cite,
    )


def _zip(folder: str, size_bytes: float, archive: str = "") -> RemoteFile:
    return RemoteFile(name=f"{archive or folder}.zip", size_bytes=int(size_bytes), folder=folder)


def _table(name: str, size_bytes: int, digest: str = "") -> RemoteFile:
    return RemoteFile(name=f"{name}.csv", size_bytes=size_bytes, digest=digest)


_ISIC2016 = _challenge(
    2016,
    _CC0,
    "Gutman et al. 2016, arXiv:1605.01397",
    _table(
        "ISBI2016_ISIC_Part3_Training_GroundTruth",
        19_419,
        "sha256:0ffadd63b7cec650cddfbe5df54d1d3167453fe6004c2bbf05824184b0c4d405",
    ),
    _table("ISBI2016_ISIC_Part3_Test_GroundTruth", 7 * _KB),
    _zip("ISBI2016_ISIC_Part3_Training_Data", 602 * _MB),
    _zip("ISBI2016_ISIC_Part3_Test_Data", 232 * _MB),
)
_ISIC2017 = _challenge(
    2017,
    _CC0,
    "Codella et al. 2017, arXiv:1710.05006",
    _table("ISIC-2017_Training_Part3_GroundTruth", 43 * _KB),
    _table("ISIC-2017_Validation_Part3_GroundTruth", 3 * _KB),
    _table("ISIC-2017_Test_v2_Part3_GroundTruth", 13 * _KB),
    _zip("ISIC-2017_Validation_Data", 878 * _MB),
    _zip("ISIC-2017_Test_v2_Data", 5.4 * _GB),
    _zip("ISIC-2017_Training_Data", 5.8 * _GB),
)
_ISIC2018 = _challenge(
    2018,
    _NON_COMMERCIAL,
    "Codella et al. 2018, arXiv:1902.03368; Tschandl et al. 2018, doi:10.1038/sdata.2018.161",
    _table("ISIC2018_Task3_Training_LesionGroupings", 481 * _KB),
    _zip("ISIC2018_Task3_Training_GroundTruth", 36 * _KB),
    _zip("ISIC2018_Task3_Validation_GroundTruth", 7 * _KB),
    _zip("ISIC2018_Task3_Test_GroundTruth", 16 * _KB),
    _zip("ISIC2018_Task3_Validation_Input", 51 * _MB),
    _zip("ISIC2018_Task3_Test_Input", 401 * _MB),
    _zip("ISIC2018_Task3_Training_Input", 2.6 * _GB),
)
_ISIC2019 = _challenge(
    2019,
    _NON_COMMERCIAL,
    "Tschandl et al. 2018, doi:10.1038/sdata.2018.161; Codella et al. 2017, arXiv:1710.05006; "
    "Hernández-Pérez et al. 2024, doi:10.1038/s41597-024-03387-w",
    _table("ISIC_2019_Training_GroundTruth", 1 * _MB),
    _table("ISIC_2019_Training_Metadata", 1 * _MB),
    _table("ISIC_2019_Test_GroundTruth", 454 * _KB),
    _table("ISIC_2019_Test_Metadata", 287 * _KB),
    _zip("ISIC_2019_Test_Input", 3.6 * _GB),
    _zip("ISIC_2019_Training_Input", 9.1 * _GB),
)
_ISIC2020 = _challenge(
    2020,
    _NON_COMMERCIAL,
    "International Skin Imaging Collaboration 2020, doi:10.34970/2020-ds01; Rotemberg et al. 2021, "
    "doi:10.1038/s41597-021-00815-z",
    _table("ISIC_2020_Training_GroundTruth_v2", 2 * _MB),
    _table("ISIC_2020_Training_Duplicates", 11 * _KB),
    _zip("train", 23 * _GB, archive="ISIC_2020_Training_JPEG"),
)
# Dataverse serves a table it has converted unless asked for the original, which its checksum is of.
_HAM10000 = Collection(
    kind=SourceKind.HAM10000,
    hosts=("https://dataverse.harvard.edu/api/access/datafile",),
    files=(
        RemoteFile(
            name="HAM10000_metadata.csv",
            size_bytes=690_218,
            exact=True,
            digest="md5:8f85fb1aa29d80a2797247e434deb79d",
            address="4338392?format=original",
        ),
        RemoteFile(
            name="HAM10000_images_part_1.zip",
            size_bytes=1_366_522_108,
            exact=True,
            digest="md5:4639bfa73ab251610530a97c898e6e46",
            address="3172585",
            folder="HAM10000_images_part_1",
        ),
        RemoteFile(
            name="HAM10000_images_part_2.zip",
            size_bytes=1_403_566_547,
            exact=True,
            digest="md5:da43d6cc50f6613013be07e8986b384b",
            address="3172584",
            folder="HAM10000_images_part_2",
        ),
    ),
    licence=_NON_COMMERCIAL,
    page="https://doi.org/10.7910/DVN/DBW86T",
    cite="Tschandl et al. 2018, doi:10.1038/sdata.2018.161",
)

COLLECTIONS: Mapping[str, Collection] = {
    one.kind.value: one for one in (_ISIC2016, _ISIC2017, _ISIC2018, _ISIC2019, _ISIC2020, _HAM10000)
}


def find_collection(name: str) -> Collection:
    """The data set `name`.

    Raises:
        UnknownNameError: there is none of that name to be had.
    """
    if name not in COLLECTIONS:
        raise UnknownNameError("data set", name, COLLECTIONS)
    return COLLECTIONS[name]
