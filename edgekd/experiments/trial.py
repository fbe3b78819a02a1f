"""`--quick` of the published systems: their own method on generated lesions, small enough for two minutes."""

from __future__ import annotations

import dataclasses

from edgekd.config import (
    NO_WEIGHTS,
    BenchConfig,
    DistillConfig,
    Experiment,
    ExportConfig,
    FitConfig,
    ModelConfig,
    Precision,
    QatConfig,
    ReportConfig,
    SourceConfig,
    SourceKind,
    TeachConfig,
    VerifyConfig,
)

_SOURCE = SourceConfig(name="synthetic", kind=SourceKind.SYNTHETIC, count=160, image_px=40)
_PX = 32


def trial(full: Experiment, *, teacher: ModelConfig, student: ModelConfig, instead: str = "") -> Experiment:
    """`full` on 160 lesions of 32 px with `teacher` and `student` from random weights, two epochs each.

    Losses, optimizers, augmentation, draws and the method of distillation stay those of `full`. Its name
    ends in "-quick", so that its run is never taken for one of the published size; the title of the
    report says what is small, and `instead` which network stands in for which.
    """
    room = 0 if full.data.train_px == full.data.input_px else 8
    data = dataclasses.replace(
        full.data,
        sources=(_SOURCE,),
        malignant=("mel",),
        input_px=_PX,
        train_px=_PX + room,
        validation_fraction=0.25,
        test_fraction=0.25,
    )
    return dataclasses.replace(
        full,
        name=f"{full.name}-quick",
        data=data,
        teach=_taught(full.teach, teacher),
        distill=_distilled(full.distill, student),
        qat=_quantized(full.qat),
        export=ExportConfig(precisions=(Precision.INT8,)),
        # 40 drawings show only a great loss.
        verify=VerifyConfig(margin=0.2, parity_images=16),
        bench=BenchConfig(threads=(1,), rounds=1, min_seconds=0.2),
        report=ReportConfig(
            title="; ".join(filter(None, [f"{full.name} --quick: generated lesions", instead]))
        ),
    )


def _taught(full: TeachConfig, model: ModelConfig) -> TeachConfig:
    return dataclasses.replace(full, model=_untrained(model), fit=_short(full.fit))


def _distilled(full: DistillConfig, model: ModelConfig) -> DistillConfig:
    return dataclasses.replace(full, model=_untrained(model), fit=_short(full.fit), variants=2)


def _quantized(full: QatConfig) -> QatConfig:
    return dataclasses.replace(full, fit=dataclasses.replace(_short(full.fit), epochs=1))


def _short(fit: FitConfig) -> FitConfig:
    return dataclasses.replace(
        fit, epochs=2, images_per_epoch=0, batch_size=16, warmup_epochs=0.5, patience_epochs=0
    )


def _untrained(model: ModelConfig) -> ModelConfig:
    return dataclasses.replace(model, weights=NO_WEIGHTS)
