"""Schedules: pure functions of the share of training done."""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["constant", "cosine", "linear", "plateau"]


def decay(schedule: Schedule, progress: float) -> float:
    """Return the factor of the learning rate at `progress` in [0, 1]; cosine and linear fall from 1 to 0.

    What plateau does depends on the objective (training/course.py), not on progress: here it is 1.
    """
    if schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * progress))
    return 1.0 - progress if schedule == "linear" else 1.0
