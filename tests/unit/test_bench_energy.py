from __future__ import annotations

from pathlib import Path

import pytest

from bench_data import one_round
from edgekd_bench import energy
from edgekd_bench.energy import watched_energy
from edgekd_bench.station import _energy_per_run


@pytest.fixture
def counters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two packages, a part of one of them and the whole board."""
    for folder, name, microjoules in (
        ("intel-rapl:0", "package-0", 1_000_000),
        ("intel-rapl:0:0", "core", 400_000),
        ("intel-rapl:1", "package-1", 9_900_000),
        ("intel-rapl:2", "psys", 77),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "name").write_text(f"{name}\n")
        (tmp_path / folder / "energy_uj").write_text(f"{microjoules}\n")
        (tmp_path / folder / "max_energy_range_uj").write_text("10000000\n")
    monkeypatch.setattr(energy, "_COUNTERS", tmp_path)
    return tmp_path


def test_packages_are_added_and_a_full_counter_begins_again(counters: Path) -> None:
    with watched_energy() as found:
        (counters / "intel-rapl:0" / "energy_uj").write_text("1250000\n")
        (counters / "intel-rapl:0:0" / "energy_uj").write_text("600000\n")
        (counters / "intel-rapl:1" / "energy_uj").write_text("150000\n")
        (counters / "intel-rapl:2" / "energy_uj").write_text("99999\n")
    assert found.mj == 250.0 + 250.0


def test_what_may_not_be_read_is_null(counters: Path) -> None:
    (counters / "intel-rapl:1" / "energy_uj").unlink()  # as for anybody but root, who cannot be shut out here
    with watched_energy() as found:
        pass
    assert found.mj is None


def test_a_machine_without_counters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "_COUNTERS", tmp_path / "absent")
    with watched_energy() as found:
        pass
    assert found.mj is None


def test_the_energy_of_a_run_is_that_of_all_rounds_by_all_runs() -> None:
    one, two = one_round([1.0] * 10, energy_mj=20.0), one_round([1.0] * 30, energy_mj=100.0)
    assert _energy_per_run([one, two]) == 3.0
    assert _energy_per_run([one, one_round([1.0])]) is None
