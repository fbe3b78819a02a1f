"""`edgekd serve` as its users meet it: a process of its own, real HTTP, the answers of the Python API."""

from __future__ import annotations

import hashlib
import json
import resource
import time
from pathlib import Path

import numpy as np
import pytest

from edgekd import assess
from edgekd.plain import to_plain
from edgekd.runtimes.litert import LitertRuntime
from serve_client import CARD, Service, encoded, form, lesion, model_in, running, statuses

KEY = "a-key-of-more-than-sixteen-characters"
ORIGIN = "https://clinic.example"
# Tells every file that the server opens for writing once it is ready; its own log is open by then.
_WATCH = """
import os, sys
_told = os.open(os.environ["WRITES"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
_writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT
def _watch(event, arguments):
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & _writing:
        os.write(_told, f"{arguments[0]}\\n".encode())
sys.addaudithook(_watch)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("serve")


@pytest.fixture(scope="module")
def service(folder):
    (folder / "keys").write_text(f"# of the tests\n{KEY}\n")
    (folder / "keys").chmod(0o600)
    model = model_in(folder / "model")
    options = ("--workers", "2", "--keys", str(folder / "keys"), "--allow-origin", ORIGIN, "--max-mb", "1")
    with running(
        model,
        folder / "log",
        *(*options, "--max-megapixels", "4", "--upload-limit", "2"),
        headers={"Authorization": f"Bearer {KEY}"},
        before=_WATCH,
        WRITES=str(folder / "writes"),
    ) as found:
        (folder / "writes").write_text("")  # what was opened until it was ready, pipes and the like
        yield found


def by_python(model: Path, picture: Path, **more: object) -> dict[str, object]:
    """What the Python API says of the same bytes."""
    return to_plain(next(iter(assess.predict(LitertRuntime(model), CARD, [picture], **more))))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff"])
def test_the_answer_is_that_of_the_python_api(service: Service, folder, tmp_path, suffix) -> None:
    picture = tmp_path / f"lesion{suffix}"
    picture.write_bytes(encoded(lesion(len(suffix), 201, 143), suffix))
    expected = by_python(folder / "model" / "model.tflite", picture)
    kind, body = form({"image": picture.read_bytes()})
    for status, answer in (
        service.predict(picture.read_bytes(), "application/octet-stream"),
        service.predict(body, kind),
    ):
        assert status == 200
        for name in ("logits", "score", "probability", "malignant"):
            assert answer[name] == expected[name]
        assert answer["picture"] == {"width": 201, "height": 143}
    assert len({answer["logits"][label] for label in CARD.labels}) == 3


def test_an_answer_says_what_it_rests_on(service: Service, folder) -> None:
    answer = service.predict(encoded(lesion(1)))[1]
    card = service.ask("GET", "/api/card")[2]
    assert answer["schema"] == "edgekd.answer/1"
    assert (
        answer["model"]["sha256"] == hashlib.sha256((folder / "model/model.tflite").read_bytes()).hexdigest()
    )
    assert answer["model"]["card_sha256"] == hashlib.sha256(card).hexdigest()
    assert json.loads(card)["labels"] == list(CARD.labels)
    assert answer["operating_point"] == to_plain(CARD.operating_point)
    assert answer["intended_use"] == CARD.intended_use
    assert set(answer["timings_ms"]) == {"receive", "queue", "decode", "prepare", "infer"}
    assert all(value >= 0 for value in answer["timings_ms"].values())
    assert not {"borderline", "photo", "unseen", "image"} & answer.keys()


@pytest.mark.parametrize(
    ("body", "kind", "query", "status", "reason"),
    [
        (b"", "image/jpeg", "", 400, "bad_request"),
        (b"no picture", "image/jpeg", "", 422, "no_usable_image"),
        (b"{}", "application/json", "", 415, "media_type"),
        (b"\xff" * (1 << 20) + b"\xff", "image/jpeg", "", 413, "too_large"),
        (encoded(np.zeros((2001, 2000, 3), np.uint8), ".png"), "image/png", "", 413, "too_large"),
        (encoded(lesion(2)), "image/jpeg", "?age=55", 400, "bad_request"),
        (encoded(lesion(2)), "image/jpeg", "?judge_anyway=perhaps", 400, "bad_request"),
    ],
)
def test_what_cannot_be_answered_is_told(service: Service, body, kind, query, status, reason) -> None:
    found, answer = service.predict(body, kind, query)
    assert (found, answer["error"]) == (status, reason)
    assert len(answer["detail"].splitlines()) == 1


def test_only_a_key_opens_what_it_guards(service: Service) -> None:
    picture = encoded(lesion(3))
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": KEY}, {"X-API-Key": KEY[:-1]}):
        for method, path in (("POST", "/api/predict"), ("GET", "/api/card"), ("GET", "/metrics")):
            bare = {"Authorization": "none", **headers}
            status, told, _ = service.ask(method, path, picture if method == "POST" else b"", bare)
            assert (status, told["WWW-Authenticate"]) == (401, "Bearer")
    status, _, _ = service.ask(
        "POST", "/api/predict", picture, {"Authorization": "x", "X-API-Key": KEY, "Content-Type": "image/png"}
    )
    assert status == 200
    for path in ("/healthz", "/readyz", "/openapi.json", "/"):
        assert service.ask("GET", path, headers={"Authorization": "none"})[0] == 200


def test_pages_of_other_origins_may_not_read(service: Service) -> None:
    for origin, allowed in ((ORIGIN, ORIGIN), ("https://elsewhere.example", None)):
        _, headers, _ = service.ask("GET", "/healthz", headers={"Origin": origin})
        assert headers["Access-Control-Allow-Origin"] == allowed
    asked = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    assert service.ask("OPTIONS", "/api/predict", headers=asked)[0] == 400


def test_unknown_paths_and_methods_are_refused_in_one_form(service: Service) -> None:
    status, _, body = service.ask("GET", "/docs")
    assert (status, json.loads(body)["error"]) == (404, "not_found")
    status, headers, body = service.ask("DELETE", "/api/predict")
    assert (status, headers["Allow"], json.loads(body)["error"]) == (405, "POST", "method_not_allowed")
    assert b"http" not in service.ask("GET", "/openapi.json")[2].replace(b'"type":"http"', b"")


def test_counts_and_log_say_nothing_of_picture_or_person(service: Service) -> None:
    before = service.metric('edgekd_requests_total{route="/api/predict",status="200"}')
    kind, body = form({"image": encoded(lesion(4)), "judge_anyway": b"true"})
    assert service.predict(body, kind, "?secretname=1")[0] == 400
    assert service.predict(body, kind)[0] == 200
    assert service.ask("GET", "/secretname/../x?secretname=1")[0] == 404
    assert service.metric('edgekd_requests_total{route="/api/predict",status="200"}') == before + 1
    assert service.metric('edgekd_stage_seconds_count{stage="infer"}') > 0
    assert service.metric("edgekd_workers ") == 2
    text = service.log.read_text() + service.ask("GET", "/metrics")[2].decode()
    assert "POST /api/predict 200" in text
    for word in ("secretname", "lesion.jpg", "127.0.0.1", KEY, "?"):
        assert word not in text


def test_a_connection_serves_many_requests_and_pipelined_ones_in_order(service: Service) -> None:
    picture = encoded(lesion(5))
    one = service.head(Content_Length=len(picture), Content_Type="image/jpeg") + picture
    health = service.head("GET", "/healthz")
    found = service.raw(one, health, one, health * 20)
    assert statuses(found) == [200] * 23
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (picture[:7], picture[7:]))
    found = service.raw(
        service.head(Transfer_Encoding="chunked", Content_Type="image/jpeg"), chunks, b"0\r\n\r\n"
    )
    assert statuses(found) == [200]


AMBIGUOUS = {
    "two lengths": b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "length and chunks": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two codings": b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "two hosts": b"Host: elsewhere.example\r\n\r\n",
    "folded": b"X-Long: one\r\n two\r\n\r\n",
    "bare line end": b"X-One: 1\nX-Two: 2\r\n\r\n",
    "space before colon": b"Content-Length : 5\r\n\r\nhello",
    "signed length": b"Content-Length: +5\r\n\r\nhello",
    "head too large": b"X-Long: " + b"y" * 20_000 + b"\r\n\r\n",
    "trailer too large": b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X-Y: z\r\n" * 3000 + b"\r\n",
}


@pytest.mark.parametrize("lines", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_what_could_be_read_in_two_ways_is_refused(service: Service, lines) -> None:
    head = service.head(Content_Type="image/jpeg")[:-2]
    assert statuses(service.raw(head + lines)) == [400]
    health = service.head("GET", "/healthz")
    assert statuses(service.raw(health + health + head + lines + health)) == [200, 200, 400]


def test_a_head_that_trickles_or_names_no_host_is_refused(service: Service) -> None:
    head = service.head("GET", "/healthz", X_Long="y" * 20_000)
    assert statuses(service.raw(*(head[at : at + 1500] for at in range(0, len(head), 1500)))) == [400]
    for line in (
        b"GET /healthz HTTP/1.1",
        b"GET /healthz",
        b"GET /healthz HTTP/2.0",
        b"GET /healthz FTP/1.1",
    ):
        assert statuses(service.raw(line + b"\r\n\r\n")) == [400]
    assert statuses(service.raw(b"GET /healthz HTTP/1.0\r\n\r\n")) == [200]


def test_what_follows_a_body_or_another_protocol_is_not_heard(service: Service) -> None:
    """A key after the body opens nothing; behind a wish for another protocol there is no second request."""
    bare = (
        b"POST /api/predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n"
    )
    late = f"0\r\nX-API-Key: {KEY}\r\n\r\n".encode()
    assert statuses(service.raw(bare + b"\r\n" + late)) == [401]
    upgrade = service.head("GET", "/healthz", Connection="Upgrade", Upgrade="websocket")
    assert statuses(service.raw(upgrade + service.head("GET", "/healthz"), close=False)) == [200]


def test_nothing_is_ever_written(service: Service, folder) -> None:
    # Above a megabyte the framework's own reader of forms would use a file.
    kind, body = form({"image": encoded(lesion(6, 700, 500), ".bmp")[: (1 << 20) - 9]})
    service.predict(body, kind)
    assert (folder / "writes").read_text().splitlines() == []
    for worker in service.workers:
        limits = Path(f"/proc/{worker}/limits").read_text()
        for name in ("Max file size", "Max core file size"):
            line = next(line for line in limits.splitlines() if line.startswith(name))
            assert line.split()[-3:-1] == ["0", "0"]
        space = next(line for line in limits.splitlines() if line.startswith("Max address space"))
        assert int(space.split()[3]) < resource.RLIM_INFINITY % (1 << 63)


def test_slow_senders_are_told_and_let_go(service: Service) -> None:
    picture = encoded(lesion(7))
    began = time.monotonic()
    head = service.head(Content_Length=len(picture), Content_Type="image/jpeg")
    assert statuses(service.raw(head, picture[:100], close=False)) == [408]
    assert statuses(service.raw(head[:30], close=False)) == [408]
    assert statuses(service.raw(b"", close=False)) == [408]
    assert time.monotonic() - began >= 2 * 3  # --upload-limit 2


def test_readiness_is_told(service: Service) -> None:
    assert json.loads(service.ask("GET", "/readyz")[2]) == {"status": "ready", "workers": 2}
    assert service.metric("edgekd_held_bytes ") == 0
