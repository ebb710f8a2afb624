"""LISI: how many batches there are among a row's neighbors, as scib-metrics 0.5.10 counts them."""

from __future__ import annotations

import numpy as np

NEIGHBORS = 90
_TRIES = 50
_CLOSE = 1e-5


def ilisi(d_nn: np.ndarray, batch_n: np.ndarray) -> float:
    """Return the median over rows of the effective number of batches among neighbors, 1..B scaled to 0..1.

    Korsunsky et al. 2019: neighbors weigh exp(-beta d), beta such that their perplexity is a third of their number;
    the inverse of the chance that two of them are of one batch. A row counts among its 90 neighbors, with weight 0.
    """
    _, code_n, times = np.unique(batch_n, return_inverse=True, return_counts=True)
    k, n = min(NEIGHBORS, len(d_nn)), len(d_nn)
    rows = np.arange(n)[:, None]
    d_nn = d_nn.copy()
    np.fill_diagonal(d_nn, -1.0)
    place_nk = np.argpartition(d_nn, k - 1, axis=1)[:, :k]
    other_nk = place_nk != rows
    p_nk = _weights(np.where(other_nk, d_nn[rows, place_nk], 0.0), other_nk, np.log(max(k // 3, 1)))
    cell_nk = rows * len(times) + code_n[place_nk]
    share_nb = np.bincount(cell_nk.ravel(), weights=p_nk.ravel(), minlength=n * len(times)).reshape(n, -1)
    return float((np.median(1 / np.square(share_nb).sum(1)) - 1) / (len(times) - 1))


def _weights(d_nk: np.ndarray, other_nk: np.ndarray, wanted: float) -> np.ndarray:
    """Return weights (n, k), sum 1, with the wanted entropy in nats, by bisection of beta."""
    beta_n = np.ones(len(d_nk))
    low_n, high_n = np.full(len(d_nk), -np.inf), np.full(len(d_nk), np.inf)
    d_nk = d_nk - np.min(d_nk, axis=1, keepdims=True, where=other_nk, initial=np.inf)  # shifts cancel in the weights
    for _ in range(_TRIES):
        p_nk = np.exp(-np.maximum(d_nk, 0.0) * beta_n[:, None]) * other_nk
        total_n = p_nk.sum(1)
        p_nk /= total_n[:, None]
        excess_n = np.log(total_n) + beta_n * (np.maximum(d_nk, 0.0) * p_nk).sum(1) - wanted
        if np.abs(excess_n).max() < _CLOSE:
            break
        far_n = np.abs(excess_n) >= _CLOSE
        low_n = np.where(far_n & (excess_n > 0), beta_n, low_n)
        high_n = np.where(far_n & (excess_n <= 0), beta_n, high_n)
        middle_n = (np.where(np.isinf(low_n), 0.0, low_n) + np.where(np.isinf(high_n), 0.0, high_n)) / 2
        moved_n = np.where(np.isinf(high_n), beta_n * 2, np.where(np.isinf(low_n), beta_n / 2, middle_n))
        beta_n = np.where(far_n, moved_n, beta_n)
    return p_nk
