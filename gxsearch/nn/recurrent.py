"""Recurrent layers: LSTM or GRU stacks, their last state, first states from a vector, features of time, and lines."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from gxsearch.nn.mlp import linear

Cell = Literal["lstm", "gru"]

TIME_FEATURES = 8
"""Sines and cosines of half a turn, one, two and four turns over the range of the times."""
_cells: dict[str, type[nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU}


def recurrent(cell: Cell, n_in: int, hidden: int, layers: int, *, bidirectional: bool = False) -> nn.RNNBase:
    """Return a stack that reads (t, n, n_in); time comes first, as the fused kernels want it."""
    return _cells[cell](n_in, hidden, layers, bidirectional=bidirectional)


def last_state(stack: nn.RNNBase, x_tnf: Tensor) -> Tensor:
    """Return the last state of the last layer (n, h), or of both its directions (n, 2 h)."""
    h = stack(x_tnf)[1]
    h_lnh = h[0] if isinstance(h, tuple) else h
    return torch.cat([h_lnh[-2], h_lnh[-1]], dim=1) if stack.bidirectional else h_lnh[-1]


class FirstStates(nn.Module):
    """A linear map per layer from a vector to the layer's first state; an LSTM's first cell state is 0."""

    def __init__(self, n_in: int, stack: nn.RNNBase):
        super().__init__()
        self.layers = nn.ModuleList(linear(n_in, stack.hidden_size) for _ in range(stack.num_layers))
        self._has_cell = isinstance(stack, nn.LSTM)

    def forward(self, z_nk: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return what the stack takes as its first state, (layers, n, h) each."""
        h_lnh = torch.stack([layer(z_nk) for layer in self.layers])
        return (h_lnh, torch.zeros_like(h_lnh)) if self._has_cell else h_lnh


def time_features(time_t: Tensor) -> Tensor:
    """Return sines and cosines (t, 8) of times, which are 0 at the first and 1 at the last of the training."""
    turns = 2.0 ** torch.arange(-1, TIME_FEATURES // 2 - 1, device=time_t.device)
    angle_tf = 2 * math.pi * time_t[:, None] * turns
    return torch.cat([angle_tf.sin(), angle_tf.cos()], dim=1)


def lines(y_nt: Tensor, time_t: Tensor, time_q: Tensor) -> Tensor:
    """Return the values (n, q) of the straight lines through y (n, t) at ascending times; beyond these they stay."""
    if len(time_t) == 1:
        return y_nt.expand(-1, len(time_q))
    right = torch.searchsorted(time_t, time_q.to(time_t.dtype)).clamp(1, len(time_t) - 1)
    gap = time_t[right] - time_t[right - 1]  # 0 between replicates
    share = ((time_q - time_t[right - 1]) / gap.clamp(min=torch.finfo(gap.dtype).tiny)).clamp(0, 1)
    return torch.lerp(y_nt[:, right - 1], y_nt[:, right], share.to(y_nt.dtype))
