"""A signature over a whole bundle: sigstore's model-signing with an elliptic-curve key, offline.

`model.sig` is what `model_signing sign key` writes and `model_signing verify key` reads: a sigstore bundle
with an in-toto statement of the sha256 of every file, manifest.json included. Keys are PEM files on the
curves P-256, P-384 or P-521; `openssl ecparam -name prime256v1 -genkey -noout -out key.pem` makes one, and
`openssl ec -in key.pem -pubout -out key.pub` its public half. Nothing is sent anywhere.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from edgekd import lazy
from edgekd.bundle.manifest import SIGNATURE
from edgekd.bundle.strict import parse_json, read_plain, shown
from edgekd.errors import ContractError, MissingError

PASSWORD_VARIABLE = "EDGEKD_SIGN_PASSWORD"  # noqa: S105 - its name, not a password
"""The environment variable that holds the password of an encrypted private key."""

_MAX_BYTES = 8 << 20
_CURVES = "an elliptic-curve key in PEM (P-256, P-384 or P-521)"


def open_key(key: Path) -> Any:
    """What signs with the private key in the file `key`.

    Raises:
        MissingExtraError: the extra `sign` is not installed.
        MissingError: the key cannot be read.
    """
    password = os.environ.get(PASSWORD_VARIABLE)
    config = _library("signing").Config()
    try:
        config.use_elliptic_key_signer(private_key=key, password=password.encode() if password else None)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise MissingError(_bad_key(key, "private", error)) from error
    return config.set_hashing_config(_hashing())


def sign(folder: Path, key: Path) -> None:
    """Sign every file of the bundle `folder` with the private key in `key`.

    Raises:
        MissingExtraError, MissingError: as `open_key`.
    """
    open_key(key).sign(folder, folder / SIGNATURE)


def check_signature(folder: Path, key: Path, names: Collection[str]) -> None:
    """Nothing, when the files `names` of the bundle `folder` are signed by the owner of `key`, and no others.

    `key` is the public key. The caller has seen that the folder holds plain files only.

    Raises:
        MissingExtraError: the extra `sign` is not installed.
        MissingError: the key cannot be read.
        ContractError: there is no signature, it is another's, or it was not made over these files.
    """
    config = _library("verifying").Config()
    try:
        config.use_elliptic_key_verifier(public_key=key)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise MissingError(_bad_key(key, "public", error)) from error
    signed = _signed_names(folder)
    try:
        config.set_hashing_config(_hashing()).verify(folder, folder / SIGNATURE)
    except Exception as error:  # whatever the library meets in a hostile file, it is not a valid signature
        raise ContractError(
            f"{SIGNATURE}: not made by the owner of {key.name} over these files ({_reason(error)})"
        ) from error
    if signed != set(names):
        raise ContractError(f"{SIGNATURE}: it was made over other files than these")


def _library(module: str) -> Any:
    return lazy.optional(f"model_signing.{module}", package="model-signing", extra="sign")


def _hashing() -> Any:
    """Every file counts but the signature itself; the library would leave out those of git."""
    return _library("hashing").Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)


def _signed_names(folder: Path) -> set[str]:
    """The names of the files the signature speaks of, which is not checked yet.

    Parts of a signature are not signed: how its text is spaced, the name of its key. They have to be exactly
    what the library writes, so that no byte of the file can change unnoticed.
    """
    try:
        text = read_plain(folder / SIGNATURE, limit=_MAX_BYTES)
        document = parse_json(text)
        if _written(document) != text:
            raise ValueError("not as the library writes it")
        resources = json.loads(_decoded(document["dsseEnvelope"]["payload"]))["predicate"]["resources"]
        return {str(resource["name"]) for resource in resources}
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        raise ContractError(f"{SIGNATURE}: no signature of a bundle ({_reason(error)})") from error


def _written(document: Any) -> bytes:
    """The one text of a signature with the key, payload and signature of `document`."""
    envelope, key = document["dsseEnvelope"], document["verificationMaterial"]["publicKey"]["hint"]
    payload, signature = envelope["payload"], envelope["signatures"][0]["sig"]
    for coded in (payload, signature):
        if base64.b64encode(_decoded(coded)).decode() != coded:
            raise ValueError("its base64 has spare bits")
    if len(bytes.fromhex(key)) != 32:
        raise ValueError("it does not name its key")
    exact = {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": key}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": payload,
            "payloadType": "application/vnd.in-toto+json",
            "signatures": [{"sig": signature, "keyid": ""}],
        },
    }
    return json.dumps(exact, separators=(",", ":")).encode()


def _decoded(coded: str) -> bytes:
    try:
        return base64.b64decode(coded, validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64 ({error})") from error


def _bad_key(key: Path, kind: str, error: Exception) -> str:
    hint = f"; its password is read from {PASSWORD_VARIABLE}" if kind == "private" else ""
    return f"{key}: not the {kind} half of {_CURVES} ({_reason(error)}){hint}"


def _reason(error: Exception) -> str:
    return shown(str(error).strip().split("\n", maxsplit=1)[0] or type(error).__name__)
