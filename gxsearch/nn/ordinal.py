"""Losses of tokens whose bins are ordered: cross-entropy with what lies near counted as nearly right."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

BinLoss = Literal["ce", "gauss"]


def wanted(n_bins: int, loss: BinLoss, sigma: float, smoothing: float) -> Tensor:
    """Return the distribution over bins (n_bins, n_bins) that a token of each bin y should be given.

    ce: one at y. gauss: q_k = exp(-(k - y)^2 / (2 sigma^2)) / sum over k of the same, which for sigma towards 0 is
    ce. Of either a share `smoothing` is spread over all bins alike (Szegedy et al. 2016).
    """
    k = torch.arange(n_bins, dtype=torch.float64)
    q_yk = torch.eye(n_bins, dtype=torch.float64)
    if loss == "gauss":
        q_yk = torch.softmax(-(k - k.unsqueeze(1)).square() / (2.0 * sigma**2), 1)
    return ((1.0 - smoothing) * q_yk + smoothing / n_bins).float()


def bin_nll(logits: Tensor, bins_m: Tensor, wanted_yk: Tensor | None = None) -> Tensor:
    """Return the cross-entropy of each token (m,), in nats.

    Args:
        logits: (m, n_bins), or (m, 1) where there are two bins: the logit of the second (Bernoulli).
        bins_m: the tokens' bins, int64.
        wanted_yk: what `wanted` gave; None for the bins themselves.
    """
    logits = logits.float()
    if logits.shape[1] == 1:
        y_m = bins_m.float() if wanted_yk is None else wanted_yk[bins_m, 1]
        return F.binary_cross_entropy_with_logits(logits.squeeze(1), y_m, reduction="none")
    return F.cross_entropy(logits, bins_m if wanted_yk is None else wanted_yk[bins_m], reduction="none")


def chances(logits: Tensor) -> Tensor:
    """Return the probability of each bin (..., n_bins), of logits as `bin_nll` takes them."""
    logits = logits.float()
    if logits.shape[-1] == 1:
        return torch.cat([torch.sigmoid(-logits), torch.sigmoid(logits)], -1)
    return logits.softmax(-1)
