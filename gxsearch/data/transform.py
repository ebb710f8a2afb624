"""Transforms: from what is stored to what the model reads; sparse stays sparse."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from gxsearch.data.values import Matrix, row_totals

LOGS = {"log1p": 1.0, "log2p1": np.log(2.0), "log10p1": np.log(10.0)}


def median_total(x_ng: Matrix) -> float:
    """Return the median sum of the rows (n, g): what `normalize` brings all rows to; taken from training rows."""
    return float(np.median(row_totals(x_ng)))


def transform(x_ng: Matrix, steps: list[str], target: float | None) -> Matrix:
    """Apply steps in their order to non-negative values (n, g), float32 in and out.

    normalize: x_ng target / sum_g x_ng, all genes of the file in the sum; log1p: ln(1 + x), log2p1: log2(1 + x),
    log10p1: log10(1 + x).

    Args:
        target: the row sum after `normalize` (`median_total` of the training rows); None if it is no step.
    """
    for step in steps:
        if step == "normalize":
            x_ng = _scale_rows(x_ng, target / row_totals(x_ng))
        elif isinstance(x_ng, np.ndarray):
            x_ng = (np.log1p(x_ng) / LOGS[step]).astype(np.float32, copy=False)
        else:
            x_ng = x_ng.copy()
            x_ng.data = (np.log1p(x_ng.data) / LOGS[step]).astype(np.float32, copy=False)
    return x_ng


def _scale_rows(x_ng: Matrix, factor_n: np.ndarray) -> Matrix:
    if isinstance(x_ng, np.ndarray):
        return x_ng * factor_n[:, None].astype(np.float32)
    data = x_ng.data * np.repeat(factor_n.astype(np.float32), np.diff(x_ng.indptr))
    return sparse.csr_matrix((data, x_ng.indices, x_ng.indptr), shape=x_ng.shape)
