"""`SyntheticSource`: as many drawn lesions as wanted, with patients, ages, sexes and sites; needs no files.

The figures a network reaches here say that the line works, and nothing about skin.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edgekd.config import SourceConfig
from edgekd.data.leaks import Dropped
from edgekd.data.lesions import DIAGNOSES, VERSION, render
from edgekd.data.table import Row
from edgekd.data.taxonomy import malignant_names
from edgekd.errors import ImageError
from edgekd.plain import digest

SHARES = {"mel": 0.18, "nv": 0.58, "bkl": 0.24}
_AGE_MEAN = {"mel": 60.0, "nv": 44.0, "bkl": 64.0}
_SITES = ("back", "lower extremity", "trunk", "upper extremity", "abdomen", "face", "chest", "foot")
_SITE_SHARES = (0.24, 0.22, 0.15, 0.12, 0.10, 0.08, 0.06, 0.03)
_MOST_LESIONS = 4


class SyntheticSource:
    """`config.count` lesions, one image each, drawn from `seed` and the name of the source.

    Diagnoses come in the exact proportions of `SHARES`; a patient has one to four lesions. There is no
    official split.

    Raises:
        UnknownNameError: `malignant` holds something that is no diagnosis.
    """

    def __init__(self, config: SourceConfig, *, malignant: tuple[str, ...], seed: int) -> None:
        self.name = config.name
        self._count = config.count
        self._px = config.image_px
        self._malignant = malignant_names(malignant)
        self._seed = int(digest([seed, config.name])[:12], 16)

    def rows(self) -> tuple[Row, ...]:
        """Every lesion with its label, ids `<name>_000000` onwards; nothing is drawn."""
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(self._seed)))
        names = rng.permutation(_diagnoses(self._count)).tolist()
        return tuple(row for patient in _patients(rng, len(names)) for row in self._seen(rng, patient, names))

    def left_out(self) -> tuple[Dropped, ...]:
        """None: `rows` has every image."""
        return ()

    def image(self, row: Row) -> NDArray[np.uint8]:
        """The lesion of `row`, RGB [image_px, image_px, 3].

        Raises:
            ImageError: `row` is not one of this source.
        """
        diagnosis, _, number = row.path.partition("/")
        if diagnosis not in DIAGNOSES or not number.isdecimal():
            raise ImageError(row.path, f"expected <diagnosis>/<number> as the source {self.name} makes them")
        return render(seed=self._seed, number=int(number), diagnosis=diagnosis, px=self._px)

    def fingerprint(self) -> str:
        """A sha256 of the version of the generator and everything it is asked for."""
        wanted = {"generator": VERSION, "seed": self._seed, "count": self._count, "px": self._px}
        told = {"malignant": sorted(self._malignant), "shares": SHARES}
        return digest({**wanted, **told})

    def _seen(self, rng: np.random.Generator, patient: range, names: list[str]) -> Iterator[Row]:
        """The rows of one patient, who has one age and one sex."""
        typical = float(np.mean([_AGE_MEAN[names[number]] for number in patient]))
        age = float(5 * round(min(max(rng.normal(typical, 13.0), 15.0), 90.0) / 5))
        known, sex = rng.random() > 0.03, "female" if rng.random() < 0.5 else "male"
        for number in patient:
            identity = f"{self.name}_{number:06d}"
            yield Row(
                image_id=identity,
                path=f"{names[number]}/{number:06d}",
                diagnosis=names[number],
                malignant=names[number] in self._malignant,
                patient=f"{self.name}_p{patient.start:06d}",
                lesion=identity,
                age=age if known else None,
                sex=sex,
                site=_SITES[rng.choice(len(_SITES), p=_SITE_SHARES)],
                source=self.name,
            )


def _diagnoses(count: int) -> list[str]:
    """`count` diagnoses in the proportions of `SHARES`, rounded down for all but the nevi."""
    counts = {name: int(count * share) for name, share in SHARES.items()}
    counts["nv"] += count - sum(counts.values())
    return [name for name in DIAGNOSES for _ in range(counts[name])]


def _patients(rng: np.random.Generator, count: int) -> Iterator[range]:
    """The numbers 0 to `count` − 1 in runs of one to four."""
    begin = 0
    while begin < count:
        end = min(begin + int(rng.integers(1, _MOST_LESIONS + 1)), count)
        yield range(begin, end)
        begin = end
