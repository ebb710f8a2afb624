"""Neighbors: which spots of a section lie next to each other, and what lies within some steps of a few of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from gxsearch.errors import DataError

_TIE = 1e-6
"""Share of a distance by which two are taken for equal: a section may be turned without changing its neighbors."""


@dataclass(frozen=True)
class Neighbors:
    """The neighbors of n spots, as directed edges to each spot from its neighbors.

    Attributes:
        at_nd: coordinates in units of the median distance to the nearest spot of the section, float32.
        sender_e: where each edge comes from, by the spot that it leads to; start_n: first edge of each spot (n + 1,).
    """

    at_nd: np.ndarray
    sender_e: np.ndarray
    start_n: np.ndarray

    @classmethod
    def of(cls, at_nd: np.ndarray, section_n: np.ndarray, k: int, radius: float | None = None) -> Neighbors:
        """Join spots of one section: the k nearest and those as near as the k-th, or all within a radius.

        The radius is in the same units as `at_nd`.

        Raises:
            DataError: E438, when most spots of a section have the place of another.
        """
        near: list[np.ndarray] = [np.empty(0, dtype=np.int64)] * len(at_nd)
        scaled_nd = np.zeros(at_nd.shape, dtype=np.float32)
        for section in np.unique(section_n):
            rows = np.flatnonzero(section_n == section)
            if len(rows) < 2:
                continue
            here = at_nd[rows] - at_nd[rows].mean(0)
            here = here / _unit(here, section)
            scaled_nd[rows] = here
            for i, found in enumerate(_near(here, k, radius)):
                near[rows[i]] = rows[[j for j in found if j != i]]
        start_n = np.cumsum([0, *map(len, near)])
        return cls(scaled_nd, np.concatenate(near) if near else np.empty(0, dtype=np.int64), start_n)

    def edges(self, node_p: np.ndarray) -> np.ndarray:
        """Return the edges among spots as places in `node_p`: (2, e), senders first; the spots must be ascending."""
        size_p = self.start_n[node_p + 1] - self.start_n[node_p]
        receiver_e = np.repeat(np.arange(len(node_p)), size_p)
        sender_e = self.sender_e[_ranges(self.start_n[node_p], size_p)]
        place_e = np.searchsorted(node_p, sender_e)
        inside = place_e < len(node_p)
        inside[inside] = node_p[place_e[inside]] == sender_e[inside]
        return np.stack([place_e[inside], receiver_e[inside]])

    def within(self, row_n: np.ndarray, hops: int) -> np.ndarray:
        """Return the spots whose messages reach these rows in so many steps, themselves among them, ascending."""
        node_p = fresh = np.unique(row_n)
        for _ in range(hops):
            size = self.start_n[fresh + 1] - self.start_n[fresh]
            fresh = np.setdiff1d(self.sender_e[_ranges(self.start_n[fresh], size)], node_p)
            node_p = np.union1d(node_p, fresh)
        return node_p


def patches(at_nd: np.ndarray, section_n: np.ndarray, row_m: np.ndarray, size: int) -> list[np.ndarray]:
    """Cut rows into patches of at most `size` spots that lie side by side, by halving sections along their length."""
    cut, left = [], [row_m[section_n[row_m] == section] for section in np.unique(section_n[row_m])]
    while left:
        rows = left.pop()
        if len(rows) <= size:
            cut.append(rows)
            continue
        at = at_nd[rows] - at_nd[rows].mean(0)
        along = np.linalg.svd(at, full_matrices=False)[2][0]  # a turned section has the same patches
        order = np.argsort(at @ along, kind="stable")
        left += [np.sort(rows[half]) for half in np.array_split(order, 2)]
    return cut


def _near(at_nd: np.ndarray, k: int, radius: float | None) -> list[list[int]]:
    tree = cKDTree(at_nd)
    reach = radius if radius is not None else tree.query(at_nd, k=[min(k, len(at_nd) - 1) + 1])[0][:, 0]
    return tree.query_ball_point(at_nd, reach * (1 + _TIE), return_sorted=True)


def _unit(at_nd: np.ndarray, section: str) -> float:
    unit = float(np.median(cKDTree(at_nd).query(at_nd, k=[2])[0]))
    if unit == 0:
        what = f"most spots of section '{section}' have exactly the place of another"
        raise DataError.one("E438", "data.spatial", what, "is data.view.section right? drop spots that are there twice")
    return unit


def _ranges(start_m: np.ndarray, size_m: np.ndarray) -> np.ndarray:
    """Return start, start + 1, ... of each range, one after another."""
    ends = np.cumsum(size_m)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(start_m - ends + size_m, size_m)
