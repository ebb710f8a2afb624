"""Profiles are means of cells, mixtures are convex combinations of a donor's own profiles, and a seed repeats them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse, stats

import gxsearch
from gxsearch.data.prepare import prepare
from gxsearch.data.pseudobulk import PROVENANCE, Mixing, Profiles, proportions
from gxsearch.data.sources import load
from gxsearch.data.table import DataConfig, Split
from gxsearch.errors import DataError, GxError, SpecError, UnsafeError

COLUMNS = {"donor": "donor", "cell_type": "cell_type"}


def cells() -> AnnData:
    """Cells of 6 donors x 4 types; donor0 lacks type3, donor1 has type0 only."""
    adata = load("sim_phenotypes?n=300&g=40&donors=6")
    kind, donor = adata.obs["cell_type"].astype(str), adata.obs["donor"].astype(str)
    lacks = ((donor == "donor0") & (kind == "type3")) | ((donor == "donor1") & (kind != "type0"))
    return adata[~lacks.to_numpy()].copy()


def made(adata: AnnData | None = None, **settings) -> AnnData:
    return gxsearch.pseudobulk(cells() if adata is None else adata, **(COLUMNS | settings))


def mixtures(adata: AnnData) -> AnnData:
    return adata[adata.obs["kind"] == "pseudobulk"]


def shares(adata: AnnData) -> pd.DataFrame:
    return adata.obs.filter(like="prop_").rename(columns=lambda name: name.removeprefix("prop_"))


def test_a_profile_is_the_mean_of_its_cells():
    out, source = made(), cells()

    assert out.X.dtype == np.float32 and out.var.equals(source.var)
    profiles = out[out.obs["kind"] == "profile"]
    assert len(profiles) == source.obs.groupby(["donor", "cell_type"], observed=True).ngroups == 20
    for name, row in profiles.obs.iterrows():
        own = ((source.obs["donor"] == row["donor"]) & (source.obs["cell_type"] == row["cell_type"])).to_numpy()
        assert name == f"{row['donor']}|{row['cell_type']}" and row["n_cells"] == own.sum()
        np.testing.assert_allclose(out[name].X[0], np.asarray(source.X[own].mean(0))[0], rtol=1e-6)


def test_mixtures_are_convex_combinations_of_the_profiles_of_their_donor():
    out = made(mixtures=3)
    share = shares(out)

    assert len(mixtures(out)) == 18 and (share.to_numpy() >= 0).all()
    np.testing.assert_allclose(share.sum(1), 1, rtol=1e-12)
    for name, row in mixtures(out).obs.iterrows():
        own = out[(out.obs["donor"] == row["donor"]).to_numpy() & (out.obs["kind"] == "profile").to_numpy()]
        pi_c = share.loc[name, own.obs["cell_type"].astype(str)].to_numpy()
        assert pi_c.sum() == pytest.approx(1) and (pi_c > 0).all() and row["n_cells"] == own.obs["n_cells"].sum()
        np.testing.assert_allclose(out[name].X[0], pi_c @ own.X.astype(np.float64), rtol=1e-6)


def test_a_donor_has_nothing_of_the_types_that_it_lacks():
    share = shares(made(mixtures=2))

    assert (share.loc[["donor0|mixture0", "donor0|mixture1"], "type3"] == 0).all()
    assert share.loc["donor1|mixture0"].tolist() == [1, 0, 0, 0]
    assert share.loc["donor2|type1"].tolist() == [0, 1, 0, 0]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    first, again, other = made(mixtures=2), made(mixtures=2, seed=42), made(mixtures=2, seed=43)

    assert first.X.tobytes() == again.X.tobytes() and first.obs.equals(again.obs)
    assert not np.allclose(mixtures(first).X, mixtures(other).X)
    profile = first.obs["kind"] == "profile"
    assert np.array_equal(first[profile].X, other[profile].X)


def test_proportions_do_not_depend_on_the_order_of_the_cells():
    source = cells()

    turned = made(source[::-1].copy())

    assert turned.obs.equals(made().obs)
    np.testing.assert_allclose(turned.X, made().X, rtol=1e-6)


@pytest.mark.parametrize("make", [np.asarray, sparse.csc_matrix, sparse.csr_array])
def test_the_kind_of_storage_makes_no_difference(make: Callable):
    source = cells()
    source.X = make(source.X.toarray())

    np.testing.assert_allclose(made(source).X, made().X, rtol=1e-6)


@pytest.mark.parametrize("alpha", [0.001, 0.5, 1.0, 20.0])
def test_proportions_are_dirichlet_over_the_types_that_a_donor_has(alpha: float):
    """A share of Dirichlet(a, ..., a) over c types is Beta(a, (c - 1) a)."""
    kept = Profiles(
        np.array(["a", "b"]), np.array(["x", "y", "z"]), np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 0, 2]), []
    )

    pi_dmc = proportions(kept, Mixing(**COLUMNS, mixtures=4000, alpha=alpha))

    assert np.isfinite(pi_dmc).all() and (pi_dmc[1, :, 1] == 0).all()
    np.testing.assert_allclose(pi_dmc.sum(2), 1, rtol=1e-12)
    if alpha < 0.01:  # nearly one type alone: a test of its distribution would be one of underflow
        assert (pi_dmc.max(2) > 0.99).mean() > 0.95
    else:
        assert stats.kstest(pi_dmc[0, :, 1], stats.beta(alpha, 2 * alpha).cdf).pvalue > 1e-3
        assert stats.kstest(pi_dmc[1, :, 2], stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def test_profiles_of_few_cells_are_left_out():
    said: list[str] = []
    source = cells()
    source = source[(source.obs["donor"] != "donor1") | (np.arange(source.n_obs) < 30)].copy()
    sizes = source.obs.groupby(["donor", "cell_type"], observed=True).size()
    least = int(sizes.loc["donor1"].max()) + 1

    out = made(source, min_cells=least, say=said.append)

    assert out[out.obs["kind"] == "profile"].obs["n_cells"].tolist() == sizes[sizes >= least].tolist()
    assert "warning: 1 donor without a profile left out: 'donor1'" in said
    assert any(f"of fewer than {least} cells left out" in text for text in said)


def test_how_it_was_made_is_one_json_string(tmp_path: Path):
    gxsearch.pseudobulk("sim_phenotypes?n=100&g=20", tmp_path / "out.h5ad", alpha=2.0, **COLUMNS)

    told = json.loads(anndata.read_h5ad(tmp_path / "out.h5ad").uns[PROVENANCE])

    assert told["settings"]["alpha"] == 2.0 and told["settings"]["seed"] == 42
    assert told["source"] == "sim_phenotypes?n=100&g=20" and told["gxsearch"] == gxsearch.__version__


def test_types_with_a_slash_can_be_written(tmp_path: Path):
    source = cells()
    source.obs["cell_type"] = source.obs["cell_type"].astype(str).str.replace("type1", "CD4+/CD25 T")

    made(source, out=tmp_path / "out.h5ad")

    out = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert "prop_CD4+_CD25 T" in out.obs and "donor2|CD4+/CD25 T" in out.obs_names


def test_what_is_made_is_a_data_set_whose_donors_stay_together(tmp_path: Path):
    made(out=tmp_path / "out.h5ad", mixtures=2)
    config = DataConfig(path="out.h5ad", transform=["normalize", "log1p"], label="kind", split=Split(group="donor"))

    table = prepare(config, where="spec.yaml", base=tmp_path)

    assert table.n_obs == 32
    assert all(len(set(table.part_n[table.obs["donor"] == donor])) == 1 for donor in set(table.obs["donor"]))


def test_logs_are_remarked_and_counts_are_not():
    said: list[str] = []
    logged = cells()
    logged.layers["counts"] = logged.X.copy()
    logged.X = logged.X.log1p()

    made(logged, say=said.append)
    made(logged, layer="counts", say=said.append)

    assert len(said) == 1 and said[0].startswith("warning: values look like logs")
    assert "a mixture of logs is no mixture of cells; --layer counts" in said[0]


def spoiled(**obs: object) -> AnnData:
    adata = cells()
    for name, value in obs.items():
        adata.obs[name] = value
    return adata


def with_gap() -> AnnData:
    adata = cells()
    adata.obs["cell_type"] = adata.obs["cell_type"].astype(object)
    adata.obs.iloc[3, adata.obs.columns.get_loc("cell_type")] = None
    return adata


def with_value(value: float) -> AnnData:
    adata = cells()
    adata.X.data[0] = value
    return adata


FAULTS = {
    "no such column": (
        cells,
        {"donor": "doner"},
        "E421",
        "--donor: cells has no obs column 'doner' - did you mean 'donor'",
    ),
    "no such layer": (cells, {"layer": "counts"}, "E410", "--layer: cells has no layer 'counts'"),
    "a gap": (with_gap, {}, "E422", "cells!/obs/cell_type: 1 row without a value"),
    "negative": (lambda: with_value(-1.0), {}, "E413", "1 value negative: row 'cell001' gene"),
    "not a number": (lambda: with_value(np.nan), {}, "E412", "1 value NaN"),
    "one donor": (lambda: spoiled(donor="only"), {}, "E460", "1 donor only: 'only'"),
    "no cells": (lambda: cells()[:0].copy(), {}, "E414", "has no rows"),
    "few cells": (cells, {"min_cells": 999}, "E461", "--min-cells 999 leaves 0 donors of 6"),
    "same names": (
        lambda: spoiled(cell_type=["a/b", "a_b"] * (cells().n_obs // 2) + ["a_b"] * (cells().n_obs % 2)),
        {},
        "E416",
        "1 column would have the name of another: 'prop_a_b'",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_wrong_cells_are_told_in_a_line(case: str):
    source, settings, code, text = FAULTS[case]

    with pytest.raises(DataError) as caught:
        made(source(), **settings)

    assert [fault.code for fault in caught.value.faults] == [code]
    assert text in str(caught.value) and "\n" not in str(caught.value)


def test_all_faults_are_told_at_once():
    with pytest.raises(DataError) as caught:
        made(with_value(-1.0), donor="x", cell_type="y", layer=None)

    assert [fault.code for fault in caught.value.faults] == ["E421", "E421", "E413"]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"doner": "x"}, "did you mean 'donor'"),
        ({"alpha": 0}, "'alpha' must be greater"),
        ({"mixtures": 0}, "'mixtures'"),
    ],
)
def test_wrong_settings_are_told(settings: dict, text: str):
    with pytest.raises(SpecError, match=text):
        made(**settings)


def test_an_output_that_may_not_be_written_is_refused_before_the_work(tmp_path: Path):
    (tmp_path / "link.h5ad").symlink_to(tmp_path / "elsewhere.h5ad")
    (tmp_path / "there.h5ad").write_text("mine")
    refused: dict[str, type[GxError]] = {"link.h5ad": UnsafeError, "out.csv": DataError, "there.h5ad": DataError}

    for name, kind in refused.items():
        with pytest.raises(kind):
            gxsearch.pseudobulk("nowhere.h5ad", tmp_path / name, **COLUMNS)
    made(out=tmp_path / "there.h5ad", force=True)

    assert anndata.read_h5ad(tmp_path / "there.h5ad").n_obs == 26
