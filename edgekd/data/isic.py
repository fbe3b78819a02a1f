"""`ChallengeSource`: what the data sets of the ISIC challenges do alike."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from edgekd.data.files import FileSource, check_layout
from edgekd.data.headers import canonical_id
from edgekd.data.leaks import Dropped, Reason
from edgekd.data.reading import images_by_stem, match_images
from edgekd.data.table import Row, Split
from edgekd.data.taxonomy import Diagnosis

FLAGS = {"0": False, "0.0": False, "1": True, "1.0": True}
"""The spellings of a label that holds or does not."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a challenge: a folder of images and the tables about them, the ground truth first."""

    split: Split | None
    folder: str
    tables: tuple[str, ...]


class ChallengeSource(FileSource):
    """Folders of images, each with a ground truth; a subclass knows their names and how to read them.

    Images are found and told apart by their canonical id, so that a later year's copy is known to be the
    same image, however a table or a file spells it.
    """

    @abstractmethod
    def parts(self) -> tuple[Part, ...]:
        """The parts that are labelled, from training to test."""

    @abstractmethod
    def told(self, part: Part) -> Mapping[str, Row | Dropped]:
        """What the tables of `part` say of each image, by its canonical id; the paths are empty.

        Raises:
            DataError: something is missing, unknown or said twice; the file and line are named.
        """

    @final
    def rows(self) -> tuple[Row, ...]:
        """Every labelled image but those of `left_out`, sorted by part and id.

        Raises:
            DataError: something is missing, unknown or said twice; the file and line are named.
        """
        return tuple(row for part in self._checked() for row in self._found(part))

    @final
    def left_out(self) -> tuple[Dropped, ...]:
        """The images the tables name and `rows` does not, sorted by part and id."""
        told = (item for part in self._checked() for item in sorted(self.told(part).items()))
        return tuple(one for _, one in told if isinstance(one, Dropped))

    @final
    def tables(self) -> tuple[Path, ...]:
        """The tables of each labelled part."""
        return tuple(self.root / name for part in self.parts() for name in part.tables)

    @final
    def row(self, image_id: str, diagnosis: Diagnosis, part: Part) -> Row:
        """The row of an image of which only the diagnosis is known."""
        return Row(
            image_id=image_id,
            path="",
            diagnosis=diagnosis.value,
            malignant=diagnosis.value in self.malignant,
            split=part.split,
            source=self.name,
        )

    @final
    def without(self, image_id: str, part: Part, reason: Reason, partner: str = "") -> Dropped:
        """The record of an image that is left out, for the sake of the image `partner` if there is one."""
        return Dropped(
            image_id=image_id,
            source=self.name,
            split=part.split,
            reason=reason,
            partner=partner,
            partner_split=None,
        )

    def _checked(self) -> tuple[Part, ...]:
        parts = self.parts()
        check_layout(self.name, self.root, [name for one in parts for name in (one.folder, *one.tables)])
        return parts

    def _found(self, part: Part) -> list[Row]:
        """The rows of `part` with the paths of their images."""
        told = self.told(part)
        rows = {image_id: row for image_id, row in sorted(told.items()) if isinstance(row, Row)}
        images = images_by_stem(self.root / part.folder, "_superpixels", key=canonical_id)
        used = {
            image_id: name for image_id, name in images.items() if image_id in rows or image_id not in told
        }
        match_images(self.root / part.tables[0], rows, used, self.root / part.folder)
        return [replace(row, path=f"{part.folder}/{used[image_id]}") for image_id, row in rows.items()]
