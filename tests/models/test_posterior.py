"""Gaussian posteriors: their KL is that of torch, draws have their covariance, off-diagonals take both signs."""

import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from gxsearch.nn.posterior import Gaussian, Posterior

KINDS = ("diag", "full", "lowrank")


def trained_looking(kind: str, k: int = 5) -> Gaussian:
    torch.manual_seed(0)
    head = Posterior(7, k, kind, rank=2).double()
    if head.off is not None:
        torch.nn.init.normal_(head.off.weight, std=0.4)
    return head(torch.randn(6, 7, dtype=torch.float64))


@pytest.mark.parametrize("kind", KINDS)
def test_the_kl_is_that_of_torch(kind):
    found = trained_looking(kind)
    want = MultivariateNormal(found.mu, found.covariance())
    prior = MultivariateNormal(torch.zeros_like(found.mu), torch.eye(5, dtype=torch.float64))

    assert torch.allclose(found.kl(), kl_divergence(want, prior))


@pytest.mark.parametrize("kind", KINDS)
def test_draws_have_the_mean_and_the_covariance(kind):
    one = trained_looking(kind)
    many = Gaussian(*(None if v is None else v[:1].expand(40_000, *v.shape[1:]) for v in vars(one).values()))

    z = many.draw().detach()

    assert torch.allclose(z.mean(0), one.mu[0], atol=0.05)
    assert torch.allclose(torch.cov(z.T), one.covariance()[0], atol=0.1)


def test_correlations_of_both_signs_are_possible():
    off = trained_looking("full").off

    assert (off > 0).any() and (off < 0).any()
    assert (off.triu() == 0).all()


@pytest.mark.parametrize("kind", ["full", "lowrank"])
def test_a_posterior_begins_diagonal_and_its_other_part_learns(kind):
    torch.manual_seed(0)
    head = Posterior(7, 4, kind, rank=2)
    found = head(torch.randn(9, 7))
    found.draw().square().sum().backward()

    assert torch.equal(found.covariance(), torch.diag_embed(found.s.square()))
    assert head.off.weight.grad.any()


def test_one_latent_dimension_works_with_every_covariance():
    for kind in KINDS:
        found = Posterior(7, 1, kind, rank=1)(torch.randn(3, 7))
        assert found.draw().shape == (3, 1) and found.kl().shape == (3,)
