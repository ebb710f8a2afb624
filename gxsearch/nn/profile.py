"""Expression profiles: each gene's share of the total counts, over all rows or by group, and dispersions by moments."""

from __future__ import annotations

import numpy as np
from scipy import sparse

_LEAST, _MOST = 1e-2, 1e4
"""Bounds of the dispersion theta; a gene that varies less than a Poisson variable has the largest."""


def one_profile(x_ng: sparse.csr_matrix, total_n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each gene's share of the totals (g,), above 0, and theta (g,), float64."""
    share_cg, theta_g = profiles(x_ng, total_n, np.zeros(len(total_n), dtype=np.int64), 1)
    return share_cg[0], theta_g


def var_mean(x_ng: sparse.csr_matrix) -> np.ndarray:
    """Return each gene's variance over mean (g,), from 0.1 to 100, with a mean of one."""
    mean_g = np.asarray(x_ng.mean(0)).ravel()
    ratio_g = (np.asarray(x_ng.power(2).mean(0)).ravel() - mean_g**2) / np.maximum(mean_g, 1e-4)
    weight_g = np.clip(ratio_g, 0.1, 100.0)
    return weight_g / weight_g.mean()


def profiles(
    x_ng: sparse.csr_matrix, total_n: np.ndarray, group_n: np.ndarray, n_groups: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return each gene's share of the totals by group (c, g), above 0, and theta (g,), float64.

    The mean of a value is mu = total * share of its group. With variance mu + mu^2 / theta, the sums over rows give
    theta = sum mu^2 / (sum (x - mu)^2 - sum mu). To a group's counts one row of median total and average profile is
    added; a gene without counts gets the share of half a count.
    """
    total_n = total_n.astype(np.float64)
    ones = sparse.csr_matrix((np.ones(len(group_n)), (group_n, np.arange(len(group_n)))), (n_groups, len(group_n)))
    total_c, square_c = ones @ total_n, ones @ np.square(total_n)
    share_g = np.maximum(np.asarray(x_ng.sum(0), dtype=np.float64).ravel(), 0.5) / total_n.sum()
    median = np.median(total_n) if n_groups > 1 else 0.0
    share_cg = (ones @ x_ng).toarray().astype(np.float64)
    share_cg = np.maximum((share_cg + median * share_g) / (total_c + median)[:, None], 0.5 / total_n.sum())
    spread_g = square_c @ np.square(share_cg)
    product_cg = (ones @ sparse.diags(total_n) @ x_ng).toarray()
    moment_g = np.asarray(x_ng.power(2).sum(0), dtype=np.float64).ravel() - 2 * (share_cg * product_cg).sum(0)
    excess_g = moment_g + spread_g - total_c @ share_cg
    theta_g = np.where(excess_g > spread_g / _MOST, spread_g / np.maximum(excess_g, spread_g / _MOST), _MOST)
    return share_cg, np.clip(theta_g, _LEAST, _MOST)
