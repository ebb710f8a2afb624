"""Clusters of the latent, the curves of their centers, new curves, and other times than those of the training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gxsearch.data.prepare import prepare
from gxsearch.data.series import SeriesConfig, SeriesView
from gxsearch.data.table import DataConfig
from gxsearch.errors import DataError
from gxsearch.models.rvagene import RVAgene, RVAgeneConfig
from gxsearch.training.curves import decoded, default_clusters, divide, generate


@pytest.fixture(scope="module")
def pair() -> tuple[RVAgene, SeriesView]:
    """A model with first weights, and its view of uneven times."""
    table = prepare(DataConfig(path="sim_series?n=12&g=60", orientation="genes", time="time"), where="test")
    view = SeriesView.fit(table, SeriesConfig())
    torch.manual_seed(0)
    model = RVAgene(RVAgeneConfig(latent_dim=2), view.dims)
    model.start(table, view)
    return model.eval(), view


def test_clusters_are_named_from_the_largest_and_hold_their_center():
    rng = np.random.default_rng(0)
    z_nk = np.concatenate([rng.normal(at, 0.1, (n, 2)) for at, n in (((0, 0), 5), ((9, 0), 30), ((0, 9), 12))])

    found = divide(z_nk, 3)

    assert np.bincount(found.cluster_n).tolist() == [30, 12, 5]
    for c in range(3):
        np.testing.assert_allclose(found.center_ck[c], z_nk[found.cluster_n == c].mean(0), rtol=1e-5, atol=1e-5)


def test_more_clusters_than_genes_are_refused():
    with pytest.raises(DataError, match="E476.*5 clusters of 4 distinct genes"):
        divide(np.repeat(np.eye(4), 3, axis=0), 5)


def test_there_are_as_many_clusters_as_classes_or_six():
    z_nk = np.random.default_rng(0).normal(size=(40, 2))

    assert default_clusters(np.array(list("abcd" * 10)), z_nk) == 4
    assert default_clusters(None, z_nk) == 6 and default_clusters(None, np.round(z_nk[:, :1] > 0)) == 2


def test_at_the_times_of_the_training_a_curve_is_the_decoders(pair):
    model, view = pair
    z_nk = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)

    time_q, y_nq = decoded(model, view, z_nk)

    assert np.array_equal(time_q, view.time_t)
    np.testing.assert_allclose(y_nq, model.decode(torch.from_numpy(z_nk)).detach(), rtol=1e-4, atol=1e-5)


def test_at_other_times_a_curve_is_the_line_between_its_neighbors(pair):
    model, view = pair
    z_nk = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    own_nt, times = decoded(model, view, z_nk)[1], np.random.default_rng(1).uniform(*view.time_t[[0, -1]], 40)

    _, y_nq = decoded(model, view, z_nk, times)

    wanted_nq = np.stack([np.interp(times, view.time_t, own_t) for own_t in own_nt])
    np.testing.assert_allclose(y_nq, wanted_nq, rtol=1e-4, atol=1e-5)


def test_times_beyond_those_of_the_training_are_refused(pair):
    model, view = pair

    with pytest.raises(DataError, match=r"E477.*the model knows times from .* to .*, not -1, 99"):
        decoded(model, view, np.zeros((1, 2), dtype=np.float32), [view.time_t[3], -1, 99])


def test_curves_are_drawn_around_centers_with_the_deviation_asked_for(pair):
    center_ck = np.array([[0.0, 3.0], [5.0, -1.0]], dtype=np.float32)

    made = generate(*pair, center_ck, 2000, sd=0.5)

    assert made.cluster_m.tolist() == [0] * 2001 + [1] * 2001 and made.center_m.sum() == 2
    assert np.array_equal(made.z_mk[made.center_m], center_ck)
    for c in (0, 1):
        drawn_mk = made.z_mk[(made.cluster_m == c) & ~made.center_m]
        np.testing.assert_allclose(drawn_mk.mean(0), center_ck[c], atol=0.05)
        np.testing.assert_allclose(np.cov(drawn_mk.T), 0.25 * np.eye(2), atol=0.03)
    np.testing.assert_allclose(made.y_mq[0], decoded(*pair, center_ck[:1])[1][0], rtol=1e-5)


def test_the_seed_decides_the_draws(pair):
    center_ck = np.zeros((1, 2), dtype=np.float32)

    first, again, other = (generate(*pair, center_ck, 3, seed=seed).y_mq for seed in (4, 4, 5))

    assert np.array_equal(first, again) and not np.allclose(first[1:], other[1:])


def test_replicates_that_are_kept_do_not_divide_by_zero():
    table = prepare(DataConfig(path="sim_series?n=12&g=60", orientation="genes", time="time"), where="test")
    table.var["time"][:6] = 1.0
    view = SeriesView.fit(table, SeriesConfig(replicates="keep"))
    model = RVAgene(RVAgeneConfig(latent_dim=2), view.dims)
    model.start(table, view)

    _, y_nq = decoded(model, view, np.ones((2, 2), dtype=np.float32), [1.0, view.time_t[7], view.time_t[-1]])

    assert np.isfinite(y_nq).all()
    np.testing.assert_allclose(y_nq[:, 1:], model.decode(torch.ones(2, 2)).detach()[:, [7, 11]], rtol=1e-4)
