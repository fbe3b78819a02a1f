"""`require_passed`: no bundle without a verdict, and none for a file, card or threshold changed after it."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from edgekd.card import OperatingPoint, read_card
from edgekd.config import Precision, VerifyConfig
from edgekd.errors import ContractError
from edgekd.metrics.paired import Verdict
from edgekd.plain import from_plain, read_json, write_json, write_text
from edgekd_converters.verdict import Check, Finding, VerdictRecord, failed
from edgekd_converters.verdict_gate import artefact_digest, require_passed
from edgekd_converters.verify import verify
from pooled_line import CONFIG, exported, trained
from tiny_dataset import prepare


@pytest.fixture(scope="module")
def line(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("line")
    data = prepare(root / "data")
    exported(root / "export", Precision.DYNAMIC)
    verify(
        dataset_folder=data,
        student=trained(root / "distill", data),
        qat=None,
        exported=root / "export",
        config=CONFIG,
        out=root / "verify",
    )
    return root


@pytest.fixture
def verified(line, tmp_path) -> Path:
    return Path(shutil.copytree(line / "verify" / "dynamic", tmp_path / "dynamic"))


@pytest.fixture
def artefact(line, tmp_path) -> Path:
    return Path(shutil.copy(line / "export" / "dynamic" / "model.tflite", tmp_path))


def changed(verified: Path, **fields: object) -> None:
    record = from_plain(VerdictRecord, read_json(verified / "verdict.json"))
    write_json(verified / "verdict.json", dataclasses.replace(record, **fields))


def test_what_passed_is_let_through_with_its_card(verified, artefact):
    card = require_passed(verified, artefact, config=CONFIG)
    assert card == read_card(verified / "card.json")
    assert card.operating_point is not None and card.margin == CONFIG.margin


def test_what_failed_is_refused_with_its_reasons(verified, artefact):
    reason = failed(Check.PARITY, "far off")
    changed(verified, verdict=Verdict.FAILED, passed=False, reasons=(reason,))
    for allow in (False, True):
        with pytest.raises(ContractError, match="failed, so it is not shipped.*parity: far off") as caught:
            require_passed(verified, artefact, config=CONFIG, allow_undecided=allow)
        assert caught.value.exit_code == 3


def test_what_is_undecided_needs_somebody_to_decide(verified, artefact):
    reason = Finding(check=Check.SENSITIVITY, verdict=Verdict.UNDECIDED, message="too few")
    changed(verified, verdict=Verdict.UNDECIDED, passed=None, reasons=(reason,))
    with pytest.raises(ContractError, match="undecided, so it is not shipped.*too few"):
        require_passed(verified, artefact, config=CONFIG)
    assert require_passed(verified, artefact, config=CONFIG, allow_undecided=True)


def test_a_pass_with_reasons_against_it_is_none(verified, artefact):
    changed(verified, reasons=(failed(Check.PARITY, "far off"),))
    with pytest.raises(ContractError, match="far off"):
        require_passed(verified, artefact, config=CONFIG)


def test_another_file_is_refused(verified, artefact):
    artefact.write_bytes(artefact.read_bytes() + b"\0")
    with pytest.raises(ContractError, match="not the one that was verified"):
        require_passed(verified, artefact, config=CONFIG)


def test_a_verdict_without_a_digest_is_refused(verified, artefact):
    changed(verified, artefact_sha256=None)
    with pytest.raises(ContractError, match="not the one that was verified"):
        require_passed(verified, artefact, config=CONFIG)


def test_a_threshold_copied_into_the_card_is_refused(verified, artefact):
    card = read_card(verified / "card.json")
    rule = card.operating_point.rule
    for point in (OperatingPoint(rule=rule, threshold=-2.5, fitted_on="validation"), None):
        write_text(verified / "card.json", dataclasses.replace(card, operating_point=point).to_json())
        with pytest.raises(ContractError, match="a threshold is fitted for each file anew"):
            require_passed(verified, artefact, config=CONFIG)


def test_another_rule_or_margin_is_refused(verified, artefact):
    with pytest.raises(ContractError, match=r"margin of 0\.2, asked for is 0\.02"):
        require_passed(verified, artefact, config=VerifyConfig())
    with pytest.raises(ContractError, match=r"sensitivity_at_least\(0\.8\)"):
        require_passed(verified, artefact, config=dataclasses.replace(CONFIG, target=0.8))


@pytest.mark.parametrize(
    "name", ["verdict.json", "card.json", "evaluation.json", "validation_predictions.csv"]
)
def test_missing_records_are_no_pass(verified, artefact, name):
    (verified / name).unlink()
    with pytest.raises(ContractError, match="not verified"):
        require_passed(verified, artefact, config=CONFIG)


def test_a_package_is_known_by_every_file_in_it(tmp_path):
    package = tmp_path / "model.mlpackage"
    (package / "Data").mkdir(parents=True)
    (package / "Manifest.json").write_text("{}")
    (package / "Data" / "weight.bin").write_bytes(b"1")
    digests = {artefact_digest(package)}
    (package / "Data" / "weight.bin").write_bytes(b"2")
    digests.add(artefact_digest(package))
    (package / "Data" / "weight.bin").rename(package / "Data" / "other.bin")
    digests.add(artefact_digest(package))
    assert len(digests) == 3
