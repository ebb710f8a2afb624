"""Features: what a spot shows of itself to a model of neighbors: principal components, values, or given vectors."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from sklearn.decomposition import PCA

Kind = Literal["pca", "counts", "first"]


def log_shares(count_ng: np.ndarray, target: float) -> np.ndarray:
    """Return log1p of counts (n, g) brought to the same total; a row of zeros stays one."""
    total_n1 = np.maximum(count_ng.sum(1, keepdims=True, dtype=np.float64), 1.0)
    return np.log1p(count_ng * (target / total_n1)).astype(np.float32)


def centered(value_ng: np.ndarray, section_n: np.ndarray) -> np.ndarray:
    """Return values (n, f) less the mean of their section."""
    out_ng = np.empty_like(value_ng)
    for section in np.unique(section_n):
        rows = section_n == section
        out_ng[rows] = value_ng[rows] - value_ng[rows].mean(0)
    return out_ng


def profile(count_ng: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return share (g,) and NB dispersion (g,), in [0.01, 100], of each gene, by moments, if all rows were alike."""
    x_ng = count_ng.astype(np.float64)
    total_n1 = np.maximum(x_ng.sum(1, keepdims=True), 1.0)
    share_g = (x_ng.sum(0) + 0.5) / (total_n1.sum() + 0.5 * x_ng.shape[1])
    mean_ng = total_n1 * share_g
    excess_g = ((x_ng - mean_ng) ** 2 - mean_ng).sum(0) / (mean_ng**2).sum(0)
    return share_g, 1 / np.clip(excess_g, 1e-2, 1e2)


@dataclass(frozen=True)
class Features:
    """Features as fitted to training rows.

    Attributes:
        target: the total that counts are brought to: the median of training rows.
        mean_g: means of log shares, or of given vectors, over training rows.
        axis_fg: principal axes, each divided by the spread of its scores; None without PCA.
        sd: (f,) what features other than components are divided by.
    """

    kind: Kind
    by_section: bool
    target: float
    mean_g: np.ndarray
    axis_fg: np.ndarray | None
    sd_f: np.ndarray

    @classmethod
    def fit(
        cls, kind: Kind, given_ng: np.ndarray, train: np.ndarray, section_n: np.ndarray, *, k: int, by_section: bool
    ) -> Features:
        """Learn means, axes and spreads from training rows; `given_ng` are counts, or for `first` vectors."""
        target = float(np.median(np.maximum(given_ng[train].sum(1, dtype=np.float64), 1.0))) if kind != "first" else 1.0
        bare = cls(kind, by_section, target, np.zeros(1, np.float32), None, np.ones(1, np.float32))
        value_ng = bare._values(given_ng, section_n)[train]
        mean_g = value_ng.mean(0)
        if kind == "pca":
            pca = PCA(min(k, *value_ng.shape), random_state=0).fit(value_ng)
            spread_f1 = np.sqrt(np.maximum(pca.explained_variance_, 1e-12))[:, None]
            axis_fg = (pca.components_ / spread_f1).astype(np.float32)
            return cls(kind, by_section, target, mean_g, axis_fg, np.ones(len(axis_fg), np.float32))
        sd_f = np.maximum(value_ng.std(0), 1e-3).astype(np.float32)
        return cls(kind, by_section, target, mean_g, None, sd_f)

    def __call__(self, given_ng: np.ndarray, section_n: np.ndarray) -> np.ndarray:
        """Return the features (n, f), float32."""
        value_ng = self._values(given_ng, section_n) - self.mean_g
        return value_ng @ self.axis_fg.T if self.axis_fg is not None else value_ng / self.sd_f

    @property
    def size(self) -> int:
        """Number of features."""
        return len(self.sd_f)

    def state(self) -> dict[str, Any]:
        """Return what `load` needs, as JSON values; arrays as base64 of float32, for there are many numbers."""
        arrays = {"mean": self.mean_g, "axis": self.axis_fg, "sd": self.sd_f}
        packed = {name: None if array is None else _pack(array) for name, array in arrays.items()}
        return {"kind": self.kind, "by_section": self.by_section, "target": self.target, **packed}

    @classmethod
    def load(cls, state: dict[str, Any]) -> Features:
        """Rebuild features from their `state`."""
        mean_g, axis, sd_f = (None if state[n] is None else _unpack(state[n]) for n in ("mean", "axis", "sd"))
        axis_fg = None if axis is None else axis.reshape(len(sd_f), -1)
        return cls(state["kind"], state["by_section"], state["target"], mean_g, axis_fg, sd_f)

    def _values(self, given_ng: np.ndarray, section_n: np.ndarray) -> np.ndarray:
        value_ng = given_ng.astype(np.float32) if self.kind == "first" else log_shares(given_ng, self.target)
        return centered(value_ng, section_n) if self.by_section else value_ng


def _pack(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype="<f4").tobytes()).decode()


def _unpack(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype="<f4")
