"""Silhouettes: how well classes lie apart, and batches within them; the definitions of scib-metrics 0.5.10."""

from __future__ import annotations

from typing import Literal

import numpy as np

Between = Literal["nearest", "mean_other"]


def silhouettes(d_nn: np.ndarray, code_n: np.ndarray, between: Between = "nearest") -> np.ndarray:
    """Return each row's silhouette (n,), -1 to 1; 0 for a row that is alone in its class (Rousseeuw 1987).

    Args:
        d_nn: distances.
        between: what a row's own class is set against: the nearest other class, or all rows of others (BRAS).
    """
    _, place_n, times_c = np.unique(code_n, return_inverse=True, return_counts=True)
    rows = np.arange(len(place_n))
    sum_nc = d_nn @ np.eye(len(times_c))[place_n]
    own_n = sum_nc[rows, place_n]
    within_n = own_n / np.maximum(times_c[place_n] - 1, 1)
    if between == "nearest":
        mean_nc = sum_nc / times_c
        mean_nc[rows, place_n] = np.inf
        beyond_n = mean_nc.min(1)
    else:
        beyond_n = (sum_nc.sum(1) - own_n) / (len(place_n) - times_c[place_n])
    larger_n = np.maximum(within_n, beyond_n)
    alone_n = (times_c[place_n] == 1) | (larger_n <= 0)
    return np.where(alone_n, 0.0, (beyond_n - within_n) / np.where(alone_n, 1.0, larger_n))


def isolated(s_n: np.ndarray, code_n: np.ndarray, batch_n: np.ndarray) -> float:
    """Return the mean over the classes that are in the fewest batches of their mean silhouette, scaled to 0..1."""
    pairs = np.unique(np.stack([code_n, batch_n]), axis=1)
    classes, batches_c = np.unique(pairs[0], return_counts=True)
    chosen = classes[batches_c == batches_c.min()]
    return float(np.mean([(s_n[code_n == c].mean() + 1) / 2 for c in chosen]))


def mixable(code_n: np.ndarray, batch_n: np.ndarray) -> list[int]:
    """Return the classes whose rows come from several batches, and not each from its own."""
    counted = ((c, batch_n[code_n == c]) for c in np.unique(code_n))
    return [int(c) for c, of_n in counted if 1 < len(np.unique(of_n)) < len(of_n)]


def bras(z_nk: np.ndarray, code_n: np.ndarray, batch_n: np.ndarray) -> float:
    """Return BRAS (Rautenstrauch, Ohler 2025): 1 - |silhouette| of batches within each class, the mean over classes.

    Distances are cosines, and a batch is set against all rows of the others, so that batches that are mixed in pairs
    only do not count as mixed.
    """
    unit_nk = z_nk / np.maximum(np.sqrt(np.square(z_nk).sum(1, keepdims=True)), 1e-15)
    found = []
    for c in mixable(code_n, batch_n):
        rows = np.flatnonzero(code_n == c)
        d_nn = np.clip(1 - unit_nk[rows] @ unit_nk[rows].T, 0, 2)
        np.fill_diagonal(d_nn, 0)
        found.append(1 - np.abs(silhouettes(d_nn, batch_n[rows], "mean_other")).mean())
    return float(np.mean(found))
