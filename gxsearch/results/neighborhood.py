"""Neighborhood: scanpy's own neighbors and UMAP of a model's vectors, under the model's key."""

from __future__ import annotations

import warnings

from anndata import AnnData

from gxsearch.errors import DataError
from gxsearch.results.projection import LEAST, keep_compiled


def add(adata: AnnData, key: str) -> None:
    """Add what scanpy writes: obsp["fe_distances"], obsp["fe_connectivities"], uns["fe"] and obsm["X_fe_umap"].

    The same on every call. ``sc.pl.embedding(adata, "fe_umap")`` draws it; ``neighbors_key="fe"`` is for what else
    scanpy makes of neighbors.

    Raises:
        DataError: E451 when there are too few rows.
    """
    if adata.n_obs < LEAST:
        raise DataError.one("E451", "--umap", f"{adata.n_obs} rows are too few for a UMAP", "leave it out")
    import scanpy as sc  # seconds that only a map takes

    keep_compiled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of umap, that a fixed seed means one thread
        sc.pp.neighbors(adata, use_rep=f"X_{key}", key_added=key, random_state=0)
        sc.tl.umap(adata, neighbors_key=key, key_added=f"X_{key}_umap", random_state=0)
