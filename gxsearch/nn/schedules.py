"""Schedules: pure functions of the share of training done."""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["constant", "cosine"]


def decay(schedule: Schedule, progress: float) -> float:
    """Return the factor of the learning rate at `progress` in [0, 1]; cosine falls from 1 to 0."""
    return 1.0 if schedule == "constant" else 0.5 * (1.0 + math.cos(math.pi * progress))
