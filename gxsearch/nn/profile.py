"""One expression profile for all rows: each gene's share of the total counts, and its dispersion by moments."""

from __future__ import annotations

import numpy as np
from scipy import sparse

_LEAST, _MOST = 1e-2, 1e4
"""Bounds of the dispersion theta; a gene that varies less than a Poisson variable has the largest."""


def one_profile(x_ng: sparse.csr_matrix, total_n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each gene's share of the totals (g,), above 0, and theta (g,), float64.

    The mean of a value is mu = total * share. With variance mu + mu^2 / theta, the sums over rows give
    theta = sum mu^2 / (sum (x - mu)^2 - sum mu). A gene without counts gets the share of half a count.
    """
    total_n = total_n.astype(np.float64)
    sum_g, square_g = (np.asarray(x.sum(0), dtype=np.float64).ravel() for x in (x_ng, x_ng.power(2)))
    share_g = np.maximum(sum_g, 0.5) / total_n.sum()
    spread_g = share_g**2 * np.square(total_n).sum()
    excess_g = square_g - 2 * share_g * (x_ng.T @ total_n) + spread_g - share_g * total_n.sum()
    theta_g = np.where(excess_g > spread_g / _MOST, spread_g / np.maximum(excess_g, spread_g / _MOST), _MOST)
    return share_g, np.clip(theta_g, _LEAST, _MOST)
