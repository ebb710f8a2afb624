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
    flat: Tensor | None = None,
    weight_g: Tensor | None = None,
) -> Tensor:
    """Return the sum over genes of each row's log-probabilities (n,), without what no setting changes: -sum_g log x!.

    Args:
        log_theta: (g,) or (n, g).
        logit_ng: of the share of additional zeros; None is NB.
        flat: indices into the flattened x (n g) of the values other than zero; with them the terms that are nothing
            for a zero are worked out for these alone, which pays where most values are zeros.
        weight_g: weight of each gene in the sum; None is 1.
    """
    d_ng, theta = log_mu_ng - log_theta, log_theta.exp()
    if flat is None:
        log_p_ng = x_ng * d_ng - (theta + x_ng) * F.softplus(d_ng) + log_rising(x_ng, theta)
        log_p_ng = log_p_ng if logit_ng is None else _inflated(log_p_ng, logit_ng, x_ng == 0)
        return log_p_ng.sum(1) if weight_g is None else log_p_ng @ weight_g
    zero_ng = -theta * F.softplus(d_ng)
    x, d, theta = (_at(flat, value, x_ng.shape) for value in (x_ng, d_ng, theta))
    more = log_rising(x, theta) - x * F.softplus(-d)  # log NB(x) - log NB(0)
    if logit_ng is not None:
        zero, logit = _at(flat, zero_ng, x_ng.shape), _at(flat, logit_ng, x_ng.shape)
        more = more + zero - logit - F.softplus(zero - logit)
        zero_ng = F.softplus(zero_ng - logit_ng) - F.softplus(-logit_ng)
    row_n = torch.div(flat, x_ng.shape[1], rounding_mode="floor")
    if weight_g is None:
        return zero_ng.sum(1).index_add(0, row_n, more)
    return (zero_ng @ weight_g).index_add(0, row_n, more * _at(flat, weight_g, x_ng.shape))


def log_rising(x: Tensor, theta: Tensor) -> Tensor:
    """Return log G(x + theta) / G(theta): 0 for x = 0, and as exact for a large theta as for a small one.

    The difference of two `lgamma` loses all digits there in float32: at theta 1e7 it is off by 4. This is Stirling's
    series, its terms subtracted from each other, and takes a third of the time with its gradient.
    """
    if x.dtype == torch.float64:
        return torch.lgamma(x + theta) - torch.lgamma(theta)
    low = theta + _SHIFT
    high = low + x
    r_low, r_high = low.reciprocal(), high.reciprocal()
    series = (r_high - r_low) / 12 - (r_high**3 - r_low**3) / 360
    moved = (low - 0.5) * torch.log1p(x * r_low) + x * torch.log(high) - x + series
    ratio = (x + theta) / theta
    for i in range(1, _SHIFT):
        ratio = ratio * (1 + x / (theta + i))
    return moved - torch.log(ratio)


def _inflated(log_p: Tensor, logit: Tensor, zero: Tensor) -> Tensor:
    """Return log(pi [x = 0] + (1 - pi) p)."""
    return torch.where(zero, F.softplus(log_p - logit), log_p - logit) - F.softplus(-logit)


def _at(flat: Tensor, value: Tensor, shape: torch.Size) -> Tensor:
    """Return the values at flat indices of a matrix that `value` is broadcast to."""
    if value.dim() == 1:
        return value.index_select(0, flat % shape[1])
    return value.reshape(-1).index_select(0, flat)
