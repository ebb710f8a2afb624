"""The map of a two-dimensional embedding: profiles decoded on a grid, and how much they are like each class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gxsearch.data.table import Table
from gxsearch.data.view import View, align
from gxsearch.errors import DataError
from gxsearch.models.base import GeneModel
from gxsearch.training.embedding import reconstruct


@dataclass(frozen=True)
class Grid:
    """What the map shows; drawn by `results.grid.draw`.

    Attributes:
        x, y: coordinates of the columns and rows of nodes (nodes,).
        classes: names of the classes (c,), ascending.
        pearson: correlation over genes of a node's decoded profile with a class's mean profile (c, y, x).
        z, labels: vectors (n, 2) and classes (n,) of the rows.
        profiles: decoded values of the nodes (y * x, g), in units of the table; x runs fastest.
    """

    x: np.ndarray
    y: np.ndarray
    classes: np.ndarray
    pearson: np.ndarray
    z: np.ndarray
    labels: np.ndarray
    profiles: np.ndarray


def grid(
    model: GeneModel, view: View, table: Table, z_nk: np.ndarray, labels_n: np.ndarray, *, nodes: int = 50
) -> Grid:
    """Decode a square grid of vectors and correlate the profiles with the mean profile of every class.

    The limits are those of the vectors: a fixed square would be wrong, for the scale follows the penalty. (Trofimov
    et al. 2020, figure 4, with a mesh of 50 x 50; the classes' correlations after the thesis of Leonard Sauve.)

    Raises:
        DataError: when the vectors are not two-dimensional, or the table lacks genes of the model.
    """
    if z_nk.shape[1] != 2:
        raise DataError.one("E434", "grid", f"a map needs vectors of length 2, got {z_nk.shape[1]}", "sample_dim: 2")
    x, y = (np.linspace(*limits, nodes, dtype=np.float32) for limits in zip(z_nk.min(0), z_nk.max(0), strict=True))
    xx, yy = np.meshgrid(x, y)
    decoded_pg = reconstruct(model, np.stack([xx.ravel(), yy.ravel()], axis=1))
    classes, means_cg = _class_means(view, table, labels_n)
    pearson_pc = _standard(decoded_pg) @ _standard(means_cg).T
    return Grid(x, y, classes, pearson_pc.T.reshape(len(classes), nodes, nodes), z_nk, labels_n, decoded_pg)


def _class_means(view: View, table: Table, labels_n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    table = table.dense()
    x_ng = align(table.x_ng, table.var_names, view.genes, table.facts.get("source", "table"))
    classes = np.unique(labels_n)
    return classes, np.stack([x_ng[labels_n == name].mean(0) for name in classes])


def _standard(x_ng: np.ndarray) -> np.ndarray:
    """Center rows and scale them to length 1; a constant row becomes 0, which correlates with nothing."""
    centered_ng = x_ng - x_ng.mean(1, keepdims=True)
    length_n = np.linalg.norm(centered_ng, axis=1, keepdims=True)
    return centered_ng / np.where(length_n > 0, length_n, 1.0)
