"""Votes: which class held-out vectors are given by their nearest training vectors, or by logistic regression."""

from __future__ import annotations

import numpy as np

NEIGHBORS = 15
MOST = 2000
"""Rows of each part that probes read at most; the same ones each time."""


def some(rows: np.ndarray) -> np.ndarray:
    """Return at most 2,000 of these rows, ascending."""
    return rows if len(rows) <= MOST else np.sort(np.random.default_rng(0).choice(rows, MOST, replace=False))


def squared_distances(a_nk: np.ndarray, b_mk: np.ndarray) -> np.ndarray:
    """Return squared Euclidean distances (n, m), float64; the mean is taken off first, for the digits."""
    mean_k = b_mk.mean(0)
    a_nk, b_mk = a_nk - mean_k, b_mk - mean_k
    d_nm = a_nk @ b_mk.T
    d_nm *= -2
    d_nm += np.square(a_nk).sum(1)[:, None]
    d_nm += np.square(b_mk).sum(1)
    return np.maximum(d_nm, 0, out=d_nm)


def nearest(d_nm: np.ndarray, k: int = NEIGHBORS) -> np.ndarray:
    """Return the places (n, k) of the nearest of m, in no order; all where there are fewer."""
    k = min(k, d_nm.shape[1])
    return np.argpartition(d_nm, k - 1, axis=1)[:, :k]


def vote(code_m: np.ndarray, place_nk: np.ndarray) -> np.ndarray:
    """Return the commonest class (n,) of some of m; of equally common ones the lowest."""
    n, classes = len(place_nk), int(code_m.max()) + 1
    cell_nk = np.arange(n)[:, None] * classes + code_m[place_nk]
    return np.bincount(cell_nk.ravel(), minlength=n * classes).reshape(n, classes).argmax(1)


def vote_elsewhere(d_nm: np.ndarray, code_m: np.ndarray, group_m: np.ndarray, group_n: np.ndarray) -> np.ndarray:
    """Return the vote (n,) of the nearest of m that are not of a row's own group; -1 where all are of it."""
    told_n = np.full(len(d_nm), -1)
    for group in np.unique(group_n):
        own, others = np.flatnonzero(group_n == group), np.flatnonzero(group_m != group)
        if len(others):
            told_n[own] = vote(code_m[others], nearest(d_nm[np.ix_(own, others)]))
    return told_n


def by_regression(train_nk: np.ndarray, code_n: np.ndarray, test_mk: np.ndarray) -> np.ndarray:
    """Return the class (m,) by class-balanced logistic regression on standardized vectors.

    scikit-learn's L-BFGS to its own tolerance: 34 steps and 0.02 s for 1,300 cells of 9 types x 32 dimensions, the
    same answers as Newton's method in a quarter of its time; fewer steps save nothing that matters.
    """
    from sklearn.linear_model import LogisticRegression  # a second that reading a spec need not pay

    mean_k, sd_k = train_nk.mean(0), train_nk.std(0)
    sd_k[sd_k < 1e-12 * max(1.0, float(np.abs(train_nk).max()))] = 1.0
    probe = LogisticRegression(class_weight="balanced", max_iter=2000)
    return probe.fit((train_nk - mean_k) / sd_k, code_n).predict((test_mk - mean_k) / sd_k)


def recall_weights(code_n: np.ndarray) -> np.ndarray:
    """Return weights (n,), sum 1, with which the mean of what is right is the balanced accuracy over these classes."""
    _, place_n, times_c = np.unique(code_n, return_inverse=True, return_counts=True)
    return 1.0 / (len(times_c) * times_c[place_n])


def knn_accuracy(train_nk: np.ndarray, known_n: np.ndarray, test_nk: np.ndarray, true_n: np.ndarray) -> float:
    """Return the balanced accuracy of a vote among the 15 nearest training rows, over the classes of the test rows."""
    names, code_n = np.unique(np.concatenate([known_n, true_n]), return_inverse=True)
    known_n, true_n = code_n[: len(known_n)], code_n[len(known_n) :]
    train_nk, test_nk = (np.asarray(z, dtype=np.float64) for z in (train_nk, test_nk))
    told_n = vote(known_n, nearest(squared_distances(test_nk, train_nk)))
    return float(((told_n == true_n) * recall_weights(true_n)).sum())
