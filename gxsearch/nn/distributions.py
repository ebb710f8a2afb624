"""Negative-binomial distributions of counts, in log space: with and without additional zeros.

    NB(x; mu, theta):   log p = -(theta + x) softplus(d) + x d + log G(x + theta) / (G(theta) x!),  d = log(mu / theta)
    ZINB:               log p = log(pi [x = 0] + (1 - pi) NB(x; mu, theta)),  pi = sigmoid(logit)

Mean mu, variance mu + mu^2 / theta. Lopez et al. 2018, supplementary note on the likelihood.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_SHIFT = 5
"""Stirling's series is good to 1e-7 from here on; smaller arguments are moved up by the recurrence of G."""


def nb_log_prob(x: Tensor, log_mu: Tensor, log_theta: Tensor) -> Tensor:
    """Return log NB(x; mu, theta) of each value, the x! included; all are broadcast against each other."""
    d = log_mu - log_theta
    return x * d - (log_theta.exp() + x) * F.softplus(d) + log_rising(x, log_theta.exp()) - torch.lgamma(x + 1)


def zinb_log_prob(x: Tensor, log_mu: Tensor, log_theta: Tensor, logit: Tensor) -> Tensor:
    """Return log ZINB(x; mu, theta, sigmoid(logit)) of each value; `logit` is of the share of additional zeros."""
    return _inflated(nb_log_prob(x, log_mu, log_theta), logit, x == 0)


def nb_rows(
    x_ng: Tensor,
    log_mu_ng: Tensor,
    log_theta: Tensor,
    logit_ng: Tensor | None = None,
    nonzero: Tensor | None = None,
    weight_g: Tensor | None = None,
) -> Tensor:
    """Return the sum over genes of each row's log-probabilities (n,), without what no setting changes: -sum_g log x!.

    Args:
        log_theta: (g,) or (n, g).
        logit_ng: of the share of additional zeros; None is NB.
        nonzero: row and gene of each value other than zero (2, m); with them the terms that are nothing for a zero
            are worked out for these alone, which pays where most values are zeros.
        weight_g: weight of each gene in the sum; None is 1.
    """
    d_ng, theta = log_mu_ng - log_theta, log_theta.exp()
    if nonzero is None:
        log_p_ng = x_ng * d_ng - (theta + x_ng) * F.softplus(d_ng) + log_rising(x_ng, theta)
        log_p_ng = log_p_ng if logit_ng is None else _inflated(log_p_ng, logit_ng, x_ng == 0)
        return log_p_ng.sum(1) if weight_g is None else log_p_ng @ weight_g
    soft_ng, theta_g = F.softplus(d_ng), theta
    x, d, theta = (_at(nonzero, value) for value in (x_ng, d_ng, theta))
    more = log_rising(x, theta) - x * F.softplus(-d)  # log NB(x) - log NB(0)
    if logit_ng is None and theta_g.dim() == 1:
        zero_n = -(soft_ng @ (theta_g if weight_g is None else theta_g * weight_g))
    else:
        zero_ng = -theta_g * soft_ng
        if logit_ng is not None:
            zero, logit = _at(nonzero, zero_ng), _at(nonzero, logit_ng)
            more = more + zero - logit - F.softplus(zero - logit)
            zero_ng = F.softplus(zero_ng - logit_ng) - F.softplus(-logit_ng)
        zero_n = zero_ng.sum(1) if weight_g is None else zero_ng @ weight_g
    more = more if weight_g is None else more * _at(nonzero, weight_g)
    return zero_n.index_add(0, nonzero[0], more)


def log_rising(x: Tensor, theta: Tensor) -> Tensor:
    """Return log G(x + theta) / G(theta): 0 for x = 0, and as exact for a large theta as for a small one.

    The difference of two `lgamma` loses all digits there in float32: at theta 1e7 it is off by 4. This is Stirling's
    series, its terms subtracted from each other, and its derivative by theta; x is data and gets no gradient.
    """
    return _Rising.apply(x, theta)


class _Rising(torch.autograd.Function):
    """Value and derivative in one pass: in a training nothing but them is ever needed."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, theta: Tensor) -> Tensor:
        ctx.shape = theta.shape
        if x.dtype == torch.float64:
            ctx.save_for_backward(torch.digamma(x + theta) - torch.digamma(theta))
            return torch.lgamma(x + theta) - torch.lgamma(theta)
        value, slope = _rising(x, theta)
        ctx.save_for_backward(slope)
        return value

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[None, Tensor]:
        (slope,) = ctx.saved_tensors
        return None, (gradient * slope).sum_to_size(ctx.shape)


def _rising(x: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
    """Return log G(x + theta) / G(theta) and its derivative by theta, moved up by the recurrence of G."""
    low = theta + _SHIFT
    high = low + x
    r_low, r_high = low.reciprocal(), high.reciprocal()
    grown = torch.log1p(x * r_low)
    value = (low - 0.5) * grown + x * torch.log(high) - x + _correction(r_high) - _correction(r_low)
    slope = grown - _slope(r_high) + _slope(r_low)
    ratio = None
    for i in range(_SHIFT):
        down = (theta + i).reciprocal()
        step = 1 + x * down  # (theta + x + i) / (theta + i)
        slope = slope + down - down / step
        ratio = step if ratio is None else ratio * step
    return value - torch.log(ratio), slope


def _correction(r: Tensor) -> Tensor:
    """Return what Stirling's series of log G adds at 1 / r."""
    return r * (1 / 12 - r.square() / 360)


def _slope(r: Tensor) -> Tensor:
    """Return log a less the digamma function of a = 1 / r."""
    square = r.square()
    return r / 2 + square * (1 / 12 - square / 120)


def _inflated(log_p: Tensor, logit: Tensor, zero: Tensor) -> Tensor:
    """Return log(pi [x = 0] + (1 - pi) p)."""
    return torch.where(zero, F.softplus(log_p - logit), log_p - logit) - F.softplus(-logit)


def _at(nonzero: Tensor, value: Tensor) -> Tensor:
    """Return the values at rows and genes (2, m) of a matrix (n, g), or of a vector (g,) that stands for its rows."""
    if value.dim() == 1:
        return value.index_select(0, nonzero[1])
    return value.reshape(-1).index_select(0, nonzero[0] * value.shape[1] + nonzero[1])
