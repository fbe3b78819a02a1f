"""InceptionResNetV2 and what is known of the person, on SIIM-ISIC 2020: two inputs, one answer.

Paper     a published notebook of the SIIM-ISIC 2020 competition, InceptionResNetV2 with tabular data.
Data set  ISIC 2020: 33,126 images of 2,056 patients; the 690 patients of its test set share none.
Method    InceptionResNetV2 at 1,024 px on a TPU from TFRecords; melanomas drawn until they are 20 %, and
          class weights n / (2 n_c) on top; beside it a dense network on age, sex and site (one-hot, min-max,
          missing as 0), with SMOTE.
Corrected - SMOTE was computed and the result not used. Here it is used where it means anything, on training
            rows of the tabular network alone; the fused network draws real images more often instead, for an
            interpolated person has no picture.
          - The scaler was fitted again on the test set. Here ranges and categories come from the training
            split, and travel with the model.
          - There was no validation set and there are no figures. Here: a split by patient, and figures.
          - Image and tabular network were two; here the person joins the image's features before the logits,
            so that one file is exported and one number verified.
          - 1,024 px is nothing for a phone: 299 px, the network's own size.
            --set data.input_px=1024 --set data.train_px=1024 has it back.
Command   edgekd run inception2020 --data-root DIR/isic2020      (or with --strategy tpu, or mirrored)
          edgekd patient runs/inception2020      (the tabular network by itself, SMOTE on its training rows)
          DIR/ham10000 in its place is recognised and the method stays. ISIC 2017 tells no site:
          --data-root DIR/isic2017 --set data.patient=age,sex
Time      a GPU or TPU is meant: the teacher takes 0.8 core-seconds a training image.
          --quick: less than a minute on 2 cores; DSNets of 32 px with the same two inputs stand in, for the
          published network does not go below 75 px and takes longer to trace.
Expect    what the person adds to the picture, as a paired difference against --set data.patient= (empty);
          bench/results/systems.
Reported  no figures.
"""

from __future__ import annotations

from edgekd.config import (
    AugmentConfig,
    DataConfig,
    DistillConfig,
    DistillMethod,
    Experiment,
    FitConfig,
    Loss,
    ModelConfig,
    Optimizer,
    PatientField,
    QatConfig,
    SourceConfig,
    SourceKind,
    TeachConfig,
)
from edgekd.experiments.trial import trial

_UNITS = (32, 16)
_AUGMENT = AugmentConfig(crop_scale_min=0.6, brightness=0.2, contrast=0.2, saturation=0.2, hue=0.02)
_FIT = FitConfig(
    epochs=15,
    learning_rate=3e-4,
    class_power=1.0,
    positive_share=0.20,
    optimizer=Optimizer.ADAM,
    label_smoothing=0.0,
    patience_epochs=5,
    augment=_AUGMENT,
)


def experiment(quick: bool) -> Experiment:
    """The inception2020 experiment; `quick` is its trial on generated lesions."""
    if quick:
        return trial(
            _full(),
            teacher=ModelConfig(name="dsnet", width=0.5, dropout=0.25, patient_units=_UNITS),
            student=ModelConfig(name="dsnet", width=0.25, dropout=0.25, patient_units=_UNITS),
            instead="DSNets in place of InceptionResNetV2 and MobileNetV2",
        )
    return _full()


def _full() -> Experiment:
    return Experiment(
        name="inception2020",
        data=DataConfig(
            sources=(SourceConfig(name="isic2020", kind=SourceKind.ISIC2020),),
            malignant=("mel",),
            input_px=299,
            train_px=320,
            patient=(PatientField.AGE, PatientField.SEX, PatientField.SITE),
        ),
        teach=TeachConfig(
            model=ModelConfig(name="inception_resnet_v2", patient_units=_UNITS),
            fit=_FIT,
            loss=Loss.CLASS_WEIGHTED,
        ),
        distill=DistillConfig(
            model=ModelConfig(name="mobilenet_v2", patient_units=_UNITS),
            fit=_FIT,
            loss=Loss.CLASS_WEIGHTED,
            method=DistillMethod.HINTON,
            temperature=2.0,
        ),
        qat=QatConfig(
            float_weight=1.0,
            fit=FitConfig(epochs=3, learning_rate=1e-4, warmup_epochs=0.2, augment=_AUGMENT),
        ),
    )
