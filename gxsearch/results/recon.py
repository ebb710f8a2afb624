"""Recon: the values that a model gives for vectors, as an AnnData holds them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from anndata import AnnData

from gxsearch.data.counts import CountsView
from gxsearch.data.series import SeriesView
from gxsearch.data.table import Table
from gxsearch.results import counts as count_outputs
from gxsearch.results.package import Package
from gxsearch.results.placed import placed
from gxsearch.training.curves import decoded
from gxsearch.training.embedding import reconstruct


def values(adata: AnnData, found: Package, table: Table, vectors: np.ndarray, as_batch: Sequence[str]) -> np.ndarray:
    """Return a model's values (n, g), of the vectors (n, k) of a table's rows, for the rows and genes of an AnnData.

    NaN for genes that the model lacks. `as_batch`: of counts, the batches that they are under.
    """
    if isinstance(found.view, CountsView):
        return count_outputs.recon(adata, found, vectors, as_batch)
    series = isinstance(found.view, SeriesView)
    return _recon_series(found, table, vectors) if series else _recon(adata, found, vectors)


def _recon_series(found: Package, table: Table, vectors: np.ndarray) -> np.ndarray:
    """Return the model's values (samples, genes) at the time of each sample, without effects of batches.

    Of a model that is given batches they are those under the batch of most times.
    """
    if found.view.timeline.batches:
        y_nt = decoded(found.model, found.view, vectors, found.view.time_t)[1]
    else:
        y_nt = reconstruct(found.model, vectors)
    values_nt = found.view.curves(table).restored(y_nt)
    return np.ascontiguousarray(values_nt[:, found.view.places(table)].T)


def _recon(adata: AnnData, found: Package, vectors: np.ndarray) -> np.ndarray:
    """Return the model's values as the AnnData is (n, g), from the vectors of the rows."""
    values_gn = reconstruct(found.model, vectors).T
    if found.turned:  # rows are all genes of the AnnData, in its order
        return np.ascontiguousarray(placed(values_gn, found.genes, adata.obs_names))
    return np.ascontiguousarray(placed(values_gn, found.genes, adata.var_names).T)
