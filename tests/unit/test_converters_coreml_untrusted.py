"""Packages from anywhere: whatever is in them, the answer is one line, and soon."""

from __future__ import annotations

import json
import os
import shutil
import zipfile

import numpy as np
import pytest

import tiny_mlpackage as tiny
from edgekd.errors import ModelError
from edgekd.runtimes.coreml import CoremlRuntime
from edgekd.runtimes.mil import evaluate, values
from edgekd.runtimes.mil.wire import Budget, Message, encode, replace
from edgekd_converters.coreml_card import read_card_coreml
from edgekd_converters.coreml_inspect import inspect_coreml

MODEL = "Data/com.apple.CoreML/model.mlmodel"
WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"


def everything(path) -> list[str]:
    """What inspecting, reading the card, and running `path` say; anything but a ModelError is a bug."""
    said = []
    for action in (
        inspect_coreml,
        read_card_coreml,
        lambda path: CoremlRuntime(path).logits(np.zeros((1, 4, 4, 3), np.uint8)),
    ):
        try:
            action(path)
        except ModelError as error:
            said.append(str(error))
            assert "\n" not in said[-1] and len(said[-1]) < 1000 and str(path) in said[-1]
    return said


def no_folder(path):
    shutil.rmtree(path)


def a_zip(path):
    shutil.rmtree(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Manifest.json", "{}")


def no_manifest(path):
    (path / "Manifest.json").unlink()


def no_json(path):
    (path / "Manifest.json").write_bytes(b"\xff{")


def nested_json(path):
    (path / "Manifest.json").write_text("[" * 100_000)


def huge_manifest(path):
    os.truncate(path / "Manifest.json", 1 << 40)


def root_elsewhere(path):
    shutil.copy(path / MODEL, path.parent / "model.mlmodel")
    manifest = {"itemInfoEntries": {"1": {"path": "../../model.mlmodel"}}, "rootModelIdentifier": "1"}
    (path / "Manifest.json").write_text(json.dumps(manifest))


def absolute_root(path):
    shutil.copy(path / MODEL, path.parent / "model.mlmodel")
    manifest = {
        "itemInfoEntries": {"1": {"path": str(path.parent / "model.mlmodel")}},
        "rootModelIdentifier": "1",
    }
    (path / "Manifest.json").write_text(json.dumps(manifest))


def root_is_a_list(path):
    (path / "Manifest.json").write_text('{"itemInfoEntries": [], "rootModelIdentifier": "1"}')


def a_link(path):
    (path / MODEL).rename(path.parent / "outside")
    (path / MODEL).symlink_to(path.parent / "outside")


def a_linked_folder(path):
    (path / "Data" / "com.apple.CoreML").rename(path.parent / "outside")
    (path / "Data" / "com.apple.CoreML").symlink_to(path.parent / "outside")


def a_pipe(path):
    (path / MODEL).unlink()
    os.mkfifo(path / MODEL)


def many_files(path):
    for number in range(1001):
        (path / "Data" / str(number)).touch()


def deep_folders(path):
    for chain in "abcd":  # one chain of 1000 would be too deep for whoever tidies up after the tests
        for depth in range(1, 252):
            (path / "/".join(chain * depth)).mkdir()


def sparse_weights(path):
    os.truncate(path / WEIGHTS, 1 << 41)


def sparse_model(path):
    os.truncate(path / MODEL, 512 << 20)


def truncated_model(path):
    os.truncate(path / MODEL, (path / MODEL).stat().st_size - 7)


def truncated_weights(path):
    os.truncate(path / WEIGHTS, 70)


def no_weights(path):
    (path / WEIGHTS).unlink()


BREAKAGES = {
    no_folder: "no such folder",
    a_zip: "unpack an archive first",
    no_manifest: "no Manifest.json",
    no_json: "names no root model",
    nested_json: "names no root model",
    huge_manifest: "bytes",
    root_elsewhere: "not in the package",
    absolute_root: "not in the package",
    root_is_a_list: "names no root model",
    a_link: "a link or special file",
    a_linked_folder: "a link or special file",
    a_pipe: "a link or special file",
    many_files: "more than 1000 files",
    deep_folders: "more than 1000 files",
    sparse_weights: "at most",
    sparse_model: "at most",
    truncated_model: "damaged",
    truncated_weights: "holds no float32",
    no_weights: "not in the package",
}


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda breakage: breakage.__name__)
def test_a_broken_package_is_told_in_one_line(tmp_path, breakage):
    path = tiny.scaled(tmp_path / "a.mlpackage")
    assert len(everything(path)) == 1  # the whole package holds no card
    breakage(path)
    said = everything(path)
    assert len(said) >= 2 and sum(BREAKAGES[breakage] in line for line in said) >= 2


def _constant(value: bytes) -> bytes:
    return tiny.model(
        [
            tiny.operation("const", {}, [tiny.named("factors", "float32", (1, 3))], {"val": value}),
            tiny.operation(
                "add", {"x": "factors", "y": "factors"}, [tiny.named("logits", "float32", (1, 3))]
            ),
        ]
    )


def _nested(depth: int) -> bytes:
    block = encode(3, encode(1, "relu"))
    for _ in range(depth):
        block = encode(3, encode(1, "cond") + encode(4, block))
    return tiny.model([tiny.operation("cond", {}, [tiny.named("logits", "float32", (1, 3))], block=block)])


MEAN = tiny.operation(
    "reduce_mean",
    {"x": "image", "axes": tiny.value([2, 3]), "keep_dims": tiny.value(False)},
    [tiny.named("logits", "float32", (1, 3))],
)
HOSTILE_MODELS = {
    "an offset behind the file": (_constant(tiny.blob("float32", (1, 3), 1 << 20)), "holds no float32"),
    "an offset of 2^63": (_constant(tiny.blob("float32", (1, 3), 1 << 63)), "holds no float32"),
    "an offset into the data": (_constant(tiny.blob("float32", (1, 3), 96)), "holds no float32"),
    "another type than the file's": (_constant(tiny.blob("float16", (1, 3), 64)), "holds no float16"),
    "more than the file holds": (_constant(tiny.blob("float32", (1, 300), 64)), "holds no float32"),
    "a shape of 2^63": (_constant(tiny.blob("float32", (1 << 62, 1 << 62), 64)), "holds no float32"),
    "a file elsewhere": (_constant(tiny.blob("float32", (1, 3), 64, "@model_path/../../../x")), "not in the"),
    "an absolute file": (_constant(tiny.blob("float32", (1, 3), 64, "/etc/passwd")), "not in the package"),
    "too few numbers": (_constant(tiny.value(np.zeros(2))), "declares"),
    "operations nested for ever": (_nested(500), "nested deeper"),
    "a tensor of many dimensions": (
        _constant(tiny.blob("float32", [1] * 1000, 64)),
        "1000 dimensions",
    ),
}


@pytest.mark.parametrize("case", HOSTILE_MODELS)
def test_a_hostile_program_is_told_in_one_line(tmp_path, case):
    path = tiny.scaled(tmp_path / "a.mlpackage")
    data, message = HOSTILE_MODELS[case]
    (path / MODEL).write_bytes(data)
    assert any(message in line for line in everything(path))


def test_a_bomb_of_shared_constants_is_refused(tmp_path, monkeypatch):
    """One place of the weight file, used as 5000 constants of 4 MiB each."""
    monkeypatch.setattr(values, "_MAX_LOADED_BYTES", 64 << 20)
    weights, offsets = tiny.weight_file(("float32", bytes(4 << 20)))
    one = tiny.operation(
        "const",
        {},
        [tiny.named("factors", "float32", (1 << 20,))],
        {"val": tiny.blob("float32", (1 << 20,), offsets[0])},
    )
    path = tiny.write(tmp_path / "a.mlpackage", tiny.model([*([one] * 5000), MEAN]), weights)
    assert any("1 GiB of constants" in line for line in everything(path))
    assert inspect_coreml(path).weight_bytes == {"float32": 4 << 20}


def test_a_bomb_of_computed_constants_is_refused(tmp_path, monkeypatch):
    """Each `tile` of a small constant makes 4 MiB, kept because it is constant."""
    monkeypatch.setattr(evaluate, "MAX_LIVE_ELEMENTS", 16 << 20)
    tiles = [
        tiny.operation(
            "tile",
            {"x": tiny.value(np.zeros(4)), "reps": tiny.value([1 << 18])},
            [tiny.named(f"t{number}", "float32", (1 << 20,))],
        )
        for number in range(100)
    ]
    path = tiny.write(tmp_path / "a.mlpackage", tiny.model([*tiles, MEAN]))
    assert any("elements of constants" in line for line in everything(path))


def test_a_message_within_a_message_is_read_with_a_budget():
    data = encode(1, b"") * 1000
    assert len(Message(data, Budget(2000)).messages(1)) == 1000
    with pytest.raises(ModelError, match="more fields"):
        Message(data, Budget(999))


def test_no_damage_escapes(tmp_path):
    """Single bytes of a whole package changed, cut or doubled: a ModelError, or an answer."""
    path = tiny.scaled(tmp_path / "a.mlpackage")
    whole = {name: (path / name).read_bytes() for name in (MODEL, WEIGHTS, "Manifest.json")}
    rng = np.random.Generator(np.random.PCG64(11))
    outcomes = set()
    for _ in range(400):
        name = (MODEL, MODEL, MODEL, WEIGHTS, "Manifest.json")[rng.integers(5)]
        data = bytearray(whole[name])
        at = int(rng.integers(len(data)))
        kind = rng.integers(3)
        if kind == 0:
            data[at] = rng.integers(256)
        elif kind == 1:
            del data[at : at + int(rng.integers(1, 9))]
        else:
            data[at:at] = data[at : at + int(rng.integers(1, 9))]
        (path / name).write_bytes(bytes(data))
        outcomes.add(len(everything(path)))
        (path / name).write_bytes(whole[name])
    assert outcomes >= {1, 3}  # some damage does no harm, some is found everywhere


def test_the_wire_format_is_that_of_protobuf():
    """Checked against bytes written out by hand from the documentation of the encoding."""
    data = bytes.fromhex(
        "08 96 01 12 07 74 65 73 74 69 6e 67 1a 03 08 96 01 22 06 03 8e 02 9e a7 05".replace(" ", "")
    )
    message = Message(data, Budget())
    assert message.integer(1) == 150 and message.text(2) == "testing"
    assert message.message(3).integer(1) == 150
    assert message.integers(4) == [3, 270, 86942]
    assert encode(2, "testing") == data[3:12]
    assert Message(replace(data, 2, ["new", "er"]), Budget()).texts(2) == ("new", "er")
    assert replace(data, 9, []) == data
    assert Message(bytes.fromhex("08ffffffffffffffffff01"), Budget()).integer(1) == -1
    for damaged in ("08", "0a05", "0b", "00", "08ffffffffffffffffffff01"):
        with pytest.raises(ModelError, match="damaged model file"):
            Message(bytes.fromhex(damaged), Budget())
