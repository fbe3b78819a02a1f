"""What the data station is asked to do."""

from __future__ import annotations

from dataclasses import dataclass

from edgekd.config.names import HairRemoval, PatientField, SourceKind, require


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """One data set of an experiment.

    `root` is its folder (CSV: the table); `share` its part of the training draws, relative to the other
    sources; `train_only` keeps it out of validation and test; `optional` lets a run go without it. `count`
    and `image_px` belong to the synthetic generator.
    """

    name: str
    kind: SourceKind
    root: str = ""
    share: float = 1.0
    train_only: bool = False
    optional: bool = False
    count: int = 0
    image_px: int = 0

    def __post_init__(self) -> None:
        require(self.share > 0, f"source {self.name}: share is {self.share}, expected more than 0")
        synthetic = self.kind is SourceKind.SYNTHETIC
        require(not synthetic or self.count > 0, f"source {self.name}: a synthetic source needs count > 0")
        require(
            not synthetic or self.image_px >= 32,
            f"source {self.name}: a synthetic source needs image_px ≥ 32, got {self.image_px}",
        )


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Sources, split and the size of the prepared pixels.

    `malignant` names the diagnoses counted as malignant. Training images are stored at `train_px` (room
    for random crops), validation and test images at `input_px`, which is the network's input, and once more
    at `teacher_px` (0: it is `input_px`), which is the teacher's. Sources without an official split are
    divided by `validation_fraction` and `test_fraction`, stratified, grouped by patient and lesion.
    `drop_leaks` removes the train (or validation) side of near-identical
    pairs. `binary` tells malignant from benign only, whatever is known of the diagnosis. `hair` is done to
    every picture before the crop, on the phone too. `patient` names what is known of the person and is a
    second input of every network; `patient_context` adds how a lesion differs from the person's others.
    """

    sources: tuple[SourceConfig, ...]
    malignant: tuple[str, ...] = ("mel", "bcc", "scc", "akiec")
    input_px: int = 224
    train_px: int = 256
    teacher_px: int = 0
    validation_fraction: float = 0.15
    test_fraction: float = 0.20
    drop_leaks: bool = True
    binary: bool = False
    hair: HairRemoval = HairRemoval.NONE
    patient: tuple[PatientField, ...] = ()
    patient_context: bool = False
    workers: int = 0

    def __post_init__(self) -> None:
        require(len(self.sources) > 0, "data.sources is empty, expected at least one source")
        names = [source.name for source in self.sources]
        require(len(set(names)) == len(names), f"data.sources: names must differ, got {', '.join(names)}")
        require(32 <= self.input_px <= 1024, f"data.input_px is {self.input_px}, expected 32 to 1024")
        require(
            self.train_px >= self.input_px,
            f"data.train_px ({self.train_px}) is below data.input_px ({self.input_px})",
        )
        require(
            self.teacher_px == 0 or 32 <= self.teacher_px <= self.train_px,
            f"data.teacher_px is {self.teacher_px}, expected 0 (as input_px) or 32 to data.train_px "
            f"({self.train_px})",
        )
        require(
            len(set(self.patient)) == len(self.patient),
            f"data.patient: {', '.join(self.patient)} repeats a field",
        )
        parts = self.validation_fraction + self.test_fraction
        require(
            min(self.validation_fraction, self.test_fraction) > 0 and parts < 1,
            f"data.validation_fraction + data.test_fraction is {parts:g}, expected > 0 each and < 1 together",
        )
