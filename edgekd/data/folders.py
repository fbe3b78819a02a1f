"""A folder per class, with or without a folder per split above.

    ROOT/melanoma/*.jpg  ROOT/nevus/*.jpg …                       divided by edgekd
    ROOT/train/benign/*.jpg  ROOT/test/malignant/*.jpg …          divided as found

Split folders: train or training; valid, val or validation; test or testing. Class folders: whatever
`edgekd.data.taxonomy` understands. Case does not matter.
"""

from __future__ import annotations

from pathlib import Path
from typing import final

from edgekd.console import log
from edgekd.data.files import FileSource
from edgekd.data.reading import images_by_stem, list_folder, some
from edgekd.data.table import Row, Split, find_split
from edgekd.data.taxonomy import find_diagnosis, parse_diagnosis
from edgekd.errors import DataError


@final
class FolderSource(FileSource):
    """Images labelled by the folder they lie in.

    An image's id is its path without extension, after the name of the source: `mine/train/benign/12`.
    """

    def rows(self) -> tuple[Row, ...]:
        """Every image of every class folder, sorted by path.

        Raises:
            DataError: no folder, an unknown class, an empty class, or class and split folders side by side.
        """
        folders, images = _listed(self.name, self.root)
        splits = {name: split for name in folders if (split := find_split(name)) is not None}
        if not folders or not (splits or _any_class(folders)):
            raise DataError(self._lost(folders, images))
        _note_loose(self.root, images)
        if not splits:
            return self._classes("", folders, None)
        if len(splits) < len(folders):
            others = [name for name in folders if name not in splits]
            raise DataError(
                f"{self.root}: {some(others)} beside the split folders {some(list(splits))}; "
                "expected split folders only, or class folders only"
            )
        return tuple(row for name in splits for row in self._part(name, splits[name]))

    def tables(self) -> tuple[Path, ...]:
        """None: the folders say everything."""
        return ()

    def _part(self, name: str, split: Split) -> tuple[Row, ...]:
        folders, images = list_folder(self.root / name)
        if not folders:
            raise DataError(f"{self.root / name}: expected class folders, found {len(images)} images")
        _note_loose(self.root / name, images)
        return self._classes(f"{name}/", folders, split)

    def _classes(self, prefix: str, folders: list[str], split: Split | None) -> tuple[Row, ...]:
        return tuple(row for name in folders for row in self._class(f"{prefix}{name}", name, split))

    def _class(self, folder: str, name: str, split: Split | None) -> list[Row]:
        diagnosis = parse_diagnosis(name, f"{self.root / folder}").value
        return [
            Row(
                image_id=f"{self.name}/{folder}/{stem}",
                path=f"{folder}/{file}",
                diagnosis=diagnosis,
                malignant=diagnosis in self.malignant,
                split=split,
                source=self.name,
            )
            for stem, file in images_by_stem(self.root / folder).items()
        ]

    def _lost(self, folders: list[str], images: list[str]) -> str:
        near = [
            place for place in (self.root.parent, *(self.root / name for name in folders)) if _fits(place)
        ]
        found = some(folders) if folders else f"{len(images)} images and no folder"
        hint = f"; did you mean {near[0]}?" if near else ""
        return (
            f"source {self.name}: expected class folders (benign, malignant, melanoma, nevus …) or split "
            f"folders (train, validation, test) in {self.root}; found {found}{hint}"
        )


def _listed(source: str, root: Path) -> tuple[list[str], list[str]]:
    if not root.is_dir():
        raise DataError(f"source {source}: no folder {root}; expected one with a folder per class")
    return list_folder(root)


def _any_class(folders: list[str]) -> bool:
    return any(find_diagnosis(name) for name in folders)


def _fits(folder: Path) -> bool:
    names = list_folder(folder)[0]
    return _any_class(names) or any(map(find_split, names))


def _note_loose(folder: Path, images: list[str]) -> None:
    if images:
        log.warning(
            "%s: %d images outside the class folders are left out: %s", folder, len(images), some(images)
        )
