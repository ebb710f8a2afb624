"""With orientation: genes, a table is the transpose of the file, split by gene and described by var."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from gxsearch.data.prepare import like, prepare
from gxsearch.data.sources import load
from gxsearch.data.table import DataConfig, Genes, Split
from gxsearch.errors import DataError

STEPS = ["normalize", "log1p"]
SERIES = DataConfig(
    path="sim_series?n=30&g=120", orientation="genes", label="cluster", split=Split(stratify="cluster"), transform=STEPS
)


def prepared(config: DataConfig = SERIES, **options):
    return prepare(config, where="spec.yaml", **options)


def changed(**settings) -> DataConfig:
    return SERIES.model_copy(update=settings)


def test_rows_are_genes_and_features_are_samples():
    table, adata = prepared(), load(SERIES.path)

    assert table.x_ng.shape == (120, 30) and table.x_ng.flags.c_contiguous and table.x_ng.dtype == np.float32
    assert table.obs_names.tolist() == adata.var_names.tolist() and table.var_names.tolist() == adata.obs_names.tolist()
    assert table.obs["cluster"].tolist() == adata.var["cluster"].tolist()


def test_transforms_and_the_choice_of_genes_see_the_samples_as_they_are():
    table, x_ng = prepared(changed(genes=Genes(top_variable=40))), load(SERIES.path).X

    target = np.median(x_ng.sum(1))
    want_ng = np.log1p(x_ng * (target / x_ng.sum(1, keepdims=True)))
    best = np.sort(np.argsort(-want_ng.var(0))[:40])
    assert table.facts["normalize_target"] == pytest.approx(target)
    np.testing.assert_allclose(table.x_ng, want_ng[:, best].T, rtol=1e-5)


def test_genes_are_split_after_they_are_chosen():
    facts = prepared(changed(genes=Genes(top_variable=40), split=Split(val=0.25, test=0.25))).facts

    assert facts["split"] == {"train": 20, "val": 10, "test": 10}
    assert (facts["n_obs"], facts["n_vars"], facts["n_genes_before"]) == (40, 30, 120)
    assert facts["orientation"] == "genes" and sum(facts["classes"].values()) == 40


def test_samples_are_the_rows_unless_it_is_said():
    assert prepared(changed(orientation="samples", label=None, split=Split())).facts["orientation"] == "samples"


def test_layouts_hold_the_same_values():
    dense, rows = prepared(), prepared(layout="sparse")

    assert isinstance(rows.x_ng, sparse.csr_matrix) and np.array_equal(rows.x_ng.toarray(), dense.x_ng)
    assert rows.facts == dense.facts


def test_a_sparse_file_gives_the_same_table(tmp_path: Path):
    adata = load(SERIES.path)
    adata.X = sparse.csr_matrix(adata.X)
    adata.write_h5ad(tmp_path / "set.h5ad")

    got = prepared(changed(path=str(tmp_path / "set.h5ad")))

    np.testing.assert_allclose(got.x_ng, prepared().x_ng, rtol=1e-6)
    assert got.facts["sha256"] == prepared().facts["sha256"]


def test_what_cannot_be_found_or_meant_is_refused_all_at_once():
    config = changed(spatial="xy", batch=["donor"], label="clster", split=Split(group="chromosome"))

    with pytest.raises(DataError) as caught:
        prepared(config, extra_obs=["strand"])

    assert [fault.code for fault in caught.value.faults] == ["E426"] + ["E421"] * 4
    assert "data.label: sim_series?n=30&g=120 has no var column 'clster' - did you mean 'cluster'?" in str(caught.value)


def test_time_and_batch_are_columns_of_the_samples():
    table, adata = prepared(changed(time="time", split=Split(), label=None)), load(SERIES.path)

    assert np.array_equal(table.var["time"], adata.obs["time"]) and table.obs == {}
    assert table.facts["time"] == "time" and prepared().var == {}


def test_values_that_were_not_measured_are_taken_where_the_view_asks_for_them(tmp_path: Path):
    adata = load(SERIES.path)
    adata.X[3, 7] = np.nan
    adata.write_h5ad(tmp_path / "set.h5ad")
    some = {"genes": Genes(top_variable=40), "split": Split()}
    gappy = some | {"path": str(tmp_path / "set.h5ad")}

    table = prepared(changed(transform=["log1p"], view={"missing": "mask"}, **gappy))

    whole = prepared(changed(transform=["log1p"], **some))
    assert np.isnan(table.x_ng).sum() == (adata.var_names[7] in table.obs_names)
    assert len(set(table.obs_names) & set(whole.obs_names)) >= 39 and table.facts["whole"] is False
    with pytest.raises(DataError, match="E412.*row 'time03' gene 'gene007' is nan"):
        prepared(changed(transform=["log1p"], **gappy))
    with pytest.raises(DataError, match="E433.*normalize adds up samples whose values may be missing"):
        prepared(changed(view={"missing": "mask"}, **gappy))


def test_a_split_that_the_chosen_genes_cannot_fill_is_a_fault():
    config = changed(genes=Genes(top_variable=4), label=None, split=Split(val=0.1, test=0.1))

    with pytest.raises(DataError, match="E430.*4 rows give train 3, val 1, test 0"):
        prepared(config)


def test_new_genes_of_the_same_samples_are_read_as_the_training_genes_were():
    table, new = prepared(), load(SERIES.path)[::-1, 7:].copy()
    whole = like(SERIES, table.facts, SERIES.path, table.var_names, where="new")

    got = like(SERIES, table.facts, new, table.var_names, where="new")

    assert got.obs_names.tolist() == table.obs_names[7:].tolist() and set(got.part_n) == {2}
    assert got.var_names.tolist() == table.var_names.tolist() and got.obs["cluster"].shape == (113,)
    totals = load(SERIES.path).X.sum(1) / load(SERIES.path).X[:, 7:].sum(1)
    np.testing.assert_allclose(np.expm1(got.x_ng), np.expm1(table.x_ng[7:]) * totals, rtol=1e-4)
    assert np.array_equal(whole.x_ng, table.x_ng)


def test_new_genes_must_come_with_the_same_samples():
    table = prepared()
    new = load(SERIES.path)[:20].copy()

    with pytest.raises(DataError, match="E420.*10 of 30 samples are missing"):
        like(SERIES, table.facts, new, table.var_names, where="new")


def test_genes_that_are_exact_copies_are_remarked(tmp_path: Path):
    adata = load(SERIES.path)
    adata.X[:, 7] = adata.X[:, 3]
    adata.write_h5ad(tmp_path / "set.h5ad")

    warnings = prepared(changed(path=str(tmp_path / "set.h5ad"))).facts["warnings"]

    assert "1 row with exactly the values of an earlier row: 'gene007'" in warnings
