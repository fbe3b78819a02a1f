"""What can be found against a file before it is compared: card, calibration, threshold, parity."""

from __future__ import annotations

from pathlib import Path

from edgekd.card import ModelCard, OperatingPoint
from edgekd.config import Precision
from edgekd.data.dataset import Dataset
from edgekd.errors import DataError
from edgekd_converters.artefacts import ROUTES
from edgekd_converters.calibration import CALIBRATION, check_disjoint, choose_calibration, read_calibration
from edgekd_converters.verdict import Check, Finding, failed
from edgekd_converters.verdict_parity import ParityRecord


def card_findings(card: ModelCard, dataset: Dataset) -> tuple[Finding, ...]:
    """Whether the card names the outputs, and makes the patient values, as the data set does."""
    if card.patient != dataset.patient:
        return (failed(Check.CARD, "the card makes patient values in another way than the data set does"),)
    if card.labels == dataset.classes and set(card.malignant) == set(dataset.malignant):
        return ()
    message = (
        f"the card's labels are {', '.join(card.labels)} with {', '.join(card.malignant)} malignant, the "
        f"network was trained on {', '.join(dataset.classes)} with {', '.join(dataset.malignant)} malignant"
    )
    return (failed(Check.CARD, message),)


def calibration_findings(folder: Path, precision: Precision, dataset: Dataset) -> tuple[Finding, ...]:
    """Whether the calibration images are on record, chosen by seed, unchanged, and training images only.

    A record beside a file that needs none is read as well: it says what the file was fitted to.
    """
    path = folder / CALIBRATION
    if not ROUTES[precision].calibrated and not path.exists():
        return ()
    try:
        record = read_calibration(path)
        check_disjoint(record, dataset)
        again = choose_calibration(dataset, count=record.n, seed=record.seed).record
    except DataError as error:
        return (failed(Check.CALIBRATION, str(error)),)
    if again == record:
        return ()
    what = "images" if again.image_ids != record.image_ids else "pixels"
    message = f"the {what} on record are not those that seed {record.seed} chooses from this data set"
    return (failed(Check.CALIBRATION, message),)


def operating_point_findings(card: ModelCard, fitted: OperatingPoint) -> tuple[Finding, ...]:
    """Whether a threshold the file came with is the one that suits its own validation predictions."""
    point = card.operating_point
    if point is None or point == fitted:
        return ()
    message = (
        f"the file came with a threshold of {point.threshold:.6g} ({point.rule} on {point.fitted_on}); "
        f"fitted on its own validation predictions by {fitted.rule} it is {fitted.threshold:.6g}"
    )
    return (failed(Check.OPERATING_POINT, message),)


def parity_findings(parity: ParityRecord) -> tuple[Finding, ...]:
    """Whether the outputs are the twin's, with what tells how they differ."""
    if parity.passed:
        return ()
    by_step = parity.mean_absolute_difference_steps
    found = parity.max_absolute_difference_logits if by_step is None else by_step
    measure = "logits at most" if by_step is None else "steps of an 8-bit output on average"
    told = [f"outputs differ from {parity.twin}'s by {found:.3g} {measure}, allowed are {parity.limit:g}"]
    if parity.gain is not None:
        told.append(f"they are {parity.gain:.2f} times as large")
    if parity.signal_to_noise_db is not None:
        told.append(f"signal to noise {parity.signal_to_noise_db:.1f} dB")
    return (failed(Check.PARITY, "; ".join(told)),)
