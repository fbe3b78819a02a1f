"""The ways from many dimensions to a plane: UMAP, and principal components as the light alternative."""

from __future__ import annotations

import enum
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd import lazy

Points = NDArray[np.float32]
_NEIGHBOURS, _LEAST_DISTANCE = 15, 0.1


class Method(enum.StrEnum):
    """How features are projected."""

    UMAP = "umap"
    PCA = "pca"


@dataclass(frozen=True, kw_only=True, eq=False)
class Projection:
    """`points` float32 [n, 2] and how they were made; `packages` are the distributions that made them."""

    points: Points
    parameters: Mapping[str, str]
    packages: tuple[str, ...]
    explained_variance: tuple[float, ...] | None = None


def umap(values: Points, seed: int) -> Projection:
    """`values` [n, d] by UMAP (McInnes et al. 2018), at its default of 15 neighbours and distance 0.1.

    One thread: with several, umap-learn gives another picture every time. It starts at the principal
    components, not at random (Kobak and Linderman 2021, Nature Biotechnology).

    Raises:
        MissingExtraError: umap-learn is not installed.
    """
    chosen = {"n_neighbors": min(_NEIGHBOURS, len(values) - 1), "min_dist": _LEAST_DISTANCE}
    fixed = {"metric": "euclidean", "init": "pca"}
    made = _umap().UMAP(random_state=seed, n_jobs=1, **chosen, **fixed).fit_transform(values)
    return Projection(
        points=np.asarray(made, np.float32),
        parameters={name: str(value) for name, value in {**chosen, **fixed}.items()},
        packages=("umap-learn", "pynndescent", "numba", "scikit-learn", "scipy"),
    )


def pca(values: Points, seed: int) -> Projection:
    """`values` [n, d] along the two directions of largest variance; nothing in it is drawn by `seed`.

    Each direction is turned so that its largest part is positive.
    """
    del seed
    from scipy.linalg import eigh

    centred = np.asarray(values, np.float64) - values.mean(axis=0, dtype=np.float64)
    n, dims = centred.shape
    wide = dims > n  # the smaller of the two products has the same eigenvalues
    product = centred @ centred.T if wide else centred.T @ centred
    last = len(product) - 1
    variances, vectors = eigh(product, subset_by_index=[last - 1, last])
    directions = centred.T @ vectors if wide else vectors
    directions = directions / np.linalg.norm(directions, axis=0).clip(min=np.finfo(np.float64).tiny)
    directions *= np.sign(np.take_along_axis(directions, np.abs(directions).argmax(axis=0)[np.newaxis], 0))
    shares = np.maximum(variances[::-1], 0) / np.trace(product)
    return Projection(
        points=np.asarray(centred @ directions[:, ::-1], np.float32),
        parameters={},
        packages=("scipy",),
        explained_variance=tuple(shares.tolist()),
    )


def _umap() -> Any:
    """The `umap` module, without the part of it that would load TensorFlow and Keras 3 for nothing."""
    unwanted = "umap.parametric_umap"
    sys.modules[unwanted] = None  # type: ignore[assignment]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImportWarning)  # it says that the part is missing
            return lazy.optional("umap", package="umap-learn", extra="embed")
    finally:
        del sys.modules[unwanted]


METHODS: Mapping[Method, Callable[[Points, int], Projection]] = {Method.UMAP: umap, Method.PCA: pca}
