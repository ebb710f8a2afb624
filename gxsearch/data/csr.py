"""Rows of a sparse matrix on a device: cut out and made dense a batch at a time, without a DataLoader."""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from gxsearch.data.tensors import borrow

SPARSE_BELOW = 0.5
"""Share of values other than zero below which it pays, on a CPU, to work out terms for these values alone."""
_SHARE = 0.25
"""Share of a GPU's free memory that the whole matrix may take when dense."""


class SparseRows:
    """A matrix (n, g) on a device, dense where a GPU has room for it, else CSR.

    Attributes:
        tells: whether rows come with the places of their values other than zero.
    """

    def __init__(self, x_ng: sparse.csr_matrix, device: torch.device):
        self._g, self._device = x_ng.shape[1], device
        density = x_ng.nnz / max(1, x_ng.shape[0] * x_ng.shape[1])
        self.tells = device.type == "cpu" and density < SPARSE_BELOW
        self._dense = torch.from_numpy(x_ng.toarray()).to(device) if _fits_dense(x_ng, device) else None
        if self._dense is None:
            start = x_ng.indptr.astype(np.int64)
            self._start, self._length = (borrow(v).to(device) for v in (start[:-1], np.diff(start)))
            self._column, self._value = (borrow(v).to(device) for v in (x_ng.indices, x_ng.data))

    def __call__(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return rows (n', g), new and dense, and row and gene of their values other than zero (2, m)."""
        if self._dense is not None:
            return self._dense.index_select(0, rows), None
        length = self._length.index_select(0, rows)
        end = length.cumsum(0)
        first = self._start.index_select(0, rows) - (end - length)  # of each row, less what comes before it
        total = int(end[-1]) if len(rows) else 0
        place = torch.arange(total, device=self._device)
        place += first.repeat_interleave(length, output_size=total)
        row = torch.arange(len(rows), device=self._device).repeat_interleave(length, output_size=total)
        nonzero = torch.stack([row, self._column.index_select(0, place)])
        x = self._value.new_zeros(len(rows), self._g)
        x.view(-1).index_copy_(0, row * self._g + nonzero[1], self._value.index_select(0, place))
        return x, nonzero if self.tells else None


def _fits_dense(x_ng: sparse.csr_matrix, device: torch.device) -> bool:
    if device.type != "cuda":
        return False
    return x_ng.shape[0] * x_ng.shape[1] * 4 < _SHARE * torch.cuda.mem_get_info(device)[0]
