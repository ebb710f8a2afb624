"""Paired: is one candidate better than another, trained over the same seeds and judged on the same held-out rows?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

LEVEL = 0.05
"""Chance, over all comparisons of a verdict, to call one better where none is."""


@dataclass(frozen=True)
class Difference:
    """How much better one candidate is than another; positive means better, whichever way the measure goes.

    Attributes:
        mean: the difference, in units of the measure. low, high: its 95 % interval.
        p: chance of a difference as large, either way, where there is none; None where no spread can be told.
        effect: the difference in standard deviations of the paired differences over trainings; None of one.
        seeds, rows: what it was measured over; rows is 0 where they were taken as given.
    """

    mean: float
    low: float | None
    high: float | None
    p: float | None
    effect: float | None
    seeds: int
    rows: int


def over_trainings(difference_s: Sequence[float], *, overlap: float = 0.0) -> Difference:
    """Compare by paired trainings; rows are taken as given.

    A paired t test. Where each training has a split of its own, `overlap`, the ratio of held-out to training rows,
    corrects for training sets that share rows (the resampled t test of Nadeau and Bengio, 2003).
    """
    d = np.asarray(difference_s, dtype=np.float64)
    n = len(d)
    variance = d.var(ddof=1) * (1 / n + overlap) if n > 1 else None
    return _told(float(d.mean()), variance, n - 1, _effect(d), n, 0)


def over_trainings_and_rows(score_sr: np.ndarray, weight_r: np.ndarray) -> Difference:
    """Compare by differences of each training on each held-out row (s, r), whose weighted mean is the difference.

    Both are samples: other seeds would train otherwise, and other cells would be held out. The variance is that of
    crossed random effects by inclusion and exclusion, var(seeds) + var(rows) - var(rest) (two-way clustering of
    Cameron, Gelbach and Miller, 2011; Owen, 2007), its degrees of freedom after Satterthwaite (1946). The rows'
    part takes no notice of classes, which errs towards no difference.
    """
    d, w = np.asarray(score_sr, dtype=np.float64), np.asarray(weight_r, dtype=np.float64)
    n_s, n_r = d.shape
    by_seed, by_row = d @ w, d.mean(0)
    mean = float(by_seed.mean())
    of_rows = float(np.square(w * (by_row - mean)).sum() * n_r / max(n_r - 1, 1))
    of_seeds = float(by_seed.var(ddof=1) / n_s) if n_s > 1 else 0.0
    rest = d - by_row - by_seed[:, None] + mean
    of_rest = float((np.square(w) * np.square(rest)).sum() / (n_s * (n_s - 1))) if n_s > 1 else 0.0
    variance = max(of_seeds + of_rows - of_rest, of_seeds, of_rows)
    free_r = max(1 / np.square(w).sum() - 1, 1.0)
    pieces = of_rows**2 / free_r + (of_seeds**2 / (n_s - 1) if n_s > 1 else 0.0)
    free = variance**2 / pieces if pieces else math.inf
    return _told(mean, variance, min(free, n_s + n_r - 2), _effect(by_seed), n_s, n_r)


def holm(p_by_name: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return p values corrected for how many there are (Holm, 1979); those that are not known stay so."""
    known = sorted((p, name) for name, p in p_by_name.items() if p is not None)
    corrected, largest = dict.fromkeys(p_by_name), 0.0
    for i, (p, name) in enumerate(known):
        largest = max(largest, min(1.0, p * (len(known) - i)))
        corrected[name] = largest
    return corrected


def called(difference: Difference, p: float | None) -> Literal["better", "worse", "tie"]:
    """Return what may be said, by the p value that was corrected for the number of comparisons."""
    if p is None or p >= LEVEL:
        return "tie"
    return "better" if difference.mean > 0 else "worse"


def _told(mean: float, variance: float | None, free: float, effect: float | None, seeds: int, rows: int) -> Difference:
    """Return a difference with its t interval; candidates that are the same everywhere do not differ (p = 1)."""
    if variance is None or free <= 0:
        return Difference(mean, None, None, None, effect, seeds, rows)
    error = math.sqrt(variance)
    if error <= 1e-12 * max(1.0, abs(mean)):  # no spread at all: the same, or a constant difference
        return Difference(mean, mean, mean, 1.0 if abs(mean) < 1e-12 else 0.0, effect, seeds, rows)
    half = float(stats.t.ppf(0.975, free)) * error
    p = float(2 * stats.t.sf(abs(mean) / error, free))
    return Difference(mean, mean - half, mean + half, p, effect, seeds, rows)


def _effect(d: np.ndarray) -> float | None:
    spread = float(d.std(ddof=1)) if len(d) > 1 else 0.0
    return float(d.mean()) / spread if spread > 0 else None
