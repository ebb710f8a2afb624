"""Losses of tokens against what torch gives, and in the limits where they must agree."""

import pytest
import torch
from torch.nn import functional as F

from gxsearch.nn.ordinal import bin_nll, chances, wanted
from gxsearch.nn.phenotypes import Weights
from gxsearch.nn.schedules import decay, rate

BINS = torch.tensor([0, 3, 1, 4, 2, 2])


def logits(n_bins: int) -> torch.Tensor:
    return torch.randn(len(BINS), n_bins, generator=torch.Generator().manual_seed(0)) * 3


def test_gauss_with_a_sigma_towards_zero_is_cross_entropy():
    found = bin_nll(logits(5), BINS, wanted(5, "gauss", 1e-3, 0.0))

    assert torch.equal(wanted(5, "gauss", 1e-3, 0.0), torch.eye(5))
    torch.testing.assert_close(found, F.cross_entropy(logits(5), BINS, reduction="none"))


def test_gauss_is_a_distribution_that_falls_with_distance_as_its_formula_says():
    q_yk = wanted(6, "gauss", 0.8, 0.0)

    torch.testing.assert_close(q_yk.sum(1), torch.ones(6))
    torch.testing.assert_close(q_yk[2, 3] / q_yk[2, 2], torch.exp(torch.tensor(-1 / (2 * 0.8**2))))
    assert (q_yk[0].diff() < 0).all() and (q_yk[5].diff() > 0).all()


def test_gauss_forgives_a_near_bin_more_than_a_far_one():
    sure = 8.0 * torch.eye(5)[[1, 4]]  # says 1, says 4; the truth is 0

    near, far = bin_nll(sure, torch.zeros(2, dtype=torch.int64), wanted(5, "gauss", 1.0, 0.0))

    assert near < far


def test_smoothing_is_that_of_torch():
    found = bin_nll(logits(5), BINS, wanted(5, "ce", 1.0, 0.3))

    torch.testing.assert_close(found, F.cross_entropy(logits(5), BINS, reduction="none", label_smoothing=0.3))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_two_bins_by_one_logit_equal_two_logits(smoothing):
    one, bins = logits(1), torch.tensor([0, 1, 1, 0, 1, 0])
    two = torch.cat([torch.zeros_like(one), one], 1)
    table = wanted(2, "ce", 1.0, smoothing)

    torch.testing.assert_close(bin_nll(one, bins, table), bin_nll(two, bins, table))
    torch.testing.assert_close(chances(one), two.softmax(1))


def test_weights_of_categories_fall_with_the_root_of_their_share_and_are_one_on_average():
    share_c = torch.tensor([0.64, 0.36 - 1e-6, 1e-6], dtype=torch.float64)
    weights = Weights(3)
    weights.start(share_c)

    assert float((weights.value * share_c).sum()) == pytest.approx(1.0)
    assert float(weights.value[1] / weights.value[0]) == pytest.approx(0.8 / 0.6, rel=1e-4)
    assert float(weights.value[2] / weights.value[0]) == pytest.approx(10.0 * 0.8, rel=1e-4)  # 10 at most, not 1000


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear", "onecycle", "plateau"])
def test_the_rate_rises_in_a_line_and_then_takes_its_schedule(schedule):
    assert rate(schedule, 0.05, 0.2) == pytest.approx(decay(schedule, 0.0) / 4)
    assert rate(schedule, 0.2, 0.2) == pytest.approx(decay(schedule, 0.0))
    assert rate(schedule, 0.6, 0.2) == pytest.approx(decay(schedule, 0.5))
    assert [rate(schedule, p / 7) for p in range(8)] == [decay(schedule, p / 7) for p in range(8)]
