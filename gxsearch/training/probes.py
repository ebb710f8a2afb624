"""Probes: measures of vectors that any architecture gives, fitted on training rows and judged on held-out ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from gxsearch.data.table import PARTS
from gxsearch.errors import DataError, TrialError
from gxsearch.training.judging import MEASURES, MEASURES_BY_ROW, ByRow, Case, Known, Side, told_elsewhere
from gxsearch.training.objectives import PROBES
from gxsearch.training.ridge import Expression
from gxsearch.training.silhouettes import mixable
from gxsearch.training.votes import some

BY_ROW = tuple(MEASURES_BY_ROW)
"""Measures that are a weighted mean over rows."""


class Yardstick:
    """Measures of vectors of the rows of one data set, fitted on training rows, judged on a held-out part.

    Of each part at most 2,000 rows are read, the same ones for all vectors. Balanced accuracies are over the classes
    of the held-out rows; one that no training row has counts as never named, except of `batch_knn`, where that would
    pass for mixing: rows of unknown batches are not judged. `lobo` leaves the training rows of a row's own batch out,
    so a class of one batch only counts as never named there; with fewer than two others there is none.

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
        self._rows = {part: some(np.flatnonzero(part_n == i)) for i, part in enumerate(PARTS)}
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
        train, held = (Known(self._label_n[r], self._batch_n[r]) for r in (self._rows["train"], self._rows[part]))
        if not len(held.label_n) or not len(train.label_n):
            return ()
        told = held.classes > 1 and train.classes > 1
        mixed = np.intersect1d(held.batch_n[held.batch_n >= 0], train.batch_n)
        both = told and held.batches > 1
        allowed = {
            **dict.fromkeys(("knn", "logreg"), told),
            **dict.fromkeys(("silhouette", "ari", "nmi", "calinski_harabasz"), told and held.classes < held.labeled),
            "expression_r2": self._expression is not None and bool(np.square(self._targets(part)).sum() > 0),
            "lobo": told and len(np.unique(held.label_n[told_elsewhere(held, train)])) > 1,
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
            return {name: MEASURES[name](case) for name in names}

    def by_row(self, z_nk: np.ndarray, part: str, name: str) -> ByRow:
        """Return a measure of `BY_ROW` as a mean over the rows of a part (`rows`), in their order.

        Raises:
            DataError, TrialError: as on a call.
        """
        assert name in BY_ROW, f"{name} is no mean over rows"
        self.check(part, [name])
        with threadpool_limits(1):
            case = self._case(z_nk, part)
            found = MEASURES_BY_ROW[name](case)
        scores, weights = np.empty(len(found.scores)), np.empty(len(found.scores))
        scores[case.held.order], weights[case.held.order] = found.scores, found.weights
        return ByRow(scores, weights)

    def check(self, part: str, names: Sequence[str]) -> None:
        """Raise DataError (E448) where the data do not allow all of these measures."""
        lacking = [name for name in names if name not in self.names_of(part)]
        if lacking:
            what = f"{part} rows and training rows do not allow {', '.join(lacking)}: it needs a second class or batch"
            raise DataError.one("E448", "data", what, f"they allow {', '.join(self.names_of(part)) or 'no measure'}")

    def _case(self, z_nk: np.ndarray, part: str) -> Case:
        assert len(z_nk) == self._n, f"{len(z_nk)} vectors of {self._n} rows"
        sides = []
        for name in ("train", part):
            rows = self._rows[name]
            z_rk = np.asarray(z_nk[rows], dtype=np.float64)
            if not np.isfinite(z_rk).all():
                bad = int((~np.isfinite(z_rk).all(1)).sum())
                raise TrialError.one("E701", "", f"vectors of {bad} of {len(z_rk)} {name} rows are not finite")
            y_ng = self._targets(name) if self._expression is not None else None
            sides.append(Side.of(z_rk, Known(self._label_n[rows], self._batch_n[rows]), y_ng))
        return Case(*sides)

    def _targets(self, part: str) -> np.ndarray:
        if part not in self._y:
            self._y[part] = self._expression.of(self._rows[part])
        return self._y[part]


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
