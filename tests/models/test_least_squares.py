"""Fitting vectors of new rows: right where the answer is known in closed form, and where derivatives are."""

import itertools

import pytest
import torch
from torch import nn

from gxsearch.data.view import Dims
from gxsearch.models.fe import FactorizedEmbeddings, FEConfig
from gxsearch.nn.least_squares import Normal, levenberg_marquardt, most_probable


def test_a_linear_model_ends_at_its_posterior_mean():
    torch.manual_seed(0)
    loading_gk, z_nk = torch.randn(30, 3).double(), 2 + 0.5 * torch.randn(400, 3).double()
    prior, x_ng = Normal.of(z_nk), z_nk[:5] @ loading_gk.T + 0.3 * torch.randn(5, 30).double()
    known_ng = (torch.rand(5, 30) < 0.4).double()
    start_nk = torch.zeros(5, 3).double()

    found_nk = most_probable(
        start_nk, lambda z: (z @ loading_gk.T, loading_gk.expand(len(z), -1, -1)), x_ng, known_ng, prior, 12
    )

    for z, x, known in zip(found_nk, x_ng, known_ng, strict=True):
        noise = (x * known).square().sum() / known.sum()
        seen = loading_gk * known[:, None]
        wanted = torch.linalg.solve(
            seen.T @ seen / noise + prior.precision_kk, seen.T @ x / noise + prior.precision_kk @ prior.mean_k
        )
        torch.testing.assert_close(z, wanted, rtol=1e-6, atol=1e-8)


def test_a_row_of_which_nothing_is_seen_gets_the_mean():
    z_nk = torch.randn(50, 2) + 3
    prior, nothing = Normal.of(z_nk), torch.zeros(4, 6)

    found_nk = most_probable(
        z_nk[:4], lambda z: (z[:, :1].expand(-1, 6), torch.ones(len(z), 6, 2)), nothing, nothing, prior, 10
    )

    torch.testing.assert_close(found_nk, z_nk.mean(0).expand(4, -1), rtol=1e-4, atol=1e-4)


def test_no_step_makes_a_sum_larger():
    """Rosenbrock's valley, where undamped steps leave it."""
    seen = []

    def squares(z_nk):
        x, y = z_nk.T
        r = torch.stack([10 * (y - x**2), 1 - x], 1)
        ten, one = torch.full_like(x, 10.0), torch.ones_like(x)
        j = torch.stack([torch.stack([-20 * x, ten], 1), torch.stack([-one, 0 * one], 1)], 1)
        seen.append(r.square().sum(1))
        return seen[-1], (j.mT @ r.unsqueeze(2)).squeeze(2), j.mT @ j

    start_nk = torch.tensor([[-1.2, 1.0], [3.0, -4.0]]).double()
    sums = [squares(levenberg_marquardt(start_nk, squares, steps))[0] for steps in range(40)]

    assert all((later <= earlier).all() for earlier, later in itertools.pairwise(sums))
    torch.testing.assert_close(sums[-1], torch.zeros(2).double(), atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"hidden": [10], "activation": "tanh"},
        {"head": "sigmoid_range", "range_pad": 0.1, "gene_bias": True},
        {"head": "sigmoid_range", "bilinear": True, "sample_dim": 3},
        {"gene_bias": True, "bilinear": True, "sample_dim": 5},
    ],
)
def test_slopes_of_factorized_embeddings_are_derivatives(config):
    torch.manual_seed(0)
    model = FactorizedEmbeddings(FEConfig(**config), Dims(6, 9, -1.0, 5.0)).double()
    for p in model.parameters():
        nn.init.normal_(p, std=0.5)
    z_nk, gene_gh = model.samples.weight.detach(), model._gene_side()

    y_ng, slope_ngk = model._slopes(z_nk, gene_gh)

    torch.testing.assert_close(y_ng, model.decode(z_nk))
    wanted = torch.autograd.functional.jacobian(lambda z: model._block(z, gene_gh, slice(None)), z_nk)
    torch.testing.assert_close(slope_ngk, torch.stack([wanted[i, :, i] for i in range(6)]))
