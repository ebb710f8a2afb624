"""Schedules: pure functions of the share of training done."""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["constant", "cosine", "linear", "onecycle", "plateau"]

_RISE = 0.1
"""Share of the training in which onecycle rises from 1/25 of the rate to it."""


def rate(schedule: Schedule, progress: float, warmup: float = 0.0) -> float:
    """Return the factor of the learning rate at `progress` in [0, 1], after a linear rise over the share `warmup`.

    The schedule itself is stretched over what comes after the rise.
    """
    if progress < warmup:
        return progress / warmup * decay(schedule, 0.0)
    return decay(schedule, (progress - warmup) / (1.0 - warmup) if warmup else progress)


def decay(schedule: Schedule, progress: float) -> float:
    """Return the factor of the learning rate at `progress` in [0, 1]; cosine and linear fall from 1 to 0.

    onecycle rises from 1/25 to 1 and falls to 0, both by a cosine (Smith and Topin 2018, as in torch's OneCycleLR).

    What plateau does depends on the objective (training/course.py), not on progress: here it is 1.
    """
    if schedule == "onecycle":
        rises = progress < _RISE
        low, place = (0.04, 1.0 - progress / _RISE) if rises else (0.0, (progress - _RISE) / (1.0 - _RISE))
        return low + (1.0 - low) * 0.5 * (1.0 + math.cos(math.pi * place))
    if schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * progress))
    return 1.0 - progress if schedule == "linear" else 1.0
