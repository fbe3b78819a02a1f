"""Whole data sets from a real server: what is kept, what is refused, and what a person is told."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgekd.config import SourceKind
from edgekd.data.detect import detect_kind, open_folder
from edgekd.data.fetch import fetch
from edgekd.data.fetch_catalogue import COLLECTIONS, Collection, find_collection
from edgekd.errors import DataError, UnknownNameError, UsageError
from isic_layouts import FOLDERS, TABLES, YEARS, lay_out
from range_server import CUT, Site, serve

NAMES = tuple(COLLECTIONS)
LAST = "ISBI2016_ISIC_Part3_Test_Data.zip"


def packed(folder: Path, *, below: str = "") -> bytes:
    """A zip archive of the files of `folder`, below a folder of its name."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as bundle:
        for path in sorted(folder.rglob("*")):
            bundle.write(path, f"{below or folder.name}/{path.relative_to(folder)}")
    return memory.getvalue()


def published(root: Path, collection: Collection) -> dict[str, bytes]:
    """The files of `collection` as its publisher gives them, made from the layout in `root`."""
    found: dict[str, bytes] = {}
    for file in collection.files:
        source = root / (file.folder or file.name)
        if source.is_dir():
            found[file.name] = packed(source)
        elif source.is_file():
            found[file.name] = source.read_bytes()
    return found


def small(collection: Collection, files: Mapping[str, bytes], host: str) -> Collection:
    """`collection` as if `files` were what is published, at `host`."""
    known = [file for file in collection.files if file.name in files]
    digests = {file.name: file.digest.partition(":")[0] for file in known}
    made = [
        replace(
            file,
            size_bytes=len(files[file.name]),
            digest=file.digest and f"{digests[file.name]}:{_sum(digests[file.name], files[file.name])}",
        )
        for file in known
    ]
    return replace(collection, files=tuple(made), hosts=(host,))


def _sum(algorithm: str, data: bytes) -> str:
    return hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()


class Published(Site):
    """ISIC 2016 with six images, on a server."""

    collection: Collection


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Published]:
    files = published(lay_out(tmp_path, SourceKind.ISIC2016), COLLECTIONS["isic2016"])
    with serve(Published({f"/2016/{name}": data for name, data in files.items()})) as running:
        running.collection = small(COLLECTIONS["isic2016"], files, f"{running.url}/2016")
        yield running


@pytest.fixture
def to(tmp_path: Path) -> Path:
    return tmp_path / "data" / "isic2016"


def get(site: Published, to: Path, base_url: str = "") -> dict[str, Any]:
    fetch(site.collection, to, base_url=base_url, pause_s=0.0)
    return json.loads((to / "fetch.json").read_text())


def refused(site: Published, to: Path) -> str:
    with pytest.raises(DataError) as caught:
        get(site, to)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_data_set_arrives_and_can_be_read(site: Published, to: Path) -> None:
    record = get(site, to)
    assert detect_kind(to) is SourceKind.ISIC2016
    assert len(open_folder(to, SourceKind.ISIC2016, ("mel",)).rows()) == 6
    assert record["data_set"] == "isic2016"
    assert record["licence"] == "CC0 1.0, public domain"
    assert record["files"].keys() == {file.name for file in site.collection.files}
    last = record["files"][LAST]
    assert last["url"] == f"{site.url}/2016/{LAST}"
    assert last["sha256"] == hashlib.sha256((to / LAST).read_bytes()).hexdigest()
    assert last["unpacked"]["files"] == 3
    assert not list(to.glob(".*")) + list(to.glob("*.part*"))


def test_repeated_it_asks_for_nothing(site: Published, to: Path) -> None:
    before = get(site, to)
    asked = len(site.asked)
    (to / LAST).unlink()
    assert get(site, to) == before
    assert len(site.asked) == asked
    assert not (to / LAST).exists()


def test_what_is_missing_is_got_again_and_compared(site: Published, to: Path) -> None:
    get(site, to)
    (to / LAST).unlink()
    shutil.rmtree(to / LAST.removesuffix(".zip"))
    get(site, to)
    assert len(list((to / LAST.removesuffix(".zip")).iterdir())) == 3
    (to / LAST).unlink()
    shutil.rmtree(to / LAST.removesuffix(".zip"))
    site.files[f"/2016/{LAST}"] += b"more"
    found = refused(site, to)
    assert "its sha256 is" in found
    assert "when it was first fetched" in found
    assert found.endswith("gave it and it was deleted")
    assert not list(to.glob(f"{LAST}*"))


def test_an_interrupted_fetch_goes_on(site: Published, to: Path) -> None:
    site.script = [0, 0, CUT, *[503] * 4]
    found = refused(site, to)
    assert "the connection broke 5 times in a row" in found
    assert f"download ISBI2016_ISIC_Part3_Training_Data.zip, {LAST} from https://challenge" in found
    assert len(json.loads((to / "fetch.json").read_text())["files"]) == 2
    site.asked.clear()
    get(site, to)
    assert [wanted is not None for _, wanted in site.asked] == [True, False]
    assert len(open_folder(to, SourceKind.ISIC2016, ("mel",)).rows()) == 6


def test_the_second_address_has_what_the_first_has_not(site: Published, to: Path) -> None:
    (host,) = site.collection.hosts
    site.collection = replace(site.collection, hosts=(f"{site.url}/gone", host))
    assert get(site, to)["files"][LAST]["url"] == f"{host}/{LAST}"


def test_the_first_address_does_not_cost_what_the_second_gave(site: Published, to: Path) -> None:
    (host,) = site.collection.hosts
    site.collection = replace(site.collection, hosts=(f"{site.url}/gone", host))
    site.script = [404, 0, 404, 0, 404, CUT, *[503] * 4]
    assert "the connection broke 5 times in a row" in refused(site, to)
    site.asked.clear()
    get(site, to)
    ranges = [wanted for path, wanted in site.asked if path.startswith("/2016/")]
    assert [wanted is not None for wanted in ranges] == [True, False]


def test_a_mirror_holds_the_files_by_their_names(site: Published, to: Path) -> None:
    site.collection = replace(site.collection, hosts=("http://127.0.0.1:1",))
    get(site, to, base_url=f"{site.url}/2016/")
    with pytest.raises(UsageError, match="expected http"):
        get(site, to, base_url="file:///data")


@pytest.mark.parametrize("change", [lambda data: data[:-1] + b"x", lambda data: data + b"x"])
def test_a_wrong_checksum_is_refused_and_nothing_kept(site: Published, to: Path, change: Any) -> None:
    name = "ISBI2016_ISIC_Part3_Training_GroundTruth.csv"
    site.files[f"/2016/{name}"] = change(site.files[f"/2016/{name}"])
    assert f"{name}.part: its sha256 is " in refused(site, to)
    assert list(to.iterdir()) == []


def test_a_size_that_is_known_is_checked(site: Published, to: Path) -> None:
    files = tuple(replace(file, exact=True, digest="") for file in site.collection.files)
    site.collection = replace(site.collection, files=files)
    site.files[f"/2016/{LAST}"] += b"x"
    assert f"bytes, expected {files[-1].size_bytes:,}" in refused(site, to)


@pytest.mark.parametrize("data", [b"<html>log in first</html>", b"PK\x03\x04 cut off"])
def test_a_page_instead_of_an_archive_is_refused(site: Published, to: Path, data: bytes) -> None:
    site.files[f"/2016/{LAST}"] = data
    assert f"{LAST}.part: not a whole zip archive; {site.url}" in refused(site, to)
    assert not list(to.glob(f"{LAST}*"))


def test_a_page_instead_of_a_table_is_refused(site: Published, to: Path) -> None:
    site.files["/2016/ISBI2016_ISIC_Part3_Test_GroundTruth.csv"] = b"\n<!DOCTYPE html>"
    assert "GroundTruth.csv.part: not a table" in refused(site, to)


def test_a_hostile_archive_is_refused(site: Published, to: Path) -> None:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as bundle:
        bundle.writestr("../evil.jpg", b"evil")
    site.files[f"/2016/{LAST}"] = memory.getvalue()
    assert "would leave the folder it is unpacked into: nothing was unpacked" in refused(site, to)
    assert not list(to.parent.rglob("evil*"))


def test_a_missing_file_says_what_to_do_by_hand(site: Published, to: Path) -> None:
    del site.files[f"/2016/{LAST}"]
    found = refused(site, to)
    assert f"{LAST}: the server answers 404 Not Found. To do it by hand: download {LAST} from " in found
    assert f"https://challenge.isic-archive.com/data/#2016 into {to} and repeat" in found


def test_what_was_put_there_by_hand_is_checked_and_unpacked(site: Published, to: Path) -> None:
    to.mkdir(parents=True)
    for path, data in site.files.items():
        (to / path.removeprefix("/2016/")).write_bytes(data)
    record = get(site, to)
    assert site.asked == []
    assert record["files"][LAST]["url"] == ""
    assert len(open_folder(to, SourceKind.ISIC2016, ("mel",)).rows()) == 6
    (to / "ISBI2016_ISIC_Part3_Test_GroundTruth.csv").write_text("edited")
    assert "when it was first fetched" in refused(site, to)
    assert (to / "ISBI2016_ISIC_Part3_Test_GroundTruth.csv").read_text() == "edited"


def test_a_folder_holds_one_data_set(site: Published, to: Path) -> None:
    get(site, to)
    with pytest.raises(UsageError, match="holds isic2016; choose a folder of its own for isic2017"):
        fetch(COLLECTIONS["isic2017"], to)
    with pytest.raises(UsageError, match=r"fetch.json is a file, expected a folder for isic2017"):
        fetch(COLLECTIONS["isic2017"], to / "fetch.json")
    (to / "fetch.json").write_text("{")
    assert "fetch.json: cannot be read" in refused(site, to)


@pytest.mark.parametrize("kind", YEARS)
def test_every_year_can_be_read_where_it_was_unpacked(kind: SourceKind, tmp_path: Path) -> None:
    collection = COLLECTIONS[kind.value]
    root = lay_out(tmp_path, kind)
    if kind is SourceKind.ISIC2020:
        name = "ISIC_2020_Training_GroundTruth"
        (root / f"{name}.csv").rename(root / f"{name}_v2.csv")
    if kind is SourceKind.ISIC2018:
        truth = root / "ISIC2018_Task3_Training_GroundTruth"
        truth.mkdir()
        truth.with_suffix(".csv").rename(truth / f"{truth.name}.csv")
    files = published(root, collection)
    assert len(files) >= len(FOLDERS[kind]) + 1
    with serve(Site({f"/{name}": data for name, data in files.items()})) as site:
        fetch(small(collection, files, site.url), tmp_path / "to", pause_s=0.0)
    rows = open_folder(tmp_path / "to", detect_kind(tmp_path / "to"), ("mel",)).rows()
    assert rows == tuple(replace(row, source="to") for row in open_folder(root, kind, ("mel",)).rows())


def test_every_catalogued_file_is_one_its_reader_wants() -> None:
    assert NAMES == ("isic2016", "isic2017", "isic2018", "isic2019", "isic2020", "ham10000")
    for kind in YEARS:
        files = COLLECTIONS[kind.value].files
        folders = {file.folder for file in files if file.folder}
        tables = {file.name for file in files if not file.folder}
        for name in TABLES[kind]:
            known = {name, f"{Path(name).stem}_v2.csv"} & tables
            assert known or name.split("/")[0].removesuffix(".csv") in folders, name
        assert set(FOLDERS[kind]) <= folders
    with pytest.raises(UnknownNameError, match="did you mean isic2016"):
        find_collection("isic16")


def edgekd(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from edgekd.cli.app import main; main()", "data", "fetch", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_the_command_lists_without_asking(tmp_path: Path) -> None:
    done = edgekd("ham10000", "--to", str(tmp_path / "ham"), "--dry-run")
    assert done.returncode == 0
    assert "CC BY-NC 4.0: attribution, no commercial use" in done.stdout
    assert "HAM10000_images_part_1.zip  1,366,522,108  md5" in done.stdout
    assert not (tmp_path / "ham").exists()
    listed = json.loads(edgekd("isic2020", "--to", str(tmp_path), "--dry-run", "--json").stdout)
    assert listed["licence"].startswith("CC BY-NC 4.0")
    assert [one["there"] for one in listed["files"]] == [False] * 3
    assert listed["files"][2]["url"].endswith("/2020/ISIC_2020_Training_JPEG.zip")


def test_the_command_without_a_network_says_what_to_do(tmp_path: Path) -> None:
    done = edgekd("isic2017", "--to", str(tmp_path / "d"), "--base-url", "http://127.0.0.1:1")
    assert done.returncode == 4
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("edgekd: ")]
    assert "cannot be reached" in line
    assert "ISIC-2017_Training_Data.zip from https://challenge.isic-archive.com/data/#2017 into" in line
    assert edgekd("isic2021", "--to", str(tmp_path)).returncode == 2


def test_the_command_fetches(tmp_path: Path) -> None:
    root = lay_out(tmp_path, SourceKind.ISIC2020)
    name = "ISIC_2020_Training_GroundTruth"
    (root / f"{name}.csv").rename(root / f"{name}_v2.csv")
    files = published(root, COLLECTIONS["isic2020"])
    to = tmp_path / "to"
    with serve(Site({f"/{name}": data for name, data in files.items()})) as site:
        done = edgekd("isic2020", "--to", str(to), "--base-url", site.url)
    assert done.returncode == 0, done.stderr
    assert "isic2020: CC BY-NC 4.0: attribution, no commercial use; cite International" in done.stderr
    assert f"next: edgekd data inspect {to}" in done.stdout
    assert len(open_folder(to, SourceKind.ISIC2020, ("mel",)).rows()) == 8
