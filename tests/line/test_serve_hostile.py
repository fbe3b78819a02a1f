"""`edgekd serve` against uploads and connections meant to harm: a 4xx each, no crash, no hang, no trace."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

import serve_hostile
from serve_client import Service, encoded, lesion, model_in, resident_bytes, running

SEED = 8
_LONGEST_S = 45.0  # what any attempt may take on a busy machine; a slow sender is let go after 2 s


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    options = ("--workers", "2", "--queue", "64", "--max-mb", "1", "--max-megapixels", "4")
    with running(model_in(folder), folder / "log", *options, "--upload-limit", "2") as found:
        yield found


def withstood(service: Service, numbers: range) -> None:
    """`service` answers every attempt with a 4xx, and a good picture as before."""
    picture = encoded(lesion(1))
    before = service.predict(picture)[1]["logits"]
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(partial(serve_hostile.attack, service, SEED), numbers))
    refused = [one for one in found if one.statuses and all(400 <= status < 500 for status in one.statuses)]
    assert [one for one in found if one not in refused] == []
    assert max(one.seconds for one in found) < _LONGEST_S
    assert service.process.poll() is None
    assert service.metric("edgekd_worker_restarts_total{") == 0
    assert service.metric("edgekd_held_bytes ") == 0
    assert "bug" not in service.log.read_text()
    assert "Traceback" not in service.log.read_text()
    assert service.predict(picture)[1]["logits"] == before
    counts = Counter(one.kind for one in found)
    assert len(counts) == len(serve_hostile.PICTURES) + len(serve_hostile.FORMS) + len(
        serve_hostile.CONNECTIONS
    )


def test_a_hundred_and_fifty_attempts(service: Service) -> None:
    withstood(service, range(150))


@pytest.mark.slow
def test_a_thousand_attempts_leave_memory_as_it_was(service: Service) -> None:
    pids = [service.process.pid, *service.workers]
    withstood(service, range(150, 350))
    settled = resident_bytes(pids)
    withstood(service, range(350, 1150))
    assert resident_bytes(pids) < 1.1 * settled
