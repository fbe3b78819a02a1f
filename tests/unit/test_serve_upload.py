"""What a request's body and fields become, however they arrive; keys; where a model is taken from."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import socket
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command import edgekd
from edgekd.bundle.manifest import Manifest, describe_files, write_manifest
from edgekd.errors import ContractError, EdgekdError, MissingError, ModelError, UsageError
from edgekd.patient_input import PatientColumn, PatientInput
from edgekd.plain import file_digest, from_plain, write_text
from edgekd.serve.keys import VARIABLE, read_keys
from edgekd.serve.limits import Limits
from edgekd.serve.person import fields_of, read_anyway, read_person, unseen
from edgekd.serve.refusal import Reason, Refusal
from edgekd.serve.source import open_source
from edgekd.serve.upload import GoneError, Held, Upload, read_upload
from serve_client import CARD, form, model_in

LIMITS = Limits(max_bytes=1000, held_bytes=3000, receive_s=0.05)
IMAGE = bytes(range(256)) + b"\r\n--edge" + b"\r\n--" * 9
COLUMNS = (
    PatientColumn(name="age", field="age", low=20, high=80),
    PatientColumn(name="sex_female", field="sex", category="female"),
    PatientColumn(name="same_site", field="same_site"),
)
PATIENT_CARD = dataclasses.replace(CARD, patient=PatientInput(columns=COLUMNS))


def read(chunks: list[bytes], kind: str, held: Held | None = None, length: str | None = None) -> Upload:
    """What `chunks` are read as; after the last comes nothing more, or the client leaves where it is None."""

    async def receive():
        if not rest:
            await asyncio.sleep(60)
        chunk = rest.pop(0)
        if chunk is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunk, "more_body": bool(rest) or unfinished}

    unfinished = chunks[-1] == b"..."
    rest = chunks[:-1] if unfinished else list(chunks)
    with (held or Held(LIMITS.held_bytes)).share() as take:
        return asyncio.run(read_upload(kind, length, receive, LIMITS, take))


@given(cuts=st.lists(st.integers(0, 420), max_size=6), boundary=st.sampled_from(["edge", "x", "b" * 70]))
def test_a_form_is_read_the_same_however_it_is_cut(cuts: list[int], boundary: str) -> None:
    image = IMAGE.replace(b"--edge", b"--other")
    kind, body = form({"age": b"55", "image": image, "site": "Fu\u00df".encode()}, boundary)
    places = [0, *sorted(cut for cut in cuts if cut <= len(body)), len(body)]
    chunks = [body[low:high] for low, high in itertools.pairwise(places)]
    assert read(chunks, kind) == Upload(image=image, fields={"age": "55", "site": "Fu\u00df"})
    assert read([image[:3], image[3:]], "IMAGE/jpeg; q=1") == Upload(image=image)


@pytest.mark.parametrize(
    ("chunks", "kind", "length", "reason"),
    [
        ([b""], "image/png", None, Reason.BAD_REQUEST),
        ([b"x"], None, None, Reason.MEDIA_TYPE),
        ([b"x"], "text/html", None, Reason.MEDIA_TYPE),
        ([b"x"], "image/png", "1001", Reason.TOO_LARGE),
        ([bytes(600), bytes(401)], "image/png", None, Reason.TOO_LARGE),
        ([b"x", b"..."], "image/png", None, Reason.TOO_SLOW),
        ([form({"image": bytes(1001)})[1]], form({})[0], None, Reason.TOO_LARGE),
        ([form({"image": b"x"})[1][:-4]], form({})[0], None, Reason.BAD_REQUEST),
        ([form({"other": b"x"})[1]], form({})[0], None, Reason.BAD_REQUEST),
        ([form({"image": b"x", "age": b"5" * 300})[1]], form({})[0], None, Reason.BAD_REQUEST),
        ([form({"image": b"x", "age": b"\xff"})[1]], form({})[0], None, Reason.BAD_REQUEST),
        ([b"no form"], form({})[0], None, Reason.BAD_REQUEST),
        ([b"x"], "multipart/form-data", None, Reason.BAD_REQUEST),
    ],
)
def test_a_body_is_refused(chunks, kind, length, reason) -> None:
    with pytest.raises(Refusal) as caught:
        read(chunks, kind, length=length)
    assert caught.value.reason is reason


def test_bytes_of_all_uploads_together_are_bounded_and_given_back() -> None:
    held = Held(1500)
    with held.share() as take:
        take(700)
        with pytest.raises(Refusal, match="too many uploads") as caught:
            read([bytes(801)], "image/png", held)
        assert (caught.value.status, caught.value.retry_after_s) == (429, 1)
        assert held.now == 700
        read([bytes(800)], "image/png", held)
    assert held.now == 0
    with pytest.raises(GoneError):
        read([b"x", None], "image/png", held)  # type: ignore[list-item]
    assert held.now == 0


def test_only_what_the_model_takes_may_be_told() -> None:
    fields = fields_of(PATIENT_CARD)
    assert [field.name for field in fields] == ["age", "sex", "same_site", "pictures"]
    assert fields_of(CARD) == ()
    told = [("age", "55"), ("sex", "Other"), ("pictures", "3"), ("same_site", "1")]
    person = read_person(told, fields)
    assert person == {"age": 55.0, "sex": "Other", "images": 3, "same_site": 1}
    assert unseen(PATIENT_CARD, person) == ["sex"]
    assert unseen(PATIENT_CARD, {"sex": " FEMALE "}) == []
    assert read_person([("age", "")], fields) == {}
    for bad in (
        [("site", "back")],
        [("age", "old")],
        [("age", "5"), ("age", "6")],
        [("age", "nan")],
        [("age", "-1")],
    ):
        with pytest.raises(Refusal, match="age|site") as caught:
            read_person(bad, fields)
        assert caught.value.reason is Reason.BAD_REQUEST
    assert read_anyway([("judge_anyway", "true"), ("age", "5")]) == (True, [("age", "5")])


def test_keys_come_from_a_file_or_the_environment(tmp_path: Path, monkeypatch, caplog) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert not read_keys(None)
    monkeypatch.setenv(VARIABLE, "first-key-of-sixteen, second-key-of-sixteen")
    keys = read_keys(None)
    assert keys.opens([(b"x-api-key", b"second-key-of-sixteen")])
    assert keys.opens([(b"authorization", b"bearer first-key-of-sixteen")])
    assert not keys.opens([(b"authorization", b"Basic first-key-of-sixteen")])
    assert not keys.opens([])
    assert b"sixteen" not in repr(vars(keys)).encode()
    file = tmp_path / "keys"
    file.write_text("# a comment\nthird-key-of-sixteen  # of the ward\n")
    file.chmod(0o644)
    assert read_keys(file).opens([(b"x-api-key", b"third-key-of-sixteen")])
    assert "chmod 600" in caplog.text
    for text in ("", "short", "sixteen chars but spaces"):
        file.write_text(text)
        with pytest.raises(UsageError):
            read_keys(file)
    with pytest.raises(MissingError):
        read_keys(tmp_path / "nowhere")


def bundle_in(folder: Path) -> Path:
    """A bundle of the pooling model; its golden set is never run here."""
    model_in(folder)
    write_text(folder / "golden.json", "{}\n")
    (folder / "golden").mkdir()
    (folder / "golden.json").rename(folder / "golden" / "golden.json")
    plain = {"schema": "edgekd.bundle/1", "platform": "web", "name": "pool", "precision": "int8"}
    more = {"model": "model.tflite", "verdict": "none", "tools": {}, "files": {}}
    files = describe_files(folder, ["model.tflite", "card.json", "golden/golden.json"])
    listed = {name: dataclasses.asdict(facts) for name, facts in files.items()}
    write_manifest(folder, from_plain(Manifest, {**plain, **more, "files": listed}, "manifest"))
    return folder


def test_a_bundle_is_served_as_it_was_made_or_not_at_all(tmp_path: Path) -> None:
    folder = bundle_in(tmp_path / "bundle")
    served = open_source(folder)
    assert served.model_sha256 == file_digest(folder / "model.tflite")
    assert served.card == CARD
    assert served.card_json == (folder / "card.json").read_text()
    for file in ("model.tflite", "card.json", "golden/golden.json"):
        whole = (folder / file).read_bytes()
        (folder / file).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(ContractError):
            open_source(folder)
        (folder / file).write_bytes(whole)
    open_source(folder)
    (folder / "extra.js").write_text("alert(1)")
    with pytest.raises(ContractError):
        open_source(folder)


def test_a_run_and_a_file_are_served(tmp_path: Path) -> None:
    for name in ("fp32", "int8-ptq"):
        model_in(tmp_path / "run" / "export" / name, dataclasses.replace(CARD, name=name))
    assert open_source(tmp_path / "run", precision="fp32").card.name == "fp32"
    with pytest.raises(ModelError, match="choose one with --precision"):
        open_source(tmp_path / "run")
    model_in(tmp_path / "run" / "export" / "int8")
    assert open_source(tmp_path / "run").path.parent.name == "int8"
    verified = tmp_path / "run" / "verify" / "int8" / "card.json"
    verified.parent.mkdir(parents=True)
    verified.write_text(dataclasses.replace(CARD, name="verified").to_json())
    assert open_source(tmp_path / "run").card.name == "verified"
    file = tmp_path / "run" / "export" / "fp32" / "model.tflite"
    assert open_source(file, card=verified).card.name == "verified"


@pytest.mark.parametrize(
    ("source", "options", "error"),
    [
        ("nowhere", {}, ModelError),
        ("empty", {}, ModelError),
        ("empty", {"precision": "int9"}, UsageError),
        ("empty", {"card": Path("card.json")}, UsageError),
        ("model.keras", {}, ModelError),
        ("model.tflite", {"precision": "int8"}, UsageError),
    ],
)
def test_what_cannot_be_served_is_told(tmp_path: Path, source, options, error) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "model.keras").write_bytes(b"")
    model_in(tmp_path)
    with pytest.raises(error) as caught:
        open_source(tmp_path / source, **options)
    assert isinstance(caught.value, EdgekdError)


def test_limits_that_cannot_be_meant_are_refused() -> None:
    for bad in ({"max_bytes": 0}, {"max_pixels": 10**9}, {"work_s": -1.0}, {"held_bytes": 5}):
        with pytest.raises(UsageError):
            Limits(**bad)


def test_without_its_extra_the_verb_says_how_to_get_it(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "fastapi", None)
    done = edgekd("serve", "nowhere")
    assert done.exit_code == 4
    assert "pip install 'edgekd[serve]'" in done.stderr


def test_what_the_verb_cannot_do_is_one_line(tmp_path: Path) -> None:
    model = model_in(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for options, code, message in (
            (["--port", port], 2, "cannot listen at 127.0.0.1"),
            (["--allow-origin", "*"], 2, "expected one origin"),
            (["--keys", tmp_path / "none"], 4, "no file of API keys"),
            (["--max-mb", "1000"], 2, "edgekd decodes at most"),
        ):
            done = edgekd("serve", model, *options)
            assert (done.exit_code, done.stdout) == (code, "")
            assert message in done.stderr and len(done.stderr.splitlines()) == 1
