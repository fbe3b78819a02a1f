"""Benign and malignant folders: DenseNet-161 with a new head, in five epochs.

Paper     published notebooks on a set of two folders: a Keras CNN, a PyTorch CNN, DenseNet-161.
Data set  2,637 training and 660 test images, a folder benign and a folder malignant in each.
Method    224 px; the features of DenseNet-161 rest, a new head is trained for five epochs; the two small
          CNNs are what --set distill.model.name=dsnet --set distill.model.weights=none stands for here.
Corrected - The epoch was picked on the test images, so the printed accuracies are upper ends. Here a part of
            the training folders picks it.
          - Folders tell no patient. Near-identical images across the splits are found by content and their
            training side dropped; more cannot be known.
Command   edgekd run folders --data-root DIR --set teach.model.weights=FILE
          Nobody publishes DenseNet-161 for Keras: FILE is a converted one. Without, either another DenseNet,
          --set teach.model.name=densenet121, or all layers from random weights:
          --set teach.model.weights=none --set teach.model.frozen=false
          (DIR/isic2017 or DIR/ham10000: the layout is recognised, the method stays)
Time      DenseNet-161 takes 0.13 core-seconds a training image while its features rest, about four times
          that otherwise.
          --quick: less than a minute on 2 cores; a DSNet, its features resting, stands in for DenseNet-161,
          which takes two minutes to trace, save and load, and another for MobileNetV2.
Expect    an accuracy at the operating point, with its interval; bench/results/systems.
Reported  accuracy 0.77 (Keras CNN), 0.81 (PyTorch CNN), 0.85 (DenseNet-161), all of the epoch that was best
          on the test images.
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

_AUGMENT = AugmentConfig(crop_scale_min=0.7, brightness=0.1, contrast=0.1, saturation=0.1, hue=0.01)


def experiment(quick: bool) -> Experiment:
    """The folders experiment; `quick` is its trial on generated lesions."""
    if quick:
        return trial(
            _full(),
            teacher=ModelConfig(name="dsnet", width=0.5, dropout=0.25, frozen=True),
            student=ModelConfig(name="dsnet", width=0.25, dropout=0.25),
            instead="DSNets in place of DenseNet-161 and MobileNetV2",
        )
    return _full()


def _full() -> Experiment:
    return Experiment(
        name="folders",
        data=DataConfig(sources=(SourceConfig(name="folders", kind=SourceKind.FOLDERS),), binary=True),
        teach=TeachConfig(model=ModelConfig(name="densenet161", frozen=True), fit=_fit(5)),
        distill=DistillConfig(
            model=ModelConfig(name="mobilenet_v2", width=0.35),
            fit=_fit(20),
            method=DistillMethod.HINTON,
            temperature=2.0,
        ),
        qat=QatConfig(
            float_weight=1.0,
            fit=FitConfig(epochs=3, learning_rate=1e-4, warmup_epochs=0.2, augment=_AUGMENT),
        ),
    )


def _fit(epochs: int) -> FitConfig:
    return FitConfig(
        epochs=epochs,
        learning_rate=1e-3,
        class_power=1.0,
        optimizer=Optimizer.ADAM,
        label_smoothing=0.0,
        augment=_AUGMENT,
    )
