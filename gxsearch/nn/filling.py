"""Drawing the tokens of whole rows from a masked model, some at a time (Chang et al. 2022, MaskGIT)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Order = Literal["random", "confident"]
Predict = Callable[[Tensor, Tensor], Tensor]
"""From bins as they are read (n, g) and which are asked for (n, g), the chances of those (m, b), row by row."""


@dataclass(frozen=True)
class Filling:
    """How tokens are drawn.

    Attributes:
        steps: rounds.
        temperature: chances are taken to the power of 1 / temperature; 1 leaves them as they are.
        order: which of the drawn tokens are kept.
        generator: of the CPU, whose numbers are the same for any device.
    """

    steps: int
    temperature: float
    order: Order
    generator: torch.Generator


def fill(predict: Predict, bin_ng: Tensor, hidden: int, how: Filling) -> Tensor:
    """Draw the bins that are `hidden` in `bin_ng` (n, g), round by round; return all bins.

    After round k of K a share cos(pi k / 2 K) is still hidden. Of what a round draws, `random` keeps any, so that a
    row is a draw from the model taken gene by gene; `confident` keeps the likeliest, a noise that falls to zero added.
    """
    bin_ng = bin_ng.clone()
    asked_n = (bin_ng == hidden).sum(1)
    for k in range(1, how.steps + 1):
        asked_ng = bin_ng == hidden
        chance_mb = predict(bin_ng, asked_ng)
        drawn_m, chance_m = _draw(chance_mb, how)
        score_ng = torch.full(bin_ng.shape, -math.inf, device=bin_ng.device)
        noise_m = _uniform(len(drawn_m), how, bin_ng.device)
        if how.order == "confident":
            gumbel_m = -torch.log(-torch.log(noise_m.clamp(1e-9, 1 - 1e-7)))
            noise_m = chance_m.clamp_min(1e-30).log() + (1 - k / how.steps) * gumbel_m
        score_ng[asked_ng] = noise_m
        left_n = (asked_n * math.cos(math.pi * k / (2 * how.steps)) + 1e-6).long()
        kept_ng = asked_ng & (score_ng.argsort(1, descending=True).argsort(1) < (asked_ng.sum(1) - left_n).unsqueeze(1))
        proposal_ng = bin_ng.clone()
        proposal_ng[asked_ng] = drawn_m
        bin_ng = torch.where(kept_ng, proposal_ng, bin_ng)
    return bin_ng


def _draw(chance_mb: Tensor, how: Filling) -> tuple[Tensor, Tensor]:
    """Draw bins (m,); return them and their chances (m,)."""
    sharp_mb = chance_mb.clamp_min(1e-30).log().div(how.temperature).softmax(1)
    below_mb = sharp_mb.cumsum(1)[:, :-1] < _uniform(len(sharp_mb), how, sharp_mb.device).unsqueeze(1)
    drawn_m = below_mb.sum(1)
    return drawn_m, sharp_mb.gather(1, drawn_m.unsqueeze(1)).squeeze(1)


def _uniform(size: int, how: Filling, device: torch.device) -> Tensor:
    return torch.rand(size, generator=how.generator).to(device)
