"""Curves of a model of series: clusters of its vectors, the curves of their centers, new curves, other times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from gxsearch.data.series import SeriesView
from gxsearch.errors import DataError, did_you_mean
from gxsearch.models.rvagene import RVAgene
from gxsearch.training.clusters import n_classes

_CLUSTERS = 6
"""Clusters where no classes are known: as many as in the simulation of the paper."""
SD = math.sqrt(0.3)
"""The paper draws around a center with covariance 0.3 I."""
_STARTS = 20
_SMALL = 10_000_000
"""Values below which one thread is faster."""


@dataclass(frozen=True)
class Clusters:
    """Genes divided by k-means on their vectors.

    Attributes:
        center_ck: centers (c, k), the largest cluster first.
        cluster_n: cluster of each gene (n,), int64.
    """

    center_ck: np.ndarray
    cluster_n: np.ndarray


@dataclass(frozen=True)
class Generated:
    """New curves.

    Attributes:
        time_q: times (q,), in units of the data.
        y_mq: scaled values (m, q): in units of a gene's own spread with zscore, as the view scales.
        z_mk: their vectors (m, k).
        cluster_m: cluster whose center each was drawn around (m,), -1 for none.
        center_m: whether it is the curve of the center itself (m,), bool.
    """

    time_q: np.ndarray
    y_mq: np.ndarray
    z_mk: np.ndarray
    cluster_m: np.ndarray
    center_m: np.ndarray


def default_clusters(labels_n: np.ndarray | None, z_nk: np.ndarray) -> int:
    """Return as many clusters as genes have classes; without any, as many as in the paper's simulation.

    Where a latent has collapsed there are no more than it has distinct vectors.
    """
    return min(n_classes(labels_n) or _CLUSTERS, len(np.unique(z_nk, axis=0)))


def divide(z_nk: np.ndarray, clusters: int, seed: int = 0) -> Clusters:
    """Divide genes into clusters by k-means on their vectors, the best of 20 starts.

    Raises:
        DataError: when there are fewer distinct vectors than clusters.
    """
    distinct = len(np.unique(z_nk, axis=0))
    if clusters > distinct:
        raise DataError.one("E476", "clusters", f"{clusters} clusters of {distinct} distinct genes", "ask for fewer")
    with threadpool_limits(1 if z_nk.size < _SMALL else None):
        found = KMeans(clusters, n_init=_STARTS, random_state=seed).fit(z_nk.astype(np.float64))
    order = np.argsort(-np.bincount(found.labels_, minlength=clusters), kind="stable")
    return Clusters(found.cluster_centers_[order].astype(np.float32), np.argsort(order)[found.labels_])


@torch.no_grad()
def decoded(
    model: RVAgene,
    view: SeriesView,
    z_nk: np.ndarray,
    times: Sequence[float] | None = None,
    batch: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return times (q,) and the scaled curves (n, q) of vectors at these times; at those of the training by default.

    Of a model that is given batches the curves are those of one of them, by default of the batch of most times; the
    times of the training are then told once each.

    Raises:
        DataError: naming times beyond those of the training, of which the model knows nothing, or a batch that is none.
    """
    code = _code(view, batch)
    own_q = np.unique(view.time_t) if view.timeline.batches else view.time_t
    time_q = np.asarray(own_q if times is None else times, dtype=np.float64)
    unit_q = view.timeline.unit(time_q)
    beyond = time_q[(unit_q < -1e-9) | (unit_q > 1 + 1e-9) | ~np.isfinite(unit_q)]
    if len(beyond):
        low, high = view.time_t[[0, -1]]
        what = f"the model knows times from {low:g} to {high:g}, not {', '.join(f'{t:g}' for t in beyond[:3])}"
        raise DataError.one("E477", "times", what)
    device = next(model.parameters()).device
    z, unit = (torch.from_numpy(np.ascontiguousarray(values)).to(device) for values in (z_nk, unit_q))
    parts = [model.eval().curves(part.float(), unit, code).cpu() for part in z.split(512)]
    return time_q, torch.cat(parts).numpy()


def generate(
    model: RVAgene,
    view: SeriesView,
    center_ck: np.ndarray,
    n: int,
    *,
    sd: float = SD,
    names_c: Sequence[int] | None = None,
    times: Sequence[float] | None = None,
    batch: str | None = None,
    seed: int = 0,
) -> Generated:
    """Return, for each center, its own curve and n curves of vectors drawn from N(center, sd^2 I).

    Args:
        center_ck: centers (c, k): those of clusters, or any points of the latent space.
        names_c: what to call the clusters (c,); -1 for a point that is the center of none. 0, 1, ... by default.
        times, batch: as of `decoded`.
    """
    rng = np.random.default_rng(seed)
    names_c = np.arange(len(center_ck)) if names_c is None else np.asarray(names_c)
    z_ck, is_center, cluster = [], [], []
    for name, center_k in zip(names_c, center_ck, strict=True):
        drawn_nk = center_k + sd * rng.normal(size=(n, len(center_k)))
        z_ck.append(np.concatenate([center_k[None], drawn_nk]))
        is_center += [True] + [False] * n
        cluster += [name] * (n + 1)
    z_mk = np.concatenate(z_ck).astype(np.float32)
    time_q, y_mq = decoded(model, view, z_mk, times, batch)
    return Generated(time_q, y_mq, z_mk, np.array(cluster, dtype=np.int64), np.array(is_center))


def _code(view: SeriesView, batch: str | None) -> int | None:
    """Return the index of a batch that the model is given."""
    known = view.timeline.batches
    if batch is None:
        return None
    if batch not in known:
        what = f"the model is given no batch '{batch}'"
        fix = did_you_mean(batch, known) if known else "leave it out: only data.view.batch: given has curves by batch"
        raise DataError.one("E478", "batch", what, fix)
    return known.index(batch)
