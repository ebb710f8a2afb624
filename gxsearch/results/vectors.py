"""Vectors: what a model embedded, as an AnnData holds it: rows in obsm, or genes in varm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData

from gxsearch.results.embed import CONTROL


@dataclass(frozen=True)
class Vectors:
    """The points that a model gives vectors.

    Attributes:
        matrix: vectors (n, k), finite.
        frame: what is known of each point (n rows): a table of rows, or of genes.
        control: principal components of the same points (n, >= 2), if there are any.
        what: what a point is: row or gene.
    """

    matrix: np.ndarray
    frame: pd.DataFrame
    control: np.ndarray | None
    what: str


def vectors_of(adata: AnnData, model: str) -> Vectors | None:
    """Return the vectors of rows or, of a model that gives rows none, those of genes; None without any.

    Points whose vectors are not finite, as of genes that a model lacks, are left out.
    """
    if f"X_{model}" in adata.obsm:
        return _finite(adata.obsm[f"X_{model}"], adata.obs, adata.obsm.get(CONTROL), "row")
    if model in adata.varm:
        return _finite(adata.varm[model], adata.var, adata.varm.get(CONTROL), "gene")
    return None


def gene_vectors(adata: AnnData, model: str) -> Vectors | None:
    """Return the vectors of the genes that a model has; None where it has none."""
    return _finite(adata.varm[model], adata.var, None, "gene") if model in adata.varm else None


def _finite(matrix: np.ndarray, frame: pd.DataFrame, control: np.ndarray | None, what: str) -> Vectors:
    matrix = np.asarray(matrix)
    known = np.isfinite(matrix).all(1)
    return Vectors(matrix[known], frame[known], None if control is None else np.asarray(control)[known], what)
