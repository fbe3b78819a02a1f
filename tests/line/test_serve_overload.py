"""`edgekd serve` with more to do than it can, while its workers die, and while it is told to stop."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from edgekd import assess
from edgekd.card import ModelCard, OperatingPoint
from edgekd.photo_quality import COLOURS, PhotoLimit, PhotoQuality
from edgekd.plain import file_digest, to_plain
from edgekd.runtimes.litert import LitertRuntime
from edgekd.serve.pool import Pool
from edgekd.serve.refusal import Reason, Refusal
from edgekd.serve.worker import Setup
from serve_client import (
    CARD,
    PATIENCE_S,
    Service,
    encoded,
    lesion,
    model_in,
    read_all,
    resident_bytes,
    running,
    statuses,
)

LOAD = Path(__file__).resolve().parents[2] / "bench" / "throughput" / "serve_load.py"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return model_in(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def service(model):
    """One service for the tests under load; the last of them ends it."""
    with running(model, model.parent / "log", "--workers", "2", "--queue", "6") as found:
        yield found


def pictures_with_logits(model: Path, folder: Path, count: int) -> list[dict[str, object]]:
    """Image files and what the Python API says of them."""
    paths = [folder / f"{number}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(encoded(lesion(number, 600, 450)))
    answers = assess.predict(LitertRuntime(model), CARD, paths)
    return [
        {"path": str(path), "logits": to_plain(one)["logits"]}
        for path, one in zip(paths, answers, strict=True)
    ]


def loaded(service: Service, pictures, seconds: float) -> dict[str, object]:
    """What comes of a load of more than twice what the service can answer, from another process."""
    body = Path(str(pictures[0]["path"])).read_bytes()
    began = time.perf_counter()
    for _ in range(10):
        assert service.predict(body)[0] == 200
    capacity_hz = 10 * len(service.workers) / (time.perf_counter() - began)
    spec = {"host": "127.0.0.1", "port": service.port, "rate_hz": 3 * capacity_hz, "seconds": seconds}
    done = subprocess.run(
        [sys.executable, str(LOAD)],
        input=json.dumps({**spec, "connections": 24, "pictures": pictures}),
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout))


def test_twice_the_load_gets_right_answers_or_429(model, service: Service, tmp_path) -> None:
    found = loaded(service, pictures_with_logits(model, tmp_path, 6), seconds=5)
    assert set(found["statuses"]) == {"200", "429"}
    assert (found["wrong"], found["rejected_without_retry_after"]) == (0, 0)
    assert service.metric("edgekd_worker_restarts_total{") == 0


@pytest.mark.slow
def test_a_minute_of_twice_the_load_leaves_memory_as_it_was(model, service: Service, tmp_path) -> None:
    pids = [service.process.pid, *service.workers]
    pictures = pictures_with_logits(model, tmp_path, 24)
    loaded(service, pictures, seconds=10)
    settled = resident_bytes(pids)
    found = loaded(service, pictures, seconds=60)
    assert (set(found["statuses"]), found["wrong"]) == ({"200", "429"}, 0)
    assert resident_bytes(pids) < 1.05 * settled


@pytest.mark.slow
def test_the_benchmark_says_what_the_service_costs(model) -> None:
    options = ("--seconds", "3", "--bare-seconds", "1", "--rounds", "1", "--size", "300x200", "--json")
    command = [sys.executable, str(LOAD.with_name("serve.py")), "--model", str(model), *options]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert found["schema"] == "edgekd.throughput/1"
    (one,) = found["rounds"]
    assert set(one["serve"]["statuses"]) <= {"200", "429"} and one["serve"]["wrong"] == 0
    assert one["ratio"] > 0 and 0 < one["cpu_ratio"] < 1
    assert len(one["serve"]["resident_mb"]) == 3


def test_what_was_accepted_is_answered_after_sigterm(model, service: Service) -> None:
    """Eight uploads are half there when the signal comes; the other halves come after it. Ends `service`."""
    picture = encoded(lesion(1, 600, 450))
    head = service.head(Content_Length=len(picture), Content_Type="image/jpeg")
    half, answers, sent = len(picture) // 2, [], threading.Barrier(9)
    stopped = threading.Event()

    def upload() -> None:
        with socket.create_connection(("127.0.0.1", service.port), PATIENCE_S) as connection:
            connection.sendall(head + picture[:half])
            sent.wait(PATIENCE_S)
            stopped.wait(PATIENCE_S)
            connection.sendall(picture[half:])
            answers.append(read_all(connection))

    uploads = [threading.Thread(target=upload) for _ in range(8)]
    for one in uploads:
        one.start()
    sent.wait(PATIENCE_S)
    while service.metric("edgekd_held_bytes ") < 8 * half:
        time.sleep(0.01)
    service.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)  # uvicorn looks ten times a second
    stopped.set()
    for one in uploads:
        one.join()
    # The queue holds six: two may have been told to come again, all have been answered.
    found = sorted(status for answer in answers for status in statuses(answer))
    assert len(found) == 8 and set(found) <= {200, 429} and found.count(200) >= 6
    assert service.process.wait(PATIENCE_S) == 0
    assert not any(Path(f"/proc/{worker}").exists() for worker in service.workers)
    with pytest.raises(ConnectionRefusedError):
        service.ask("GET", "/healthz")


def test_no_worker_outlives_a_killed_server(model, tmp_path) -> None:
    with running(model, tmp_path / "log", "--workers", "1") as service:
        service.process.kill()
        service.process.wait(PATIENCE_S)
        limit = time.monotonic() + PATIENCE_S
        while any(_runs(worker) for worker in service.workers):
            assert time.monotonic() < limit, "a worker is still there"
            time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return "forkserver" in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False


def setup(model: Path, work_s: float = 30.0, card: ModelCard = CARD) -> Setup:
    return Setup(
        model=str(model),
        model_sha256=file_digest(model),
        card=card.to_json(),
        max_pixels=100_000_000,
        work_s=work_s,
    )


ASKED = {"person": {}, "anyway": False}
SMALL = encoded(lesion(2))


@pytest.fixture(scope="module")
def big() -> bytes:
    """A picture that takes a worker long enough to be met at work on it."""
    return encoded(np.tile(lesion(3, 600, 600), (10, 10, 1)))


def test_a_worker_that_dies_takes_at_most_its_picture(model, big) -> None:
    """A crash inside is the picture's doing, an end from outside is not: that one is answered after all."""

    async def run() -> None:
        async with Pool(setup(model), workers=1, places=4) as pool:
            expected = (await pool.ask(SMALL, ASKED)).text
            crashed = asyncio.create_task(pool.ask(big, ASKED))
            behind = asyncio.create_task(pool.ask(SMALL, ASKED))
            await asyncio.sleep(0.1)
            os.kill(pool.pids[0], signal.SIGSEGV)
            with pytest.raises(Refusal, match="crashed") as caught:
                await crashed
            assert caught.value.reason is Reason.NO_IMAGE
            assert (await behind).text == expected
            killed = asyncio.create_task(pool.ask(big, ASKED))
            await asyncio.sleep(0.1)
            os.kill(pool.pids[0], signal.SIGKILL)
            assert json.loads((await killed).text)["picture"] == {"width": 6000, "height": 6000}
            assert pool.restarts == {"SIGSEGV": 1, "SIGKILL": 1}

    asyncio.run(run())


def test_a_picture_may_not_take_longer_than_the_limit(model, big) -> None:
    async def run() -> None:
        async with Pool(setup(model, work_s=0.05), workers=1, places=4) as pool:
            with pytest.raises(Refusal, match="longer than it may"):
                await pool.ask(big, ASKED)
            assert pool.restarts == {"SIGALRM": 1}

    asyncio.run(run())


def test_bands_and_limits_of_the_card_are_told(model) -> None:
    """A photo outside the limits has no answer, unless it is wanted anyway; a score in the band says so."""
    dark = PhotoLimit(measure="brightness", low=250.0, rule="given")
    limits = PhotoQuality(limits=(dark,), colours="f" * (COLOURS // 4), fitted_on="none", images=1, refused=0)
    point = OperatingPoint(rule="given", threshold=0.0, fitted_on="none", borderline_halfwidth=99.0)
    card = dataclasses.replace(CARD, quality=limits, operating_point=point)

    async def run() -> None:
        async with Pool(setup(model, card=card), workers=1, places=4) as pool:
            unfit = json.loads((await pool.ask(SMALL, ASKED)).text)
            assert [unfit[name] for name in ("score", "probability", "malignant", "logits")] == [None] * 4
            assert "borderline" not in unfit
            anyway = json.loads((await pool.ask(SMALL, {**ASKED, "anyway": True})).text)
            assert anyway["borderline"] is True and anyway["score"] is not None
            for answer in (unfit, anyway):
                assert [flag["measure"] for flag in answer["photo"]["flags"]] == ["brightness"]

    asyncio.run(run())


def test_a_model_that_changed_is_not_served(model, tmp_path) -> None:
    async def run() -> None:
        async with Pool(changed, workers=1, places=1):
            pytest.fail("it was served")

    copy = model_in(tmp_path / "copy")
    changed = setup(copy)
    copy.write_bytes(copy.read_bytes() + b"\0")
    with pytest.raises(Exception, match="changed since the service was started"):
        asyncio.run(run())
