"""The web part of a bundle: a page that runs the model in a browser, from plain files anybody can host.

    index.html style.css *.js icon.svg app.webmanifest    the page, as it lies in edgekd/bundle/web
    page.json      edgekd.page/1: what LiteRT.js does not tell: the inputs and the quantization of the output
    runtime/       LiteRT.js, two builds (with and without relaxed SIMD), of which a browser fetches one
    sw.js          the service worker, with the sha256 of every file it keeps for offline use
    README.md      how to host it

`write_web` puts them beside model.tflite, card.json and golden/; the manifest is written after it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from edgekd.bundle.npm import NpmPackage, npm_package
from edgekd.card import NO_HAIR_REMOVAL, ModelCard
from edgekd.config import PatientField
from edgekd.errors import ModelError
from edgekd.plain import canonical_json, write_json, write_text

PAGE_SCHEMA = "edgekd.page/1"
CORE = NpmPackage(
    name="@litertjs/core",
    version="2.5.3",
    integrity="sha512-PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
)
UTILS = NpmPackage(
    name="@litertjs/wasm-utils",
    version="2.5.3",
    integrity="sha512-4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
)
BUILDS = ("litert_wasm_internal", "litert_wasm_compat_internal")
"""With and without relaxed SIMD; the ones with threads or a graphics card need more than static files."""

ASKED = frozenset(PatientField)
"""The fields of a card's patient columns that the form of the page asks for."""

# The policy of index.html; as a header it can also forbid to be framed, which a page cannot say of itself.
POLICY = re.compile(r'http-equiv="Content-Security-Policy" content="([^"]+)"')

_PAGE_FILES = (
    *("index.html", "style.css", "icon.svg", "app.webmanifest"),
    *("answer.js", "app.js", "bundle.js", "card.js", "engine.js", "headers.js"),
    *("patient.js", "person.js", "picture.js", "quality.js", "resample.js"),
    *("selfcheck.js", "square.js", "view.js"),
)
_MODEL, _CARD, _PAGE, _WORKER = "model.tflite", "card.json", "page.json", "sw.js"
_SPECIFIER, _BESIDE = 'from "@litertjs/wasm-utils"', 'from "./wasm-utils.js"'


def check_web(card: ModelCard) -> None:
    """Nothing, when the page can do what `card` asks for.

    Raises:
        ModelError: it cannot: hair removal, or what a person's other pictures show.
    """
    if card.hair_removal != NO_HAIR_REMOVAL:
        raise ModelError(
            f"{card.name} wants hairs removed first ({card.hair_removal}), which the web page cannot do; "
            "train one with --set data.hair=none, or serve this one with edgekd serve"
        )
    beyond = [field for field in (card.patient.fields if card.patient else ()) if field not in ASKED]
    if beyond:
        raise ModelError(
            f"{card.name} also takes {', '.join(beyond)} of the patient, which a web page that sees one "
            "picture cannot tell it; train one with --set data.patient_context=false, or serve this one with "
            "edgekd serve"
        )


def write_web(folder: Path, card: ModelCard, *, space: bool = False) -> dict[str, str]:
    """Add the page to `folder`, which holds model.tflite, card.json and golden/; the versions of its tools.

    With `space` the README has the front matter of a static Space of Hugging Face.

    Raises:
        ModelError: the page cannot serve this card, or the model's inputs or output are not the card's, or
            not of a kind LiteRT.js knows.
        MissingError: LiteRT.js is not in the cache and cannot be fetched.
        StorageError: the cache cannot be written.
    """
    check_web(card)
    page = _page(folder / _MODEL, card)
    for name in _PAGE_FILES:
        (folder / name).write_bytes(_own(f"web/{name}"))
    write_json(folder / _PAGE, page)
    _write_runtime(folder / "runtime")
    write_text(folder / _WORKER, _worker(folder))
    write_text(folder / "README.md", _readme(card, space=space))
    return {CORE.name: CORE.version, UTILS.name: UTILS.version}


def policy() -> str:
    """The content-security policy of the page, for a server to send as a header."""
    found = POLICY.search(own_text("web/index.html"))
    if found is None:
        raise ModelError("index.html has no content-security policy")  # a broken installation
    return found[1]


def own_text(name: str) -> str:
    """The text of a file that belongs to edgekd/bundle, by its path there."""
    return _own(name).decode()


def _own(name: str) -> bytes:
    return resources.files("edgekd.bundle").joinpath(name).read_bytes()


def _page(model: Path, card: ModelCard) -> dict[str, Any]:
    from edgekd.runtimes.litert import image_and_patient, open_interpreter, ports

    inputs, outputs = ports(open_interpreter(model))
    image, patient = image_and_patient(model, inputs)
    vector, columns = outputs[0], card.patient.columns if card.patient else ()
    if (
        len(outputs) != 1
        or {port.dtype.name for port in inputs} != {"uint8"}
        or vector.dtype not in ("uint8", "float32")
        or (patient.shape[-1] if patient else 0) != len(columns)
    ):
        told = ", ".join(f"{port.name} {port.dtype} {list(port.shape)}" for port in (*inputs, *outputs))
        beside = f", the {len(columns)} patient values of its card" if columns else ""
        raise ModelError(
            f"{model}: {told}; the page takes one uint8 picture{beside} and one uint8 or float32 output, as "
            "the files of edgekd export have them"
        )
    return {
        "schema": PAGE_SCHEMA,
        "input": {"px": image.shape[1], "dtype": str(image.dtype)},
        "patient": {"count": len(columns)} if columns else None,
        "output": {
            "dtype": str(vector.dtype),
            "scale": vector.scale,
            "zero_point": vector.zero_point,
            "count": vector.shape[-1],
        },
        "engine": {"name": CORE.name, "version": CORE.version},
    }


def _write_runtime(folder: Path) -> None:
    (folder / "wasm").mkdir(parents=True)
    core, utils = npm_package(CORE), npm_package(UTILS)
    index = core["dist/index.js"].decode()
    if index.count(_SPECIFIER) != 1:
        raise ModelError(f"{CORE.name} {CORE.version} does not import {UTILS.name} as expected")
    write_text(folder / "index.js", _without_map(index.replace(_SPECIFIER, _BESIDE)))
    write_text(folder / "wasm-utils.js", _without_map(utils["dist/index.js"].decode()))
    for name in (f"{build}.{ending}" for build in BUILDS for ending in ("js", "wasm")):
        (folder / "wasm" / name).write_bytes(core[f"wasm/{name}"])
    write_text(folder / "NOTICE.txt", _NOTICE)


def _without_map(script: str) -> str:
    """`script` less the line that sends a debugger to a source map, which is not here."""
    return re.sub(r"\n//# sourceMappingURL=\S+\s*$", "\n", script)


def _worker(folder: Path) -> str:
    """The service worker with the files it keeps; golden pictures and records are only read on request."""
    builds = {
        build: _digests(folder, [f"runtime/wasm/{build}.{e}" for e in ("js", "wasm")]) for build in BUILDS
    }
    always = [*_PAGE_FILES, _PAGE, _CARD, _MODEL, "runtime/index.js", "runtime/wasm-utils.js"]
    files = _digests(folder, always)
    script = own_text(f"web/{_WORKER}")
    content = hashlib.sha256((canonical_json([files, builds]) + script).encode()).hexdigest()
    values = {"content": content, "files": _literal(files), "builds": _literal(builds)}
    return filled(script, values)


def _digests(folder: Path, names: list[str]) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in sorted(names)}


def _literal(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, sort_keys=True)


def _readme(card: ModelCard, *, space: bool) -> str:
    facts = {"name": card.name, "intended_use": card.intended_use, "csp": policy(), "core": CORE.version}
    facts["asks"] = _asks(card)
    return (front_matter("static.yaml") if space else "") + filled(own_text("web/README.md"), facts)


def _asks(card: ModelCard) -> str:
    if card.patient is None:
        return "The model takes the photo alone."
    return (
        f"A form asks for what the model takes beside the photo ({', '.join(card.patient.fields)}); every "
        "field may stay empty, the answer names those that did, and nothing typed is stored or sent."
    )


def front_matter(name: str) -> str:
    """What the README of a Space begins with; `name` is that of the file in edgekd/bundle/space."""
    return f"---\n{own_text(f'space/{name}')}---\n\n"


def filled(text: str, values: Mapping[str, str]) -> str:
    """`text` with every {{name}} replaced."""
    return re.sub(r"\{\{(\w+)\}\}", lambda place: values[place[1]], text)


_NOTICE = f"""\
LiteRT.js: {CORE.name} {CORE.version} and {UTILS.name} {UTILS.version}, from npm
{CORE.integrity}
{UTILS.integrity}

Copyright Google LLC. Licensed under the Apache License, Version 2.0; its text stands in LICENSE, one
folder up, with the one of edgekd.
Changed: index.js imports "./wasm-utils.js" instead of "{UTILS.name}" (so that no bundler is needed), and the
references to source maps are gone. The files in wasm/ are as published.
"""
