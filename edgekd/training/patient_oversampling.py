"""Training rows made up between neighbours of a rare class (SMOTE, Chawla et al. 2002).

`imbalanced-learn` does it: SMOTE for numbers, SMOTE-NC where there are yes-or-no columns beside them, SMOTE-N
where there is nothing else. A made-up person is of one sex and at one place, not 0.4 of either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd import lazy
from edgekd.patient_input import PatientColumn

_LEAST = 2


def oversample(
    features: NDArray[np.float32],
    labels: NDArray[np.int32],
    columns: Sequence[PatientColumn],
    *,
    share: float,
    neighbours: int,
    seed: int,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """`features` [n, f] and `labels` [n] with made-up rows behind them; give it training rows only.

    Every class is brought up to `share` (0 to 1) of the largest one's count; what is there stays as it is. A
    class of a single row has no neighbours and is left alone; one of fewer than `neighbours` + 1 rows makes
    all use as many neighbours as it has.

    Raises:
        MissingExtraError: imbalanced-learn is not installed.
    """
    sizes = np.bincount(labels)
    goal = int(share * sizes.max())
    wanted = {label: goal for label, size in enumerate(sizes.tolist()) if _LEAST <= size < goal}
    if not wanted:
        return features, labels
    least = min(int(sizes[label]) for label in wanted)
    method = _method(
        columns, sampling_strategy=wanted, k_neighbors=min(neighbours, least - 1), random_state=seed
    )
    found, names = method.fit_resample(features, labels)
    return np.asarray(found, np.float32), np.asarray(names, np.int32)


def _method(columns: Sequence[PatientColumn], **options: Any) -> Any:
    over = lazy.optional("imblearn.over_sampling", package="imbalanced-learn", extra="train")
    worded = [place for place, column in enumerate(columns) if column.category is not None]
    if len(worded) == len(columns):
        return over.SMOTEN(**options)
    return over.SMOTENC(categorical_features=worded, **options) if worded else over.SMOTE(**options)
