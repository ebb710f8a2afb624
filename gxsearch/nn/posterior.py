"""Gaussian posteriors of a latent code: diagonal, full and low-rank covariance, with their KL in closed form.

    diag      S = diag(s^2)
    full      S = L L^T, L lower triangular with s on its diagonal and values of either sign below it
    lowrank   S = diag(s^2) + U U^T, U (k, r)
    KL(N(mu, S) || N(0, 1)) = 1/2 (trace S + |mu|^2 - k - log det S)

For lowrank, log det S = sum_k log s_k^2 + log det(1 + U^T diag(s^-2) U), the matrix determinant lemma.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gxsearch.nn.mlp import linear

Covariance = Literal["diag", "full", "lowrank"]

_LEAST = 1e-4
"""Smallest standard deviation; softplus alone may underflow to 0."""


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian per row.

    Attributes:
        mu: means (n, k).
        s: standard deviations (n, k); with `off`, the diagonal of L.
        off: L below its diagonal, zeros elsewhere (n, k, k); None unless the covariance is full.
        factor: U (n, k, r); None unless the covariance is low-rank.
    """

    mu: Tensor
    s: Tensor
    off: Tensor | None = None
    factor: Tensor | None = None

    def draw(self) -> Tensor:
        """Return one code per row (n, k), differentiable."""
        z = self.mu + self.s * (noise := torch.randn_like(self.mu))
        if self.off is not None:
            z = z + (self.off @ noise.unsqueeze(2)).squeeze(2)
        if self.factor is not None:
            z = z + (self.factor @ torch.randn_like(self.factor[:, :1]).transpose(1, 2)).squeeze(2)
        return z

    def kl(self) -> Tensor:
        """Return KL(N(mu, S) || N(0, 1)) of each row (n,), in nats."""
        trace, log_det = self.s.square().sum(1), 2 * self.s.log().sum(1)
        if self.off is not None:
            trace = trace + self.off.square().sum((1, 2))
        if self.factor is not None:
            trace = trace + self.factor.square().sum((1, 2))
            u = self.factor / self.s.unsqueeze(2)
            inner = torch.eye(u.shape[2], device=u.device, dtype=u.dtype) + u.transpose(1, 2) @ u
            log_det = log_det + 2 * torch.linalg.cholesky(inner).diagonal(dim1=1, dim2=2).log().sum(1)
        return 0.5 * (trace + self.mu.square().sum(1) - self.mu.shape[1] - log_det)

    def covariance(self) -> Tensor:
        """Return S (n, k, k)."""
        lower = torch.diag_embed(self.s) + (0 if self.off is None else self.off)
        full = lower @ lower.transpose(1, 2)
        return full if self.factor is None else full + self.factor @ self.factor.transpose(1, 2)


class Posterior(nn.Module):
    """Heads, without norm or dropout, that give a Gaussian; its off-diagonal part begins at zero."""

    def __init__(self, n_in: int, k: int, covariance: Covariance = "diag", rank: int = 4):
        super().__init__()
        self.mu, self.spread = linear(n_in, k), linear(n_in, k)
        sizes = {"diag": 0, "full": k * (k - 1) // 2, "lowrank": k * rank}
        self.off = nn.Linear(n_in, sizes[covariance]) if sizes[covariance] else None
        if self.off is not None:
            nn.init.zeros_(self.off.weight)
            nn.init.zeros_(self.off.bias)
        self._covariance, self._k, self._rank = covariance, k, rank
        # Places of the values below the diagonal, row by row, in the flattened matrix.
        row, column = torch.tril_indices(k, k, -1)
        self.register_buffer("place", row * k + column, persistent=False)

    def forward(self, h: Tensor) -> Gaussian:
        """Return the Gaussians of hidden rows (n, h)."""
        mu, s = self.mu(h), F.softplus(self.spread(h)) + _LEAST
        if self.off is None:
            return Gaussian(mu, s)
        values = self.off(h)
        if self._covariance == "lowrank":
            return Gaussian(mu, s, factor=values.view(len(h), self._k, self._rank))
        off = values.new_zeros(len(h), self._k * self._k).index_copy(1, self.place, values)
        return Gaussian(mu, s, off=off.view(len(h), self._k, self._k))
