"""The web bundle without a browser: what is in it, where LiteRT.js comes from, and who serves it."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import hashlib
import http.client
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path

import pytest

import web_pages
from edgekd.bundle.check import open_bundle
from edgekd.bundle.docker_space import write_docker_space
from edgekd.bundle.npm import NpmPackage, npm_package
from edgekd.bundle.web_bundle import BUILDS, CORE, check_web, own_text, policy, write_web
from edgekd.bundle.web_server import web_server
from edgekd.card import ModelCard
from edgekd.errors import MissingError, ModelError, UsageError
from tiny_tflite import average_pool

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    return web_pages.write_web_bundle(tmp_path_factory.mktemp("web") / "bundle", space=True)


def test_the_service_worker_keeps_what_the_page_needs_with_its_digest(bundle):
    script = (bundle / "sw.js").read_text()
    files, builds = (
        json.loads(re.search(rf"const {name} = (\{{.*?\n\}});", script, re.S)[1])
        for name in ("FILES", "BUILDS")
    )
    assert "{{" not in script and set(builds) == set(BUILDS)
    kept = {**files, **builds[BUILDS[0]], **builds[BUILDS[1]]}
    for name, digest in kept.items():
        assert hashlib.sha256((bundle / name).read_bytes()).hexdigest() == digest
    listed = set(open_bundle(bundle).manifest.files)
    left = {name for name in listed - set(kept) if not name.startswith("golden/")}
    assert left == {"LICENSE", "README.md", "runtime/NOTICE.txt", "sw.js"}


def test_another_card_is_another_service_worker(bundle, tmp_path):
    shutil.copyfile(bundle / "model.tflite", tmp_path / "model.tflite")
    workers = []
    for name in ("one", "other", "one"):
        card = dataclasses.replace(web_pages.CARD, name=name)
        (tmp_path / "card.json").write_text(card.to_json())
        write_web(tmp_path, card)
        workers.append((tmp_path / "sw.js").read_text())
        shutil.rmtree(tmp_path / "runtime")
    assert workers[0] == workers[2] != workers[1]


def test_every_script_of_the_page_is_in_the_bundle_and_comes_from_it(bundle):
    for path in (*bundle.glob("*.js"), bundle / "runtime" / "index.js"):
        for name in re.findall(r'(?:from|import)\s*\(?\s*"([^"]+)"', path.read_text()):
            assert name.startswith("./") and (path.parent / name).is_file(), (path.name, name)
    page = (bundle / "index.html").read_text()
    for name in re.findall(r'(?:src|href)="([^"#]+)"', page):
        assert (bundle / name).is_file(), name
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=|https?://(?!www\.w3\.org/)", page)


def test_the_policy_lets_nothing_in_from_elsewhere():
    parts = dict(part.strip().split(" ", 1) for part in policy().split(";"))
    assert parts["default-src"] == "'none'"
    sources = {source for value in parts.values() for source in value.split()}
    assert sources == {"'none'", "'self'", "'wasm-unsafe-eval'", "blob:"}


def test_the_page_knows_every_field_of_a_card():
    """One it does not know is refused; whoever adds one to ModelCard tells card.js what to do about it."""
    listed = re.search(r"const FIELDS = new Set\(\[(.*?)\]\)", own_text("web/card.js"), re.S)[1]
    assert set(re.findall(r'"(\w+)"', listed)) == {field.name for field in dataclasses.fields(ModelCard)}


def test_a_space_says_what_it_is(bundle, tmp_path):
    assert (bundle / "README.md").read_text().startswith("---\ntitle: edgekd lesion classifier\n")
    assert "\nsdk: static\n" in (bundle / "README.md").read_text().split("---")[1]
    (tmp_path / "bundle").symlink_to(bundle)
    write_docker_space(tmp_path)
    front = (tmp_path / "README.md").read_text().split("---")[1]
    dockerfile = (tmp_path / "Dockerfile").read_text()
    assert "\nsdk: docker\napp_port: 7860\n" in front and "{{" not in dockerfile
    assert f"'edgekd[serve]=={version('edgekd')}'" in dockerfile and "--find-links /tmp/wheels" in dockerfile
    assert '"serve", "/home/user/bundle", "--host", "0.0.0.0", "--port", "7860"' in dockerfile


def test_what_the_page_cannot_serve_is_refused_before_anything_is_made(tmp_path):
    card = web_pages.CARD
    hairy = dataclasses.replace(card, hair_removal="oriented", pixel_rule=f"{card.pixel_rule} oriented")
    with pytest.raises(ModelError, match="wants hairs removed first"):
        check_web(hairy)
    for dtype in ("int8", "float32"):
        (tmp_path / "model.tflite").write_bytes(average_pool(dtype=dtype, px=card.input_px))
        with pytest.raises(ModelError, match="the page takes one uint8 picture"):
            write_web(tmp_path, card)
    assert [path.name for path in tmp_path.iterdir()] == ["model.tflite"]


def _archive(files: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return written.getvalue()


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A registry of our own with one package, and an empty cache; its folder and the package."""
    archive = _archive({"dist/index.js": b"export {};", "../outside": b"no"})
    integrity = f"sha512-{base64.b64encode(hashlib.sha512(archive).digest()).decode()}"
    package = NpmPackage(name="@own/thing", version="1.2.3", integrity=integrity)
    place = tmp_path / "registry" / "@own" / "thing" / "-"
    place.mkdir(parents=True)
    (place / package.archive).write_bytes(archive)
    handler = partial(_Quiet, directory=str(tmp_path / "registry"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("EDGEKD_CACHE", str(tmp_path / "cache"))
        yield place / package.archive, package
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_a_package_is_fetched_once_and_kept(registry, tmp_path):
    archive, package = registry
    assert npm_package(package)["dist/index.js"] == b"export {};"
    archive.unlink()
    assert npm_package(package)["dist/index.js"] == b"export {};"
    assert [path.name for path in (tmp_path / "cache" / "npm").iterdir()] == ["thing-1.2.3.tgz"]
    assert not list(tmp_path.rglob("outside"))


def test_an_altered_package_is_not_used_nor_kept(registry, tmp_path):
    archive, package = registry
    archive.write_bytes(_archive({"dist/index.js": b"steal();"}))
    with pytest.raises(MissingError, match="it is not used"):
        npm_package(package)
    assert not list((tmp_path / "cache").rglob("*.tgz"))


def test_a_damaged_cache_is_fetched_again_and_no_network_is_told(registry, tmp_path, monkeypatch):
    _, package = registry
    npm_package(package)
    kept = tmp_path / "cache" / "npm" / package.archive
    kept.write_bytes(kept.read_bytes()[:-1])
    assert npm_package(package)["dist/index.js"] == b"export {};"
    kept.unlink()
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:1")
    with pytest.raises(MissingError, match="cannot be fetched .* copy thing-1.2.3.tgz into"):
        npm_package(package)


@pytest.fixture
def ask(bundle):
    with web_pages.served(bundle) as server:

        def ask(method: str, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
            connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
            return answer, body

        yield ask


def test_the_server_sends_only_the_bundle_with_careful_headers(ask, bundle):
    answer, body = ask("GET", "/")
    assert body == (bundle / "index.html").read_bytes() and answer.status == 200
    assert answer.headers["Content-Security-Policy"] == f"{policy()}; frame-ancestors 'none'"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Python" not in answer.headers["Server"]
    for path in ("/../../etc/passwd", "/%2e%2e/bundle.tflite", "/golden/", "/nothing", "//model.sig"):
        assert ask("GET", path)[0].status == 404, path
    assert ask("POST", "/")[0].status == 501


def test_the_server_compresses_and_knows_what_the_browser_has(ask, bundle):
    name = f"runtime/wasm/{BUILDS[0]}.wasm"
    answer, body = ask("GET", f"/{name}", Accept_Encoding="gzip, br")
    assert answer.headers["Content-Encoding"] == "gzip" and len(body) < 3_000_000
    assert gzip.decompress(body) == (bundle / name).read_bytes()
    assert answer.headers["Content-Type"] == "application/wasm"
    again, nothing = ask("GET", f"/{name}", If_None_Match=answer.headers["ETag"], Accept_Encoding="gzip")
    assert again.status == 304 and nothing == b""
    head, nothing = ask("HEAD", f"/{name}")
    assert nothing == b"" and int(head.headers["Content-Length"]) == (bundle / name).stat().st_size
    plain, _ = ask("GET", "/golden/00.png", Accept_Encoding="gzip")
    assert "Content-Encoding" not in plain.headers


def test_a_taken_port_is_told_or_left(bundle):
    with web_server(bundle, ("index.html",)) as first:
        taken = web_server(bundle, ("index.html",), first.server_port)
        with pytest.raises(UsageError, match=f"port {first.server_port} cannot be served on"), taken:
            pass
        with web_server(bundle, ("index.html",), first.server_port, fallback=True) as second:
            assert second.server_port != first.server_port


def test_demo_serves_a_bundle_until_it_is_interrupted(bundle, tmp_path):
    command = [sys.executable, "-c", "import typer; from edgekd.cli.demo import demo; typer.run(demo)"]
    with subprocess.Popen(
        [*command, str(bundle), "--no-open"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        # What a shell starts in the background ignores the interrupt, and so would this.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    ) as process:
        try:
            url = process.stdout.readline().split()[0]
            connection = http.client.HTTPConnection(url.removeprefix("http://").rstrip("/"), timeout=30)
            connection.request("GET", "/page.json")
            page = json.loads(connection.getresponse().read())
            connection.close()
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert page["engine"] == {"name": CORE.name, "version": CORE.version}
    assert process.returncode == 0 and said.splitlines()[-1] == "ended"
