"""The whole line on generated lesions: does everything work here, and what comes out?

Purpose   a first look, and the end-to-end test. Needs no data, no weights and no network. Both networks are
          DSNets, which learn from nothing in minutes.
Command   edgekd run quickstart                    (or: make quickstart)
Time      about 3 minutes on 2 cores, under 2 GiB
Expect    a table of four files with a test AUC near 0.77, the int8 one less than a third of the float one in
          size, and a report page.
          The lesions are drawn by a program: the figures say nothing about skin.
"""

from __future__ import annotations

from edgekd.config import (
    AugmentConfig,
    BenchConfig,
    DataConfig,
    DistillConfig,
    Experiment,
    FitConfig,
    ModelConfig,
    QatConfig,
    SourceConfig,
    SourceKind,
    TeachConfig,
    VerifyConfig,
)

_AUGMENT = AugmentConfig(crop_scale_min=0.8, brightness=0.1, contrast=0.1, saturation=0.1, hue=0.01)


def experiment(quick: bool) -> Experiment:
    """The quickstart; `quick` is a line of seconds on tiny networks, for tests."""
    fit = FitConfig(
        epochs=2 if quick else 14,
        batch_size=16,
        learning_rate=2e-3,
        average_decay=0.98,
        label_smoothing=0.0,
        augment=_AUGMENT,
    )
    return Experiment(
        name="quickstart",
        data=DataConfig(
            sources=(
                SourceConfig(
                    name="synthetic",
                    kind=SourceKind.SYNTHETIC,
                    count=400 if quick else 2400,
                    image_px=56 if quick else 72,
                ),
            ),
            malignant=("mel",),
            input_px=48 if quick else 64,
            train_px=56 if quick else 72,
            validation_fraction=0.2,
            test_fraction=0.25,
        ),
        teach=TeachConfig(model=_model(0.5 if quick else 1.0), fit=fit),
        distill=DistillConfig(model=_model(0.25 if quick else 0.5), fit=fit, variants=4),
        qat=QatConfig(
            fit=FitConfig(
                epochs=1 if quick else 2,
                learning_rate=2e-4,
                warmup_epochs=0.2,
                label_smoothing=0.0,
                augment=_AUGMENT,
            )
        ),
        verify=VerifyConfig(margin=0.05),
        bench=BenchConfig(rounds=10),
    )


def _model(width: float) -> ModelConfig:
    return ModelConfig(name="dsnet", width=width, weights="none", dropout=0.25)
