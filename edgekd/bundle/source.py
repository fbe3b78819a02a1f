"""`Contents`: all that goes into a bundle, from a run or from somebody's model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekd.bundle.card_inside import embedded_card
from edgekd.bundle.manifest import Platform, Verdict
from edgekd.bundle.pictures import LESIONS, Picture, drawn, odd_shapes, of_folder, of_run
from edgekd.card import ModelCard, read_card
from edgekd.config import Experiment, Precision, VerifyConfig
from edgekd.errors import ContractError, EdgekdError, ModelError, UsageError
from edgekd.plain import from_plain, read_json
from edgekd_converters.artefacts import MLPACKAGE, ROUTES, TFLITE, artefact_file
from edgekd_converters.export import CARD
from edgekd_converters.metadata import read_card as read_embedded
from edgekd_converters.verdict import VERDICT, VerdictRecord
from edgekd_converters.verdict_gate import artefact_digest, require_passed

_FIRST = {
    Platform.ANDROID: (Precision.INT8, Precision.INT8_MIXED, Precision.INT8_PTQ, Precision.FP16),
    Platform.WEB: (Precision.INT8, Precision.INT8_MIXED, Precision.INT8_PTQ, Precision.FP16),
    Platform.IOS: (Precision.COREML_FP16, Precision.COREML_INT8, Precision.COREML_PAL4),
}
_MODEL = {Platform.ANDROID: TFLITE, Platform.WEB: TFLITE, Platform.IOS: MLPACKAGE}
_ANYWAY = "; --unverified makes the bundle all the same, and its manifest says so"
_EXPORTED = "artefact_sha256"


@dataclass(frozen=True, kw_only=True, eq=False)
class Contents:
    """What a bundle is made of.

    `card` is complete, with its operating point. `embed` says that it replaces the card inside the model;
    a file that holds none is passed on as it is. `sources` are the data sets the model was trained on.
    """

    model: Path
    card: ModelCard
    embed: bool
    verdict: Verdict
    pictures: Sequence[Picture]
    sources: tuple[str, ...] = ()


def model_name(platform: Platform) -> str:
    """The name of the model in a bundle for `platform`."""
    return _MODEL[platform]


def choose_precision(platform: Platform, asked: str, exported: Sequence[Precision]) -> Precision:
    """The artefact that goes to `platform`: the one asked for, else the first of its kind that is exported.

    Raises:
        UsageError: the one asked for does not run there.
    """
    if asked:
        precision = Precision(asked)
        if ROUTES[precision].file != _MODEL[platform]:
            raise UsageError(
                f"{precision} is a {ROUTES[precision].file}, {platform} takes a {_MODEL[platform]}"
            )
        return precision
    fitting = [precision for precision in exported if ROUTES[precision].file == _MODEL[platform]]
    wanted = [precision for precision in _FIRST[platform] if precision in fitting]
    return (wanted or fitting or list(_FIRST[platform]))[0]


def contents_of_run(
    run: Path,
    experiment: Experiment,
    precision: Precision,
    *,
    unverified: bool = False,
    data: Path | None = None,
) -> Contents:
    """The verified artefact `precision` of the run folder `run`, with golden pictures of its test split.

    `data` is a folder of pictures to take instead. With `unverified` a verdict that is not `passed` is
    accepted.

    Raises:
        ContractError: the verdict is not `passed`, or the records contradict each other.
        ModelError: the file was not verified at all.
    """
    artefact, verified = artefact_file(run / "export", precision), run / "verify" / precision
    card, verdict = _judged(verified, artefact, experiment.verify, unverified=unverified)
    return Contents(
        model=artefact,
        card=_exported(card, artefact),
        embed=True,
        verdict=verdict,
        pictures=of_folder(data) if data else of_run(run / "data", experiment.data, experiment.seed),
        sources=tuple(f"{source.name} ({source.kind})" for source in experiment.data.sources),
    )


def contents_of_model(
    model: Path, card: Path | None, *, unverified: bool, data: Path | None = None
) -> Contents:
    """Somebody's model file with its card: `card`, else the one beside it or inside.

    Of a file that holds a card the one inside gives way to the one found, which verification may have
    completed. Where the records of verification lie beside it, the gate reads them, at its usual margin.

    Raises:
        ContractError: `unverified` does not say that it may be passed on without a verdict that is passed.
        ModelError: there is no model or no card.
    """
    if not model.exists():
        raise ModelError(f"{model}: no such model file")
    inside, verified = embedded_card(model), card is None and model.with_name(VERDICT).is_file()
    if verified:
        judged, verdict = _judged(model.parent, model, VerifyConfig(), unverified=unverified)
        found = _exported(judged, model)
    elif unverified:
        found, verdict = _find_card(model, card, inside), Verdict.NONE
    else:
        raise ContractError(f"{model}: it belongs to no run, so nothing here verified it{_ANYWAY}")
    return Contents(
        model=model,
        card=found,
        embed=inside is not None and inside != found,
        verdict=verdict,
        pictures=of_folder(data) if data else [*drawn(LESIONS), *odd_shapes()],
    )


def _find_card(model: Path, card: Path | None, inside: ModelCard | None) -> ModelCard:
    beside = card or model.with_name(CARD)
    if card is None and not beside.is_file() and model.suffix == Path(TFLITE).suffix:
        return inside or read_embedded(model)  # which says why there is none
    return read_card(beside)


def _exported(card: ModelCard, artefact: Path) -> ModelCard:
    """`card` with the digest of the file it was written about, which changes when the card goes inside."""
    return dataclasses.replace(card, provenance={**card.provenance, _EXPORTED: artefact_digest(artefact)})


def _judged(
    verified: Path, artefact: Path, config: VerifyConfig, *, unverified: bool
) -> tuple[ModelCard, Verdict]:
    try:
        return require_passed(verified, artefact, config=config), Verdict.PASSED
    except ContractError as error:
        if not unverified:
            raise ContractError(f"{error}{_ANYWAY}") from error
    return read_card(verified / CARD), _recorded(verified, artefact)


def _recorded(verified: Path, artefact: Path) -> Verdict:
    """The verdict on record for exactly this file, which did not pass the gate; none where there is none."""
    try:
        record = from_plain(VerdictRecord, read_json(verified / VERDICT), "verdict")
    except (EdgekdError, OSError, ValueError):
        return Verdict.NONE
    ours = (
        record.artefact_sha256 == artefact_digest(artefact) and record.verdict.value != Verdict.PASSED.value
    )
    return Verdict(record.verdict.value) if ours else Verdict.NONE
