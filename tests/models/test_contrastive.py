"""Contrastive losses are those of their papers, checked against a plain loop."""

import math

import numpy as np
import torch
from torch.nn import functional as F

from gxsearch.nn.contrastive import group_means, info_nce, nt_xent, sup_con


def unit(n: int, k: int = 6, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(n, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=1)


def log_softmax(s: np.ndarray, j: int, among: list[int]) -> float:
    return s[j] - math.log(sum(math.exp(s[i]) for i in among))


def test_info_nce_is_the_mean_of_two_softmaxes_of_their_own():
    u, v = unit(5), unit(5, seed=1)
    s = (u @ v.T / 0.07).numpy()

    rows = [-log_softmax(s[i], i, list(range(5))) for i in range(5)]
    columns = [-log_softmax(s[:, i], i, list(range(5))) for i in range(5)]
    assert math.isclose(info_nce(u, v, 0.07).item(), (np.mean(rows) + np.mean(columns)) / 2, rel_tol=1e-9)


def test_info_nce_of_vectors_that_say_nothing_is_the_logarithm_of_their_number():
    u = unit(1).expand(32, -1)

    assert math.isclose(info_nce(u, u, 0.2).item(), math.log(32), rel_tol=1e-9)


def test_nt_xent_leaves_out_the_row_itself_and_averages_over_both_views():
    u, v = unit(4), unit(4, seed=1)
    both = torch.cat([u, v])
    s = (both @ both.T / 0.3).numpy()

    wanted = [-log_softmax(s[i], (i + 4) % 8, [j for j in range(8) if j != i]) for i in range(8)]
    assert math.isclose(nt_xent(u, v, 0.3).item(), np.mean(wanted), rel_tol=1e-9)


def test_sup_con_averages_over_the_partners_of_each_row():
    z, label = unit(6), torch.tensor([0, 0, 0, 1, 1, 2])
    s = (z @ z.T / 0.3).numpy()

    wanted = []
    for i in range(5):  # row 5 has no partner
        others = [j for j in range(6) if j != i]
        partners = [j for j in others if label[j] == label[i]]
        wanted.append(-np.mean([log_softmax(s[i], p, others) for p in partners]))
    assert math.isclose(sup_con(z, label, 0.3).item(), np.mean(wanted), rel_tol=1e-9)


def test_rows_of_unknown_class_are_as_if_they_were_not_there():
    z, label = unit(6), torch.tensor([0, 1, 0, 1, -1, -1])

    assert torch.isclose(sup_con(z, label, 0.3), sup_con(z[:4], label[:4], 0.3))


def test_a_batch_without_partners_gives_zero_and_finite_gradients():
    z = unit(3).requires_grad_()

    loss = sup_con(z, torch.tensor([0, 1, 2]), 0.2)
    loss.backward()

    assert loss.item() == 0 and z.grad.isfinite().all()


def test_gradients_are_finite_where_some_rows_have_no_partner():
    z = unit(4).requires_grad_()

    sup_con(z, torch.tensor([0, 0, 1, -1]), 0.05).backward()

    assert z.grad.isfinite().all() and z.grad.any()


def test_means_of_groups_count_their_rows():
    z = torch.arange(8.0).view(4, 2)

    means, times = group_means(z, torch.tensor([0, 2, 2, 0]), 3)

    assert means.tolist() == [[3, 4], [0, 0], [3, 4]] and times.tolist() == [2, 0, 2]
