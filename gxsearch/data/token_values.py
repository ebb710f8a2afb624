"""The values of a table in the order of a tokenizer's genes, read a block of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse

from gxsearch.data.table import Table
from gxsearch.data.values import row_blocks
from gxsearch.data.view import align


class TokenValues:
    """Values (n, g) of a table, columns in the order of `genes`; the table may lie on disk.

    Raises:
        DataError: naming the genes that the table lacks.
    """

    def __init__(self, table: Table, genes: np.ndarray):
        self.matrix = table.x_ng if sparse.issparse(table.x_ng) else sparse.csr_matrix(table.x_ng)
        self.var_names, self._n_genes = table.var_names, len(genes)
        have = np.arange(table.n_vars)[None]
        from_g = align(have, table.var_names, genes, table.facts.get("source", "table"))[0]
        self._place = np.full(table.n_vars, -1, dtype=np.int32)
        self._place[from_g] = np.arange(len(genes), dtype=np.int32)
        self._same = np.array_equal(from_g, have[0])

    def __call__(self) -> sparse.csr_matrix:
        """Return all values (n, g), indices ascending."""
        return self._ordered(self.matrix)

    def __len__(self) -> int:
        """Return the number of genes."""
        return self._n_genes

    def blocks(self, wanted_n: np.ndarray | None = None) -> Iterator[sparse.csr_matrix]:
        """Yield the values block by block, of those rows only that are wanted (n,), bool."""
        for start, block in row_blocks(self.matrix):
            if wanted_n is None:
                yield self._ordered(block)
            elif len(rows := np.flatnonzero(wanted_n[start : start + block.shape[0]])):
                yield self._ordered(block[rows])

    def _ordered(self, block: sparse.csr_matrix) -> sparse.csr_matrix:
        if self._same:
            return block if block.has_sorted_indices else block.sorted_indices()
        place_m = self._place[block.indices]
        kept_m = place_m >= 0
        value_m, start_n = block.data, block.indptr
        if not kept_m.all():
            before = np.append(0, np.cumsum(kept_m))
            value_m, place_m, start_n = value_m[kept_m], place_m[kept_m], before[block.indptr]
        ordered = sparse.csr_matrix((value_m, place_m, start_n), shape=(block.shape[0], self._n_genes), copy=True)
        ordered.sort_indices()
        return ordered
