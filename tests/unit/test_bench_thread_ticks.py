from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest

from edgekd_bench.thread_ticks import thread_ticks, watched_share


def write_stat(tasks: Path, thread: int, user: int, kernel: int, name: str = "a name") -> None:
    folder = tasks / str(thread)
    folder.mkdir(exist_ok=True)
    (folder / "stat").write_text(f"{thread} ({name}) R {' '.join('0' * 10)} {user} {kernel} 7 7 20 0 1\n")


def test_ticks_are_read_whatever_a_thread_is_called(tmp_path: Path) -> None:
    write_stat(tmp_path, 11, 5, 2, "python")
    write_stat(tmp_path, 12, 30, 1, "driver) R 9 9 (")
    (tmp_path / "13").mkdir()  # it has just ended
    assert thread_ticks(tmp_path) == {11: 7, 12: 31}
    assert thread_ticks(tmp_path / "absent") == {}


def test_the_share_of_others_is_that_over_the_body(tmp_path: Path) -> None:
    write_stat(tmp_path, 11, 500, 100)
    write_stat(tmp_path, 12, 1000, 0)
    with watched_share({11}, tmp_path) as found:
        write_stat(tmp_path, 11, 502, 100)
        write_stat(tmp_path, 12, 1003, 1)
        write_stat(tmp_path, 13, 1, 1)  # began in the body
    assert found.value == pytest.approx(6 / 8)
    with watched_share({11}, tmp_path) as idle:
        write_stat(tmp_path, 12, 1004, 2)
    assert idle.value is None  # two ticks prove nothing
    with watched_share({11}, tmp_path / "absent") as unknown:
        pass
    assert unknown.value is None


@pytest.mark.skipif(sys.platform != "linux", reason="the ticks of threads are told on Linux only")
def test_a_thread_that_works_is_told_from_one_that_waits() -> None:
    own, stop = thread_ticks(), threading.Event()

    def work() -> None:
        while time.thread_time() < 0.2:
            sum(range(1000))
        stop.set()
        ended.wait()

    ended = threading.Event()
    worker = threading.Thread(target=work)
    with watched_share(own) as found:
        worker.start()
        stop.wait()
    ended.set()
    worker.join()
    assert found.value is not None and found.value > 0.8
