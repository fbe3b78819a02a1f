"""An experiment of seconds on drawn lesions of 32 px: the smallest networks, and a split of its own."""

from __future__ import annotations

from edgekd.config import (
    DataConfig,
    DistillConfig,
    Experiment,
    FitConfig,
    ModelConfig,
    SourceConfig,
    SourceKind,
    TeachConfig,
)

_FIT = FitConfig(epochs=3, images_per_epoch=32, batch_size=16, learning_rate=3e-3)
_MODEL = ModelConfig(name="dsnet", width=0.25, weights="none")
BASE = Experiment(
    name="drawn",
    data=DataConfig(
        sources=(SourceConfig(name="drawn", kind=SourceKind.SYNTHETIC, count=80, image_px=40),),
        malignant=("mel",),
        input_px=32,
        train_px=32,
        validation_fraction=0.3,
        test_fraction=0.3,
        workers=1,
    ),
    teach=TeachConfig(model=_MODEL, fit=_FIT),
    distill=DistillConfig(model=_MODEL, fit=_FIT, variants=1),
)
