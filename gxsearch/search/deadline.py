"""Deadline: the time that a search may take, over all its starts."""

from __future__ import annotations

import time
from dataclasses import dataclass

START_S = 60.0
"""Seconds that the start of the first process may take without being counted."""


@dataclass
class Deadline:
    """The time that a search has left; `spent_s` is what earlier starts of it used."""

    budget_s: float | None
    spent_s: float = 0.0
    begun: float = 0.0

    def start(self) -> None:
        """Start the clock."""
        self.begun = time.monotonic()

    def start_late(self) -> None:
        """Start the clock when trials really begin: of searches with equal budgets, only the first starts processes.

        Where that took long, which may be an allocation of a batch system that runs out, it counts.
        """
        if time.monotonic() - self.begun < START_S:
            self.start()

    def left_s(self) -> float | None:
        """Return the seconds left, or None without a budget."""
        return None if self.budget_s is None else self.budget_s - self.spent_s - (time.monotonic() - self.begun)

    def over(self) -> bool:
        """Whether the time is up."""
        left = self.left_s()
        return left is not None and left <= 0
