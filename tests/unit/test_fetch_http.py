"""Downloads from a real server that drops connections, forgets versions and refuses."""

from __future__ import annotations

import fcntl
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from edgekd.data.fetch_http import NotThereError, UnreachableError, check_url, download, finish, forget
from edgekd.errors import RunBusyError, StorageError, UsageError
from range_server import CUT, Site, serve

WHOLE = np.random.default_rng(5).bytes(3_000_000)
OTHER = np.random.default_rng(6).bytes(2_500_000)


@pytest.fixture
def site() -> Iterator[Site]:
    with serve(Site({"/a.zip": WHOLE})) as running:
        yield running


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "a.zip.part"


def get(site: Site, part: Path, name: str = "a.zip") -> None:
    download(f"{site.url}/{name}", part, size_bytes=10, pause_s=0.0)


def begin(site: Site, part: Path) -> int:
    """Let an attempt end half way; how many bytes it left."""
    site.script = [CUT, 503, 503, 503, 503, 503]
    with pytest.raises(UnreachableError, match=r"broke 5 times in a row .*503.* bytes are kept in"):
        get(site, part)
    site.script.clear()
    site.asked.clear()
    return part.stat().st_size


def test_a_file_is_downloaded_and_gets_its_name(site: Site, part: Path) -> None:
    get(site, part)
    assert part.read_bytes() == WHOLE
    assert site.asked == [("/a.zip", None)]
    finish(part, part.with_name("a.zip"))
    assert [path.name for path in part.parent.iterdir()] == ["a.zip"]


def test_a_dropped_connection_is_made_again_for_the_rest(site: Site, part: Path) -> None:
    site.script = [CUT, CUT, 503]
    get(site, part)
    assert part.read_bytes() == WHOLE
    assert [wanted for _, wanted in site.asked] == [None, "bytes=1500000-", *["bytes=2250000-"] * 2]
    assert site.sent == len(WHOLE)


def test_a_later_attempt_goes_on_where_the_last_one_ended(site: Site, part: Path) -> None:
    assert begin(site, part) == 1_500_000
    get(site, part)
    assert part.read_bytes() == WHOLE
    assert site.asked == [("/a.zip", "bytes=1500000-")]


def test_what_is_whole_is_not_asked_for_again(site: Site, part: Path) -> None:
    get(site, part)
    get(site, part)
    assert len(site.asked) == 1
    forget(part)
    assert list(part.parent.iterdir()) == []


@pytest.mark.parametrize("conditions", [True, False])
def test_a_file_that_changed_meanwhile_is_begun_anew(site: Site, part: Path, conditions: bool) -> None:
    begin(site, part)
    site.conditions = conditions
    site.files["/a.zip"] = OTHER
    get(site, part)
    assert part.read_bytes() == OTHER


def test_bytes_of_another_address_are_not_mixed_in(site: Site, part: Path) -> None:
    begin(site, part)
    site.files["/b.zip"] = OTHER
    get(site, part, "b.zip")
    assert part.read_bytes() == OTHER
    assert site.asked == [("/b.zip", None)]


@pytest.mark.parametrize(("ranges", "tags"), [(False, True), (True, False), (False, False)])
def test_a_server_that_cannot_go_on_begins_anew(ranges: bool, tags: bool, part: Path) -> None:
    with serve(Site({"/a.zip": WHOLE}, script=[CUT], ranges=ranges, tags=tags)) as site:
        get(site, part)
        assert part.read_bytes() == WHOLE
        assert site.sent == len(WHOLE) + len(WHOLE) // 2
        assert [wanted for _, wanted in site.asked] == [None, "bytes=1500000-" if tags else None]


def test_bytes_after_the_end_are_no_part_of_it(site: Site, part: Path) -> None:
    get(site, part)
    with part.open("ab") as file:
        file.write(b"from elsewhere")
    get(site, part)
    assert part.read_bytes() == WHOLE


def test_what_is_promised_and_never_sent_is_missed(part: Path) -> None:
    early = pytest.raises(UnreachableError, match=r"the connection ended early\); 3,000,000 bytes are kept")
    with serve(Site({"/a.zip": WHOLE}, promise=7)) as site, early:
        get(site, part)
    assert part.stat().st_size == len(WHOLE)


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_refusal_is_final(site: Site, part: Path, status: int) -> None:
    site.script = [status]
    with pytest.raises(NotThereError, match=f"{site.url}/a.zip: the server answers {status} "):
        get(site, part)
    assert len(site.asked) == 1


def test_without_a_server_it_ends_at_once(part: Path) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        with pytest.raises(UnreachableError, match=r"cannot be reached \(.*[Rr]efused"):
            download(f"{url}/a.zip", part, size_bytes=10, pause_s=1000.0)


def test_two_at_once_are_one_too_many(site: Site, part: Path) -> None:
    with part.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(RunBusyError, match="another process is getting this file"):
            get(site, part)
    assert site.asked == []


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_full_disk_is_told_before_it_is_full(
    site: Site, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**7, 10**7 - 5, 5))
    with pytest.raises(StorageError, match=r"3,000,000 bytes are still to come and 5 are free; make room"):
        get(site, part)
    assert part.stat().st_size == 0


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x", "host/x", "", "http://"])
def test_only_web_servers_are_asked(url: str) -> None:
    with pytest.raises(UsageError, match="expected http://… or https://…"):
        check_url(url)
    assert check_url("https://host/2016/") == "https://host/2016"
