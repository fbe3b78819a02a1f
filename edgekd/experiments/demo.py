"""The model that comes with edgekd: a student that saw CC-0 pictures only, and needs nothing but a picture.

Purpose   an int8 file that may be passed on with the package, for `edgekd demo` and `edgekd predict --demo`.
Data      ISIC 2017 in its official layout and nothing beside it (CC-0: 2,000 training images).
Method    as record, without age and sex, and shorter, for there is a quarter of the images.
Command   edgekd run demo --data-root DIR/isic2017 --weights DIR/weights
Time      about an hour on 2 cores
"""

from __future__ import annotations

from dataclasses import replace

from edgekd.config import Experiment
from edgekd.experiments import record


def experiment(quick: bool) -> Experiment:
    """The demo experiment; `quick` trains minutes instead of an hour and reaches less."""
    base = record.experiment(quick)
    sources = tuple(source for source in base.data.sources if not source.train_only)
    teach, distill = base.teach, base.distill
    if not quick:
        teach = replace(teach, fit=replace(teach.fit, epochs=6))
        distill = replace(distill, fit=replace(distill.fit, epochs=12))
    data = replace(base.data, sources=sources, patient=())
    return replace(base, name="demo", data=data, teach=teach, distill=distill)
