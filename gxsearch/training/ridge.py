"""Ridge: how much of the expression of rows their vectors tell a linear model."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

GENES = 500
"""Genes that are told of, at most: those of largest variance over training rows."""
_STRENGTHS = 10.0 ** np.arange(-6, 3)
"""Ridge strengths that are tried, per training row."""


class Expression:
    """Expression of the most variable genes, of training rows and of others, about the training rows' means."""

    def __init__(self, x_ng: Any, train: np.ndarray, *, most: int = GENES):
        """Choose at most so many genes.

        Args:
            x_ng: a matrix (n, g), dense or sparse, or what gives rows of one by their indices.
            train: its training rows.
        """
        known_ng = x_ng[train]
        variance_g = _variance(known_ng)
        order = np.argsort(-np.round(variance_g, 12), kind="stable")[:most]
        self._x_ng, self.genes = x_ng, np.sort(order[variance_g[order] > 1e-12])
        self.mean_g = self.of(train, about=0.0).mean(0) if len(self.genes) else np.zeros(0)

    def of(self, rows: np.ndarray, about: np.ndarray | float | None = None) -> np.ndarray:
        """Return the values (n, g) of rows about the training rows' means, or about something else, float64."""
        y_ng = self._x_ng[rows][:, self.genes]
        y_ng = y_ng.toarray() if sparse.issparse(y_ng) else y_ng
        return np.asarray(y_ng, dtype=np.float64) - (self.mean_g if about is None else about)


def ridge(train_nk: np.ndarray, y_ng: np.ndarray, test_mk: np.ndarray) -> np.ndarray:
    """Return what ridge regression on standardized vectors expects of others (m, g); `y_ng` has mean zero.

    One strength for all genes, with the least squared error of leaving each training row out, which is
    (y - fit) / (1 - h) for its leverage h (Allen's PRESS; Golub, Heath and Wahba 1979, section 1).
    """
    mean_k, sd_k = train_nk.mean(0), train_nk.std(0)
    sd_k[sd_k < 1e-12 * max(1.0, float(np.abs(train_nk).max()))] = 1.0
    z_nk, n = (train_nk - mean_k) / sd_k, len(train_nk)
    size_k, turn_kk = np.linalg.eigh(z_nk.T @ z_nk)
    a_nk, size_k = z_nk @ turn_kk, np.maximum(size_k, 0.0)
    b_kg, best, least = a_nk.T @ y_ng, None, np.inf
    for strength in n * _STRENGTHS:
        w_kg = b_kg / (size_k + strength)[:, None]
        leverage_n = 1 / n + np.square(a_nk) @ (1 / (size_k + strength))
        error_n = np.square(y_ng - a_nk @ w_kg).sum(1) / np.square(np.maximum(1 - leverage_n, 1e-9))
        if error_n.sum() < least:
            best, least = w_kg, error_n.sum()
    return ((test_mk - mean_k) / sd_k) @ (turn_kk @ best)


def _variance(x_ng: np.ndarray | sparse.spmatrix) -> np.ndarray:
    """Return each gene's variance (g,), float64, without a copy of the matrix in float64."""
    n = x_ng.shape[0]
    if sparse.issparse(x_ng):
        values, genes = x_ng.tocsr().data.astype(np.float64), x_ng.tocsr().indices
        sums = [np.bincount(genes, weights=w, minlength=x_ng.shape[1]) / n for w in (values, values**2)]
    else:
        sums = [x_ng.mean(0, dtype=np.float64), np.einsum("ng,ng->g", x_ng, x_ng, dtype=np.float64) / n]
    return np.maximum(sums[1] - sums[0] ** 2, 0.0)
