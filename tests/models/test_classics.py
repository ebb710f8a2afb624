"""Classical methods give vectors of all rows, fitted on training rows."""

import numpy as np
import pytest
from scipy import sparse

from gxsearch.training.classics import classics
from gxsearch.training.probes import Yardstick

NAMES = ["pca", "pca, scaled", "nmf", "ica", "ica, scaled", "random", "pca, shuffled genes"]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    class_n = rng.integers(0, 4, 300)
    rate_ng = np.exp(0.5 * rng.normal(size=(1, 60)) + rng.normal(size=(4, 60))[class_n])
    part_n = rng.choice([0, 1, 2], 300, p=[0.6, 0.2, 0.2]).astype(np.int8)
    return np.log1p(rng.poisson(rate_ng)).astype(np.float32), class_n, part_n


@pytest.fixture(scope="module")
def found(data):
    return classics(data[0], data[2], 6)


def test_every_method_gives_finite_vectors_of_all_rows(data, found):
    assert list(found) == NAMES
    assert {z_nk.shape for z_nk in found.values()} == {(300, 6)}
    assert all(np.isfinite(z_nk).all() and z_nk.dtype == np.float32 for z_nk in found.values())


def test_what_learns_tells_classes_and_the_shuffled_control_tells_none(data, found):
    x_ng, class_n, part_n = data
    judge = Yardstick(part_n, label_n=class_n, x_ng=x_ng)
    told = {name: judge(z_nk) for name, z_nk in found.items()}

    for name in NAMES[:5]:
        assert told[name]["knn"] > 0.9 and told[name]["expression_r2"] > 0.3
    assert told["pca, shuffled genes"]["knn"] < 0.45  # of four classes
    assert told["pca, shuffled genes"]["expression_r2"] < 0.05
    assert told["random"]["expression_r2"] < told["pca"]["expression_r2"]


def test_shuffled_genes_keep_their_values(data):
    x_ng, _, part_n = data
    one_g = np.zeros_like(x_ng)
    one_g[:, 0] = x_ng[:, 0]
    one_g[:, 1] = x_ng[:, 1]

    z_nk = classics(one_g, part_n, 2)["pca, shuffled genes"]

    train = part_n == 0
    wanted = np.var(one_g[train], axis=0).sum()
    assert np.var(z_nk[train], axis=0).sum() == pytest.approx(wanted, rel=1e-4)


def test_held_out_rows_do_not_change_what_is_fitted(data, found):
    x_ng, _, part_n = data
    spoiled_ng, train = x_ng.copy(), part_n == 0
    spoiled_ng[part_n == 1] = 3.0
    kept = [name for name in NAMES if name != "pca, shuffled genes"]

    again = classics(spoiled_ng, part_n, 6)

    for name in kept:
        np.testing.assert_array_equal(again[name][train], found[name][train])
    np.testing.assert_array_equal(again["pca"][part_n == 2], found["pca"][part_n == 2])


def test_sparse_rows_give_what_dense_ones_give_and_the_same_seed_the_same_vectors(data, found):
    x_ng, _, part_n = data
    thin = classics(sparse.csr_matrix(x_ng), part_n, 6)
    other = classics(x_ng, part_n, 6, seed=1)

    for name in NAMES:
        np.testing.assert_allclose(thin[name], found[name], atol=1e-5)
    assert not np.allclose(other["random"], found["random"])


def test_components_of_nmf_have_the_length_of_their_profiles(data, found):
    x_ng, class_n, part_n = data
    between = np.linalg.norm(found["nmf"][:, None] - found["nmf"], axis=2)
    true = np.linalg.norm(x_ng[:, None] - x_ng, axis=2)

    assert np.corrcoef(between.ravel(), true.ravel())[0, 1] > 0.6


def test_negative_values_leave_nmf_out_and_few_rows_leave_few_dimensions(data):
    x_ng, _, part_n = data

    assert "nmf" not in classics(x_ng - 1, part_n, 3)
    rows = np.r_[np.flatnonzero(part_n == 0)[:5], np.flatnonzero(part_n == 1)[:3]]
    assert classics(x_ng[rows], part_n[rows], 8)["pca"].shape == (8, 4)
