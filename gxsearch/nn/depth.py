"""Depth: counts of rows of different totals, brought to one total and to a log scale."""

from __future__ import annotations

import torch
from torch import Tensor


def log_depth(x_ng: Tensor, scale_n: Tensor, nonzero: Tensor | None = None, *, dropout: float = 0.0) -> Tensor:
    """Return log(1 + x scale) of counts (n, g), a share of which is dropped, as F.dropout does.

    Args:
        scale_n: what each row is multiplied by: the total that all are brought to, over its own.
        nonzero: row and gene of each count other than zero (2, m), where it pays to know them: zeros need no draw.
    """
    if nonzero is None:
        return _dropped(torch.log1p(x_ng * scale_n.unsqueeze(1)), dropout)
    place = nonzero[0] * x_ng.shape[1] + nonzero[1]
    value = torch.log1p(x_ng.view(-1).index_select(0, place) * scale_n.index_select(0, nonzero[0]))
    h_ng = torch.zeros_like(x_ng)
    h_ng.view(-1).index_copy_(0, place, _dropped(value, dropout))
    return h_ng


def _dropped(values: Tensor, share: float) -> Tensor:
    """Return what F.dropout does, in less than half its time on a CPU."""
    return values * (torch.rand_like(values) >= share) / (1 - share) if share else values
