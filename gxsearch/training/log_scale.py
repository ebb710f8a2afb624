"""Log scale: the one unit in which the expression of a data set is told or found, whatever units its models read."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from gxsearch.data.table import Table
from gxsearch.data.transform import LOGS
from gxsearch.data.values import are_whole, number_blocks, row_totals

_SAMPLE = 2000
"""Training rows that are looked at where the facts of a table do not say what its values are."""


class LogScale:
    """Values as log1p of counts at the median total of training rows; of values that are no counts as log1p of them.

    So tables of the same rows agree, be they counts, log1p or normalized and log1p. Where rows are genes totals mean
    nothing and log1p alone is taken. Values that were neither transformed nor counts stay as they are.

    Attributes:
        positive: values cannot be below zero, so that predictions that are may be cut.
    """

    def __init__(self, table: Table):
        self._table, steps = table, list(table.facts.get("transform", []))
        counts = _whole(table)
        self._log = next((LOGS[step] for step in steps if step in LOGS), None)
        self.positive = bool(steps) or counts
        self._scale_n: np.ndarray | None = None
        if counts and "normalize" not in steps and table.facts.get("orientation") != "genes":
            total_n = table.total_n if table.total_n is not None else row_totals(table.x_ng)
            total_n = np.maximum(total_n, 1.0)
            self._scale_n = (np.median(total_n[table.rows("train")]) / total_n).astype(np.float32)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray | sparse.csr_matrix:
        """Return the values (r, g) of rows of the table, dense or sparse as the table is."""
        return self.of(self._table.x_ng[rows], rows)

    def of(self, x_rg: Any, rows: np.ndarray) -> np.ndarray | sparse.csr_matrix:
        """Return values (r, g) in units of the table, of these of its rows, on the log scale."""
        as_is = not self.positive or (self._log == 1.0 and self._scale_n is None)
        if as_is:
            return x_rg
        scale_n = None if self._scale_n is None else self._scale_n[rows]
        if not sparse.issparse(x_rg):
            return self._converted(x_rg, None if scale_n is None else scale_n[:, None])
        x_rg = sparse.csr_matrix(x_rg, copy=True)
        x_rg.data = self._converted(x_rg.data, None if scale_n is None else np.repeat(scale_n, np.diff(x_rg.indptr)))
        return x_rg

    def _converted(self, x: np.ndarray, scale: np.ndarray | None) -> np.ndarray:
        x = np.maximum(x, 0.0)
        x = x if self._log is None else np.expm1(x * self._log)
        return np.log1p(x if scale is None else x * scale)


def _whole(table: Table) -> bool:
    """Tell whether the stored values are counts; where the facts do not say, some training rows do."""
    some = table.x_ng[table.rows("train", most=_SAMPLE)]
    if not table.facts.get("transform") and any(bool((values < 0).any()) for values in number_blocks(some)):
        return False
    return (
        bool(table.facts["whole"]) if "whole" in table.facts else not table.facts.get("transform") and are_whole(some)
    )
