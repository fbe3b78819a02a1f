"""Compiled files made here after libedgetpu's schema; the real ones are in test_converters_edgetpu."""

from __future__ import annotations

import numpy as np
import pytest

from edgekd.errors import ModelError
from edgekd.plain import from_plain, to_plain
from edgekd_converters.edgetpu import is_compiled
from edgekd_converters.edgetpu_compiled import CompiledFile, Kind, inspect_compiled
from edgetpu_files import Op, T, compiled, edgetpu_package, executable, network, single
from tiny_tflite import average_pool

STAND_ALONE, CACHING, RUNNING = 0, 1, 2
TOKEN = 0x6D146C3F97D6648C


def _written(folder, data):
    path = folder / "model_edgetpu.tflite"
    path.write_bytes(data)
    return path


def test_what_is_cached_what_is_streamed_and_what_is_left(tmp_path):
    running = executable(name="model", kind=RUNNING, parameters=300, token=TOKEN, layers=("image", "mask"))
    caching = executable(name="weights", kind=CACHING, parameters=4096, token=TOKEN, bitstream=80)
    data = compiled([running, caching], left=("EXP", "LOG", "EXP"))
    found = inspect_compiled(_written(tmp_path, data))
    assert (found.cached_parameter_bytes, found.streamed_parameter_bytes) == (4096, 300)
    assert found.on_cpu == {"EXP": 2, "LOG": 1}
    assert (found.min_runtime_version, found.compiler, found.custom_operators) == (12, "test", 1)
    first, second = found.executables
    assert (first.name, first.kind, first.inputs) == ("model", Kind.EXECUTION_ONLY, ("image", "mask"))
    assert (second.kind, second.instruction_bytes, second.parameter_bytes) == (
        Kind.PARAMETER_CACHING,
        80,
        4096,
    )
    assert first.caching_token == second.caching_token == f"{TOKEN:016x}"
    assert (first.chip, first.scratch_bytes) == ("beagle", 0)
    assert from_plain(CompiledFile, to_plain(found)) == found


def test_a_stand_alone_executable_streams_everything(tmp_path):
    found = inspect_compiled(
        _written(tmp_path, compiled([executable(name="all", kind=STAND_ALONE, parameters=999)]))
    )
    assert (found.cached_parameter_bytes, found.streamed_parameter_bytes) == (0, 999)
    assert found.executables[0].caching_token is None and found.on_cpu == {}


def test_what_is_not_compiled(tmp_path):
    path = _written(tmp_path, average_pool())
    assert not is_compiled(path)
    with pytest.raises(ModelError, match="not compiled for the Edge TPU"):
        inspect_compiled(path)


@pytest.mark.parametrize("package", [b"", b"\0" * 64, b"\x08\0\0\0DWN2" + bytes(64)])
def test_a_package_that_is_none(tmp_path, package):
    path = _written(tmp_path, compiled([], package=package))
    assert is_compiled(path)
    with pytest.raises(ModelError, match="damaged"):
        inspect_compiled(path)


def test_an_operator_without_its_executable(tmp_path):
    data = network([T((1, 4)), T((1, 4))], [Op("edgetpu-custom-op", (0,), (1,))])
    with pytest.raises(ModelError, match="without its executable"):
        inspect_compiled(_written(tmp_path, data))


def test_a_list_of_too_many_executables(tmp_path):
    many = edgetpu_package([executable(name="x", kind=RUNNING, parameters=1)] * 65)
    with pytest.raises(ModelError, match="65 items in a list, expected at most 64"):
        inspect_compiled(_written(tmp_path, compiled([], package=many)))


def test_damaged_packages_are_refused_and_nothing_else_happens(tmp_path):
    parts = [
        executable(name="model", kind=RUNNING, parameters=8, token=TOKEN, layers=("image",)),
        executable(name="weights", kind=CACHING, parameters=64, token=TOKEN),
    ]
    whole = compiled(parts, left=("EXP",))
    generator = np.random.Generator(np.random.PCG64(2))
    refused = 0
    for _ in range(400):
        data = bytearray(whole)
        for place in generator.integers(8, len(data), 8):
            data[place] = generator.integers(0, 256)
        try:
            inspect_compiled(_written(tmp_path, bytes(data)))
        except ModelError:
            refused += 1
    assert refused > 100


def test_another_custom_operator_is_not_ours(tmp_path):
    path = _written(tmp_path, single("my-op", [T((1, 4))], T((1, 4))))
    assert not is_compiled(path)
