"""The diagnoses edgekd knows, what else they are called, and which of them count as malignant."""

from __future__ import annotations

import difflib
import enum
import re
from collections.abc import Iterable

from edgekd.errors import DataError, UnknownNameError


class Diagnosis(enum.StrEnum):
    """Diagnoses of the ISIC challenges, in the order every class list follows.

    `benign` and `malignant` are the only two labels of a data set that was never told apart further.
    """

    MEL = "mel"
    NV = "nv"
    BCC = "bcc"
    AKIEC = "akiec"
    BKL = "bkl"
    DF = "df"
    VASC = "vasc"
    SCC = "scc"
    BENIGN = "benign"
    MALIGNANT = "malignant"


BINARY = (Diagnosis.BENIGN.value, Diagnosis.MALIGNANT.value)

DESCRIPTIONS: dict[Diagnosis, str] = {
    Diagnosis.MEL: "melanoma",
    Diagnosis.NV: "melanocytic nevus",
    Diagnosis.BCC: "basal cell carcinoma",
    Diagnosis.AKIEC: "actinic keratosis or Bowen's disease",
    Diagnosis.BKL: "benign keratosis (seborrheic, lichenoid, solar lentigo)",
    Diagnosis.DF: "dermatofibroma",
    Diagnosis.VASC: "vascular lesion",
    Diagnosis.SCC: "squamous cell carcinoma",
    Diagnosis.BENIGN: "benign, not told apart further",
    Diagnosis.MALIGNANT: "malignant, not told apart further",
}

_ALIASES: dict[Diagnosis, tuple[str, ...]] = {
    Diagnosis.MEL: ("melanoma", "malignant melanoma", "melanoma in situ", "lentigo maligna"),
    Diagnosis.NV: ("nevus", "naevus", "nevi", "mole", "melanocytic nevus", "melanocytic nevi"),
    Diagnosis.BCC: ("basal cell carcinoma", "basalioma"),
    Diagnosis.AKIEC: (
        "ak",
        "akiec",
        "actinic keratosis",
        "actinic keratoses",
        "bowens disease",
        "intraepithelial carcinoma",
    ),
    Diagnosis.BKL: (
        "sk",
        "seborrheic keratosis",
        "seborrhoeic keratosis",
        "benign keratosis",
        "benign keratosis like lesions",
        "pigmented benign keratosis",
        "lichenoid keratosis",
        "solar lentigo",
        "lentigo nos",
    ),
    Diagnosis.DF: ("dermatofibroma",),
    Diagnosis.VASC: ("vascular", "vascular lesion", "vascular lesions", "hemangioma", "angioma"),
    Diagnosis.SCC: ("squamous cell carcinoma",),
    Diagnosis.BENIGN: ("non malignant", "not malignant"),
    Diagnosis.MALIGNANT: ("malign",),
}


def _plain(text: str) -> str:
    return re.sub(r"[\s_\-]+", " ", text.replace("'", "")).strip().lower()


_BY_NAME: dict[str, Diagnosis] = {
    _plain(name): diagnosis for diagnosis in Diagnosis for name in (diagnosis.value, *_ALIASES[diagnosis])
}
_ORDER = {diagnosis.value: number for number, diagnosis in enumerate(Diagnosis)}


def find_diagnosis(text: str) -> Diagnosis | None:
    """The diagnosis `text` names (code, long name, folder name; case, `_` and `-` do not matter), if any."""
    return _BY_NAME.get(_plain(text))


def parse_diagnosis(text: str, where: str) -> Diagnosis:
    """The diagnosis `text` names.

    Raises:
        DataError: none; `where` (file and line, or folder) and the nearest names are given.
    """
    found = find_diagnosis(text)
    if found is not None:
        return found
    near = difflib.get_close_matches(_plain(text), _BY_NAME, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else f"expected one of {', '.join(Diagnosis)}"
    raise DataError(f"{where}: unknown diagnosis {text!r}: {hint}")


def malignant_names(names: Iterable[str]) -> frozenset[str]:
    """`names` as the set of malignant diagnoses, `malignant` itself always among them.

    Raises:
        UnknownNameError: a name is no diagnosis, or is `benign`.
    """
    known = [diagnosis.value for diagnosis in Diagnosis if diagnosis is not Diagnosis.BENIGN]
    chosen = set(names)
    for name in sorted(chosen - set(known)):
        raise UnknownNameError("diagnosis in data.malignant", name, known)
    return frozenset(chosen | {Diagnosis.MALIGNANT.value})


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """The different `names` in the order of `Diagnosis`."""
    return tuple(sorted(set(names), key=_ORDER.__getitem__))
