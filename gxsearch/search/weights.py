"""Weights: which trials of a search keep theirs when they have ended: the best ones, and those of a front."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from gxsearch.results import pareto
from gxsearch.search.spec import Spec

if TYPE_CHECKING:
    from gxsearch.search.referee import Standing

_OUT = ("failed", "diverged")


def unneeded(spec: Spec, trials: Iterable[Standing]) -> list[Standing]:
    """Return the ended trials whose weights nothing will ask for, now or later.

    Those are all but the best `resources.keep`, and with several objectives all but the front's too. More trials only
    push one down, so one that is out stays out. Of draws that are known, as confirmation has, all are kept.
    """
    most = max(spec.resources.keep, len(spec.search.start) * spec.search.repeats)
    ended = [trial for trial in trials if trial.state != "running" and trial.history]
    if len(ended) <= most:
        return []
    sign = 1 if spec.objective.mode == "min" else -1
    ended.sort(key=lambda t: (t.state in _OUT, sign * t.best if math.isfinite(t.best) else math.inf, t.number))
    front = _front(spec, ended) if spec.also else set()
    return [trial for trial in ended[most:] if trial.number not in front]


def _front(spec: Spec, ended: list[Standing]) -> set[int]:
    """Return the numbers of the trials on the front of several objectives."""
    also = [one.metric for one in spec.also]
    told = [(trial.number, trial.values(also)) for trial in ended if trial.state not in _OUT]
    told = [(number, values) for number, values in told if values is not None]
    if not told:
        return set()
    signs = np.array([1 if one.mode == "min" else -1 for one in spec.objectives])
    is_on = pareto.front(np.array([values for _, values in told]) * signs)
    return {number for (number, _), on in zip(told, is_on, strict=True) if on}
