"""Projection: vectors in the plane; as they are where they have two dimensions, else by UMAP, computed once."""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass

import numpy as np

from gxsearch.results.run_dir import RunDir, write_atomic

LEAST = 5
"""Rows below which UMAP has no neighborhoods to work with."""
NEIGHBORS = 15
SEED = 0


@dataclass(frozen=True)
class Plane:
    """Points (n, 2), and the names of both axes."""

    points: np.ndarray
    axes: tuple[str, str]


def plane(run: RunDir, vectors: np.ndarray, name: str) -> Plane:
    """Return the vectors (n, k) in the plane; a UMAP is kept in results/umap.npy and made anew for other vectors."""
    if vectors.shape[1] == 1:
        return Plane(np.column_stack([vectors, _spread(len(vectors))]), (f"{name} 1", "spread, no meaning"))
    if vectors.shape[1] == 2:
        return Plane(vectors, (f"{name} 1", f"{name} 2"))
    if len(vectors) < LEAST or not np.isfinite(vectors).all():
        return Plane(vectors[:, :2], (f"{name} 1", f"{name} 2"))
    return Plane(_kept(run, vectors), ("UMAP 1", "UMAP 2"))


def umap(vectors: np.ndarray) -> np.ndarray:
    """Return a UMAP (n, 2) of vectors (n, k), the same on every call (McInnes et al. 2018)."""
    from umap import UMAP

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="n_jobs value")  # a fixed seed means one thread, which is meant
        reducer = UMAP(n_neighbors=min(NEIGHBORS, len(vectors) - 1), random_state=SEED, init="pca", n_jobs=1)
        return reducer.fit_transform(vectors).astype(np.float32)


def _kept(run: RunDir, vectors: np.ndarray) -> np.ndarray:
    """Return the UMAP on disk if it is of these vectors; the last row of the file holds their fingerprint."""
    mark = _fingerprint(vectors)
    kept = _read(run)
    if kept is not None and kept.shape == (len(vectors) + 1, 2) and np.array_equal(kept[-1], mark):
        return kept[:-1]
    points = umap(vectors)
    buffer = io.BytesIO()
    np.save(buffer, np.vstack([points, mark]), allow_pickle=False)
    write_atomic(run.projection, buffer.getvalue())
    return points


def _read(run: RunDir) -> np.ndarray | None:
    try:
        return np.load(io.BytesIO(run.projection.read_bytes()), allow_pickle=False)
    except (FileNotFoundError, ValueError, EOFError):  # none yet, or damaged: it is made again from the vectors
        return None


def _fingerprint(vectors: np.ndarray) -> np.ndarray:
    """Return two numbers that float32 holds exactly, made of the sha256 of the vectors."""
    digest = hashlib.sha256(np.ascontiguousarray(vectors)).digest()
    return np.array([int.from_bytes(digest[i : i + 3], "big") for i in (0, 3)], dtype=np.float32)


def _spread(n: int) -> np.ndarray:
    return np.random.default_rng(SEED).uniform(-1, 1, n).astype(np.float32)
