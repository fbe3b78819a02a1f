"""Which published table a header belongs to, to tell people who put one in the place of another."""

from __future__ import annotations

import re
from collections.abc import Sequence

_ISIC_ID = re.compile(r"(?i)isic_(\d{1,7})(?:_downsampled)?(?:\.(?:jpe?g|png))?")
_DIGITS = 7
_TABLES = {
    "the ground truth of ISIC 2017": {"image_id", "melanoma", "seborrheic_keratosis"},
    "the metadata of ISIC 2017": {"image_id", "age_approximate", "sex"},
    "the ground truth of ISIC 2018": {"image", "MEL", "NV", "AKIEC", "VASC"},
    "the lesion groupings of ISIC 2018": {"image", "lesion_id", "diagnosis_confirm_type"},
    "the ground truth of ISIC 2019": {"image", "MEL", "NV", "AK", "SCC", "UNK"},
    "the metadata of ISIC 2019": {"image", "age_approx", "anatom_site_general", "sex"},
    "the ground truth of ISIC 2020": {"image_name", "patient_id", "benign_malignant", "target"},
    "the test metadata of ISIC 2020": {"image_name", "patient_id", "anatom_site_general_challenge"},
    "the list of duplicates of ISIC 2020": {"image_name_1", "image_name_2"},
    "the metadata of HAM10000": {"lesion_id", "image_id", "dx", "localization"},
}


def canonical_id(text: str) -> str:
    """The one spelling of an image id of the ISIC archive; any other text as it is.

    `ISIC_0012345`, `ISIC_12345`, `isic_0012345.jpg` and `ISIC_0012345_downsampled` name one image.
    """
    found = _ISIC_ID.fullmatch(text)
    return text if found is None else f"ISIC_{int(found[1]):0{_DIGITS}d}"


def resemblance(header: Sequence[str]) -> str:
    """The words that tell which published table has this `header`; empty where none has."""
    names = set(header)
    for table, columns in _TABLES.items():
        if columns <= names:
            return f"; this looks like {table}"
    headless = len(header) == 2 and _ISIC_ID.fullmatch(header[0])
    return "; this looks like the ground truth of ISIC 2016" if headless else ""
