"""Units: whether a stored matrix holds counts, their logarithms, z-scores or something else, told by its values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import sparse

Kind = Literal["counts", "logged", "linear", "scaled", "signed", "none"]

WHOLE = 1 << 24
"""Stored values up to which all are looked at; of more, some."""
PIECES = 16
_PIECE = 1 << 18
"""Values of each of the pieces that are looked at, evenly chosen."""
_LOGGED = 30.0
"""A logarithm to any base is below this; counts and what is proportional to them nearly never are all."""
_SEEN = 0.02
_ALIKE = 0.01


@dataclass(frozen=True)
class Numbers:
    """What a matrix of rows and genes (n, g) holds.

    Attributes:
        layer: its name; None for X. form: dense, csr or csc.
        kind: counts (whole, from 0), logged (from 0, below 30), linear (from 0, beyond that), scaled (each gene about
            0 with deviation 1), signed (others below 0) or none (no numbers, or zeros only).
        low, high: least and largest value; zeros: share of zeros; gaps, infinite: how many are NaN, and infinite.
        looked: share of the stored values that was looked at.
        total_n: sum of each row (n,), float64; None where not all values were looked at.
        seen: genes above 0 in 2 % of the rows and not in the same amount in all; None likewise.
    """

    layer: str | None
    form: str
    kind: Kind
    low: float = 0.0
    high: float = 0.0
    zeros: float = 0.0
    gaps: int = 0
    infinite: int = 0
    looked: float = 1.0
    total_n: np.ndarray | None = None
    seen: int | None = None

    @property
    def place(self) -> str:
        """Where it is, as messages say it."""
        return "X" if self.layer is None else f"layers/{self.layer}"

    @property
    def empty_rows(self) -> int:
        """Rows of zeros only, of what was looked at."""
        return 0 if self.total_n is None or self.low < 0 else int((self.total_n == 0).sum())

    @property
    def same_totals(self) -> bool:
        """Whether all rows add up to nearly the same, as after a normalization."""
        if self.total_n is None or not len(self.total_n) or self.low < 0:
            return False
        return bool(np.ptp(self.total_n) <= _ALIKE * abs(self.total_n.mean()))

    def told(self) -> str:
        """Return a sentence on what it is and by what that is seen."""
        if self.kind == "none":
            return "no values that can be used"
        words = {
            "counts": "counts: whole numbers",
            "logged": "logarithms, as of normalized counts: no whole numbers, none above 30,",
            "linear": "amounts that are neither counts nor logarithms: no whole numbers",
            "scaled": "z-scores: every gene is about 0 with a standard deviation of 1,",
            "signed": "values below zero that are no z-scores, as log ratios:",
        }
        text = f"{words[self.kind]} from {self.low:.4g} to {self.high:.4g}, {self.zeros:.0%} zeros"
        text += f", {self.gaps:,} missing (NaN)" if self.gaps else ""
        text += f", {self.infinite:,} infinite" if self.infinite else ""
        return text if self.looked == 1 else f"{text} (by {self.looked:.1%} of the values)"


def look(stored: Any, layer: str | None) -> Numbers:
    """Return what a matrix holds: an array or sparse matrix in memory, or one of an open .h5ad or .zarr."""
    form = _form(stored)
    if form == "none" or _data(stored, form).dtype.kind not in "fiub":
        return Numbers(layer, form, "none")
    shape, data = _shape(stored), _data(stored, form)
    size = int(np.prod(data.shape))
    if size <= WHOLE:
        return _judge(layer, form, _matrix(stored, form, shape), 1.0)
    if form == "dense":
        step, starts = max(1, _PIECE // shape[1]), np.linspace(0, shape[0], PIECES, endpoint=False).astype(int)
        some = np.concatenate([np.asarray(data[start : start + step]) for start in starts])
        return _judge(layer, form, some, some.size / size)
    starts = np.linspace(0, size, PIECES, endpoint=False).astype(int)
    some = np.concatenate([np.asarray(data[start : start + _PIECE]) for start in starts])
    return _judge(layer, form, some[None], len(some) / size, zeros=1 - size / max(1, shape[0] * shape[1]))


def _judge(
    layer: str | None, form: str, matrix: np.ndarray | sparse.csr_matrix, looked: float, zeros: float | None = None
) -> Numbers:
    """Return what values are; of a sparse matrix of which some values are known only, `zeros` is told."""
    value = matrix.ravel() if isinstance(matrix, np.ndarray) else matrix.data
    fine = value[np.isfinite(value)]
    gaps, infinite = int(np.isnan(value).sum()), int(np.isinf(value).sum())
    size = matrix.shape[0] * matrix.shape[1]
    stored_zero = zeros is not None or len(value) < size
    if not len(fine) or not fine.any():
        return Numbers(layer, form, "none", gaps=gaps, infinite=infinite, looked=looked)
    low, high = float(fine.min()), float(fine.max())
    low, high = (min(low, 0.0), max(high, 0.0)) if stored_zero else (low, high)
    share = (1 - np.count_nonzero(value) / max(1, size)) if zeros is None else zeros
    more: dict[str, Any] = {}
    if looked == 1 and not gaps + infinite:
        seen_g = np.asarray((matrix > 0).sum(axis=0)).ravel() / max(1, matrix.shape[0])
        total_n = np.asarray(matrix.sum(axis=1, dtype=np.float64)).ravel()
        more = {"total_n": total_n, "seen": int((seen_g >= _SEEN).sum())}
    kind = _kind(fine, low, high, matrix if zeros is None else None)
    sizes = {"low": low, "high": high, "zeros": float(share), "gaps": gaps, "infinite": infinite}
    return Numbers(layer, form, kind, **sizes, looked=looked, **more)


def _kind(fine: np.ndarray, low: float, high: float, matrix: np.ndarray | sparse.csr_matrix | None) -> Kind:
    if low < 0:
        return "scaled" if isinstance(matrix, np.ndarray) and _is_scaled(matrix) else "signed"
    if (fine == np.round(fine)).all():
        return "counts"
    return "logged" if high < _LOGGED else "linear"


def _is_scaled(x_ng: np.ndarray) -> bool:
    known = np.ma.masked_invalid(x_ng.astype(np.float64))
    mean_g, sd_g = known.mean(axis=0).filled(0), known.std(axis=0).filled(0)
    varies = sd_g > 0
    if not varies.any() or len(x_ng) < 3:
        return False
    return bool(np.median(np.abs(mean_g[varies])) < 0.15 and abs(np.median(sd_g[varies]) - 1) < 0.3)


def _form(stored: Any) -> str:
    if sparse.issparse(stored):
        return stored.format if stored.format in ("csr", "csc") else "none"
    if hasattr(stored, "shape"):
        return "dense" if len(stored.shape) == 2 else "none"
    encoding = str(stored.attrs.get("encoding-type") or stored.attrs.get("h5sparse_format") or "")
    form = encoding.removesuffix("_matrix")
    return form if form in ("csr", "csc") else "none"


def _data(stored: Any, form: str) -> Any:
    if form == "dense":
        return stored
    return stored.data if sparse.issparse(stored) else stored["data"]


def _shape(stored: Any) -> tuple[int, int]:
    shape = stored.shape if hasattr(stored, "shape") else stored.attrs.get("shape", stored.attrs.get("h5sparse_shape"))
    return int(shape[0]), int(shape[1])


def _matrix(stored: Any, form: str, shape: tuple[int, int]) -> np.ndarray | sparse.csr_matrix:
    """Return the whole matrix; raises ValueError where its structure is damaged."""
    if form == "dense":
        return np.asarray(stored[:])
    if sparse.issparse(stored):
        return sparse.csr_matrix(stored)
    kind = sparse.csr_matrix if form == "csr" else sparse.csc_matrix
    found = kind(tuple(np.asarray(stored[name][:]) for name in ("data", "indices", "indptr")), shape=shape)
    found.check_format(full_check=True)
    return sparse.csr_matrix(found)
