"""Vectors of new rows by least squares: each row moved to the most probable vector for what is seen of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_DAMPING = 1e-2
_EASED, _RAISED = 0.2, 4.0
_LEAST_SPREAD = 1e-3
"""Of a direction of the known vectors, relative to the mean, so that one in which none differ can be moved in."""


@dataclass(frozen=True)
class Normal:
    """A normal distribution of vectors: mean (k,) and precision (k, k)."""

    mean_k: Tensor
    precision_kk: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, z_nk: Tensor) -> Normal:
        """Return the distribution of which vectors (n, k) are draws."""
        off_nk = z_nk - z_nk.mean(0)
        spread_kk = off_nk.T @ off_nk / max(1, len(z_nk) - 1)
        least = _LEAST_SPREAD * spread_kk.diagonal().mean().clamp(min=torch.finfo(z_nk.dtype).eps)
        return cls(z_nk.mean(0), torch.linalg.inv(spread_kk + least * torch.eye(len(spread_kk)).to(spread_kk)))


@torch.no_grad()
def most_probable(
    start_nk: Tensor,
    slopes: Callable[[Tensor], tuple[Tensor, Tensor]],
    x_ng: Tensor,
    known_ng: Tensor,
    prior: Normal,
    steps: int,
) -> Tensor:
    """Return the vectors (n, k) that are most probable given the known entries of x, after `steps` steps from `start`.

    `slopes` gives the values (n, g) of vectors and their derivatives (n, g, k). Errors are taken to be normal, of the
    variance that they have at a row's start.
    """
    error_ng = (slopes(start_nk)[0] - x_ng) * known_ng
    noise_n = error_ng.square().sum(1) / known_ng.sum(1).clamp(min=1)
    noise_n = noise_n.clamp(min=torch.finfo(x_ng.dtype).eps)

    def squares(z_nk: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y_ng, slope_ngk = slopes(z_nk)
        error_ng, slope_ngk = (y_ng - x_ng) * known_ng, slope_ngk * known_ng.unsqueeze(2)
        off_nk = z_nk - prior.mean_k
        far_nk = off_nk @ prior.precision_kk
        total_n = error_ng.square().sum(1) / noise_n + (off_nk * far_nk).sum(1)
        half_nk = (error_ng.unsqueeze(1) @ slope_ngk).squeeze(1) / noise_n[:, None] + far_nk
        return total_n, half_nk, slope_ngk.mT @ slope_ngk / noise_n[:, None, None] + prior.precision_kk

    return levenberg_marquardt(start_nk, squares, steps)


@torch.no_grad()
def levenberg_marquardt(z_nk: Tensor, squares: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]], steps: int) -> Tensor:
    """Return the vectors (n, k) after `steps` damped Gauss-Newton steps.

    `squares` gives each row's sum of squares (n,), half its gradient J'r (n, k), and J'J (n, k, k). A step that makes
    a row's sum larger is not taken, and the next is damped more. No row is looked at for another, so that a row ends
    at the same vector whichever are beside it. Marquardt, An algorithm for least-squares estimation of nonlinear
    parameters, 1963; the damping is in units of the mean of the diagonal of J'J.
    """
    eye_kk = torch.eye(z_nk.shape[1]).to(z_nk)
    sum_n, half_nk, curve_nkk = squares(z_nk)
    damping_n = torch.full_like(sum_n, _DAMPING)
    for _ in range(steps):
        unit_n = damping_n * curve_nkk.diagonal(dim1=1, dim2=2).mean(1)
        next_nk = z_nk - torch.linalg.solve(curve_nkk + unit_n[:, None, None] * eye_kk, half_nk)
        next_n, next_half_nk, next_curve_nkk = squares(next_nk)
        better_n = next_n < sum_n
        z_nk = torch.where(better_n[:, None], next_nk, z_nk)
        half_nk = torch.where(better_n[:, None], next_half_nk, half_nk)
        curve_nkk = torch.where(better_n[:, None, None], next_curve_nkk, curve_nkk)
        sum_n = torch.where(better_n, next_n, sum_n)
        damping_n = (damping_n * torch.where(better_n, _EASED, _RAISED)).clamp(1e-6, 1e6)
    return z_nk
