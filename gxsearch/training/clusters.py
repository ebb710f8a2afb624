"""Clusters: how well k-means divides vectors, for several k, and how its clusters agree with known classes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import (
    adjusted_rand_score,
    calinski_harabasz_score,
    normalized_mutual_info_score,
    silhouette_score,
)
from threadpoolctl import threadpool_limits

ROWS = 2000
"""Rows that a silhouette is measured on, for it takes time in their square."""
STARTS = 5
MOST = 100
"""Classes beyond which a column is taken for names rather than classes."""
_SMALL = 10_000_000
"""Values below which one thread is faster."""


def clusters(
    z_nk: np.ndarray, labels_n: np.ndarray | None = None, ks: Iterable[int] = range(2, 11), seed: int = 42
) -> list[dict[str, float]]:
    """Divide rows into k clusters by k-means, for each k that there are more distinct rows than, and clusters found.

    Returns:
        a row per k, ascending: k; silhouette (Rousseeuw 1987; of at most 2,000 rows, the same for every k and all
        vectors of as many rows); calinski_harabasz (1974); and with labels ari (Hubert and Arabie 1985) and nmi
        (arithmetic mean) of clusters against classes. With labels their number of classes is among the k. A
        silhouette is NaN where it is not defined.
    """
    z_nk = np.ascontiguousarray(z_nk, dtype=np.float64)
    asked = {*ks, *_classes(labels_n)}
    distinct = len(np.unique(z_nk, axis=0))
    rows = _chosen(len(z_nk))
    with threadpool_limits(1 if z_nk.size < _SMALL else None):
        found = [_row(z_nk, labels_n, k, rows, seed) for k in sorted(asked) if 2 <= k < distinct]
    return [row for row in found if row is not None]


def n_classes(labels_n: np.ndarray | None) -> int | None:
    """Return the number of classes; None without labels, for one class, or where each row is nearly its own."""
    found = _classes(labels_n)
    return found[0] if found else None


def _row(z_nk: np.ndarray, labels_n: np.ndarray | None, k: int, rows: np.ndarray, seed: int) -> dict[str, float] | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # rows that hardly differ: told by the count below
        found_n = KMeans(k, n_init=STARTS, random_state=seed).fit_predict(z_nk)
    if len(np.unique(found_n)) < k:
        return None
    defined = 1 < len(np.unique(found_n[rows])) < len(rows)
    row = {
        "k": k,
        "silhouette": float(silhouette_score(z_nk[rows], found_n[rows])) if defined else float("nan"),
        "calinski_harabasz": float(calinski_harabasz_score(z_nk, found_n)),
    }
    if labels_n is not None:
        row["ari"] = float(adjusted_rand_score(labels_n, found_n))
        row["nmi"] = float(normalized_mutual_info_score(labels_n, found_n))
    return row


def _classes(labels_n: np.ndarray | None) -> list[int]:
    if labels_n is None:
        return []
    n = len(np.unique(labels_n))
    return [n] if 2 <= n <= min(MOST, len(labels_n) // 2) else []


def _chosen(n: int) -> np.ndarray:
    return np.arange(n) if n <= ROWS else np.sort(np.random.default_rng(0).choice(n, ROWS, replace=False))
