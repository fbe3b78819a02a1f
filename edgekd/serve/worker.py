"""The process that holds the model and sees the pictures, one after another.

Started by `edgekd.serve.pool` with one end of a socket pair. It gets `Setup`, says whether the model could
be loaded, and then answers frames of {person} and an image file. It ends with the server, however that ends.

Once the model is loaded it may write to no file (`RLIMIT_FSIZE` 0: nothing of a picture is ever stored, not
even by a codec), leaves no core dump, has a ceiling of memory, and the kernel ends it when a picture takes
longer than the limit, inside native code too.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekd import assess
from edgekd.card import ModelCard
from edgekd.data.patient import Person, encode
from edgekd.errors import EdgekdError, ImageError, ModelError, UsageError
from edgekd.imaging import headers
from edgekd.imaging.decode import decode
from edgekd.plain import file_digest, from_plain, to_plain
from edgekd.runtimes.base import Runtime, beside
from edgekd.runtimes.litert import LitertRuntime
from edgekd.serve import wire
from edgekd.serve.wire import Stream

# A decoded picture is held as stored, as RGB and once more where it is turned or its hairs are removed;
# 16-bit samples with alpha are 8 bytes a pixel.
_BYTES_PER_PIXEL = 40
_SPARE_BYTES = 1 << 30

ALWAYS = ("score", "probability", "malignant", "logits")
"""What is there in every answer; null for a photo that cannot be judged."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a worker is told first: the model file, its sha256, its card as JSON, and the limits."""

    model: str
    model_sha256: str
    card: str
    max_pixels: int
    work_s: float


@dataclass(frozen=True, kw_only=True)
class _Model:
    runtime: Runtime
    card: ModelCard
    setup: Setup


def work(connection: socket.socket) -> None:
    """Answer what comes over `connection` until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends its workers last
    with (
        connection,
        connection.makefile("rwb") as stream,
        contextlib.suppress(EOFError, ConnectionError),
    ):
        model = _load(stream)
        while model is not None:
            meaning, data = wire.receive(stream)
            signal.setitimer(signal.ITIMER_REAL, model.setup.work_s)
            told, text = _answer(model, meaning, data)
            signal.setitimer(signal.ITIMER_REAL, 0)
            _send(stream, told, text)


def _load(stream: Stream) -> _Model | None:
    setup = from_plain(Setup, wire.receive(stream)[0], "setup")
    try:
        model = _open(setup)
    except EdgekdError as error:
        _send(stream, {"error": str(error)})
        return None
    _confine(setup.max_pixels)
    _send(stream, {"engine": model.runtime.engine.describe()})
    return model


def _open(setup: Setup) -> _Model:
    path = Path(setup.model)
    if not path.is_file():
        raise ModelError(f"{path}: no such model file")
    if file_digest(path) != setup.model_sha256:
        raise ModelError(f"{path}: changed since the service was started; start it again")
    runtime, card = LitertRuntime(path), ModelCard.from_json(setup.card)
    assess.check_card(runtime, card)
    return _Model(runtime=runtime, card=card, setup=setup)


def _confine(max_pixels: int) -> None:
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - what native code says of a picture is not kept
        for stream in (1, 2):
            os.dup2(nowhere.fileno(), stream)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    with contextlib.suppress(ValueError, OSError):  # macOS knows no such limit, and has no /proc
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        ceiling = pages * resource.getpagesize() + _SPARE_BYTES + _BYTES_PER_PIXEL * max_pixels
        resource.setrlimit(resource.RLIMIT_AS, (ceiling, ceiling))


def _answer(model: _Model, asked: Mapping[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    """What the model says about an image file, as JSON beside the seconds it took, or why it is refused."""
    try:
        return _judge(model, Person(**asked["person"]), data, anyway=asked["anyway"])
    except ImageError as error:
        return {"refused": "no_usable_image", "detail": error.reason}, b""
    except MemoryError:
        return {"refused": "too_large", "detail": "the picture needs more memory than there is for one"}, b""
    except UsageError as error:
        return {"refused": "bad_request", "detail": str(error)}, b""
    except Exception as error:  # a bug: its place is told, its message might quote the picture
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return {"bug": f"{type(error).__name__} in {Path(frame.filename).name}:{frame.lineno}"}, b""


def _judge(model: _Model, person: Person, data: bytes, *, anyway: bool) -> tuple[dict[str, Any], bytes]:
    card, seconds = model.card, {}
    began = time.perf_counter()
    oversize = _oversize(data, model.setup.max_pixels)
    if oversize:
        return {"refused": "too_large", "detail": oversize}, b""
    image = decode(data, "the upload")
    seconds["decode"] = (decoded := time.perf_counter()) - began
    seen = assess.pixels(card, image)
    photo = assess.photo(card, seen)
    seconds["prepare"] = (prepared := time.perf_counter()) - decoded
    found: assess.Answer | assess.Refusal
    if photo and photo.flags and not anyway:
        found = assess.Refusal(image="", photo=photo)
    else:
        features = () if card.patient is None else beside(encode(card.patient, [person]))
        found = assess.answer(card, "", model.runtime.logits(seen[None], *features)[0], photo)
        seconds["infer"] = time.perf_counter() - prepared
    answer = to_plain(found)
    # What the card knows no limits or bands for is left out, as it is in the card.
    said = {name: answer[name] for name in answer if name in ALWAYS or answer[name] is not None}
    said["picture"] = {"width": image.shape[1], "height": image.shape[0]}
    del said["image"]
    return {"seconds": seconds}, json.dumps(said, allow_nan=False, separators=(",", ":")).encode()


def _oversize(data: bytes, max_pixels: int) -> str | None:
    """Why the picture is too large, read from its header; None where it is not (or `decode` refuses it)."""
    try:
        kind, header = headers.inspect(data)
    except ValueError:
        return None
    if header.width * header.height <= max_pixels:
        return None
    return f"{kind} of {header.width} × {header.height} pixels, the limit here is {max_pixels:,} pixels"


def _send(stream: Stream, meaning: Any, text: bytes = b"") -> None:
    for part in wire.pack(meaning, text):
        stream.write(part)
    stream.flush()
