"""Judging: what is measured of the vectors of training and of held-out rows, each measure a function of both."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gxsearch.training import votes
from gxsearch.training.lisi import ilisi
from gxsearch.training.ridge import ridge
from gxsearch.training.silhouettes import bras, isolated, silhouettes

STARTS = 10
"""Starts of k-means, of which the best counts."""


@dataclass(frozen=True)
class ByRow:
    """A measure as a weighted mean over held-out rows: ``(scores * weights).sum()``.

    Attributes:
        scores: 1 or 0 for right or wrong; of `expression_r2` 1 - squared error over the mean squared distance of
            held-out rows to the training means (r,).
        weights: sum 1; 0 for a row that the measure does not judge, such as one without a label (r,).
    """

    scores: np.ndarray
    weights: np.ndarray

    @property
    def value(self) -> float:
        """The measure."""
        return float((self.scores * self.weights).sum())


@dataclass(frozen=True)
class Known:
    """Class and batch of rows (r,), -1 where not known."""

    label_n: np.ndarray
    batch_n: np.ndarray

    @property
    def labeled(self) -> int:
        """Rows that have a class."""
        return int((self.label_n >= 0).sum())

    @property
    def classes(self) -> int:
        """Classes that there are."""
        return len(np.unique(self.label_n[self.label_n >= 0]))

    @property
    def batches(self) -> int:
        """Batches that there are."""
        return len(np.unique(self.batch_n[self.batch_n >= 0]))

    def both(self) -> tuple[np.ndarray, np.ndarray]:
        """Return class and batch of the rows that have both."""
        known = (self.label_n >= 0) & (self.batch_n >= 0)
        return self.label_n[known], self.batch_n[known]


def told_elsewhere(held: Known, train: Known) -> np.ndarray:
    """Return which held-out rows have training rows of their class in another batch (r,), bool."""
    pairs = np.unique(np.stack(train.both()), axis=1)
    first = {int(c): int(b) for c, b in pairs.T[::-1]}
    several = {int(c) for c in pairs[0] if (pairs[0] == c).sum() > 1}
    rows = zip(held.label_n.tolist(), held.batch_n.tolist(), strict=True)
    return np.array([b >= 0 and (c in several or first.get(c, b) != b) for c, b in rows], dtype=bool)


@dataclass(frozen=True)
class Side:
    """Rows in an order that their vectors, classes and batches alone decide, so that no tie hangs on how they came."""

    z_nk: np.ndarray
    label_n: np.ndarray
    batch_n: np.ndarray
    y_ng: np.ndarray | None
    order: np.ndarray

    @classmethod
    def of(cls, z_nk: np.ndarray, known: Known, y_ng: np.ndarray | None) -> Side:
        """Bring rows, with their expression (r, g), into that order."""
        keys = np.ascontiguousarray(np.column_stack([z_nk + 0.0, known.label_n, known.batch_n]))  # no -0.0
        order = np.argsort(keys.view(np.dtype((np.void, keys.shape[1] * 8))).ravel(), kind="stable")
        y_ng = None if y_ng is None else y_ng[order]
        return cls(np.ascontiguousarray(z_nk[order]), known.label_n[order], known.batch_n[order], y_ng, order)


class Case:
    """Vectors of training and of held-out rows; distances are computed once for all measures."""

    def __init__(self, train: Side, held: Side):
        self.train, self.held = train, held
        self.known, self.judged = np.flatnonzero(train.label_n >= 0), np.flatnonzero(held.label_n >= 0)

    @cached_property
    def across(self) -> np.ndarray:
        """Squared distances of held-out rows to training rows."""
        return votes.squared_distances(self.held.z_nk, self.train.z_nk)

    @cached_property
    def among(self) -> np.ndarray:
        """Distances among held-out rows."""
        d_nn = np.sqrt(votes.squared_distances(self.held.z_nk, self.held.z_nk))
        np.fill_diagonal(d_nn, 0.0)
        return d_nn

    @cached_property
    def labels(self) -> np.ndarray:
        """Classes of the held-out rows that have one."""
        return self.held.label_n[self.judged]

    @cached_property
    def silhouettes(self) -> np.ndarray:
        """Silhouette of the class of each held-out row that has one."""
        return silhouettes(_cut(self.among, self.judged, self.judged), self.labels)

    @cached_property
    def clusters(self) -> np.ndarray:
        """Clusters of the held-out rows that have a class, as many as there are classes."""
        from sklearn.cluster import KMeans
        from sklearn.exceptions import ConvergenceWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct vectors than classes: a low score
            model = KMeans(len(np.unique(self.labels)), n_init=STARTS, random_state=0)
            return model.fit_predict(self.held.z_nk[self.judged])

    def told(self, told_n: np.ndarray, rows: np.ndarray, true_n: np.ndarray) -> ByRow:
        """Return a balanced accuracy over some of the held-out rows."""
        scores, weights = np.zeros(len(self.held.z_nk)), np.zeros(len(self.held.z_nk))
        scores[rows], weights[rows] = told_n == true_n, votes.recall_weights(true_n)
        return ByRow(scores, weights)


def _knn(case: Case) -> ByRow:
    place_nk = votes.nearest(_cut(case.across, case.judged, case.known))
    return case.told(votes.vote(case.train.label_n[case.known], place_nk), case.judged, case.labels)


def _logreg(case: Case) -> ByRow:
    known, judged = case.known, case.judged
    told_n = votes.by_regression(case.train.z_nk[known], case.train.label_n[known], case.held.z_nk[judged])
    return case.told(told_n, judged, case.labels)


def _lobo(case: Case) -> ByRow:
    known, judged = case.known, case.judged
    groups = case.train.batch_n[known], case.held.batch_n[judged]
    d_nm = _cut(case.across, judged, known)
    return case.told(votes.vote_elsewhere(d_nm, case.train.label_n[known], *groups), judged, case.labels)


def _batch_knn(case: Case) -> ByRow:
    train_n, held_n = case.train.batch_n, case.held.batch_n
    known, judged = np.flatnonzero(train_n >= 0), np.flatnonzero((held_n >= 0) & np.isin(held_n, train_n))
    told_n = votes.vote(train_n[known], votes.nearest(_cut(case.across, judged, known)))
    return case.told(told_n, judged, held_n[judged])


def _expression(case: Case) -> ByRow:
    """R2 against the training means: each row's error over the mean distance, so that rows can be compared in pairs."""
    y_ng = case.held.y_ng
    error_n = np.square(y_ng - ridge(case.train.z_nk, case.train.y_ng, case.held.z_nk)).sum(1)
    return ByRow(1 - error_n / np.square(y_ng).sum(1).mean(), np.full(len(y_ng), 1 / len(y_ng)))


def _agreement(case: Case, measure: str) -> float:
    from sklearn.metrics import adjusted_rand_score, calinski_harabasz_score, normalized_mutual_info_score

    if measure == "calinski_harabasz":
        return float(calinski_harabasz_score(case.held.z_nk[case.judged], case.labels))
    score = adjusted_rand_score if measure == "ari" else normalized_mutual_info_score
    return float(score(case.labels, case.clusters))


def _isolated(case: Case) -> float:
    return isolated(case.silhouettes, case.labels, case.held.batch_n[case.judged])


def _bras(case: Case) -> float:
    rows = np.flatnonzero((case.held.label_n >= 0) & (case.held.batch_n >= 0))
    return bras(case.held.z_nk[rows], case.held.label_n[rows], case.held.batch_n[rows])


def _ilisi(case: Case) -> float:
    rows = np.flatnonzero(case.held.batch_n >= 0)
    return ilisi(_cut(case.among, rows, rows), case.held.batch_n[rows])


MEASURES_BY_ROW: dict[str, Callable[[Case], ByRow]] = {
    "knn": _knn,
    "logreg": _logreg,
    "expression_r2": _expression,
    "lobo": _lobo,
    "batch_knn": _batch_knn,
}
MEASURES: dict[str, Callable[[Case], float]] = {
    **{name: lambda case, taken=taken: taken(case).value for name, taken in MEASURES_BY_ROW.items()},
    **{name: lambda case, n=name: _agreement(case, n) for name in ("calinski_harabasz", "ari", "nmi")},
    "silhouette": lambda case: float((case.silhouettes.mean() + 1) / 2),
    "isolated": _isolated,
    "batch_silhouette": _bras,
    "ilisi": _ilisi,
}


def _cut(d_nm: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    whole = len(rows) == d_nm.shape[0] and len(columns) == d_nm.shape[1]
    return d_nm if whole else d_nm[np.ix_(rows, columns)]
