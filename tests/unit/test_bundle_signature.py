"""A signed bundle: valid with its key, and with no other, and with no byte changed."""

from __future__ import annotations

import base64
import builtins
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bundle_data
from bundle_data import contents, keys, make_key, relist
from edgekd.bundle.check import check, check_files, problems
from edgekd.bundle.make import Wishes, write_bundle
from edgekd.bundle.manifest import Platform
from edgekd.bundle.signature import PASSWORD_VARIABLE, check_signature, sign
from edgekd.errors import ContractError, MissingError, MissingExtraError

pytest.importorskip("model_signing", reason="the extra sign is not installed")
FILES = ("LICENSE", "README.md", "card.json", "golden/00.png", "golden/12.rgb", "golden/golden.json")
FILES += ("model.tflite", "manifest.json", "model.sig")


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signed") / "bundle"
    write_bundle(folder, Platform.ANDROID, contents(), Wishes(key=keys()[0]))
    return folder


@pytest.fixture
def bundle(signed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(signed, tmp_path / "bundle"))


def names(bundle: Path) -> set[str]:
    files = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    return files - {"model.sig"}


def test_a_signed_bundle_is_valid_with_its_key_wherever_it_lies(signed: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(signed, tmp_path / "of another name"))
    found = check(moved, keys()[1])
    assert found.passed, found.problems
    assert found.signature == "valid"
    assert check_signature(moved, keys()[1], names(moved)) is None


def test_the_librarys_own_program_accepts_it(signed: Path) -> None:
    run = [sys.executable, "-m", "model_signing", "verify", "key", str(signed)]
    run += ["--signature", str(signed / "model.sig"), "--public_key", str(keys()[1])]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_another_key_is_refused(signed: Path) -> None:
    assert ["not made by the owner of other.pub" in line for line in problems(signed, keys()[2])] == [True]


def test_an_unsigned_bundle_is_refused_where_a_key_demands_one() -> None:
    (told,) = problems(bundle_data.made(), keys()[1])
    assert told.startswith("model.sig: no signature")


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file_is_covered(bundle: Path, name: str) -> None:
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 3] ^= 1
    (bundle / name).write_bytes(data)
    assert problems(bundle, keys()[1])
    with pytest.raises(ContractError):  # and by the signature itself, whatever the manifest says
        check_signature(bundle, keys()[1], names(bundle))


def test_who_writes_a_new_manifest_over_other_files_has_no_signature(bundle: Path) -> None:
    (bundle / "README.md").write_text("Trust me.\n")
    relist(bundle)
    assert check_files(bundle) == []  # whole without a key
    assert ["model.sig: not made by" in line for line in problems(bundle, keys()[1])] == [True]


@pytest.mark.parametrize("name", ["LICENSE", "golden/03.rgb"])
def test_removed_and_added_files_are_refused(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(ContractError):
        check_signature(bundle, keys()[1], names(bundle))
    shutil.copyfile(bundle_data.made() / name, bundle / name)
    (bundle / ".gitignore").write_text("left out by the library, if it were asked to\n")
    with pytest.raises(ContractError):
        check_signature(bundle, keys()[1], names(bundle))


def _respaced(text: str) -> str:
    return json.dumps(json.loads(text), indent=1)


def _spare_bits(text: str) -> str:
    """The same bytes in base64 whose last digit has bits that mean nothing."""
    document = json.loads(text)
    envelope = document["dsseEnvelope"]
    payload = base64.b64decode(envelope["payload"])
    payload += b" " * (-(len(payload) + 2) % 3)  # so that it would end in ==
    digits = base64.b64encode(payload).decode()
    envelope["payload"] = digits[:-3] + chr(ord(digits[-3]) + 1) + digits[-2:]
    return json.dumps(document, separators=(",", ":"))


def _no_hint(text: str) -> str:
    document = json.loads(text)
    document["verificationMaterial"]["publicKey"]["hint"] = None
    return json.dumps(document, separators=(",", ":"))


def _named(text: str) -> str:
    return text.replace('"keyid":""', '"keyid":"somebody"')


def _twice(text: str) -> str:
    return text.replace('"keyid":""', '"keyid":"","keyid":""')


@pytest.mark.parametrize("change", [_respaced, _spare_bits, _no_hint, _named, _twice])
def test_what_a_signature_does_not_sign_of_itself_must_not_change_either(bundle: Path, change: Any) -> None:
    text = (bundle / "model.sig").read_text()
    (bundle / "model.sig").write_text(change(text))
    (told,) = problems(bundle, keys()[1])
    assert told.startswith("model.sig: ")


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", "[" * 100_000, '{"dsseEnvelope": 1}', "\x00", "x" * (9 << 20)]
)
def test_something_else_in_place_of_a_signature(bundle: Path, text: str) -> None:
    (bundle / "model.sig").write_text(text)
    (told,) = problems(bundle, keys()[1])
    assert told.startswith("model.sig: no signature of a bundle")
    assert len(told) < 400


def test_keys_that_are_none_get_one_line(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "text.pem").write_text("no key")
    make_key(tmp_path / "k256.pem", tmp_path / "k256.pub", curve="secp256k1")
    for key in (tmp_path / "nowhere.pem", tmp_path / "text.pem", tmp_path / "k256.pem", keys()[1], tmp_path):
        with pytest.raises(MissingError, match="private half") as raised:
            sign(bundle, key)
        assert "\n" not in str(raised.value)
    for key in (tmp_path / "nowhere.pub", tmp_path / "text.pem", tmp_path / "k256.pub", keys()[0], tmp_path):
        with pytest.raises(MissingError, match="public half"):
            check(bundle, key)


def test_an_encrypted_key_takes_its_password_from_the_environment(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ["openssl", "ec", "-in", str(keys()[0]), "-aes128", "-passout", "pass:secret"]
    subprocess.run([*run, "-out", str(tmp_path / "locked.pem")], check=True, capture_output=True)
    with pytest.raises(MissingError, match=PASSWORD_VARIABLE):
        sign(bundle, tmp_path / "locked.pem")
    monkeypatch.setenv(PASSWORD_VARIABLE, "secret")
    sign(bundle, tmp_path / "locked.pem")
    assert check_signature(bundle, keys()[1], names(bundle)) is None


@pytest.fixture
def without_the_extra(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    real = builtins.__import__

    def refuse(name: str, *rest: Any, **more: Any) -> Any:
        if name.split(".", maxsplit=1)[0] == "model_signing":
            raise ModuleNotFoundError("No module named 'model_signing'", name="model_signing")
        return real(name, *rest, **more)

    for name in [name for name in sys.modules if name.split(".")[0] == "model_signing"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", refuse)
    monkeypatch.setattr("importlib.import_module", lambda name, package=None: refuse(name))
    yield


def test_without_the_extra_the_digests_are_still_checked(signed: Path, without_the_extra: None) -> None:
    found = check(signed)
    assert (found.passed, found.signature) == (True, "not checked")
    with pytest.raises(MissingExtraError, match=r"edgekd\[sign\]"):
        check(signed, keys()[1])
    with pytest.raises(MissingExtraError, match=r"edgekd\[sign\]"):
        write_bundle(signed.parent / "second", Platform.ANDROID, contents(), Wishes(key=keys()[0]))
    assert not (signed.parent / "second").exists()
