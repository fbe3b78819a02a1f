"""`Pool`: a bounded queue of uploads and the workers that answer them."""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import Any, Self

from edgekd.console import log
from edgekd.errors import ModelError
from edgekd.plain import to_plain
from edgekd.serve import wire
from edgekd.serve.refusal import Reason, Refusal
from edgekd.serve.worker import Setup, work

START_S = 60.0
_GRACE_S = 2.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_ATTEMPTS = 2
# Ended from outside (out of memory, an operator): no fault of the picture that it held.
_FROM_OUTSIDE = {"SIGKILL", "SIGTERM", "SIGHUP"}
_LOST = (EOFError, ConnectionError)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a worker said: the answer as the text of a JSON object, and `seconds` by stage."""

    text: str
    seconds: dict[str, float]


@dataclass(eq=False)
class _Job:
    """An upload on its way to a worker; `done` becomes what the worker said."""

    data: bytes
    asked: Mapping[str, Any]
    done: asyncio.Future[Found]
    since: float
    attempts: int = 0

    def refuse(self, refusal: Refusal) -> None:
        if not self.done.done():
            self.done.set_exception(refusal)


class _Process:
    """One worker and its end of the socket pair."""

    def __init__(self, process: BaseProcess) -> None:
        self._process = process
        self.engine = ""
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    @classmethod
    async def start(cls, setup: Setup) -> Self:
        """A worker with its model loaded.

        Raises:
            ModelError: the model cannot be loaded.
        """
        ours, theirs = socket.socketpair()
        try:
            worker = cls(await _launched(theirs))
            worker.reader, worker.writer = await asyncio.open_unix_connection(sock=ours)
        except BaseException:  # cancelled too: a worker without its other end ends by itself
            ours.close()
            raise
        try:
            async with asyncio.timeout(START_S):
                await worker._write(to_plain(setup))
                hello, _ = await wire.receive_async(worker.reader)
        except (*_LOST, TimeoutError) as error:
            cause = _cause(worker.end())
            raise ModelError(f"{setup.model}: a worker ended while it loaded the model ({cause})") from error
        except asyncio.CancelledError:
            worker.end()
            raise
        if "error" in hello:
            worker.end()
            raise ModelError(hello["error"])
        worker.engine = hello["engine"]
        return worker

    async def ask(self, job: _Job, limit_s: float) -> tuple[dict[str, Any], bytes]:
        """What the worker says of `job`, and its answer as JSON.

        Raises:
            EOFError, ConnectionError, TimeoutError: it is gone, or silent for longer than it may be.
        """
        async with asyncio.timeout(limit_s):
            await self._write(dict(job.asked), job.data)
            return await wire.receive_async(self.reader)

    async def _write(self, meaning: Any, data: bytes = b"") -> None:
        self.writer.writelines(wire.pack(meaning, data))
        await self.writer.drain()

    def end(self) -> int:
        """End it, where it has not ended by itself: the exit code, negative for a signal."""
        self.writer.close()
        self._process.join(0.05)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
        return self._process.exitcode or 0

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid or 0


async def _launched(connection: socket.socket) -> BaseProcess:
    """`_launch` in a thread, for the first one takes a second; it is never cut short.

    What workers are forked from would take that for the end of everything.
    """
    with connection:
        launching = asyncio.ensure_future(asyncio.to_thread(_launch, connection))
        try:
            return await asyncio.shield(launching)
        except asyncio.CancelledError:
            await asyncio.wait([launching])
            raise


def _launch(connection: socket.socket) -> BaseProcess:
    """A process that answers what comes over `connection`.

    It is forked from one that holds everything imported and has no threads (nor ever sees a picture): a
    worker that died is replaced within milliseconds, where importing alone would take a second or more.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["edgekd.serve.worker"])
    process = context.Process(target=work, args=(connection,), daemon=True)
    process.start()
    return process


class Pool:
    """Uploads in a queue of `places`, answered by `workers` processes.

    Requests at once are spread over the workers and not put together for the network: its files take one
    picture (batch 1), so that a batch would be the same work in a row, and all answers as late as the last.

    Use it as an asynchronous context: inside, every worker has the model loaded.
    """

    def __init__(self, setup: Setup, *, workers: int, places: int) -> None:
        self._setup = setup
        self._queue: asyncio.Queue[_Job] = asyncio.Queue(places)
        self._workers = workers
        self._slots: list[asyncio.Task[None]] = []
        self._living: set[_Process] = set()
        self._mean_s = 0.05
        self.engine = ""
        self.restarts: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        starts = [_Process.start(self._setup) for _ in range(self._workers)]
        started = await asyncio.gather(*starts, return_exceptions=True)
        whole = [each for each in started if isinstance(each, _Process)]
        for failure in started:
            if isinstance(failure, BaseException):
                for worker in whole:
                    worker.end()
                raise failure
        self._living.update(whole)
        self.engine = whole[0].engine
        self._slots = [asyncio.create_task(self._slot(worker)) for worker in whole]
        return self

    async def __aexit__(self, *_: object) -> None:
        for slot in self._slots:
            slot.cancel()
        await asyncio.gather(*self._slots, return_exceptions=True)
        for worker in self._living:
            worker.end()

    @property
    def full(self) -> bool:
        """Whether the queue has no place left."""
        return self._queue.full()

    @property
    def waiting(self) -> int:
        """How many uploads wait."""
        return self._queue.qsize()

    @property
    def living(self) -> int:
        """How many workers are ready or at work."""
        return len(self._living)

    @property
    def pids(self) -> list[int]:
        """The numbers of the worker processes."""
        return [worker.pid for worker in self._living]

    def busy(self) -> Refusal:
        """The refusal of an upload for which there is no place, with the seconds the queue will take."""
        seconds = max(1, math.ceil(self.waiting * self._mean_s / self._workers))
        return Refusal(Reason.BUSY, "the queue is full: try again later", retry_after_s=seconds)

    async def ask(self, data: bytes, asked: Mapping[str, Any]) -> Found:
        """What a worker says about the image file `data`.

        `asked` holds `person` (the known attributes of `Person`) and `anyway` (judge an unfit photo too).

        Raises:
            Refusal: there is no place, no worker, or the picture is refused.
        """
        if not self._living and self.full:
            raise Refusal(Reason.NO_WORKER, "no worker is running", retry_after_s=5)
        job = _Job(data, asked, asyncio.get_running_loop().create_future(), time.perf_counter())
        try:
            self._queue.put_nowait(job)
        except asyncio.QueueFull:
            raise self.busy() from None
        return await job.done

    async def _slot(self, worker: _Process) -> None:
        """Take jobs for one worker after another, for ever."""
        while True:
            job = await self._queue.get()
            while not job.done.done():
                if await self._handle(worker, job):
                    continue
                self._living.discard(worker)
                worker = await self._restart()
                self._living.add(worker)

    async def _handle(self, worker: _Process, job: _Job) -> bool:
        """Whether `worker` lives on after `job`; the job is done unless it is to be tried again."""
        began = time.perf_counter()
        if began - job.since > self._setup.work_s:
            job.refuse(self.busy())
            return True
        job.attempts += 1
        try:
            told, text = await worker.ask(job, self._setup.work_s + _GRACE_S)
        except TimeoutError:
            self._bury(worker, job, "SIGALRM")
            return False
        except _LOST:
            self._bury(worker, job)
            return False
        seconds = time.perf_counter() - began
        self._mean_s += 0.05 * (seconds - self._mean_s)
        self._finish(job, told, text, began - job.since)
        return True

    def _finish(self, job: _Job, told: dict[str, Any], text: bytes, waited_s: float) -> None:
        if "refused" in told:
            job.refuse(Refusal(Reason(told["refused"]), told["detail"]))
        elif "bug" in told:
            log.error("a worker met a bug of edgekd: %s", told["bug"])
            job.refuse(Refusal(Reason.BUG, "a bug of edgekd; its place is in the log of the service"))
        elif not job.done.done():
            job.done.set_result(Found(text=text.decode(), seconds={"queue": waited_s, **told["seconds"]}))

    def _bury(self, worker: _Process, job: _Job, cause: str = "") -> None:
        """Tell what became of `worker`, and refuse `job` where that was its doing."""
        ended = _cause(worker.end())
        cause = cause or ended
        self.restarts[cause] = self.restarts.get(cause, 0) + 1
        log.warning("a worker ended (%s): another is started", cause)
        if cause not in _FROM_OUTSIDE:
            job.refuse(Refusal(Reason.NO_IMAGE, _FAULTS.get(cause, _CRASHED)))
        elif job.attempts >= _ATTEMPTS:
            job.refuse(Refusal(Reason.NO_WORKER, "the worker was ended from outside, twice", retry_after_s=5))

    async def _restart(self) -> _Process:
        pause = _FIRST_PAUSE_S
        while True:
            try:
                return await _Process.start(self._setup)
            except (ModelError, OSError) as error:
                log.error("no new worker could be started: %s", error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)


_CRASHED = "the decoder crashed on it (in a process of its own, which was started again)"
_FAULTS = {"SIGALRM": "decoding it took longer than it may"}


def _cause(code: int) -> str:
    """How a process ended: the name of a signal, or its exit status."""
    return signal.Signals(-code).name if code < 0 else f"exit status {code}"
