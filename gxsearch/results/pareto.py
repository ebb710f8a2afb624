"""Pareto: what points under several objectives are worth: front, hypervolume, and the one that a rule chooses.

All functions take keys (n, m): a row a point, a column an objective, the less the better, all finite.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

Rule = Literal["first", "knee", "within"]


def front(key_nm: np.ndarray) -> np.ndarray:
    """Return which points (n,) no other point dominates: none is as good in all objectives and better in one.

    Equal points are all on the front, or none of them is.
    """
    better = [np.any(np.all(key_nm <= one, axis=1) & np.any(key_nm < one, axis=1)) for one in key_nm]
    return ~np.array(better, dtype=bool)


def hypervolume(key_nm: np.ndarray, reference_m: np.ndarray) -> float:
    """Return the volume of what the points dominate and what dominates the reference (Zitzler and Thiele 1999).

    Exact, by slices along the last objective (While et al. 2006); meant for two or three objectives.
    """
    inside_nm = key_nm[np.all(key_nm < reference_m, axis=1)]
    if not len(inside_nm):
        return 0.0
    if key_nm.shape[1] == 1:
        return float(reference_m[0] - inside_nm.min())
    inside_nm = inside_nm[front(inside_nm)]
    inside_nm = inside_nm[np.argsort(inside_nm[:, -1], kind="stable")]
    height_n = np.diff(inside_nm[:, -1], append=reference_m[-1])
    slices = (hypervolume(inside_nm[: i + 1, :-1], reference_m[:-1]) for i in range(len(inside_nm)))
    return sum(area * float(height) for area, height in zip(slices, height_n, strict=True))


def growth(key_nm: np.ndarray) -> np.ndarray:
    """Return what share (n,) of their box the first 1, 2, ... points dominate.

    The box lies between the best and the worst value of each objective among all points, so that the worst is the
    reference: one point alone, or one that is last in some objective, dominates nothing of it. Where an objective has
    one value only there is no box, and the shares are 0.
    """
    n, best_m, worst_m = len(key_nm), key_nm.min(0), key_nm.max(0)
    volume, share_n = float(np.prod(worst_m - best_m)), np.zeros(len(key_nm))
    kept_nm = key_nm[:0]
    for i in range(n if volume > 0 else 0):
        new = not np.any(np.all(kept_nm <= key_nm[i], axis=1))
        if new:
            kept_nm = np.vstack([kept_nm, key_nm[i]])
            kept_nm = kept_nm[front(kept_nm)]
        share_n[i] = hypervolume(kept_nm, worst_m) / volume if new else share_n[i - 1]
    return share_n


def chosen(key_nm: np.ndarray, rule: Rule, within: float = 0.0) -> int:
    """Return the number of the point of the front that a rule chooses; of equal ones the first.

    Args:
        rule: first, the best by the first objective; knee (`depth`); within, the best by the second objective among
            those whose first is within a share of the front's range of the best.
        within: that share.
    """
    index = np.flatnonzero(front(key_nm))
    key_fm = key_nm[index]
    deep_f = depth(key_fm)
    near_f = key_fm[:, 0] <= key_fm[:, 0].min() + within * np.ptp(key_fm[:, 0])
    orders = {
        "first": lambda i: tuple(key_fm[i]),
        "knee": lambda i: (-deep_f[i], *key_fm[i]),
        "within": lambda i: (not near_f[i], *key_fm[i][1:], key_fm[i][0]),
    }
    return int(index[min(range(len(index)), key=orders[rule])])


def depth(key_fm: np.ndarray) -> np.ndarray:
    """Return how far (f,) points of a front lie on the good side of the line, or plane, between its ends.

    Each objective is scaled so that it is 0 at the best and 1 at the worst of the front; the ends are where one
    objective is 1 and the others are 0. The deepest point is the knee (Das 1999): from there, a little more of one
    objective costs much of another.
    """
    range_m = np.ptp(key_fm, axis=0)
    unit_fm = (key_fm - key_fm.min(0)) / np.where(range_m > 0, range_m, 1.0)
    return np.round((1.0 - unit_fm.sum(1)) / np.sqrt(key_fm.shape[1]), 12)  # points of one line are equally deep
