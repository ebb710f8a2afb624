"""Outputs: what a model adds to an AnnData besides vectors, by the kind of its view."""

from __future__ import annotations

import numpy as np
from anndata import AnnData

from gxsearch.data.counts import CountsView
from gxsearch.data.graph import GraphView
from gxsearch.data.table import Table
from gxsearch.data.tokens import TokensView
from gxsearch.results import classes, counts, tokens
from gxsearch.results.package import Package


def add(adata: AnnData, found: Package, table: Table, seen: np.ndarray | None = None) -> None:
    """Add what the model tells of the rows and genes of a table; `seen` are the rows that means are taken over."""
    if isinstance(found.view, CountsView):
        counts.add(adata, found, table)
    elif isinstance(found.view, TokensView):
        tokens.add(adata, found, table, seen)
    elif isinstance(found.view, GraphView):
        classes.add(adata, found, table, found.view.names)
