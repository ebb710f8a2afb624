"""First: the vectors of the search that came first in a run of two, joined to the rows of the second."""

from __future__ import annotations

import dataclasses

import numpy as np

from gxsearch.data import h5ad
from gxsearch.data.graph import FIRST
from gxsearch.data.table import Table
from gxsearch.errors import RunError
from gxsearch.results.run_dir import RunDir


def joined(run: RunDir, table: Table) -> Table:
    """Return a run's table with the vectors of its first search, if it has one, as ``obsm["first"]``.

    Raises:
        RunError: when the first search has no embeddings, or lacks rows of the table.
    """
    spec = run.facts()["spec"]
    if spec.get("first") is None:
        return table
    first = RunDir(run.first)
    if not first.embeddings.is_file():
        what = "the search that comes first has not ended"
        raise RunError.one("E608", str(run.first), what, f"go on with: gxsearch resume {run.path}")
    adata = h5ad.read(first.embeddings, str(first.embeddings))
    place_n = adata.obs_names.get_indexer(table.obs_names)
    if (place_n < 0).any():
        what = f"{int((place_n < 0).sum())} rows of the data have no vector"
        raise RunError.one("E608", str(first.embeddings), what, "begin a new search")
    vectors_nk = np.asarray(adata.obsm[f"X_{first.facts()['spec']['model']}"], dtype=np.float32)[place_n]
    return dataclasses.replace(table, obsm={**table.obsm, FIRST: vectors_nk})
