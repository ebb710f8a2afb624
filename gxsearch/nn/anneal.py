"""Annealing of a loss's weight: pure functions of the share of training done."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Anneal = Literal["none", "linear", "cosine", "exponential", "cyclic", "fu", "capacity"]
Ramp = Literal["linear", "cosine", "exponential"]
CYCLIC = ("cyclic", "fu")
FLOOR = 0.01


@dataclass(frozen=True)
class Annealing:
    """When a weight grows from 0 to 1, as a factor of its final value.

    Attributes:
        kind: none (1 throughout); linear, cosine or exponential (one rise); cyclic (rises that start anew, each
            `decay` times as high, never below 0.01: the GTEx VAE's train_vae.py); fu (rises over half a cycle, then
            1: Fu et al., Cyclical annealing schedule, 2019); capacity (the weight is 1, the goal rises linearly:
            Burgess et al., Understanding disentangling in beta-VAE, 2018).
        ramp: form of the rises of `cyclic`.
        share: share of the training that one rise takes (linear, cosine, exponential, capacity).
        cycles: cycles in the whole training.
        decay: height of a cycle against that of the one before (cyclic).
    """

    kind: Anneal
    ramp: Ramp = "cosine"
    share: float = 0.25
    cycles: int = 4
    decay: float = 0.7

    def factor(self, progress: float) -> float:
        """Return the factor at `progress` in [0, 1]; at the end of the training it is 1."""
        if progress >= 1.0 or self.kind in ("none", "capacity"):
            return 1.0
        if self.kind not in CYCLIC:
            return rise(self.kind, progress / self.share)
        # A cycle boundary that floating point puts a hair too early would be the last step of the cycle before.
        cycle, place = divmod(progress * self.cycles + 1e-9, 1.0)
        if self.kind == "fu":
            return min(1.0, 2.0 * place)
        return max(rise(self.ramp, place) * self.decay**cycle, FLOOR)

    def capacity(self, progress: float, highest: float) -> float:
        """Return the goal of the KL in nats: from 0 to `highest` over `share` of the training, then constant."""
        return highest * min(1.0, progress / self.share)

    @property
    def warmup(self) -> float:
        """Share of the training before which losses are not yet those of the end: one rise, or one cycle."""
        if self.kind == "none":
            return 0.0
        return 1.0 / self.cycles if self.kind in CYCLIC else self.share

    @property
    def cycle(self) -> float:
        """Length of a cycle as a share of the training; 0 without cycles."""
        return 1.0 / self.cycles if self.kind in CYCLIC else 0.0


def rise(ramp: Ramp, place: float) -> float:
    """Return a ramp's height in [0, 1] at `place`; 1 beyond its end."""
    if place >= 1.0:
        return 1.0
    if ramp == "linear":
        return place
    if ramp == "cosine":
        return 0.5 * (1.0 - math.cos(math.pi * place))
    return math.expm1(place) / math.expm1(1.0)


def weight_of_beta(beta: float, latent_dim: int, n_genes: int) -> float:
    """Return the source's weight w of a KL averaged over latent dimensions, beside a mean squared error.

    With a Gaussian of unit variance the ELBO is (D/2) (mse + w KL_mean) up to a constant with w = 2 beta L / D, so a
    weight that is kept while the latent grows is a beta that shrinks.
    """
    return 2.0 * beta * latent_dim / n_genes


def beta_of_weight(weight: float, latent_dim: int, n_genes: int) -> float:
    """Return the beta that the source's weight w stands for: w D / (2 L)."""
    return weight * n_genes / (2.0 * latent_dim)
