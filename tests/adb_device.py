"""A device that speaks the ADB protocol over TCP, so that the real adb binary and server can talk to it.

It is no phone: a folder stands for /data/local/tmp, Android's shell (mksh) runs the commands where it is
installed, else /bin/sh, and `getprop` and `dumpsys` answer from tables. What is real is everything between
adb and it: connecting, authorising, shells with and without exit codes, files sent and received, and a cable
pulled out.

Source of the formats: docs/dev/protocol.md, sync.md and services.md of the Android Open Source Project.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

_HEADER = struct.Struct("<4sIIII4s")
_SYNC = struct.Struct("<4sI")
_MAX_DATA = 64 * 1024
_VERSION = 0x01000001
TEMPORARY = "/data/local/tmp"
SHELL = shutil.which("mksh") or "/bin/sh"


class Device:
    """A listening device; `adb connect` to `address`.

    `modern` says whether the shell tells exit codes (shell_v2, Android 7 and newer). `mode` is "ready",
    "unauthorized" (never satisfied with a key) or "offline" (never answers). `full` lets every file received
    fail for lack of room; the connection is cut when a shell command holds the text `cut_at`.
    """

    def __init__(
        self,
        root: Path,
        *,
        properties: Mapping[str, str] | None = None,
        modern: bool = True,
        mode: str = "ready",
        full: bool = False,
        cut_at: str | None = None,
    ) -> None:
        self.modern, self.mode, self.full, self.cut_at = modern, mode, full, cut_at
        self.temporary, self.commands = root / "tmp", list[str]()
        self._root = root
        self._lay_out(properties or {})
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._connections: list[socket.socket] = []
        self._running: list[subprocess.Popen[bytes]] = []
        self._threads: list[threading.Thread] = []
        self.serve(self._accept)

    def write(self, path: str, text: str) -> None:
        """A file of the device outside /data, such as /sys/class/thermal/thermal_zone0/temp."""
        file = self._root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def close(self) -> None:
        self.cut()
        for process in self._running:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        for thread in self._threads:
            thread.join()

    def cut(self) -> None:
        """Pull the cable: nobody listens any more and every connection ends."""
        _shut(self._listener)
        for connection in self._connections:
            _shut(connection)

    def serve(self, target: Callable[..., None], *arguments: object) -> None:
        """Run `target` in a thread that ends before the device is closed."""
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _lay_out(self, properties: Mapping[str, str]) -> None:
        self.temporary.mkdir(parents=True)
        answers = self._root / "properties"
        answers.mkdir()
        for name, value in properties.items():
            (answers / name).write_text(value)
        programs = self._root / "bin"
        programs.mkdir()
        (programs / "sh").symlink_to(SHELL)
        for name, script in {
            "getprop": f'cat {answers}/"$1" 2>/dev/null || echo',
            "dumpsys": f'cat {self._root}/dumpsys/"$1"',
        }.items():
            (programs / name).write_text(f"#!/bin/sh\n{script}\n")
            (programs / name).chmod(0o755)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                self._listener.close()
                return
            self._connections.append(connection)
            self.serve(_Transport(self, connection).serve)

    def local(self, text: str) -> str:
        """A path or command of the device as one of this machine."""
        return text.replace(TEMPORARY, str(self.temporary)).replace("/sys/", f"{self._root}/sys/")

    def start(self, command: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PATH": f"{self._root}/bin:{os.environ['PATH']}"}
        process = subprocess.Popen(
            [SHELL, "-c", self.local(command)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if self.modern else subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        self._running.append(process)
        return process


class _Stream:
    """One opened service: its numbers on both sides, what the host sent, and whether it may be written to."""

    def __init__(self, transport: _Transport, local: int, remote: int) -> None:
        self._transport, self.local, self.remote = transport, local, remote
        self._received, self._changed = bytearray(), threading.Condition()
        self._writable = self._closed = False

    def write(self, data: bytes) -> None:
        for begin in range(0, len(data), _MAX_DATA):
            with self._changed:
                self._changed.wait_for(lambda: self._writable or self._closed)
                self._writable = False
            if self._closed:
                return
            self._transport.send(b"WRTE", self.local, self.remote, data[begin : begin + _MAX_DATA])

    def read(self, count: int) -> bytes:
        with self._changed:
            self._changed.wait_for(lambda: len(self._received) >= count or self._closed)
            data = bytes(self._received[:count])
            del self._received[:count]
        if len(data) < count:
            raise EOFError
        return data

    def close(self) -> None:
        with self._changed:  # what was written last must have arrived
            self._changed.wait_for(lambda: self._writable or self._closed)
        self._transport.send(b"CLSE", self.local, self.remote)

    def on_data(self, data: bytes) -> None:
        with self._changed:
            self._received += data
            self._changed.notify_all()

    def on_change(self, *, closed: bool = False) -> None:
        with self._changed:
            self._writable, self._closed = True, self._closed or closed
            self._changed.notify_all()


class _Transport:
    """One connection: the handshake, and the services the host opens."""

    def __init__(self, device: Device, connection: socket.socket) -> None:
        self._device, self._socket = device, connection
        self._sending, self._streams = threading.Lock(), dict[int, _Stream]()

    def serve(self) -> None:
        with suppress(OSError, EOFError):
            while True:
                command, first, second, data = self._receive()
                self._handle(command, first, second, data)
        for stream in list(self._streams.values()):
            stream.on_change(closed=True)
        self._socket.close()

    def send(self, command: bytes, first: int, second: int, data: bytes = b"") -> None:
        magic = bytes(byte ^ 0xFF for byte in command)
        head = _HEADER.pack(command, first, second, len(data), sum(data) & 0xFFFFFFFF, magic)
        with self._sending, suppress(OSError):
            self._socket.sendall(head + data)

    def _receive(self) -> tuple[bytes, int, int, bytes]:
        command, first, second, length, _, _ = _HEADER.unpack(self._exactly(_HEADER.size))
        return command, first, second, self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            part = self._socket.recv(count - len(parts))
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)

    def _handle(self, command: bytes, first: int, second: int, data: bytes) -> None:
        if command == b"CNXN":
            self._greet()
        elif command == b"AUTH" and first == 2:  # a signature: ask again, so that the host runs out of keys
            self.send(b"AUTH", 1, 0, bytes(20))
        elif command == b"OPEN":
            self._open(first, data.rstrip(b"\0").decode())
        elif second in self._streams:
            self._pass_on(command, self._streams[second], data)

    def _greet(self) -> None:
        if self._device.mode == "unauthorized":
            self.send(b"AUTH", 1, 0, bytes(20))
        elif self._device.mode == "ready":
            features = "shell_v2,cmd" if self._device.modern else "cmd"
            banner = f"device::ro.product.name=none;ro.product.model=none;features={features}"
            self.send(b"CNXN", _VERSION, _MAX_DATA, banner.encode())

    def _pass_on(self, command: bytes, stream: _Stream, data: bytes) -> None:
        if command == b"WRTE":
            stream.on_data(data)
            self.send(b"OKAY", stream.local, stream.remote)
        else:
            stream.on_change(closed=command == b"CLSE")

    def _open(self, remote: int, service: str) -> None:
        stream = _Stream(self, len(self._streams) + 1, remote)
        self._streams[stream.local] = stream
        kind, _, rest = service.partition(":")
        serve = {"shell": _shell, "sync": _sync}.get(kind.partition(",")[0])
        if serve is None:
            self.send(b"CLSE", 0, remote)
            return
        self.send(b"OKAY", stream.local, remote)
        stream.on_change()
        modern = ",v2" in kind
        threading.Thread(
            target=_served, args=(serve, self._device, stream, rest, modern), daemon=True
        ).start()


def _served(serve: Callable[..., None], device: Device, stream: _Stream, rest: str, modern: bool) -> None:
    with suppress(OSError, EOFError):
        serve(device, stream, rest, modern)
        stream.close()


def _shell(device: Device, stream: _Stream, command: str, modern: bool) -> None:
    """Old: the bytes of the output. New: packets of stdout (1), stderr (2) and the exit code (3)."""
    device.commands.append(command)
    if device.cut_at is not None and device.cut_at in command:
        device.cut()
        return
    process = device.start(command)
    output, errors = process.communicate()
    status = process.returncode if process.returncode >= 0 else 128 - process.returncode
    if not modern:
        stream.write(output.replace(b"\n", b"\r\n"))  # old shells have a terminal between them and adb
        return
    for number, data in ((1, output), (2, errors), (3, bytes([status]))):
        if data:
            stream.write(struct.pack("<BI", number, len(data)) + data)


def _sync(device: Device, stream: _Stream, rest: str, modern: bool) -> None:
    verbs = {b"STAT": _stat, b"SEND": _receive_file, b"RECV": _send_file}
    while True:
        verb, length = _SYNC.unpack(stream.read(_SYNC.size))
        if verb == b"QUIT":
            return
        verbs[verb](device, stream, stream.read(length).decode())


def _stat(device: Device, stream: _Stream, name: str) -> None:
    path = Path(device.local(name))
    facts = path.stat() if path.exists() else None
    numbers = (facts.st_mode, facts.st_size, int(facts.st_mtime)) if facts else (0, 0, 0)
    stream.write(struct.pack("<4sIII", b"STAT", *numbers))


def _receive_file(device: Device, stream: _Stream, target: str) -> None:
    name, _, mode = target.rpartition(",")
    content = bytearray()
    while True:
        verb, length = _SYNC.unpack(stream.read(_SYNC.size))
        if verb == b"DONE":  # the number is the time of the file
            break
        content += stream.read(length)
    if device.full:
        message = b"couldn't write to file: No space left on device"
        stream.write(_SYNC.pack(b"FAIL", len(message)) + message)
        return
    path = Path(device.local(name))
    path.write_bytes(content)
    path.chmod(int(mode) & 0o666)  # as on phones: what arrives cannot be executed
    stream.write(_SYNC.pack(b"OKAY", 0))


def _send_file(device: Device, stream: _Stream, name: str) -> None:
    path = Path(device.local(name))
    if not path.is_file():
        message = b"No such file or directory"
        stream.write(_SYNC.pack(b"FAIL", len(message)) + message)
        return
    content = path.read_bytes()
    for begin in range(0, len(content), _MAX_DATA - _SYNC.size):
        part = content[begin : begin + _MAX_DATA - _SYNC.size]
        stream.write(_SYNC.pack(b"DATA", len(part)) + part)
    stream.write(_SYNC.pack(b"DONE", 0))


def _shut(connection: socket.socket) -> None:
    """End it; the thread that reads from it notices and closes it."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
