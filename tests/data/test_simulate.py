"""Simulated sets repeat exactly and hold the truth that they promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression, Ridge
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
def test_values_are_finite_float32_and_not_negative(name: str):
    adata = load(name)

    assert adata.X.dtype == np.float32 and np.isfinite(dense(adata.X)).all() and dense(adata.X).min() >= 0
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
