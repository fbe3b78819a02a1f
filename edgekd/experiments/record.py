"""The best melanoma classifier under one megabyte: teachers that did not see what they teach, one student.

Purpose   an int8 file of at most 1 MB and at most 0.35 of the time of MobileNetV2 1.0 at 224 px.
Data      as isic2017: ISIC 2017 in its official layout; HAM10000, where it lies beside, joins the training
          split only; seven diagnoses, sources drawn equally, classes by the square root of their count.
Method    Three teachers, MobileNetV2 1.0 at 192 px, each trained without a third of the training images
          (whole patients and lesions); of an image the student hears from the teacher that did not see it.
          The student is the same network after 13 of its 17 blocks, so that it starts from the same weights
          of ImageNet, and looks at 128 px: the whole width at few pixels costs a phone less than few
          channels at many. All are told age and sex, where they are known.
Command   edgekd run record --data-root DIR/isic2017 --weights DIR/weights
          (--set data.patient= : from the picture alone)
Time      under two hours on 2 cores
Expect    a test AUC near 0.84 for an int8 file of 864 kB; 0.82 from the picture alone, teachers at 128 px
"""

from __future__ import annotations

from dataclasses import replace

from edgekd.config import Experiment, ModelConfig, PatientField
from edgekd.experiments import isic2017


def experiment(quick: bool) -> Experiment:
    """The record experiment; `quick` trains minutes instead of hours and reaches less."""
    base = isic2017.experiment(quick)
    teach = replace(base.teach, folds=2 if quick else 3)
    distill = replace(base.distill, model=ModelConfig(blocks=13))
    qat = base.qat
    if not quick:
        teach = replace(teach, fit=replace(teach.fit, epochs=12))
        distill = replace(distill, fit=replace(distill.fit, epochs=16))
        qat = replace(qat, fit=replace(qat.fit, epochs=4, images_per_epoch=5000))
    data = replace(
        base.data, input_px=128, teacher_px=192, train_px=224, patient=(PatientField.AGE, PatientField.SEX)
    )
    return replace(base, name="record", data=data, teach=teach, distill=distill, qat=qat)
