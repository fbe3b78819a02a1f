"""Khan et al. 2022: ResNet-50 teaches DSNet, 268,898 parameters, at a temperature of 10.

Paper     Khan et al. 2022, "Knowledge distillation approach towards melanoma detection".
Data set  dermoscopic images, melanoma or not. Here ISIC 2020, and any other by its layout.
Method    224 px; teacher ResNet-50 (23.6 M parameters), student DSNet: three convolutions of 128, 64 and 32
          channels, dropout 0.25, two outputs. Loss 0.1 · cross-entropy + 0.9 · T² · KL at T = 10. Classes are
          drawn by the square root of their count, for these data are far less balanced than the paper's.
Corrected - "Logits" were taken after the softmax and the student's softmax was applied twice: at T = 10 the
            teacher then says next to nothing. Here both give raw logits.
          - A softmax ran over the whole batch in place of the classes of each image.
          - Callbacks watched a metric that did not exist, so nothing was ever stopped or kept. Here the best
            epoch by validation AUC is.
          - The test score lay above that of validation, which points to images in both. Here near-identical
            images and patients are kept apart, and what was dropped is on record.
          - There was no student without a teacher. It is one setting: --set distill.method=none
          - T² is added: without it the teacher's part of the gradient is a hundredth of its weight.
Command   edgekd run khan2022 --data-root DIR/isic2020
          (DIR/isic2017 or DIR/ham10000 in its place: the layout is recognised, the method stays; folders
          benign and malignant: --set data.sources.isic2020.kind=folders). Two outputs whatever the
          diagnoses, or DSNet would have more than its 268,898 parameters.
Time      the teacher takes 0.25 core-seconds a training image, the student 0.08. Its 128 channels at 222 px
          make the quantization-aware part take 11.5 GB at batches of 32: --set qat.fit.batch_size=8 for less.
          --quick: a minute on 2 cores, the published networks at 32 px, DSNet at a quarter of its width.
Expect    a student of an eightieth of the teacher's size; figures in bench/results/systems.
Reported  accuracy 0.917 on 3,000 images, recall 0.87 of the malignant and 0.97 of the benign ones, 2.57 s for
          all of them against 14.55 s; with the softmax errors above and a likely overlap.
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
    Optimizer,
    QatConfig,
    SourceConfig,
    SourceKind,
    TeachConfig,
)
from edgekd.experiments.trial import trial

_AUGMENT = AugmentConfig(crop_scale_min=0.8, brightness=0.1, contrast=0.1, saturation=0.1, hue=0.01)
_FIT = FitConfig(
    epochs=30,
    learning_rate=1e-3,
    class_power=0.5,
    optimizer=Optimizer.ADAM,
    label_smoothing=0.0,
    patience_epochs=8,
    augment=_AUGMENT,
)


def experiment(quick: bool) -> Experiment:
    """The khan2022 experiment; `quick` is its trial on generated lesions."""
    if quick:
        return trial(
            _full(),
            teacher=ModelConfig(name="resnet50"),
            student=ModelConfig(name="dsnet", width=0.25, dropout=0.25),
        )
    return _full()


def _full() -> Experiment:
    return Experiment(
        name="khan2022",
        data=DataConfig(
            sources=(SourceConfig(name="isic2020", kind=SourceKind.ISIC2020),),
            malignant=("mel",),
            binary=True,
        ),
        teach=TeachConfig(model=ModelConfig(name="resnet50"), fit=_FIT),
        distill=DistillConfig(
            model=ModelConfig(name="dsnet", weights="none", dropout=0.25),
            fit=_FIT,
            method=DistillMethod.HINTON,
            temperature=10.0,
            teacher_weight=0.9,
        ),
        qat=QatConfig(
            float_weight=1.0,
            fit=FitConfig(epochs=3, learning_rate=1e-4, warmup_epochs=0.2, augment=_AUGMENT),
        ),
    )
