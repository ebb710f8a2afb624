"""Simulated sets repeat exactly and hold the truth that they promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import KNeighborsClassifier

from gxsearch.data import simulate
from gxsearch.data.builtin import SETS
from gxsearch.data.sources import load

SIMULATED = [name for name in SETS if name.startswith("sim_")]
COUNTS = ["sim_counts", "sim_spatial", "sim_phenotypes"]


def dense(x_ng: np.ndarray | sparse.csr_matrix) -> np.ndarray:
    return x_ng.toarray() if sparse.issparse(x_ng) else x_ng


@pytest.mark.parametrize("name", SIMULATED)
def test_a_seed_repeats_exactly_and_another_differs(name: str):
    first, again, other = load(f"{name}?seed=5"), load(f"{name}?seed=5"), load(f"{name}?seed=6")

    assert np.array_equal(dense(first.X), dense(again.X)) and first.obs.equals(again.obs)
    assert not np.array_equal(dense(first.X), dense(other.X))


@pytest.mark.parametrize("name", SIMULATED)
def test_values_are_finite_float32_and_but_for_the_papers_curves_not_negative(name: str):
    adata = load(name)

    assert adata.X.dtype == np.float32 and np.isfinite(dense(adata.X)).all()
    assert dense(adata.X).min() >= 0 or name == "sim_rvagene"  # the paper's curves are scaled to [-1, 1]
    assert adata.obs_names.is_unique and adata.var_names.is_unique


@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_whole_overdispersed_and_no_row_is_empty(name: str):
    x_ng = dense(load(f"{name}?n=600&g=100").X)

    assert (x_ng == np.round(x_ng)).all() and x_ng.sum(1).min() > 0
    assert np.median(x_ng.var(0) / x_ng.mean(0)) > 1.1


@pytest.mark.parametrize("name", SIMULATED)
def test_the_smallest_options_work(name: str):
    assert load(f"{name}?n=4&g=6").shape == (4, 6)


@pytest.mark.parametrize(("name", "label"), [("bulk", "cell_type"), ("counts", "cell_type"), ("spatial", "region")])
def test_classes_can_be_told_from_the_values(name: str, label: str):
    adata = getattr(simulate, name)(n=400)
    x_ng, y_n = np.log1p(dense(adata.X)), adata.obs[label].to_numpy()

    score = LogisticRegression(max_iter=200).fit(x_ng[:250], y_n[:250]).score(x_ng[250:], y_n[250:])

    assert score > 0.9


def test_bulk_is_a_curved_sheet_that_nearest_rows_find():
    adata = simulate.bulk(n=400, noise=0.0)
    z_nk = adata.obsm["truth"]

    fit = Ridge(1.0).fit(z_nk, adata.X)

    assert fit.score(z_nk, adata.X) < 0.95  # no plane
    assert (
        KNeighborsClassifier(5)
        .fit(adata.X[:300], adata.obs["cell_type"][:300])
        .score(adata.X[300:], adata.obs["cell_type"][300:])
        > 0.85
    )


def test_donors_are_nested_in_batches_and_batches_shift_values():
    adata = simulate.counts(n=600)
    x_ng, batch_n = np.log1p(dense(adata.X)), adata.obs["batch"].to_numpy()

    assert (adata.obs.groupby("donor", observed=True)["batch"].nunique() == 1).all()
    assert LogisticRegression(max_iter=200).fit(x_ng[:400], batch_n[:400]).score(x_ng[400:], batch_n[400:]) > 0.7
    assert np.array_equal(dense(adata.layers["counts"]), dense(adata.X))


def test_series_have_irregular_times_and_six_shapes_that_correlate_within():
    adata = simulate.series()
    steps = np.diff(adata.obs["time"])
    corr = np.corrcoef(adata.X.T)
    same = adata.var["cluster"].to_numpy()[:, None] == adata.var["cluster"].to_numpy()

    assert adata.var["cluster"].nunique() == 6
    assert steps.min() >= 0 and steps.max() > 2 * np.median(steps)
    assert corr[same].mean() > 0.9 and corr[~same].mean() < 0.2


def test_neighbors_in_space_share_their_region():
    adata = simulate.spatial(n=600)
    one = adata[adata.obs["section"] == "section0"]

    score = KNeighborsClassifier(3).fit(one.obsm["spatial"][:200], one.obs["region"][:200])

    assert score.score(one.obsm["spatial"][200:], one.obs["region"][200:]) > 0.85


def test_sex_and_age_belong_to_donors_and_sex_shows_in_its_genes():
    adata = simulate.phenotypes(n=800)
    by_donor = adata.obs.groupby("donor", observed=True)
    male_n = (adata.obs["sex"] == "male").to_numpy()
    x_ng = np.log1p(dense(adata.X))
    shift_g = np.abs(x_ng[male_n].mean(0) - x_ng[~male_n].mean(0))

    assert (by_donor["sex"].nunique() == 1).all() and (by_donor["age_bin"].nunique() == 1).all()
    assert shift_g[adata.var["sex_gene"]].mean() > 3 * shift_g[~adata.var["sex_gene"]].mean()


@pytest.mark.parametrize("seed", range(5))
def test_the_six_clusters_of_rvagene_can_be_told_apart(seed: int):
    adata = simulate.rvagene(seed=seed)

    found = KMeans(6, n_init=20, random_state=0).fit_predict(adata.X.T)

    assert adjusted_rand_score(adata.var["cluster"].astype(str), found) == 1.0
    assert adata.var["cluster"].value_counts().tolist() == [20] * 6


def test_the_covariance_of_rvagenes_clusters_is_positive_semidefinite_and_short_ranged():
    adata = simulate.rvagene(g=3000, classes=2)
    mine = (adata.var["cluster"] == "cluster0").to_numpy()
    y_n = adata.layers["truth"][:, mine][:, 0].astype(np.float64)
    wanted = np.outer(y_n + 0.1, y_n + 0.1) / (y_n @ y_n)
    wanted *= np.abs(np.subtract.outer(np.arange(100), np.arange(100))) <= 50

    value_n, vector_nn = np.linalg.eigh(wanted)
    nearest = (vector_nn * np.maximum(value_n, 0)) @ vector_nn.T
    got = np.cov(adata.X[:, mine].astype(np.float64))

    assert value_n.min() < -0.01, "the paper's is no covariance"
    assert np.abs(got - nearest).max() < 0.15 * nearest.max()
