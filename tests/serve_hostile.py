"""Uploads and connections meant to harm, each a pure function of a seed and a number; all must get a 4xx."""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException

import numpy as np

from imaging_files import png, png_chunk
from serve_client import Service, encoded, form, lesion, statuses

Random = np.random.Generator
SUFFIXES = (".jpg", ".png", ".bmp", ".webp", ".tiff")


@dataclass(frozen=True)
class Outcome:
    """What came of one attempt: its kind, the statuses that came back, seconds on the clock."""

    kind: str
    statuses: list[int]
    seconds: float


def attack(service: Service, seed: int, number: int) -> Outcome:
    """Try number `number` on `service`."""
    random = np.random.Generator(np.random.PCG64([seed, number]))
    kinds = [*PICTURES, *FORMS, *CONNECTIONS]
    kind = kinds[number % len(kinds)]
    began = time.monotonic()
    try:
        found = _try(service, kind, random)
    except (OSError, HTTPException):
        found = []
    return Outcome(kind, found, time.monotonic() - began)


def _try(service: Service, kind: str, random: Random) -> list[int]:
    if kind in PICTURES:
        return [_send(service, PICTURES[kind](random), random)]
    if kind in FORMS:
        content_type, body = FORMS[kind](random)
        return [service.predict(body, content_type)[0]]
    return statuses(CONNECTIONS[kind](service, random))


def _send(service: Service, data: bytes, random: Random) -> int:
    if random.random() < 0.5:
        kind, body = form({"image": data})
        return service.predict(body, kind)[0]
    return service.predict(data, "application/octet-stream")[0]


def _whole(random: Random) -> bytes:
    return encoded(lesion(int(random.integers(99)), 90, 70), SUFFIXES[random.integers(len(SUFFIXES))])


def _cut(random: Random) -> bytes:
    data = _whole(random)
    return data[: int(random.integers(1, len(data) * 9 // 10))]


def _wide_png(random: Random) -> bytes:
    """A header of up to four thousand million pixels around a few bytes."""
    side = int(random.integers(3000, 65000))
    return png(side, side, zlib.compress(bytes(1000)))


def _packed_png(random: Random) -> bytes:
    """A thousand times its own size of zeros, for a picture that needs far fewer."""
    return png(
        9, int(random.integers(2, 9)), zlib.compress(bytes(8_000_000))[: int(random.integers(20, 900))]
    )


def _chunks_png(random: Random) -> bytes:
    head = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    text = png_chunk(b"tEXt", random.bytes(40)) * int(random.integers(100, 4000))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + text


def _huge_jpeg(random: Random) -> bytes:
    """A JPEG whose frame says 65535 × 65535."""
    data = bytearray(encoded(lesion(1, 60, 60)))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = b"\xff\xff\xff\xff"
    return bytes(data)


def _markers_jpeg(random: Random) -> bytes:
    return b"\xff\xd8" + b"\xff\xe2\x00\x02" * int(random.integers(1000, 200_000))


def _endless_tiff(random: Random) -> bytes:
    """A directory of entries that promise thousands of millions of values."""
    entries = int(random.integers(1, 60_000))
    entry = struct.pack("<HHII", 273, 4, 0xFFFFFFF, 8)
    return b"II*\0" + struct.pack("<IH", 8, entries) + entry * min(entries, 500)


def _polyglot(random: Random) -> bytes:
    heads = (
        b"GIF89a\x01\x00\x01\x00=1;alert(1)/*",
        b"%PDF-1.7\n",
        b"PK\x03\x04",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>",
        b"<!doctype html>",
        b"\x7fELF\x02\x01\x01",
        b"#!/bin/sh\n",
        b"\x00\x00\x00\x18ftypavif",
        b"8BPS\x00\x01",
    )
    return heads[random.integers(len(heads))] + encoded(lesion(3, 60, 60))


def _noise(random: Random) -> bytes:
    heads = (
        b"",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"BM",
        b"RIFF\xff\xff\xff\xffWEBP",
        b"II*\0",
        b"MM\0*",
    )
    return heads[random.integers(len(heads))] + random.bytes(int(random.integers(1, 5000)))


PICTURES: dict[str, Callable[[Random], bytes]] = {
    "cut": _cut,
    "wide png": _wide_png,
    "packed png": _packed_png,
    "png of chunks": _chunks_png,
    "huge jpeg": _huge_jpeg,
    "jpeg of markers": _markers_jpeg,
    "endless tiff": _endless_tiff,
    "polyglot": _polyglot,
    "noise": _noise,
    "empty": lambda random: b"",
    "too many bytes": lambda random: encoded(lesion(1, 60, 60)) + bytes(1 << 20),
}


def _part(random: Random, head: bytes) -> tuple[str, bytes]:
    body = b"--edge\r\n" + head + b"\r\n\r\n" + _whole(random) + b"\r\n--edge--\r\n"
    return "multipart/form-data; boundary=edge", body


def _mangled(random: Random) -> tuple[str, bytes]:
    """A form with bytes changed outside the image, cut at any place of its end."""
    kind, body = form({"image": _whole(random)})
    return kind, body[: len(body) - int(random.integers(3, 12))]


FORMS: dict[str, Callable[[Random], tuple[str, bytes]]] = {
    "cut form": _mangled,
    "other type": lambda random: (
        ("text/html", "application/json", "image/svg+xml", "application/x-www-form-urlencoded", "\xff/\xfe")[
            random.integers(5)
        ],
        _whole(random),
    ),
    "no boundary": lambda random: ("multipart/form-data", form({"image": _whole(random)})[1]),
    "other boundary": lambda random: ("multipart/form-data; boundary=x", form({"image": _whole(random)})[1]),
    "long boundary": lambda random: (f"multipart/form-data; boundary={'b' * 5000}", b"--" + b"b" * 5000),
    "no image": lambda random: form({"picture": _whole(random)}),
    "image twice": lambda random: (
        form({"image": b"x"})[0],
        form({"image": _whole(random)})[1].replace(b"--edge--", b"") + form({"image": b"x"})[1],
    ),
    "long field": lambda random: form({"image": _whole(random), "judge_anyway": b"t" * 100_000}),
    "odd field": lambda random: form({"image": _whole(random), "../../etc/passwd": random.bytes(20)}),
    "thousand parts": lambda random: form({"image": b"x", **{f"f{n}": b"1" for n in range(1000)}}),
    "nameless part": lambda random: _part(random, b"Content-Disposition: form-data"),
    "long part head": lambda random: _part(random, b"X-Long: " + b"y" * 50_000),
    "many part heads": lambda random: _part(random, b"X-A: b\r\n" * 2000 + b"X-C: d"),
}


def _flood(service: Service, random: Random) -> bytes:
    """Chunks without end, of a size that a picture may have."""
    head = service.head(Transfer_Encoding="chunked", Content_Type="image/jpeg")
    return service.raw(head, *[b"8000\r\n" + bytes(0x8000) + b"\r\n"] * 200)


def _tiny_chunks(service: Service, random: Random) -> bytes:
    head = service.head(Transfer_Encoding="chunked", Content_Type="image/jpeg")
    return service.raw(head, b"1\r\nx\r\n" * int(random.integers(100, 5000)), b"0\r\n\r\n")


def _lengths(service: Service, random: Random) -> bytes:
    """A length that lies: more than is sent, none that can be, or two of them."""
    data = _cut(random)
    lies = (
        {"Content_Length": len(data) + int(random.integers(1, 9999))},
        {"Content_Length": -5},
        {"Content_Length": "9" * 5000},
        {"Content_Length": "0x10"},
        {"Content_Length": f"{len(data)}, {len(data) + 1}"},
        {"Content_Length": 10**12},
        {"Content_Length": len(data), "Transfer_Encoding": "gzip, chunked"},
        {"Transfer_Encoding": "gzip"},
    )
    return service.raw(service.head(Content_Type="image/jpeg", **lies[random.integers(len(lies))]), data)


def _bad_chunks(service: Service, random: Random) -> bytes:
    sizes = (
        b"zz\r\n",
        b"-1\r\n",
        b"fffffffffffffffff\r\n",
        b"5;" + b"e" * 90_000 + b"\r\n",
        b"\r\n",
        b"5\nabcde",
    )
    head = service.head(Transfer_Encoding="chunked", Content_Type="image/jpeg")
    return service.raw(head, sizes[random.integers(len(sizes))] + random.bytes(50))


def _no_http(service: Service, random: Random) -> bytes:
    words = (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /healthz\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00" * 400,
        b"POST /api/predict HTTP/1.1\r\n Folded: yes\r\n\r\n",
        b"POST /api/predict HTTP/1.1\r\n\r\n",
        b"POST \xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /healthz FTP/1.1\r\nHost: x\r\n\r\n",
        b"SSH-2.0-x\r\n",
    )
    return service.raw(words[random.integers(len(words))] + random.bytes(int(random.integers(0, 40))))


def _heads(service: Service, random: Random) -> bytes:
    """Too much head: one long line, many lines, or a path of megabytes."""
    many = {f"X-{n}": "y" * 60 for n in range(9000)}
    heads = (
        service.head("GET", "/healthz", X_Long="y" * 900_000),
        service.head("GET", "/healthz", **many),
        service.head("GET", "/" + "a" * 900_000),
    )
    return service.raw(heads[random.integers(3)])


def _paths(service: Service, random: Random) -> bytes:
    paths = (
        *("/../../../etc/passwd", "/api/predict/%2e%2e/card", "//api/card", "/%00", "/api%2Fcard/x"),
        *("/static/../edgekd", "/api/predict/", "/metrics/..", "/%F0%9F%92%A9", "/docs", "/redoc", "*"),
    )
    return service.raw(service.head("GET", paths[random.integers(len(paths))]))


def _methods(service: Service, random: Random) -> bytes:
    words = ("DELETE", "TRACE", "CONNECT", "PROPFIND", "G" * 300, "get")
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Key": "x"}
    return service.raw(service.head(words[random.integers(len(words))], "/api/predict", **upgrade))


def _drip(service: Service, random: Random) -> bytes:
    """A head, or a body, of which a part comes and no more."""
    data = service.head(Content_Length=5000, Content_Type="image/jpeg") + bytes(1000)
    return service.raw(data[: int(random.integers(1, len(data) - 1))], close=False)


def _after_an_answer(service: Service, random: Random) -> bytes:
    """A refusal is out already; what follows must neither be answered as something else nor awaited."""
    head = service.head("POST", "/nowhere", Content_Length=int(random.integers(1, 1 << 30)))
    return service.raw(head, *[bytes(1 << 16)] * 40)


CONNECTIONS: dict[str, Callable[[Service, Random], bytes]] = {
    "chunk flood": _flood,
    "tiny chunks": _tiny_chunks,
    "lying length": _lengths,
    "bad chunks": _bad_chunks,
    "no http": _no_http,
    "huge heads": _heads,
    "odd paths": _paths,
    "odd methods": _methods,
    "slow sender": _drip,
    "after an answer": _after_an_answer,
}
