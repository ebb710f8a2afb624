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
        edges: where one window ends and the next begins; None without windows.
        batch_t: the name of the batch of each time (t,), where batches are kept apart: a time of several batches is
            there once for each, in the order of their names. None where they are not.
    """

    time_t: np.ndarray
    edges: np.ndarray | None = None
    batch_t: np.ndarray | None = None

    @classmethod
    def of(
        cls, time_s: np.ndarray, *, windows: int = 0, keep: bool = False, batch_s: np.ndarray | None = None
    ) -> Timeline:
        """Learn the times from those of the samples (s,), which need not be in order.

        Args:
            windows: cut the samples into this many windows of equally many samples; 0 does not. Samples of one time
                are not cut apart, so there may be fewer.
            keep: give samples of the same time a place each.
            batch_s: name of each sample's batch, to keep samples of one time and different batches apart; windows are
                the same for all.
        """
        if batch_s is not None:
            line = cls.of(time_s, windows=windows)
            place_s = line.place(time_s, batch_s)
            names_b, batch_s = np.unique(batch_s, return_inverse=True)
            cells = np.stack([place_s, batch_s], 1)
            cells = cells[np.lexsort(cells.T[::-1])] if keep else np.unique(cells, axis=0)
            return cls(line.time_t[cells[:, 0]], line.edges, names_b[cells[:, 1]])
        sorted_s = np.sort(np.asarray(time_s, dtype=np.float64))
        if not windows:
            return cls(sorted_s if keep else np.unique(sorted_s))
        parts = np.array_split(sorted_s, min(windows, len(sorted_s)))
        edges = np.array([(a[-1] + b[0]) / 2 for a, b in zip(parts, parts[1:], strict=False)])
        window_s = np.searchsorted(edges, sorted_s, side="right")
        used, window_s = np.unique(window_s, return_inverse=True)
        time_t = np.bincount(window_s, sorted_s) / np.bincount(window_s)
        return cls(time_t, edges[used[1:] - 1])

    @property
    def batches(self) -> list[str]:
        """Names of the batches that are kept apart, in the order of their index."""
        return [] if self.batch_t is None else np.unique(self.batch_t).tolist()

    @property
    def code_t(self) -> np.ndarray:
        """Index of the batch of each time (t,), int64; 0 where batches are not kept apart."""
        return self._codes(self.batch_t, len(self.time_t))

    @property
    def usual_t(self) -> np.ndarray:
        """Which times are of the batch that has most of them (t,), bool; all where batches are not kept apart."""
        return self.code_t == np.bincount(self.code_t).argmax()

    def place(self, time_s: np.ndarray, names_s: np.ndarray, batch_s: np.ndarray | None = None) -> np.ndarray:
        """Return the place of each sample among the times (s,), int64, -1 for a time that is none of (its batch's).

        Replicates that are kept apart take the places of their time in the order of their names, and begin anew where
        there are more of them than places.

        Args:
            batch_s: name of each sample's batch, where they are kept apart.
        """
        unique_u, time_u_t = np.unique(self.time_t, return_inverse=True)
        if self.edges is not None:
            near_s, known_s = np.searchsorted(self.edges, time_s, side="right"), True
        else:
            near_s = np.searchsorted((unique_u[1:] + unique_u[:-1]) / 2, time_s)
            known_s = np.abs(unique_u[near_s] - time_s) <= _SAME * max(np.ptp(unique_u), 1e-300)
        code_s, stride = self._codes(batch_s, len(time_s)), max(len(self.batches), 1)
        cell_t, cell_s = time_u_t * stride + self.code_t, near_s * stride + code_s
        unique_c, first_c, times_c = np.unique(cell_t, return_index=True, return_counts=True)
        at_s = np.minimum(np.searchsorted(unique_c, cell_s), len(unique_c) - 1)
        known_s = known_s & (code_s >= 0) & (unique_c[at_s] == cell_s)
        turn_s, seen_c = np.zeros(len(time_s), dtype=np.int64), np.zeros(len(unique_c), dtype=np.int64)
        for s in np.argsort(names_s, kind="stable"):
            turn_s[s] = seen_c[at_s[s]] % times_c[at_s[s]]
            seen_c[at_s[s]] += known_s[s]
        return np.where(known_s, first_c[at_s] + turn_s, -1)

    def unit(self, time: Iterable[float] | np.ndarray) -> np.ndarray:
        """Return times with 0 for the first and 1 for the last of the timeline, float64."""
        return (np.asarray(time, dtype=np.float64) - self.time_t[0]) / (self.time_t[-1] - self.time_t[0])

    def state(self) -> dict[str, Any]:
        """Return what `load` needs, as plain JSON values."""
        batch = {} if self.batch_t is None else {"batch": self.batch_t.tolist()}
        return {"time": self.time_t.tolist(), "edges": None if self.edges is None else self.edges.tolist(), **batch}

    @classmethod
    def load(cls, state: dict[str, Any]) -> Timeline:
        """Rebuild the timeline from its `state`."""
        edges, batch = (None if state.get(key) is None else np.array(state[key]) for key in ("edges", "batch"))
        return cls(np.array(state["time"], dtype=np.float64), edges, batch)

    def _codes(self, batch: np.ndarray | None, n: int) -> np.ndarray:
        """Return the index of the batch of each of n, int64, -1 for a new batch; 0 where they are not kept apart."""
        if self.batch_t is None:
            return np.zeros(n, dtype=np.int64)
        index = {name: i for i, name in enumerate(self.batches)}
        return np.array([index.get(name, -1) for name in batch.tolist()], dtype=np.int64)
