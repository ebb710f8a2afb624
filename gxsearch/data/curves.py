"""Curves: genes over the times of a series, each gene scaled by its own values, gaps filled in and marked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Scaling = Literal["zscore", "minmax", "log1p", "none"]

_GENES = 2048
"""Genes worked on at a time in float64; bounds the memory."""


@dataclass(frozen=True)
class Curves:
    """Genes over time.

    Attributes:
        x_nt: scaled values (n, t), float32; where none was measured, the straight line between the neighbors in time.
        weight_nt: 1 where a value was measured, else 0 (n, t), float32; None where all were.
        shift_n, scale_n: what was taken off each gene and what it was divided by (n,), in units of the table (with
            log1p 0 and 1).
        scaling: how they were scaled.
    """

    x_nt: np.ndarray
    weight_nt: np.ndarray | None
    shift_n: np.ndarray
    scale_n: np.ndarray
    scaling: Scaling

    def restored(self, y_nt: np.ndarray) -> np.ndarray:
        """Return scaled values (n, t) of the same genes in units of the table."""
        if self.scaling == "log1p":
            return np.expm1(y_nt)
        return y_nt * self.scale_n[:, None] + self.shift_n[:, None]


def curves(
    x_ns: np.ndarray,
    place_s: np.ndarray,
    time_t: np.ndarray,
    scaling: Scaling,
    *,
    batch_s: np.ndarray | None = None,
    batch_t: np.ndarray | None = None,
) -> Curves:
    """Average the samples of each time and scale each gene by its own mean and deviation, or range, over the times.

    A value that is NaN was not measured.

    Args:
        place_s: the time of each sample, an index into `time_t`.
        batch_s: the batch of each sample; the gene's mean over each batch is brought to its mean over all samples.
        batch_t: the batch of each time, where gaps are filled in from the same batch if it has any value.
    """
    n, t = len(x_ns), len(time_t)
    member_st = np.eye(t)[place_s]
    x_nt, counts = np.empty((n, t), dtype=np.float32), np.empty((n, t), dtype=np.float32)
    shift_n, scale_n = np.empty(n, dtype=np.float32), np.empty(n, dtype=np.float32)
    for start in range(0, n, _GENES):
        genes = slice(start, start + _GENES)
        block = x_ns[genes].astype(np.float64)
        known = np.isfinite(block)
        block = np.where(known, block if batch_s is None else _centered(block, known, batch_s), 0.0)
        counts[genes] = found = known.astype(np.float64) @ member_st
        mean = block @ member_st / np.maximum(found, 1.0)
        x_nt[genes], shift_n[genes], scale_n[genes] = _scaled(mean, found > 0, scaling)
    weight_nt = (counts > 0).astype(np.float32)
    if weight_nt.all():
        return Curves(x_nt, None, shift_n, scale_n, scaling)
    for i in np.flatnonzero(~weight_nt.all(1)):
        x_nt[i] = _filled(x_nt[i], weight_nt[i] > 0, time_t, batch_t)
    return Curves(x_nt, weight_nt, shift_n, scale_n, scaling)


def _filled(x_t: np.ndarray, known_t: np.ndarray, time_t: np.ndarray, batch_t: np.ndarray | None) -> np.ndarray:
    """Return a curve with straight lines over its gaps."""
    filled_t = np.interp(time_t, time_t[known_t], x_t[known_t])
    for batch in [] if batch_t is None else np.unique(batch_t[known_t]):
        mine_t, of_t = batch_t == batch, known_t & (batch_t == batch)
        filled_t[mine_t] = np.interp(time_t[mine_t], time_t[of_t], x_t[of_t])
    return filled_t


def _centered(x_ns: np.ndarray, known_ns: np.ndarray, batch_s: np.ndarray) -> np.ndarray:
    """Bring each gene's mean over the known samples of each batch to its mean over all known samples."""
    member_sb = (batch_s[:, None] == np.unique(batch_s)).astype(np.float64)
    filled_ns = np.where(known_ns, x_ns, 0.0)
    mean_nb = filled_ns @ member_sb / np.maximum(known_ns @ member_sb, 1.0)
    mean_n1 = filled_ns.sum(1, keepdims=True) / np.maximum(known_ns.sum(1, keepdims=True), 1.0)
    return x_ns - mean_nb @ member_sb.T + mean_n1


def _scaled(x_nt: np.ndarray, known_nt: np.ndarray, scaling: Scaling) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return values scaled gene by gene, and what was taken off and divided by; a constant gene is divided by 1."""
    shift_n, scale_n = np.zeros(len(x_nt)), np.ones(len(x_nt))
    if scaling == "log1p":
        return np.log1p(x_nt), shift_n, scale_n
    low_n, high_n = x_nt.min(1, where=known_nt, initial=np.inf), x_nt.max(1, where=known_nt, initial=-np.inf)
    if scaling == "zscore":
        shift_n, scale_n = x_nt.mean(1, where=known_nt), x_nt.std(1, where=known_nt)
    elif scaling == "minmax":
        shift_n, scale_n = low_n, high_n - low_n
    # Rounding gives the mean of equal values a tiny deviation.
    scale_n = np.where(high_n > low_n, scale_n, 1.0)
    return (x_nt - shift_n[:, None]) / scale_n[:, None], shift_n, scale_n
