"""Rows of a sparse matrix on a device: cut out and made dense a batch at a time, without a DataLoader."""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from gxsearch.data.tensors import borrow
from gxsearch.data.values import row_blocks

SPARSE_BELOW = 0.5
"""Share of values other than zero below which it pays, on a CPU, to work out terms for these values alone."""
_SHARE = 0.25
"""Share of a GPU's free memory that the whole matrix may take when dense."""


class SparseRows:
    """A matrix (n, g) on a device, dense where a GPU has room for it, else CSR; where that has no room, in main memory.

    Attributes:
        tells: whether rows come with the places of their values other than zero.
    """

    def __init__(self, x_ng: sparse.csr_matrix, device: torch.device):
        self._g, self._device = x_ng.shape[1], device
        density = x_ng.nnz / max(1, x_ng.shape[0] * x_ng.shape[1])
        self.tells = device.type == "cpu" and density < SPARSE_BELOW
        self._dense = dense_on(x_ng, device) if _has_room(x_ng.shape[0] * x_ng.shape[1] * 4, device) else None
        self._home = device if _has_room(x_ng.data.nbytes + x_ng.indices.nbytes, device) else torch.device("cpu")
        if self._dense is None:
            start = x_ng.indptr.astype(np.int64)
            self._start, self._length = (borrow(v).to(self._home) for v in (start[:-1], np.diff(start)))
            self._column, self._value = (borrow(v).to(self._home) for v in (x_ng.indices, x_ng.data))

    def __call__(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return rows (n', g), new and dense, and row and gene of their values other than zero (2, m)."""
        if self._dense is not None:
            return self._dense.index_select(0, rows), None
        rows = rows.to(self._home)
        length = self._length.index_select(0, rows)
        end = length.cumsum(0)
        first = self._start.index_select(0, rows) - (end - length)  # of each row, less what comes before it
        total = int(end[-1]) if len(rows) else 0
        place = torch.arange(total, device=self._home)
        place += first.repeat_interleave(length, output_size=total)
        row = torch.arange(len(rows), device=self._home).repeat_interleave(length, output_size=total)
        column, value = (values.index_select(0, place).to(self._device) for values in (self._column, self._value))
        nonzero = torch.stack([row.to(self._device), column])
        x = value.new_zeros(len(rows), self._g)
        x.view(-1).index_copy_(0, nonzero[0] * self._g + nonzero[1], value)
        return x, nonzero if self.tells else None


def _has_room(n_bytes: int, device: torch.device) -> bool:
    """Whether there is room for so much on a GPU; false of main memory, where things are as they are."""
    return device.type == "cuda" and n_bytes < _SHARE * torch.cuda.mem_get_info(device)[0]


def dense_on(x_ng: sparse.csr_matrix, device: torch.device) -> Tensor:
    """Return the matrix (n, g) dense on a device, made a block of rows at a time."""
    dense_ng = torch.empty(x_ng.shape, device=device)
    for start, block in row_blocks(x_ng):  # main memory may have no room for the whole
        dense_ng[start : start + block.shape[0]] = torch.from_numpy(block.toarray())
    return dense_ng
