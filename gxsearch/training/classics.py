"""Classics: vectors of all rows by methods that need no tuning, for the leaderboard of architectures."""

from __future__ import annotations

import warnings

import numpy as np
from scipy import sparse
from sklearn.decomposition import NMF, PCA, FastICA
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from gxsearch.data.table import PARTS
from gxsearch.training.ridge import Expression
from gxsearch.training.votes import some

GENES = 3000
"""Genes that are read at most: the most variable ones on training rows."""
_STEPS = {"nmf": 60, "ica": 200}
_SMALL = 50_000_000
"""Values below which one thread is faster."""


def classics(x_ng: np.ndarray | sparse.spmatrix, part_n: np.ndarray, k: int, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Return vectors (n, k), float32, of all rows by each method, by its name, fitted on training rows only.

    ``pca``; ``pca, scaled``: of genes brought to standard deviation 1, values beyond 10 of them cut; ``nmf`` of values
    as they are, left out where some are negative, each component at the length of its profile, so that distances are
    those of what it gives back; ``ica`` and ``ica, scaled``: FastICA of these; ``random``: Gaussian
    random projection, what a method has to beat that learns nothing; ``pca, shuffled genes``: a control that has each
    gene's values and none of their joint structure (every gene permuted over the training rows, and over the rows of
    each other part), whose label scores are what chance gives. At most 2,000 training rows, and the 3,000 genes of
    largest variance, are read to fit. There are fewer dimensions where rows or genes are fewer than k.

    Args:
        x_ng: log expression (n, g), dense or sparse.
        part_n: index into `PARTS` per row (n,).
        k: dimensions.
        seed: of what is drawn: shuffles, projections and starts.
    """
    train = some(np.flatnonzero(part_n == PARTS.index("train")))
    x_ng = x_ng[np.arange(len(part_n))][:, Expression(x_ng, train, most=GENES).genes]
    x_ng = np.ascontiguousarray(x_ng.toarray() if sparse.issparse(x_ng) else x_ng, dtype=np.float32)
    k = max(1, min(k, len(train) - 1, x_ng.shape[1]))
    mean_g, sd_g = x_ng[train].mean(0, dtype=np.float64), x_ng[train].std(0, dtype=np.float64)
    scaled_ng = np.clip((x_ng - mean_g) / sd_g, -10, 10).astype(np.float32)
    sources = {"": x_ng, ", scaled": scaled_ng}
    with threadpool_limits(1 if x_ng.size < _SMALL else None):
        found = {f"pca{ending}": _pca(values_ng, train, k, seed) for ending, values_ng in sources.items()}
        if x_ng.min() >= 0:
            found["nmf"] = _nmf(x_ng, train, k, seed)
        found |= {f"ica{ending}": _ica(values_ng, train, k, seed) for ending, values_ng in sources.items()}
        found["random"] = _random(scaled_ng, k, seed)
        found["pca, shuffled genes"] = _pca(_shuffled(x_ng, part_n, seed), train, k, seed)
    return found


def _pca(x_ng: np.ndarray, train: np.ndarray, k: int, seed: int) -> np.ndarray:
    return PCA(k, svd_solver="randomized", random_state=seed).fit(x_ng[train]).transform(x_ng).astype(np.float32)


def _ica(x_ng: np.ndarray, train: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Return independent components, turned out of principal ones: FastICA's own whitening would take all of an SVD."""
    pca = PCA(k, svd_solver="randomized", random_state=seed).fit(x_ng[train])
    z_nk = pca.transform(x_ng).astype(np.float64) / np.sqrt(np.maximum(pca.explained_variance_, 1e-12))
    ica = FastICA(whiten="unit-variance", whiten_solver="eigh", max_iter=_STEPS["ica"], tol=1e-3, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return ica.fit(z_nk[train]).transform(z_nk).astype(np.float32)


def _nmf(x_ng: np.ndarray, train: np.ndarray, k: int, seed: int) -> np.ndarray:
    nmf = NMF(k, init="nndsvda", tol=1e-3, max_iter=_STEPS["nmf"], random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the steps are limited on purpose
        nmf.fit(x_ng[train])
        nmf.tol = 0.0  # as many steps for every row, whatever rows there are beside it
        z_nk = nmf.transform(x_ng)
    return (z_nk * np.linalg.norm(nmf.components_, axis=1)).astype(np.float32)


def _random(scaled_ng: np.ndarray, k: int, seed: int) -> np.ndarray:
    drawn_gk = np.random.default_rng(seed).normal(size=(scaled_ng.shape[1], k)) / np.sqrt(scaled_ng.shape[1])
    return (scaled_ng @ drawn_gk.astype(np.float32)).astype(np.float32)


def _shuffled(x_ng: np.ndarray, part_n: np.ndarray, seed: int) -> np.ndarray:
    """Return the values with those of each gene permuted over the rows of each part."""
    out_ng, generator = x_ng.copy(), np.random.default_rng(seed)
    for part in np.unique(part_n):
        rows = np.flatnonzero(part_n == part)
        out_ng[rows] = generator.permuted(x_ng[rows], axis=0)
    return out_ng
