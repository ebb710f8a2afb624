"""E(n)-equivariant message passing: features that do not change when the points are turned, mirrored or moved.

    m_ij = MLP(h_i, h_j, |x_i - x_j|^2, rbf)       g_ij = sigmoid(w . m_ij)
    h_i <- h_i + MLP(LN(h_i), sum_j g_ij m_ij)     x_i <- x_i + mean_j (x_i - x_j) / (|x_i - x_j| + 1) u(m_ij)

Satorras, Hoogeboom, Welling 2021, equations 3 to 6 and 8, with normalization and residuals. The distance enters as
log(1 + |x_i - x_j|^2), so that a neighbor across a gap does not drown all others.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_FAR = 3.0
"""Distance of the last Gaussian, in units of the nearest neighbor's."""


class EquivariantLayer(nn.Module):
    """One round of messages along directed edges; `moves` lets it move the points too."""

    def __init__(self, dim: int, *, n_rbf: int, dropout: float, moves: bool):
        super().__init__()
        self.receiver, self.sender = nn.Linear(dim, dim), nn.Linear(dim, dim, bias=False)
        self.apart = nn.Linear(1 + n_rbf, dim, bias=False)
        self.message = nn.Sequential(nn.SiLU(), nn.Linear(dim, dim), nn.SiLU())
        self.gate = nn.Linear(dim, 1)
        self.norm = nn.LayerNorm(dim)
        self.update = nn.Sequential(nn.Linear(2 * dim, dim), nn.SiLU(), nn.Dropout(dropout), nn.Linear(dim, dim))
        self.move = nn.Linear(dim, 1, bias=False) if moves else None
        if self.move is not None:
            nn.init.normal_(self.move.weight, std=1e-3)  # points begin where they are
        self.register_buffer("center_f", torch.linspace(0, _FAR, n_rbf), persistent=False)

    def forward(self, h_ph: Tensor, at_pd: Tensor, edge_2e: Tensor) -> tuple[Tensor, Tensor]:
        """Return the points' features (p, h) and places (p, d) after one round; edges are senders, receivers (2, e)."""
        sender, receiver = edge_2e
        apart_ed = at_pd[receiver] - at_pd[sender]
        square_e1 = apart_ed.square().sum(1, keepdim=True)
        m_eh = self.receiver(h_ph)[receiver] + self.sender(h_ph)[sender] + self.apart(self._distances(square_e1))
        m_eh = self.message(m_eh)
        sum_ph = torch.zeros_like(h_ph).index_add_(0, receiver, torch.sigmoid(self.gate(m_eh)) * m_eh)
        if self.move is not None:
            step_ed = apart_ed / ((square_e1 + 1e-12).sqrt() + 1) * self.move(m_eh)
            degree_p1 = torch.zeros_like(at_pd[:, :1]).index_add_(0, receiver, torch.ones_like(square_e1))
            at_pd = at_pd + torch.zeros_like(at_pd).index_add_(0, receiver, step_ed) / degree_p1.clamp(min=1)
        return h_ph + self.update(torch.cat([self.norm(h_ph), sum_ph], 1)), at_pd

    def _distances(self, square_e1: Tensor) -> Tensor:
        """Return the log of the squared distance and Gaussians of the distance (e, 1 + rbf)."""
        if not len(self.center_f):
            return torch.log1p(square_e1)
        width = _FAR / max(len(self.center_f) - 1, 1)
        near = torch.exp(-0.5 * (((square_e1 + 1e-12).sqrt() - self.center_f) / width).square())
        return torch.cat([torch.log1p(square_e1), near], 1)


class EGNN(nn.Module):
    """Rounds of messages; the last one moves no points, for nothing would look at where they are."""

    def __init__(self, dim: int, depth: int, *, n_rbf: int, dropout: float, moves: bool):
        super().__init__()
        self.layers = nn.ModuleList(
            EquivariantLayer(dim, n_rbf=n_rbf, dropout=dropout, moves=moves and i < depth - 1) for i in range(depth)
        )

    def forward(self, h_ph: Tensor, at_pd: Tensor, edge_2e: Tensor) -> Tensor:
        """Return features (p, h) of points at places (p, d), unchanged by any rotation, reflection or shift."""
        for layer in self.layers:
            h_ph, at_pd = layer(h_ph, at_pd, edge_2e)
        return h_ph
