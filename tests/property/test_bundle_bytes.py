"""No byte of a bundle is free: whichever changes, comes or goes, it is found."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bundle_data
from bundle_data import CARD, keys
from edgekd.bundle.check import check_files
from edgekd.bundle.manifest import (
    FileFacts,
    Manifest,
    Platform,
    Verdict,
    read_manifest,
    write_manifest,
)
from edgekd.bundle.signature import check_signature, sign
from edgekd.bundle.strict import check_name
from edgekd.card import ModelCard
from edgekd.errors import ContractError


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(bundle_data.made(), tmp_path_factory.mktemp("p") / "bundle"))


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("model_signing", reason="the extra sign is not installed")
    folder = Path(shutil.copytree(bundle_data.made(), tmp_path_factory.mktemp("s") / "bundle"))
    sign(folder, keys()[0])
    return folder


def files(bundle: Path) -> list[Path]:
    return sorted(path for path in bundle.rglob("*") if path.is_file())


@st.composite
def spoilt(draw: st.DrawFn, whole: bytes) -> bytes:
    """`whole` with one byte changed, removed or added."""
    place = draw(st.integers(0, len(whole) - 1))
    does = draw(st.sampled_from(("change", "remove", "add")))
    if does == "change":
        return whole[:place] + bytes([whole[place] ^ draw(st.integers(1, 255))]) + whole[place + 1 :]
    new = bytes([draw(st.integers(0, 255))]) if does == "add" else b""
    return whole[:place] + new + whole[place + (does == "remove") :]


@settings(max_examples=60)
@given(data=st.data())
def test_one_byte_of_any_file_the_manifest_lists(bundle: Path, data: st.DataObject) -> None:
    listed = [path for path in files(bundle) if path.name != "manifest.json"]
    path = data.draw(st.sampled_from(listed))
    whole = path.read_bytes()
    try:
        path.write_bytes(data.draw(spoilt(whole)))
        altered = [one for one in check_files(bundle) if "was altered" in one]
        assert [one.split(" was altered")[0] for one in altered] == [path.relative_to(bundle).as_posix()]
    finally:
        path.write_bytes(whole)


@settings(max_examples=50)
@given(data=st.data())
def test_one_byte_of_any_file_of_a_signed_bundle(signed: Path, data: st.DataObject) -> None:
    path = data.draw(
        st.one_of(
            st.sampled_from(files(signed)), st.sampled_from([signed / "model.sig", signed / "manifest.json"])
        )
    )
    whole = path.read_bytes()
    names = {one.relative_to(signed).as_posix() for one in files(signed)} - {"model.sig"}
    try:
        path.write_bytes(data.draw(spoilt(whole)))
        with pytest.raises(ContractError, match=r"^model\.sig: "):
            check_signature(signed, keys()[1], names)
    finally:
        path.write_bytes(whole)
    assert check_signature(signed, keys()[1], names) is None


SHA256 = st.text("0123456789abcdef", min_size=64, max_size=64)
FACTS = st.builds(FileFacts, sha256=SHA256, size_bytes=st.integers(0, 1 << 20))
NAMES = st.text("abc019_-.@+/", min_size=1, max_size=30)


@settings(max_examples=60)
@given(names=st.dictionaries(NAMES, FACTS, max_size=8), tool=st.text(max_size=20), facts=FACTS)
def test_a_manifest_reads_back_equal(
    tmp_path_factory: pytest.TempPathFactory, names: dict[str, FileFacts], tool: str, facts: FileFacts
) -> None:
    folder = tmp_path_factory.mktemp("m")
    needed = {"model.tflite": facts, "card.json": facts, "golden/golden.json": facts}
    try:
        manifest = Manifest(
            platform=Platform.ANDROID,
            name=tool,
            precision="int8",
            model="model.tflite",
            verdict=Verdict.PASSED,
            tools={"edgekd": tool},
            files=names | needed,
        )
    except ContractError:
        return  # a name no bundle may have
    for name in names:
        check_name(name)
        inside = (folder / name).resolve().relative_to(folder.resolve()).as_posix()
        assert inside == name  # stays in the folder, and is written in one way only
    write_manifest(folder, manifest)
    assert read_manifest(folder) == manifest


@settings(max_examples=60)
@given(place=st.integers(0, len(CARD.to_json()) - 1), byte=st.integers(0, 255))
def test_any_byte_in_a_card_is_a_card_or_a_clear_line(place: int, byte: int) -> None:
    text = CARD.to_json()
    try:
        card = ModelCard.from_json(text[:place] + chr(byte) + text[place + 1 :])
    except Exception as error:  # of a known kind, in one line
        assert type(error).__module__ == "edgekd.errors"
        assert "\n" not in str(error)
    else:
        assert isinstance(card, ModelCard)
