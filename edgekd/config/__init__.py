"""What a run is asked to do: one frozen dataclass per station, and `Experiment` which holds them all.

Every configuration refuses contradictions the moment it is made; `edgekd.settings` reads and writes them
as text.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edgekd.config.data import DataConfig, SourceConfig
from edgekd.config.fit import AugmentConfig, FitConfig, ModelConfig
from edgekd.config.names import (
    IMAGENET,
    NO_WEIGHTS,
    Answers,
    DistillMethod,
    HairRemoval,
    Loss,
    Optimizer,
    PatientField,
    Precision,
    SourceKind,
    Strategy,
    ThresholdRule,
)
from edgekd.config.stations import (
    BenchConfig,
    DistillConfig,
    ExportConfig,
    QatConfig,
    ReportConfig,
    TeachConfig,
    VerifyConfig,
)

__all__ = [
    "IMAGENET",
    "NO_WEIGHTS",
    "Answers",
    "AugmentConfig",
    "BenchConfig",
    "DataConfig",
    "DistillConfig",
    "DistillMethod",
    "Experiment",
    "ExportConfig",
    "FitConfig",
    "HairRemoval",
    "Loss",
    "ModelConfig",
    "Optimizer",
    "PatientField",
    "Precision",
    "QatConfig",
    "ReportConfig",
    "SourceConfig",
    "SourceKind",
    "Strategy",
    "TeachConfig",
    "ThresholdRule",
    "VerifyConfig",
]


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Everything a run is asked to do; written whole to `RUN/experiment.json`."""

    name: str
    seed: int = 1
    strategy: Strategy = Strategy.SINGLE
    data: DataConfig
    teach: TeachConfig = field(default_factory=TeachConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)
    qat: QatConfig = field(default_factory=QatConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    verify: VerifyConfig = field(default_factory=VerifyConfig)
    bench: BenchConfig = field(default_factory=BenchConfig)
    report: ReportConfig = field(default_factory=ReportConfig)
