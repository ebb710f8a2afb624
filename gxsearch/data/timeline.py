"""Timeline: the times of a series, learnt from the samples, and which of them a sample belongs to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

_SAME = 1e-6
"""Share of the range by which two times may differ and still be one: they may have been written as text."""


@dataclass(frozen=True)
class Timeline:
    """Times in ascending order.

    Attributes:
        time_t: the times (t,), float64, in units of the data; twice the same where replicates are kept apart. Of
            windows, the mean times.
        edges: where one window ends and the next begins (t - 1,); None without windows.
    """

    time_t: np.ndarray
    edges: np.ndarray | None = None

    @classmethod
    def of(cls, time_s: np.ndarray, *, windows: int = 0, keep: bool = False) -> Timeline:
        """Learn the times from those of the samples (s,), which need not be in order.

        Args:
            windows: cut the samples into this many windows of equally many samples; 0 does not. Samples of one time
                are not cut apart, so there may be fewer.
            keep: give samples of the same time a place each.
        """
        sorted_s = np.sort(np.asarray(time_s, dtype=np.float64))
        if not windows:
            return cls(sorted_s if keep else np.unique(sorted_s))
        parts = np.array_split(sorted_s, min(windows, len(sorted_s)))
        edges = np.array([(a[-1] + b[0]) / 2 for a, b in zip(parts, parts[1:], strict=False)])
        window_s = np.searchsorted(edges, sorted_s, side="right")
        used, window_s = np.unique(window_s, return_inverse=True)
        time_t = np.bincount(window_s, sorted_s) / np.bincount(window_s)
        return cls(time_t, edges[used[1:] - 1])

    def place(self, time_s: np.ndarray, names_s: np.ndarray) -> np.ndarray:
        """Return the place of each sample among the times (s,), int64, -1 for a time that is none of them.

        Replicates that are kept apart take the places of their time in the order of their names, and begin anew where
        there are more of them than places.
        """
        if self.edges is not None:
            return np.searchsorted(self.edges, time_s, side="right")
        unique_u, first_u, times_u = np.unique(self.time_t, return_index=True, return_counts=True)
        near_s = np.searchsorted((unique_u[1:] + unique_u[:-1]) / 2, time_s)
        known_s = np.abs(unique_u[near_s] - time_s) <= _SAME * max(np.ptp(unique_u), 1e-300)
        turn_s, seen_u = np.zeros(len(time_s), dtype=np.int64), np.zeros(len(unique_u), dtype=np.int64)
        for s in np.argsort(names_s, kind="stable"):
            turn_s[s] = seen_u[near_s[s]] % times_u[near_s[s]]
            seen_u[near_s[s]] += 1
        return np.where(known_s, first_u[near_s] + turn_s, -1)

    def unit(self, time: Iterable[float] | np.ndarray) -> np.ndarray:
        """Return times with 0 for the first and 1 for the last of the timeline, float64."""
        return (np.asarray(time, dtype=np.float64) - self.time_t[0]) / (self.time_t[-1] - self.time_t[0])

    def state(self) -> dict[str, Any]:
        """Return what `load` needs, as plain JSON values."""
        return {"time": self.time_t.tolist(), "edges": None if self.edges is None else self.edges.tolist()}

    @classmethod
    def load(cls, state: dict[str, Any]) -> Timeline:
        """Rebuild the timeline from its `state`."""
        edges = state["edges"]
        return cls(np.array(state["time"], dtype=np.float64), None if edges is None else np.array(edges))
