"""Contrastive losses of vectors of length one; the larger `temperature`, the softer."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gxsearch.data.batch import Batch
from gxsearch.nn.mlp import linear

Kind = Literal["views", "supcon", "pair"]


class Contrast(nn.Module):
    """A projection head and the loss of what it gives; only training needs them."""

    def __init__(self, kind: Kind, latent_dim: int, proj_dim: int, temperature: float):
        super().__init__()
        self.kind, self.temperature = kind, temperature
        self.head = nn.Sequential(linear(latent_dim, latent_dim), nn.ReLU(), linear(latent_dim, proj_dim))

    def told(self, batch: Batch) -> bool:
        """Say whether a batch tells what is to be contrasted; rows that are only measured may not."""
        needed = {"supcon": batch.label, "pair": batch.group}
        return needed.get(self.kind, batch.x) is not None

    def forward(self, batch: Batch, mu_nk: Tensor, other_nk: Tensor | None = None) -> Tensor:
        """Return the loss of a batch in nats, a scalar; 0 where it has nothing to contrast.

        Args:
            mu_nk: the rows' codes. other_nk: the codes of another view of the rows, for views.
        """
        head_np = self.head(mu_nk)
        if self.kind == "supcon":
            return sup_con(F.normalize(head_np, dim=1), batch.label, self.temperature)
        if self.kind == "pair":
            return self._pairs(batch, head_np)
        if len(mu_nk) < 2:
            return head_np.sum() * 0.0
        return nt_xent(F.normalize(head_np, dim=1), F.normalize(self.head(other_nk), dim=1), self.temperature)

    def _pairs(self, batch: Batch, head_np: Tensor) -> Tensor:
        """Contrast each group's mixtures with the mean of its parts; groups that lack either do not count."""
        n_groups = int(batch.group.max()) + 1
        u, mixtures = group_means(head_np[batch.anchor], batch.group[batch.anchor], n_groups)
        v, parts = group_means(head_np[~batch.anchor], batch.group[~batch.anchor], n_groups)
        whole = (mixtures > 0) & (parts > 0)
        if int(whole.sum()) < 2:
            return head_np.sum() * 0.0
        return info_nce(F.normalize(u[whole], dim=1), F.normalize(v[whole], dim=1), self.temperature)


def info_nce(u_nk: Tensor, v_nk: Tensor, temperature: float) -> Tensor:
    """Return the symmetric loss of n pairs (u_i, v_i): the mean of both directions' cross-entropies, a scalar.

    ln n where nothing is known. (CLIP: Radford et al. 2021; each direction is a softmax of its own.)
    """
    s_nn = u_nk @ v_nk.T / temperature
    own_n = torch.arange(len(s_nn), device=s_nn.device)
    return 0.5 * (F.cross_entropy(s_nn, own_n) + F.cross_entropy(s_nn.T, own_n))


def nt_xent(u_nk: Tensor, v_nk: Tensor, temperature: float) -> Tensor:
    """Return the loss of two views of n rows: each of the 2n vectors has to find its partner among 2n - 1 others.

    ln(2n - 1) where nothing is known. (SimCLR: Chen et al. 2020, equation 1.)
    """
    both = torch.cat([u_nk, v_nk])
    s = (both @ both.T / temperature).fill_diagonal_(-torch.inf)
    partner = torch.arange(len(both), device=both.device).roll(len(u_nk))
    return F.cross_entropy(s, partner)


def sup_con(z_nk: Tensor, label_n: Tensor, temperature: float) -> Tensor:
    """Return the supervised loss: the mean over rows i of -1/|P(i)| sum_{p in P(i)} log softmax_i(p).

    P(i) are the other rows of the same class. Rows without one do not count, nor do those of class -1; 0 where no
    row counts. (Khosla et al. 2020, equation 2.)
    """
    s_nn = (z_nk @ z_nk.T / temperature).fill_diagonal_(-torch.inf)
    known_nn = (label_n >= 0)[:, None] & (label_n >= 0)[None, :]
    s_nn = s_nn.masked_fill(~known_nn, -torch.inf)
    same_nn = (label_n[:, None] == label_n[None, :]) & known_nn
    same_nn = same_nn.fill_diagonal_(False)
    times_n = same_nn.sum(1)
    # Rows without partners are taken out before the softmax: one of -inf alone would be NaN, in the gradient too.
    rows = times_n > 0
    log_p = F.log_softmax(s_nn[rows], dim=1).masked_fill(~same_nn[rows], 0.0)
    return -(log_p.sum(1) / times_n[rows]).mean() if len(log_p) else z_nk.sum() * 0.0


def group_means(z_nk: Tensor, group_n: Tensor, n_groups: int) -> tuple[Tensor, Tensor]:
    """Return the mean vector of each group (n_groups, k), 0 where it has no rows, and its number of rows."""
    sums = z_nk.new_zeros(n_groups, z_nk.shape[1]).index_add(0, group_n, z_nk)
    times = torch.bincount(group_n, minlength=n_groups)
    return sums / times.clamp(min=1)[:, None], times
