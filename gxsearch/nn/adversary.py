"""Adversary: a head that finds nuisance covariates in a code, so that an encoder can learn to hide them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gxsearch.nn.mlp import linear

_WIDTH = 64


class _Reverse(torch.autograd.Function):
    """The identity, whose gradient is turned around (Ganin and Lempitsky 2015)."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, h: Tensor) -> Tensor:
        return h.view_as(h)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        return -gradient


class Adversary(nn.Module):
    """One hidden layer; what it learns to find, its input learns to hide."""

    def __init__(self, n_in: int, categories: Sequence[int]):
        super().__init__()
        self._sizes = list(categories)
        self.net = nn.Sequential(linear(n_in, _WIDTH), nn.SiLU(), linear(_WIDTH, sum(categories)))

    def forward(self, z_nk: Tensor, covariate: Tensor) -> Tensor:
        """Return the cross-entropy, a mean over covariates (n, covariates), summed over rows; -1 counts nothing."""
        logits = self.net(_Reverse.apply(z_nk)).split(self._sizes, 1)
        pairs = zip(logits, covariate.unbind(1), strict=True)
        losses = [F.cross_entropy(found, true, ignore_index=-1, reduction="sum") for found, true in pairs]
        return sum(losses) / len(losses)
