"""NB and ZINB: equal to scipy and torch, to their pinned values, and the zeros-aware form equal to the plain one."""

import numpy as np
import pytest
import torch
from scipy import stats

from gxsearch.nn.distributions import log_rising, nb_log_prob, nb_rows, zinb_log_prob

X = torch.tensor([0.0, 1.0, 5.0, 20.0])
LOG_MU, LOG_THETA = torch.tensor(4.0).log(), torch.tensor(2.0).log()


def test_the_pinned_values_are_met():
    nb = nb_log_prob(X, LOG_MU, LOG_THETA)
    zinb = zinb_log_prob(X, LOG_MU, LOG_THETA, torch.tensor(0.3))
    assert torch.allclose(nb, torch.tensor([-2.1972, -1.9095, -2.4328, -7.2620]), atol=1e-4)
    assert torch.allclose(zinb, torch.tensor([-0.4753, -2.7639, -3.2871, -8.1164]), atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nb_is_that_of_scipy_and_torch(dtype):
    generator = torch.Generator().manual_seed(0)
    mu, theta = (torch.exp(2 * torch.randn(500, generator=generator, dtype=torch.float64)) for _ in range(2))
    x = torch.poisson(mu, generator=generator)
    got = nb_log_prob(x.to(dtype), mu.log().to(dtype), theta.log().to(dtype)).double()
    scipy = stats.nbinom.logpmf(x.numpy(), theta.numpy(), (theta / (theta + mu)).numpy())
    torchs = torch.distributions.NegativeBinomial(theta, logits=mu.log() - theta.log()).log_prob(x)
    assert np.allclose(got.numpy(), scipy, rtol=1e-5, atol=2e-4 if dtype == torch.float32 else 1e-9)
    assert torch.allclose(got, torchs, rtol=1e-5, atol=2e-4)


def test_probabilities_sum_to_one_with_additional_zeros():
    x = torch.arange(0, 400.0, dtype=torch.float64)
    logit = torch.tensor(-0.7, dtype=torch.float64)
    assert zinb_log_prob(x, LOG_MU.double(), LOG_THETA.double(), logit).exp().sum() == pytest.approx(1.0, abs=1e-7)


@pytest.mark.parametrize("theta", [1e-4, 0.1, 1.0, 30.0, 1e4, 1e7])
def test_the_rising_factorial_is_exact_in_single_precision(theta):
    x = torch.tensor([0.0, 1.0, 3.0, 50.0, 2000.0])
    got = log_rising(x, torch.full_like(x, theta)).double()
    want = log_rising(x.double(), torch.full_like(x, theta).double())
    assert got[0] == 0
    assert torch.allclose(got, want, rtol=3e-6, atol=1e-5)


@pytest.mark.parametrize("inflated", [False, True])
@pytest.mark.parametrize("per_row", [False, True])
def test_the_form_for_sparse_rows_gives_the_values_and_gradients_of_the_plain_one(inflated, per_row):
    generator = torch.Generator().manual_seed(1)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    log_mu, log_theta = draw(7, 11), draw(7, 11) if per_row else draw(11)
    logit = draw(7, 11) if inflated else None
    x = torch.poisson(log_mu.detach().exp(), generator=generator)
    x[3] = 0
    wanted = [value for value in (log_mu, log_theta, logit) if value is not None]
    plain, sparse = (nb_rows(x, log_mu, log_theta, logit, places) for places in (None, x.nonzero().T))
    single = nb_log_prob(x, log_mu, log_theta) if logit is None else zinb_log_prob(x, log_mu, log_theta, logit)
    assert torch.allclose(plain, single.sum(1) + torch.lgamma(x + 1).sum(1))
    assert torch.allclose(plain, sparse)
    for a, b in zip(*(torch.autograd.grad(rows.sum(), wanted) for rows in (plain, sparse)), strict=True):
        assert torch.allclose(a, b)


def test_the_gradient_is_that_of_the_formula_checked_numerically():
    values = [torch.tensor([0.3, 1.2], dtype=torch.float64, requires_grad=True) for _ in range(3)]
    x = torch.tensor([0.0, 4.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda m, t, p: zinb_log_prob(x, m, t, p), values)


@pytest.mark.parametrize("theta", [1e-3, 1.0, 30.0, 1e5])
def test_the_slope_of_the_rising_factorial_is_that_of_lgamma(theta):
    x = torch.tensor([0.0, 1.0, 3.0, 50.0, 2000.0])
    single, double = (torch.full_like(x, theta).to(d).requires_grad_() for d in (torch.float32, torch.float64))
    log_rising(x, single).sum().backward()
    log_rising(x.double(), double).sum().backward()
    assert torch.allclose(single.grad.double(), double.grad, rtol=1e-4, atol=1e-6)
