"""The view of counts: totals over all genes, sparse rows, covariates, classes and probabilities, refusals."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from scipy import sparse
from scipy.special import gammaln

from gxsearch.data.counts import CountsConfig, CountsView
from gxsearch.data.csr import SparseRows, dense_on
from gxsearch.data.prepare import like, prepare
from gxsearch.data.table import DataConfig, Table
from gxsearch.errors import DataError

CPU = torch.device("cpu")


def make(n: int = 40, g: int = 30, **obs) -> Table:
    x_ng = sparse.csr_matrix(np.random.default_rng(0).poisson(0.4, (n, g)).astype(np.float32))
    names = [np.array([f"{kind}{i}" for i in range(m)]) for kind, m in (("r", n), ("g", g))]
    part_n = np.zeros(n, dtype=np.int8)
    part_n[n // 2 : 3 * n // 4], part_n[3 * n // 4 :] = 1, 2
    columns = {name: np.asarray(values) for name, values in obs.items()}
    return Table(x_ng, *names, part_n, columns, facts={"batch": [c for c in columns if c.startswith("batch")]})


def fit(table: Table, **settings) -> CountsView:
    return CountsView.fit(table, CountsConfig(**settings))


def on_disk(tmp_path, adata: AnnData) -> str:
    adata.write_h5ad(tmp_path / "x.h5ad")
    return str(tmp_path / "x.h5ad")


def small(n: int = 40, g: int = 12) -> AnnData:
    x_ng = np.random.default_rng(1).poisson(1.0, (n, g)).astype(np.float32)
    x_ng[:, 0] += 1
    return AnnData(sparse.csr_matrix(x_ng), obs=pd.DataFrame(index=[f"c{i}" for i in range(n)]))


@pytest.mark.parametrize("density", [0.05, 0.9])
def test_rows_are_those_of_the_matrix_and_tell_where_their_values_are_if_that_pays(density):
    x_ng = sparse.random(30, 17, density, format="csr", dtype=np.float32, random_state=0)
    rows = torch.tensor([4, 29, 4, 0])

    x, nonzero = SparseRows(x_ng, CPU)(rows)

    assert np.array_equal(x.numpy(), x_ng.toarray()[rows.numpy()])
    assert (nonzero is None) == (density > 0.5)
    assert nonzero is None or torch.equal(nonzero, x.nonzero().T)


def test_rows_without_values_are_zeros():
    x, nonzero = SparseRows(sparse.csr_matrix((3, 5), dtype=np.float32), CPU)(torch.tensor([2, 0]))

    assert torch.equal(x, torch.zeros(2, 5)) and nonzero.shape == (2, 0)


def test_totals_are_over_all_genes_of_the_file_when_only_some_are_used(tmp_path):
    adata = small()
    config = DataConfig(path=on_disk(tmp_path, adata), genes={"top_variable": 5})

    table = prepare(config, where="test", layout="sparse")
    view = fit(table)

    assert np.array_equal(view.totals(table), np.asarray(adata.X.sum(1)).ravel())
    assert view.dims.n_rest == 7 and view.dims.high == np.median(view.totals(table)[table.rows("train")])


def test_new_rows_have_totals_over_all_their_genes_too(tmp_path):
    adata = small()
    config = DataConfig(path=on_disk(tmp_path, adata), genes={"top_variable": 5})
    table = prepare(config, where="test", layout="sparse")

    new = like(config, table.facts, adata[:9], fit(table).genes, where="new", layout="sparse")

    assert np.array_equal(fit(table).totals(new), np.asarray(adata.X[:9].sum(1)).ravel())


def test_totals_may_be_a_column_and_may_not_be_less_than_the_counts():
    table = make()
    high = np.asarray(table.x_ng.sum(1)).ravel() + 10.0
    told = dataclasses.replace(table, obs={"n_counts": high})

    assert np.allclose(fit(told, total="n_counts").totals(told), high)
    assert fit(told, total="n_counts").dims.n_rest == 1
    with pytest.raises(DataError, match="E485.*less than the sum of the counts in 40 rows"):
        fit(dataclasses.replace(table, obs={"n_counts": high - 11}), total="n_counts")


def test_values_that_are_no_counts_are_refused_with_the_fix():
    table = make()
    table.x_ng.data[3] = 0.5

    with pytest.raises(DataError, match=r"E481.*1 values are no counts \(the first is 0.5\).*data.layer"):
        fit(table)


def test_a_transform_and_too_few_rows_are_refused_together():
    table = make(4)
    table.facts["transform"] = ["log1p"]
    table = dataclasses.replace(table, part_n=np.zeros(4, dtype=np.int8))

    with pytest.raises(DataError) as caught:
        fit(table)

    assert [fault.code for fault in caught.value.faults] == ["E430", "E480"]


def test_covariates_are_codes_of_training_categories_and_others_are_none():
    table = make(batch=["a", "b"] * 20, batch2=["x"] * 39 + ["y"])
    view = fit(table)

    assert view.categories == {"batch": ["a", "b"], "batch2": ["x"]}
    assert view.dims.covariates == (2, 1)
    assert np.array_equal(view.codes(table)[[0, 1, 39]], [[0, 0], [1, 0], [1, -1]])
    without = dataclasses.replace(table, obs={})
    assert (view.codes(without) == -1).all()


def test_classes_are_one_hot_and_unknown_ones_are_zeros():
    table = make(kind=["b", "a", "", "unknown"] * 10)
    view = fit(table, classes="kind", unlabeled="unknown")

    assert view.classes == ["a", "b"]
    assert np.array_equal(view.chances(table)[:4], [[0, 1], [1, 0], [0, 0], [0, 0]])


def test_probabilities_come_from_columns_or_from_obsm_and_sum_to_one(tmp_path):
    adata = small()
    chance_nc = np.random.default_rng(0).random((40, 2))
    chance_nc[7] = np.nan
    adata.obsm["soft_"] = pd.DataFrame(chance_nc, index=adata.obs_names, columns=["T", "B"])
    adata.obs["prob_T"], adata.obs["prob_B"] = chance_nc.T
    path = on_disk(tmp_path, adata)
    found = []
    for prefix in ("prob_", "soft_"):
        extra = CountsView.columns(CountsConfig(probabilities=prefix))
        table = prepare(DataConfig(path=path), where="test", layout="sparse", extra_obs=extra)
        view = fit(table, probabilities=prefix)
        found.append(view.chances(table))
        assert view.classes == ["B", "T"]

    want_nc = np.nan_to_num(chance_nc[:, ::-1] / chance_nc.sum(1, keepdims=True))
    assert all(np.allclose(got, want_nc, atol=1e-6) for got in found)


def test_probabilities_that_are_not_there_are_named(tmp_path):
    config = DataConfig(path=on_disk(tmp_path, small()))

    with pytest.raises(DataError, match=r"E421.*no obs column 'prob_\*'"):
        prepare(config, where="test", layout="sparse", extra_obs=("prob_*",))


@pytest.mark.parametrize(
    ("column", "settings", "what"),
    [
        (["a"] * 40, {"classes": "prob_a"}, "E435.*1 classes"),
        ([-1.0] * 40, {"probabilities": "prob_"}, "E483.*below 0"),
        (["a", "b"] * 20, {"classes": "prob_a", "probabilities": "prob_"}, "E484.*both"),
    ],
)
def test_classes_that_cannot_be_learnt_are_refused(column, settings, what):
    with pytest.raises(DataError, match=what):
        fit(make(prob_a=column), **settings)


def test_batches_carry_totals_constants_and_the_share_of_known_classes():
    table = make(kind=["a", "b", "", ""] * 10, batch=["x", "y"] * 20)
    view = fit(table, classes="kind")

    batches = list(view.examples(table, CPU).train(8, torch.Generator().manual_seed(0)))

    x_ng = table.x_ng.toarray()[table.rows("train")]
    assert sum(len(b.x) for b in batches) == 20 and {b.known for b in batches} == {0.5}
    assert sum(float(b.library.sum()) for b in batches) == x_ng.sum()
    assert sum(float(b.constant.sum()) for b in batches) == pytest.approx(gammaln(x_ng + 1.0).sum(), rel=1e-5)
    assert all(b.covariate.shape == (len(b.x), 1) for b in batches)


def test_classes_are_told_by_cut_only_when_asked():
    table = make(kind=["a", "b"] * 20)
    view = fit(table, classes="kind")

    assert all(batch.chance is None for batch in view.cut(table, CPU))
    assert all(batch.chance is not None for batch in view.cut(table, CPU, told=True))


def test_log_counts_are_brought_to_the_median_total():
    table = make()
    view = fit(table)

    total_n = np.expm1(view.logged(table)).sum(1)
    assert np.allclose(total_n, view.dims.high, rtol=1e-4)


def test_a_matrix_is_made_dense_a_block_at_a_time():
    x_ng = sparse.random(2500, 6, 0.4, "csr", np.float32, random_state=0)

    assert np.array_equal(dense_on(x_ng, torch.device("cpu")).numpy(), x_ng.toarray())
