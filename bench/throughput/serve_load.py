"""Load for `edgekd serve`, from a process of its own: requests at a rate, every answer compared.

    python bench/throughput/serve_load.py < SPEC.json > RESULT.json

SPEC: {"host", "port", "rate_hz", "seconds", "connections", "pictures": [{"path", "logits"}]}; `logits` by
label is what edgekd's own Python API says of the same bytes, and has to come back bit for bit.

The rate is open: request number n is due at n / rate whatever became of those before it, and is sent by the
next connection that is free (they are kept alive). Latencies count from the moment a request was due.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Tally:
    """What came back: answers by status, latencies in ms of 200s and of the rest, logits that differ."""

    statuses: Counter[str] = field(default_factory=Counter)
    answered_ms: list[float] = field(default_factory=list)
    rejected_ms: list[float] = field(default_factory=list)
    wrong: int = 0
    without_retry: int = 0


class _Load:
    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._spec = spec
        self._requests = [_request(spec, one["path"]) for one in spec["pictures"]]
        self._expected = [one["logits"] for one in spec["pictures"]]
        self._next = 0
        self.tally = Tally()

    async def run(self) -> float:
        """Seconds from the first request due to the last answer."""
        self._began = time.perf_counter()
        await asyncio.gather(*(self._connection() for _ in range(self._spec["connections"])))
        return time.perf_counter() - self._began

    async def _connection(self) -> None:
        reader = writer = None
        while True:
            number = self._next
            due = self._began + number / self._spec["rate_hz"]
            if due >= self._began + self._spec["seconds"]:
                break
            self._next += 1
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            try:
                if reader is None or writer is None:
                    reader, writer = await asyncio.open_connection(self._spec["host"], self._spec["port"])
                await self._one(number, due, reader, writer)
            except (OSError, EOFError) as error:
                self.tally.statuses[type(error).__name__] += 1
                reader = writer = None
        if writer is not None:
            writer.close()

    async def _one(
        self, number: int, due: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        picture = number % len(self._requests)
        writer.write(self._requests[picture])
        status, headers, body = await read_answer(reader)
        spent_ms = 1e3 * (time.perf_counter() - due)
        self.tally.statuses[str(status)] += 1
        if status == 200:
            self.tally.answered_ms.append(spent_ms)
            self.tally.wrong += json.loads(body)["logits"] != self._expected[picture]
        else:
            self.tally.rejected_ms.append(spent_ms)
            self.tally.without_retry += b"retry-after" not in headers


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, headers (names in lower case) and body of the next answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    pairs = (line.partition(b":") for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    return int(head[0].split(b" ")[1]), headers, await reader.readexactly(int(headers[b"content-length"]))


def _request(spec: Mapping[str, Any], path: str) -> bytes:
    body = Path(path).read_bytes()
    head = (
        f"POST /api/predict HTTP/1.1\r\nHost: {spec['host']}:{spec['port']}\r\n"
        f"Content-Type: application/octet-stream\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value that `share` of `values` do not exceed; None of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def summary(tally: Tally, seconds: float) -> dict[str, Any]:
    """`tally` as JSON, with percentiles."""
    return {
        "seconds": seconds,
        "statuses": dict(tally.statuses),
        "wrong": tally.wrong,
        "rejected_without_retry_after": tally.without_retry,
        "answered_per_second": tally.statuses["200"] / seconds,
        "answered_ms": {f"p{share}": percentile(tally.answered_ms, share / 100) for share in (50, 90, 99)},
        "answered_max_ms": max(tally.answered_ms, default=None),
        "rejected_ms": {f"p{share}": percentile(tally.rejected_ms, share / 100) for share in (50, 99)},
    }


def main() -> None:
    """Read the spec, load the service, write what came back."""
    load = _Load(json.load(sys.stdin))
    seconds = asyncio.run(load.run())
    sys.stdout.write(json.dumps(summary(load.tally, seconds)))


if __name__ == "__main__":
    main()
