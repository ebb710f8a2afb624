"""Probes: measures of vectors that any architecture gives, fitted on training rows and judged on held-out ones."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from gxsearch.data.table import PARTS
from gxsearch.errors import DataError, TrialError
from gxsearch.training import votes
from gxsearch.training.lisi import ilisi
from gxsearch.training.objectives import PROBES
from gxsearch.training.ridge import Expression, ridge
from gxsearch.training.silhouettes import bras, isolated, mixable, silhouettes

BY_ROW = ("knn", "logreg", "expression_r2", "lobo", "batch_knn")
"""Measures that are a weighted mean over rows."""
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


class Yardstick:
    """Measures of vectors of the rows of one data set, fitted on training rows, judged on a held-out part.

    Of each part at most 2,000 rows are read, the same ones for all vectors. Balanced accuracies are over the classes
    of the held-out rows; one that no training row has counts as never named, except of `batch_knn`, where that would
    pass for mixing: rows of unknown batches are not judged. `lobo` leaves the training rows of a row's own batch out,
    so a class of one batch only counts as never named there.

    Attributes:
        names: the measures that these data allow on validation rows (`names_of` for another part), most important
            first: what would need a second class or batch that is not there is not among them.
    """

    def __init__(
        self,
        part_n: np.ndarray,
        *,
        label_n: np.ndarray | None = None,
        batch_n: np.ndarray | None = None,
        x_ng: Any | None = None,
    ):
        """Note what is known of the rows.

        Args:
            part_n: index into `PARTS` per row (n,).
            label_n: class of each row (n,), text or whole numbers; '' and NaN are not known.
            batch_n: batch of each row (n,).
            x_ng: log expression (n, g), the same for all models: a matrix, dense or sparse, or what gives rows of one
                by their indices.
        """
        self._n = len(part_n)
        self._rows = {part: votes.some(np.flatnonzero(part_n == i)) for i, part in enumerate(PARTS)}
        self._label_n, self._batch_n = (codes(name_n, self._n) for name_n in (label_n, batch_n))
        train = self._rows["train"]
        self._expression = Expression(x_ng, train) if x_ng is not None and len(train) > 2 else None
        self._y: dict[str, np.ndarray] = {}
        self.names = self.names_of("val")

    def rows(self, part: str) -> np.ndarray:
        """Return the rows of a part that are read, ascending."""
        return self._rows[part]

    def names_of(self, part: str) -> tuple[str, ...]:
        """Return the measures that these data allow on a part, most important first."""
        train, held = (_Known(self._label_n[r], self._batch_n[r]) for r in (self._rows["train"], self._rows[part]))
        if not len(held.label_n) or not len(train.label_n):
            return ()
        told = held.classes > 1 and train.classes > 1
        mixed = np.intersect1d(held.batch_n[held.batch_n >= 0], train.batch_n)
        both = told and held.batches > 1
        allowed = {
            **dict.fromkeys(("knn", "logreg"), told),
            **dict.fromkeys(("silhouette", "ari", "nmi", "calinski_harabasz"), told and held.classes < held.labeled),
            "expression_r2": self._expression is not None and bool(np.square(self._targets(part)).sum() > 0),
            "lobo": told and train.batches > 1,
            "isolated": both and held.classes < held.labeled,
            "batch_knn": len(mixed) > 1,
            "batch_silhouette": both and bool(mixable(*held.both())),
            "ilisi": held.batches > 1 and len(held.batch_n) > 2,
        }
        return tuple(name for name in PROBES if allowed.get(name))

    def __call__(self, z_nk: np.ndarray, part: str = "val", names: Sequence[str] | None = None) -> dict[str, float]:
        """Return measures of vectors (n, k) of all rows of the data set, by name; all that the data allow by default.

        Raises:
            DataError: E448 for a measure that the data do not allow.
            TrialError: E701 for vectors that are not finite.
        """
        names = self.names_of(part) if names is None else names
        self.check(part, names)
        with threadpool_limits(1):
            case = self._case(z_nk, part)
            return {name: _MEASURES[name](case) for name in names}

    def by_row(self, z_nk: np.ndarray, part: str, name: str) -> ByRow:
        """Return a measure of `BY_ROW` as a mean over the rows of a part (`rows`), in their order.

        Raises:
            DataError, TrialError: as on a call.
        """
        assert name in BY_ROW, f"{name} is no mean over rows"
        self.check(part, [name])
        with threadpool_limits(1):
            case = self._case(z_nk, part)
            found = _BY_ROW[name](case)
        scores, weights = np.empty(len(found.scores)), np.empty(len(found.scores))
        scores[case.held.order], weights[case.held.order] = found.scores, found.weights
        return ByRow(scores, weights)

    def check(self, part: str, names: Sequence[str]) -> None:
        lacking = [name for name in names if name not in self.names_of(part)]
        if lacking:
            what = f"{part} rows and training rows do not allow {', '.join(lacking)}: it needs a second class or batch"
            raise DataError.one("E448", "data", what, f"they allow {', '.join(self.names_of(part)) or 'no measure'}")

    def _case(self, z_nk: np.ndarray, part: str) -> _Case:
        assert len(z_nk) == self._n, f"{len(z_nk)} vectors of {self._n} rows"
        sides = []
        for name in ("train", part):
            rows = self._rows[name]
            z_rk = np.asarray(z_nk[rows], dtype=np.float64)
            if not np.isfinite(z_rk).all():
                bad = int((~np.isfinite(z_rk).all(1)).sum())
                raise TrialError.one("E701", "", f"vectors of {bad} of {len(z_rk)} {name} rows are not finite")
            y_ng = self._targets(name) if self._expression is not None else None
            sides.append(_Side.of(z_rk, _Known(self._label_n[rows], self._batch_n[rows]), y_ng))
        return _Case(*sides)

    def _targets(self, part: str) -> np.ndarray:
        if part not in self._y:
            self._y[part] = self._expression.of(self._rows[part])
        return self._y[part]


@dataclass(frozen=True)
class _Known:
    """Class and batch of rows (r,), -1 where not known."""

    label_n: np.ndarray
    batch_n: np.ndarray

    @property
    def labeled(self) -> int:
        return int((self.label_n >= 0).sum())

    @property
    def classes(self) -> int:
        return len(np.unique(self.label_n[self.label_n >= 0]))

    @property
    def batches(self) -> int:
        return len(np.unique(self.batch_n[self.batch_n >= 0]))

    def both(self) -> tuple[np.ndarray, np.ndarray]:
        known = (self.label_n >= 0) & (self.batch_n >= 0)
        return self.label_n[known], self.batch_n[known]


@dataclass(frozen=True)
class _Side:
    """Rows in an order that their vectors, classes and batches alone decide, so that no tie hangs on how they came."""

    z_nk: np.ndarray
    label_n: np.ndarray
    batch_n: np.ndarray
    y_ng: np.ndarray | None
    order: np.ndarray

    @classmethod
    def of(cls, z_nk: np.ndarray, known: _Known, y_ng: np.ndarray | None) -> _Side:
        keys = np.ascontiguousarray(np.column_stack([z_nk + 0.0, known.label_n, known.batch_n]))  # no -0.0
        order = np.argsort(keys.view(np.dtype((np.void, keys.shape[1] * 8))).ravel(), kind="stable")
        y_ng = None if y_ng is None else y_ng[order]
        return cls(np.ascontiguousarray(z_nk[order]), known.label_n[order], known.batch_n[order], y_ng, order)


class _Case:
    """Vectors of training and of held-out rows; distances are computed once for all measures."""

    def __init__(self, train: _Side, held: _Side):
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


def _knn(case: _Case) -> ByRow:
    place_nk = votes.nearest(_cut(case.across, case.judged, case.known))
    return case.told(votes.vote(case.train.label_n[case.known], place_nk), case.judged, case.labels)


def _logreg(case: _Case) -> ByRow:
    known, judged = case.known, case.judged
    told_n = votes.by_regression(case.train.z_nk[known], case.train.label_n[known], case.held.z_nk[judged])
    return case.told(told_n, judged, case.labels)


def _lobo(case: _Case) -> ByRow:
    known, judged = case.known, case.judged
    groups = case.train.batch_n[known], case.held.batch_n[judged]
    d_nm = _cut(case.across, judged, known)
    return case.told(votes.vote_elsewhere(d_nm, case.train.label_n[known], *groups), judged, case.labels)


def _batch_knn(case: _Case) -> ByRow:
    train_n, held_n = case.train.batch_n, case.held.batch_n
    known, judged = np.flatnonzero(train_n >= 0), np.flatnonzero((held_n >= 0) & np.isin(held_n, train_n))
    told_n = votes.vote(train_n[known], votes.nearest(_cut(case.across, judged, known)))
    return case.told(told_n, judged, held_n[judged])


def _expression(case: _Case) -> ByRow:
    """R2 against the training means: each row's error over the mean distance, so that rows can be compared in pairs."""
    y_ng = case.held.y_ng
    error_n = np.square(y_ng - ridge(case.train.z_nk, case.train.y_ng, case.held.z_nk)).sum(1)
    return ByRow(1 - error_n / np.square(y_ng).sum(1).mean(), np.full(len(y_ng), 1 / len(y_ng)))


def _agreement(case: _Case, measure: str) -> float:
    from sklearn.metrics import adjusted_rand_score, calinski_harabasz_score, normalized_mutual_info_score

    if measure == "calinski_harabasz":
        return float(calinski_harabasz_score(case.held.z_nk[case.judged], case.labels))
    score = adjusted_rand_score if measure == "ari" else normalized_mutual_info_score
    return float(score(case.labels, case.clusters))


def _isolated(case: _Case) -> float:
    return isolated(case.silhouettes, case.labels, case.held.batch_n[case.judged])


def _bras(case: _Case) -> float:
    rows = np.flatnonzero((case.held.label_n >= 0) & (case.held.batch_n >= 0))
    return bras(case.held.z_nk[rows], case.held.label_n[rows], case.held.batch_n[rows])


def _ilisi(case: _Case) -> float:
    rows = np.flatnonzero(case.held.batch_n >= 0)
    return ilisi(_cut(case.among, rows, rows), case.held.batch_n[rows])


_BY_ROW: dict[str, Callable[[_Case], ByRow]] = {
    "knn": _knn,
    "logreg": _logreg,
    "expression_r2": _expression,
    "lobo": _lobo,
    "batch_knn": _batch_knn,
}
_MEASURES: dict[str, Callable[[_Case], float]] = {
    **{name: lambda case, taken=taken: taken(case).value for name, taken in _BY_ROW.items()},
    **{name: lambda case, n=name: _agreement(case, n) for name in ("calinski_harabasz", "ari", "nmi")},
    "silhouette": lambda case: float((case.silhouettes.mean() + 1) / 2),
    "isolated": _isolated,
    "batch_silhouette": _bras,
    "ilisi": _ilisi,
}


def codes(name_n: np.ndarray | None, n: int) -> np.ndarray:
    """Return the place of each row's class among all, in their order (n,), int64; -1 where it is not known.

    Numbers that are not whole are no classes, nor are names that nearly every row has for itself: all -1.
    """
    code_n = np.full(n, -1, dtype=np.int64)
    if name_n is None:
        return code_n
    name_n = np.asarray(name_n)
    known_n = np.isfinite(name_n) if name_n.dtype.kind == "f" else name_n.astype(str) != ""
    names, found_n = np.unique(name_n[known_n], return_inverse=True)
    numbers = name_n.dtype.kind == "f" and not (names == np.round(names)).all()
    if not numbers and len(names) <= max(2, known_n.sum() // 2):
        code_n[known_n] = found_n
    return code_n


def _cut(d_nm: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    whole = len(rows) == d_nm.shape[0] and len(columns) == d_nm.shape[1]
    return d_nm if whole else d_nm[np.ix_(rows, columns)]
