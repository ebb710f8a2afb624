"""What is learnt of values that pass by in blocks of rows: totals, fingerprint, moments; as of a matrix in memory."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import sparse

from gxsearch.data.checks import zero_rows
from gxsearch.data.findings import Named
from gxsearch.data.values import BLOCK, Matrix, are_whole, fingerprint, largest, row_keys, row_totals


@dataclass(frozen=True)
class Summary:
    """What is told of stored values.

    Attributes:
        sha256: fingerprint of values and names. largest: largest absolute value. whole: whether all are whole.
        zero, copies: rows of zeros only, and rows with exactly the values of an earlier one. constant: genes.
    """

    sha256: str
    largest: float
    whole: bool
    zero: Named
    copies: Named
    constant: Named

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Summary:
        """Rebuild what `to_json` gave."""
        named = {name: Named(**values[name]) for name in ("zero", "copies", "constant")}
        return cls(**{**values, **named})


class Survey:
    """Takes stored values (n, g), float32, in the order of the rows.

    Attributes:
        total_n: sum of each row, float64.
        stored_g: values other than zero of each gene, int64.
    """

    def __init__(self, n_rows: int, n_genes: int):
        self.total_n, self.stored_g = np.zeros(n_rows), np.zeros(n_genes, dtype=np.int64)
        self._key_n = np.zeros((n_rows, 16), dtype=np.uint8)
        self._zero_n = np.zeros(n_rows, dtype=bool)
        self._high_g, self._low_g = np.full(n_genes, -np.inf, np.float32), np.full(n_genes, np.inf, np.float32)
        self._largest, self._whole = 0.0, True

    def add(self, start: int, block: Matrix) -> None:
        """Take the rows from `start` on."""
        rows = slice(start, start + block.shape[0])
        self.total_n[rows], self._zero_n[rows] = row_totals(block), zero_rows(block)
        keys = b"".join(key or bytes(16) for key in row_keys(block))
        self._key_n[rows] = np.frombuffer(keys, dtype=np.uint8).reshape(-1, 16)
        self.stored_g += _count(block != 0)
        self._high_g = np.maximum(self._high_g, _flat(block.max(axis=0)))
        self._low_g = np.minimum(self._low_g, _flat(block.min(axis=0)))
        self._largest, self._whole = max(self._largest, largest(block)), self._whole and are_whole(block)

    def summary(self, obs_names: np.ndarray, var_names: np.ndarray) -> Summary:
        """Return what was found, once all rows have passed."""
        return Summary(
            fingerprint([self._key_n.tobytes()], obs_names, var_names),
            self._largest,
            self._whole,
            Named.of(obs_names, self._zero_n),
            Named.of(obs_names, self._copies()),
            Named.of(var_names, self._high_g == self._low_g),
        )

    def _copies(self) -> np.ndarray:
        """Return which rows have the key of an earlier one (n,); rows of zeros are not looked at."""
        _, first, place_n = np.unique(self._key_n.view("V16").ravel(), return_index=True, return_inverse=True)
        return (first[place_n.ravel()] != np.arange(len(place_n))) & self._key_n.any(axis=1)


class Moments:
    """Takes transformed values of training rows, and gives what genes are chosen by (`genes.Measures`)."""

    def __init__(self, n_genes: int):
        self._n, self._floor = 0, 0.0
        self._cells_g, self._lowest_g = np.zeros(n_genes, dtype=np.int64), np.zeros(n_genes, dtype=np.int64)
        self._mean_g, self._square_g = np.zeros(n_genes), np.zeros(n_genes)
        self._high_g, self._low_g = np.full(n_genes, -np.inf, np.float32), np.full(n_genes, np.inf, np.float32)

    def add(self, block: Matrix) -> None:
        """Take further rows.

        Their sums of squares about their own mean are joined to those before as Chan, Golub and LeVeque (1983) do.
        """
        x_ng = sparse.csr_matrix(block)
        n, g = x_ng.shape
        if not n:
            return
        value, nonzero_g = x_ng.data.astype(np.float64), np.bincount(x_ng.indices, minlength=g)
        mean_g = np.bincount(x_ng.indices, value, minlength=g) / n
        apart = np.square(value - mean_g[x_ng.indices])
        square_g = np.bincount(x_ng.indices, apart, minlength=g) + (n - nonzero_g) * np.square(mean_g)
        step_g, both = mean_g - self._mean_g, self._n + n
        self._square_g += square_g + np.square(step_g) * (self._n * n / both)
        self._mean_g += step_g * (n / both)
        self._n = both
        self._cells_g += _count(x_ng != 0)
        high_g, low_g = _flat(x_ng.max(axis=0)), _flat(x_ng.min(axis=0))
        self._high_g, self._low_g = np.maximum(self._high_g, high_g), np.minimum(self._low_g, low_g)
        if low_g.min() < self._floor:  # all that came before is above the new floor
            self._floor, self._lowest_g = float(low_g.min()), np.zeros_like(self._lowest_g)
        at_floor = np.bincount(x_ng.indices[x_ng.data == np.float32(self._floor)], minlength=g)
        self._lowest_g += at_floor + (n - nonzero_g if self._floor == 0 else 0)

    @classmethod
    def of(cls, x_ng: Matrix, rows: np.ndarray) -> Moments:
        """Take these rows of a matrix, a block at a time."""
        moments = cls(x_ng.shape[1])
        for start in range(0, len(rows), BLOCK):
            moments.add(x_ng[rows[start : start + BLOCK]])
        return moments

    def means(self) -> np.ndarray:
        """Return the means (g,), float64."""
        return self._mean_g

    def cells(self) -> np.ndarray:
        """Return the number of rows with a value other than zero (g,)."""
        return self._cells_g

    def detected(self) -> np.ndarray:
        """Return the share of rows above the smallest value of all, or above zero (g,)."""
        return (self._n - self._lowest_g) / self._n

    def variances(self) -> np.ndarray:
        """Return the variances (g,), float32; a constant gene has 0 exactly."""
        return np.where(self._high_g == self._low_g, 0.0, self._square_g / self._n).astype(np.float32)


def _count(true_ng: Matrix) -> np.ndarray:
    return np.asarray(true_ng.sum(axis=0)).ravel()


def _flat(row: Any) -> np.ndarray:
    return np.asarray(row.todense() if sparse.issparse(row) else row).ravel()
