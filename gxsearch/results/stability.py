"""Stability: whether two trainings give the same map of the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from sklearn.neighbors import NearestNeighbors

NEIGHBORS = 15
MOST = 2000


def cka(a_nk: np.ndarray, b_nk: np.ndarray) -> float:
    """Return linear centered kernel alignment of two embeddings of the same rows (Kornblith et al., ICML 2019).

    1 where they are the same up to rotation and one scale, near 0 where they have nothing in common.
    """
    a, b = (np.asarray(x, dtype=np.float64) - np.mean(x, 0, dtype=np.float64) for x in (a_nk, b_nk))
    scale = np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)
    return float(np.square(np.linalg.norm(a.T @ b)) / scale) if scale > 0 else 0.0


def neighbors_kept(a_nk: np.ndarray, b_nk: np.ndarray) -> float:
    """Return the share of each row's 15 nearest rows that two embeddings of the same rows share, the mean over rows."""
    k = min(NEIGHBORS, len(a_nk) - 1)
    found = [NearestNeighbors(n_neighbors=k).fit(x).kneighbors(return_distance=False) for x in (a_nk, b_nk)]
    return float(np.mean([len(np.intersect1d(one, other)) / k for one, other in zip(*found, strict=True)]))


def stability(vectors: Sequence[np.ndarray]) -> dict[str, float]:
    """Return ``cka`` and ``neighbors`` of all pairs of trainings, their means; of one training there is none."""
    pairs = list(combinations(vectors, 2))
    if not pairs or len(vectors[0]) < 3:
        return {}
    measures = {"cka": cka, "neighbors": neighbors_kept}
    return {name: float(np.mean([measure(a, b) for a, b in pairs])) for name, measure in measures.items()}
