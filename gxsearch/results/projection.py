"""Projection: vectors in the plane: as they are where they have two dimensions, else by PCA, UMAP or t-SNE."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from sklearn.decomposition import PCA

from gxsearch.results.run_dir import RunDir, write_atomic

LEAST = 5
"""Rows below which UMAP and t-SNE have no neighborhoods to work with."""
NEIGHBORS = 15
PERPLEXITY = 30
EXACT = 100_000
"""Rows up to which neighbors are all compared: umap's own search takes 50 seconds to compile, from 4,096 rows on."""
MOST = 2000
"""Rows that t-SNE places: its time grows faster than they do."""
SEED = 0


@dataclass(frozen=True)
class Plane:
    """Points in the plane.

    Attributes:
        points: (m, 2).
        axes: the names of both axes.
        rows: which of the vectors the points are of (m,), ascending.
    """

    points: np.ndarray
    axes: tuple[str, str]
    rows: np.ndarray


def plane(run: RunDir, vectors: np.ndarray, name: str) -> Plane:
    """Return the vectors (n, k) in the plane; a UMAP is kept in results/umap.npy and made anew for other vectors."""
    if not projectable(vectors):
        return drawn_flat(vectors, name)
    return Plane(_kept(run, "umap", vectors, umap), ("UMAP 1", "UMAP 2"), np.arange(len(vectors)))


def drawn_flat(vectors: np.ndarray, name: str) -> Plane:
    """Return the vectors (n, k) in the plane, a UMAP of more than two dimensions; nothing is kept."""
    rows = np.arange(len(vectors))
    if vectors.shape[1] == 1:
        return Plane(np.column_stack([vectors, _spread(len(vectors))]), (f"{name} 1", "spread, no meaning"), rows)
    if not projectable(vectors):
        return Plane(vectors[:, :2], (f"{name} 1", f"{name} 2"), rows)
    return Plane(umap(vectors), ("UMAP 1", "UMAP 2"), rows)


def three_ways(run: RunDir, vectors: np.ndarray, name: str) -> dict[str, Plane]:
    """Return PCA, UMAP and t-SNE of vectors (n, k), by name; none where two dimensions are all, or points too few.

    Each is computed once: t-SNE is kept in results/tsne.npy. It places at most 2,000 rows, always the same ones.
    """
    if not projectable(vectors):
        return {}
    pca = PCA(2, random_state=SEED)
    points = pca.fit_transform(vectors).astype(np.float32)
    axes = tuple(f"PC {i} ({share:.0%} of variance)" for i, share in enumerate(pca.explained_variance_ratio_, 1))
    rows = chosen(len(vectors), MOST)
    tsne_ = Plane(_kept(run, "tsne", vectors[rows], tsne), ("t-SNE 1", "t-SNE 2"), rows)
    return {"PCA": Plane(points, axes, np.arange(len(vectors))), "UMAP": plane(run, vectors, name), "t-SNE": tsne_}


def projectable(vectors: np.ndarray) -> bool:
    """Say whether a projection shows more of the vectors (n, k) than two of their dimensions do."""
    return vectors.shape[1] > 2 and len(vectors) >= LEAST and bool(np.isfinite(vectors).all())


def umap(vectors: np.ndarray) -> np.ndarray:
    """Return a UMAP (n, 2) of vectors (n, k), the same on every call (McInnes et al. 2018)."""
    from sklearn.neighbors import NearestNeighbors
    from umap import UMAP

    keep_compiled()
    k, known = min(NEIGHBORS, len(vectors) - 1), {}
    if len(vectors) <= EXACT:
        far, near = NearestNeighbors(n_neighbors=k).fit(vectors).kneighbors(vectors)
        known = {"precomputed_knn": (near.astype(np.int32), far.astype(np.float32))}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="n_jobs value")  # a fixed seed means one thread, which is meant
        warnings.filterwarnings("ignore", message="precomputed_knn")  # nothing is to be placed on the map afterwards
        reducer = UMAP(n_neighbors=k, random_state=SEED, init="pca", n_jobs=1, **known)
        return reducer.fit_transform(vectors).astype(np.float32)


@cache
def keep_compiled() -> None:
    """Have numba keep what it compiles of umap beside it; else every process compiles for eight seconds anew."""
    from numba.extending import is_jitted
    from umap import layouts, umap_, utils

    jitted = {name: value for part in (layouts, umap_, utils) for name, value in vars(part).items() if is_jitted(value)}
    try:
        for function in jitted.values():
            function.enable_caching()
    except RuntimeError:  # there is no folder to keep it in
        return


def tsne(vectors: np.ndarray) -> np.ndarray:
    """Return a t-SNE (n, 2) of vectors (n, k), the same on every call (van der Maaten and Hinton 2008)."""
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(vectors) - 1) / 3)
    return TSNE(2, init="pca", random_state=SEED, perplexity=perplexity).fit_transform(vectors).astype(np.float32)


def chosen(n: int, most: int) -> np.ndarray:
    """Return all of n rows, or `most` of them, the same ones each time, in their order."""
    return np.arange(n) if n <= most else np.sort(np.random.default_rng(0).choice(n, most, replace=False))


def _kept(run: RunDir, name: str, vectors: np.ndarray, compute: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return the projection on disk if it is of these vectors; the last row of the file holds their fingerprint."""
    mark = _fingerprint(vectors)
    kept = _read(run, name)
    if kept is not None and kept.shape == (len(vectors) + 1, 2) and np.array_equal(kept[-1], mark):
        return kept[:-1]
    points = compute(vectors)
    buffer = io.BytesIO()
    np.save(buffer, np.vstack([points, mark]), allow_pickle=False)
    write_atomic(run.projection(name), buffer.getvalue())
    return points


def _read(run: RunDir, name: str) -> np.ndarray | None:
    try:
        return np.load(io.BytesIO(run.projection(name).read_bytes()), allow_pickle=False)
    except (FileNotFoundError, ValueError, EOFError):  # none yet, or damaged: it is made again from the vectors
        return None


def _fingerprint(vectors: np.ndarray) -> np.ndarray:
    """Return two numbers that float32 holds exactly, made of the sha256 of the vectors."""
    digest = hashlib.sha256(np.ascontiguousarray(vectors)).digest()
    return np.array([int.from_bytes(digest[i : i + 3], "big") for i in (0, 3)], dtype=np.float32)


def _spread(n: int) -> np.ndarray:
    return np.random.default_rng(SEED).uniform(-1, 1, n).astype(np.float32)
