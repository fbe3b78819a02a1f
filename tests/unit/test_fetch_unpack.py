"""Archives from elsewhere: the good ones whole, the hostile ones not at all."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from edgekd.data import fetch_unpack
from edgekd.data.fetch_unpack import Tree, tree_of, unpack
from edgekd.errors import DataError

GOOD = {"train/a.jpg": b"one", "train/sub/b.jpg": b"four", "train/LICENSE.txt": b"five5"}


def pack(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as bundle:
        for name, data in members.items():
            bundle.writestr(name, data)
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def refused(archive: Path) -> str:
    """The message; nothing may have been written."""
    before = sorted(archive.parent.rglob("*"))
    with pytest.raises(DataError) as caught:
        unpack(archive, archive.parent / "train")
    assert sorted(archive.parent.rglob("*")) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_archive_becomes_one_folder(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", {**GOOD, "__MACOSX/x": b"", "train/.DS_Store": b""})
    found = unpack(archive, tmp_path / "train")
    assert found == Tree(folder="train", files=3, size_bytes=12)
    assert files(tmp_path / "train") == {"a.jpg": b"one", "sub/b.jpg": b"four", "LICENSE.txt": b"five5"}
    assert tree_of(tmp_path / "train") == found
    assert tree_of(tmp_path / "other") is None


def test_a_flat_archive_is_put_into_the_folder(tmp_path: Path) -> None:
    unpack(pack(tmp_path / "a.zip", {"a.jpg": b"one", "train": b"a file"}), tmp_path / "train")
    assert files(tmp_path / "train") == {"a.jpg": b"one", "train": b"a file"}


def test_what_is_there_already_is_compared_and_not_touched(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", GOOD)
    unpack(archive, tmp_path / "train")
    (tmp_path / "train" / "mine.txt").write_text("mine")
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    unpack(archive, tmp_path / "train")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == times
    (tmp_path / "train" / "a.jpg").unlink()
    assert "1 of 3 files of a.zip are missing or of another size, a.jpg first; move the folder" in refused(
        archive
    )


def test_what_a_killed_attempt_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".train.part").mkdir()
    (tmp_path / ".train.part" / "half.jpg").write_bytes(b"ha")
    unpack(pack(tmp_path / "a.zip", GOOD), tmp_path / "train")
    assert len(files(tmp_path / "train")) == 3
    assert not (tmp_path / ".train.part").exists()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../evil.jpg", "would leave the folder"),
        ("train/../../evil.jpg", "would leave the folder"),
        ("/tmp/evil.jpg", "would leave the folder"),  # noqa: S108
        ("..\\evil.jpg", "would leave the folder"),
        ("C:/evil.jpg", "would leave the folder"),
        ("a.jpg", "comes twice"),
        (f"{'ö' * 128}.jpg", "has too long a name"),
        ("train/a.jpg/b.jpg", "lies below a file"),
    ],
)
def test_hostile_names_are_refused(tmp_path: Path, name: str, why: str) -> None:
    found = refused(pack(tmp_path / "a.zip", {**GOOD, name: b"evil"}))
    assert why in found
    assert found.endswith(": nothing was unpacked")


def test_links_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as bundle:
        link = zipfile.ZipInfo("train/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        bundle.writestr(link, "/etc/passwd")
    assert "'train/link' is a link" in refused(tmp_path / "a.zip")


def test_encrypted_members_are_refused(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", {"a.jpg": b"one"})
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)
    assert "'a.jpg' is encrypted" in refused(archive)


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = pack(tmp_path / "a.zip", {"train/a.jpg": bytes(5_000_000)}, zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(fetch_unpack, "SLACK_BYTES", 0)
    assert "1 files of 5,000,000 bytes would come out of " in refused(archive)
    monkeypatch.setattr(fetch_unpack, "SLACK_BYTES", 10**7)
    monkeypatch.setattr(fetch_unpack, "MAX_MEMBERS", 0)
    assert "expected at most 0 files" in refused(archive)


def test_a_bomb_that_lies_about_its_size_is_stopped(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", {"train/a.jpg": bytes(5_000_000)}, zipfile.ZIP_DEFLATED)
    data = bytearray(archive.read_bytes())
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = (1000).to_bytes(4, "little")
    archive.write_bytes(data)
    with pytest.raises(DataError, match="not a whole zip archive"):
        unpack(archive, tmp_path / "train")
    assert not (tmp_path / "train").exists()
    assert sum(path.stat().st_size for path in (tmp_path / ".train.part").iterdir()) <= 1000


@pytest.mark.parametrize("keep", [0, 10, 0.5])
def test_half_an_archive_is_refused(tmp_path: Path, keep: float) -> None:
    archive = pack(tmp_path / "a.zip", GOOD)
    data = archive.read_bytes()
    archive.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    assert "not a whole zip archive" in refused(archive)


def test_a_damaged_member_is_refused(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", GOOD)
    archive.write_bytes(archive.read_bytes().replace(b"four", b"fuor"))
    with pytest.raises(DataError, match="not a whole zip archive .*CRC"):
        unpack(archive, tmp_path / "train")
    assert not (tmp_path / "train").exists()


def test_an_empty_archive_is_refused(tmp_path: Path) -> None:
    assert "there is no file in it" in refused(pack(tmp_path / "a.zip", {"train/": b""}))
