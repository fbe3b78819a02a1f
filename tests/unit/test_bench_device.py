from __future__ import annotations

from pathlib import Path

import pytest

from edgekd_bench import device
from edgekd_bench.device import describe_device
from edgekd_bench.loaded import delegation


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty machine; files named after what they stand for."""
    for name in ("_CPUINFO", "_DEVICE_TREE", "_LOAD", "_PRESSURE"):
        monkeypatch.setattr(device, name, tmp_path / name)
    monkeypatch.setattr(device, "_FREQUENCY", tmp_path)
    monkeypatch.setattr(device, "_SENSORS", tmp_path)
    return tmp_path


def test_an_x86_machine(machine: Path) -> None:
    (machine / "_CPUINFO").write_text("processor : 0\nmodel name\t: Some CPU @ 2.60GHz\ncpu MHz\t: 2600.5\n")
    (machine / "_LOAD").write_text("0.52 0.58 0.59 1/97 1234\n")
    found = describe_device()
    assert (found.cpu, found.frequency_mhz, found.load_average_1min) == ("Some CPU @ 2.60GHz", 2600.5, 0.52)
    assert found.governor is None
    assert found.cores >= 1


def test_a_raspberry_pi(machine: Path) -> None:
    (machine / "_DEVICE_TREE").write_text("Raspberry Pi 5 Model B Rev 1.0\0")
    (machine / "scaling_governor").write_text("ondemand\n")
    (machine / "scaling_cur_freq").write_text("1500000\n")
    found = describe_device()
    assert (found.cpu, found.governor, found.frequency_mhz) == (
        "Raspberry Pi 5 Model B Rev 1.0",
        "ondemand",
        1500.0,
    )


def test_what_the_system_does_not_tell_is_null(machine: Path) -> None:
    found = describe_device()
    assert (found.governor, found.frequency_mhz, found.load_average_1min) == (None, None, None)
    assert found.temperature_c is None
    assert found.cpu
    assert device.cpu_waiting_us() is None


def test_the_warmest_sensor_counts_and_nonsense_does_not(machine: Path) -> None:
    for name, text in {
        "thermal/thermal_zone0/temp": "41500\n",
        "thermal/thermal_zone1/temp": "-274000\n",
        "thermal/thermal_zone2/temp": "no\n",
        "hwmon/hwmon0/temp1_input": "63250\n",
        "hwmon/hwmon0/temp2_input": "255000\n",
    }.items():
        (machine / name).parent.mkdir(parents=True, exist_ok=True)
        (machine / name).write_text(text)
    assert describe_device().temperature_c == 63.25


def test_pressure_is_the_total_of_some(machine: Path) -> None:
    (machine / "_PRESSURE").write_text(
        "some avg10=1.00 avg60=2.00 avg300=3.00 total=123456\n"
        "full avg10=0.00 avg60=0.00 avg300=0.00 total=9\n"
    )
    assert device.cpu_waiting_us() == 123456


def operator(name: str, inputs: list[int], outputs: list[int]) -> dict[str, object]:
    return {"op_name": name, "inputs": inputs, "outputs": outputs}


def test_a_graph_is_divided_at_the_borders_of_its_pieces() -> None:
    # 0 → conv → 2 → conv → 4 → softmax → 5 → add(5, 2) → 6; the delegate takes both convolutions and the add.
    own = [
        operator("CONV_2D", [0, 1, -1], [2]),
        operator("CONV_2D", [2, 3], [4]),
        operator("SOFTMAX", [4], [5]),
        operator("ADD", [5, 2], [6]),
    ]
    pieces = [operator("DELEGATE", [0, 1, 3], [2, 4]), operator("DELEGATE", [5, 2], [6])]
    found = delegation([*own, *pieces])
    assert found.nodes == 4
    assert found.nodes_per_partition == (2, 1)
    assert found.left_out == {"SOFTMAX": 1}


def test_without_a_delegate_everything_is_left_out() -> None:
    found = delegation([operator("CONV_2D", [0], [1]), operator("CONV_2D", [1], [2])])
    assert (found.nodes_per_partition, found.left_out) == ((), {"CONV_2D": 2})
