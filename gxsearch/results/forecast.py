"""Forecast: what as many trials again would gain, from the values of those that were run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gxsearch.results.leaderboard import Objective
from gxsearch.results.page import number

LEAST = 8
"""Trials below which nothing is forecast."""
RESAMPLES = 500
LEARNERS = ("tpe", "gp", "cmaes", "nsga2")
"""Samplers whose draws depend on the results so far."""


@dataclass(frozen=True)
class Forecast:
    """What doubling the trials would gain.

    Attributes:
        n: trials with a value.
        curve: (m, expected best of m trials) at halves of n down to one trial.
        gain: by how much the expected best would improve; None where it cannot be told.
        low, high: 10 % and 90 % quantiles of the gain over resamples of the trials.
        spread: interquartile range of the trials' values, as a measure for the gain.
        exchangeable: whether the trials were drawn alike, so that the order statistics hold.
    """

    n: int
    curve: list[tuple[int, float]]
    gain: float | None
    low: float
    high: float
    spread: float
    exchangeable: bool

    @property
    def sentences(self) -> list[str]:
        """The findings in words."""
        if self.gain is None:
            return [f"What more trials would gain cannot be told from {self.n} of them; at least {LEAST} are needed."]
        band = f"{number(self.low, 2)} to {number(self.high, 2)}"
        share = f", {self.gain / self.spread:.0%} of the spread of the trials' values" if self.spread > 0 else ""
        told = [f"Doubling the trials would gain about {number(self.gain, 2)} ({band}{share})."]
        if not self.exchangeable:
            told.append(
                "That is as if all trials were drawn alike; this sampler learns from the first, so take it as rough."
            )
        return told


def forecast(values: Sequence[float], objective: Objective, sampler: str, startup: int) -> Forecast:
    """Forecast the gain from as many trials again.

    The expected best of m <= n trials is that over all subsets of m of the n values (an order statistic without bias:
    Tang et al. 2020, Showing your work doesn't always work; after the expected best of Dodge et al. 2019, Show your
    work). With G the gain of it from n/2 to n trials and H that from n/4 to n/2, the next doubling is taken to gain
    G * min(1, G / H): by extreme value theory the distance of the expected best from the best possible value falls as
    a power of m, so that gains of doublings form a geometric series. The band is from a bootstrap of the trials.

    Args:
        values: of all trials that may win.
        sampler, startup: what proposed the draws, and how many were random before it learned.
    """
    key_n = np.sort([objective.key(value) for value in values if math.isfinite(value)])
    n = len(key_n)
    alike = sampler not in LEARNERS or n <= startup
    sign = 1 if objective.mode == "min" else -1
    sizes = [n]
    while sizes and sizes[-1] > 1:
        sizes.append(sizes[-1] // 2)
    curve = [(m, sign * expected_best(key_n, m)) for m in reversed(sizes)] if n else []
    if n < LEAST:
        return Forecast(n, curve, None, math.nan, math.nan, math.nan, alike)
    draw = np.random.default_rng(0)
    resampled = [_next_gain(np.sort(draw.choice(key_n, n))) for _ in range(RESAMPLES)]
    low, high = np.quantile(resampled, [0.1, 0.9])
    spread = float(np.subtract(*np.quantile(key_n, [0.75, 0.25])))
    return Forecast(n, curve, _next_gain(key_n), float(low), float(high), spread, alike)


def expected_best(sorted_n: np.ndarray, m: int) -> float:
    """Return the mean, over all subsets of m of the n ascending values, of the least."""
    n = len(sorted_n)
    weight, total = m / n, 0.0
    for i in range(n - m + 1):  # weight is C(n-1-i, m-1) / C(n, m)
        total += weight * float(sorted_n[i])
        weight *= (n - m - i) / (n - 1 - i) if i < n - 1 else 0.0
    return total


def _next_gain(sorted_n: np.ndarray) -> float:
    n = len(sorted_n)
    best, half, quarter = (expected_best(sorted_n, m) for m in (n, n // 2, n // 4))
    last, before = half - best, quarter - half
    return last * min(1.0, last / before) if before > 0 else 0.0
