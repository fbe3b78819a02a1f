"""Melanoma against the rest on ISIC 2017 Part 3: MobileNetV2 1.0 teaches MobileNetV2 0.35, int8.

Purpose   the reference line of this project on real dermoscopy images.
Data      ISIC 2017 in its official layout (train 2,000, validation 150, test 600 images). Where HAM10000
          lies beside it, it joins the training split only; seven diagnoses, sources drawn equally, classes
          by the square root of their count. The leaks between the official splits are dropped.
Command   edgekd run isic2017 --data-root DIR/isic2017 --weights DIR/weights
          (weights: ImageNet backbones; without the option Keras downloads its own)
Time      about 45 minutes on 2 cores
Expect    test AUC 0.80 or more for the teacher, 0.785 or more for the int8 student, 0.70 MB at most.
          The 2017 challenge's best melanoma AUC was 0.874, by ensembles of large networks.
"""

from __future__ import annotations

from edgekd.config import (
    AugmentConfig,
    DataConfig,
    DistillConfig,
    DistillMethod,
    Experiment,
    FitConfig,
    ModelConfig,
    QatConfig,
    SourceConfig,
    SourceKind,
    TeachConfig,
)

_AUGMENT = AugmentConfig(crop_scale_min=0.4, brightness=0.25, contrast=0.25, saturation=0.25, hue=0.02)


def experiment(quick: bool) -> Experiment:
    """The isic2017 experiment; `quick` trains minutes instead of an hour and reaches less."""
    return Experiment(
        name="isic2017",
        data=DataConfig(
            sources=(
                SourceConfig(name="isic2017", kind=SourceKind.ISIC2017),
                SourceConfig(name="ham10000", kind=SourceKind.HAM10000, train_only=True, optional=True),
            ),
            malignant=("mel",),
        ),
        teach=TeachConfig(model=ModelConfig(width=1.0), fit=_fit(1 if quick else 8)),
        distill=DistillConfig(
            model=ModelConfig(width=0.35),
            fit=_fit(1 if quick else 12),
            method=DistillMethod.HINTON,
            temperature=2.0,
        ),
        # The rounded network is to be the float one, not a better one: it learns from nothing else.
        qat=QatConfig(
            float_weight=1.0,
            fit=FitConfig(
                epochs=1 if quick else 6,
                images_per_epoch=500 if quick else 4000,
                learning_rate=3e-4,
                warmup_epochs=0.2,
                augment=_AUGMENT,
            ),
        ),
    )


def _fit(epochs: int) -> FitConfig:
    return FitConfig(
        epochs=epochs,
        images_per_epoch=5000 if epochs > 1 else 500,
        learning_rate=1e-3,
        average_decay=0.995,
        augment=_AUGMENT,
    )
