"""Transforms agree with their formulas, dense and sparse; genes are chosen as documented."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from gxsearch.data.genes import choose_genes, variances
from gxsearch.data.table import Genes
from gxsearch.data.transform import median_total, transform
from gxsearch.errors import DataError

FORMULAS = {"log1p": np.log1p, "log2p1": lambda x: np.log2(1 + x), "log10p1": lambda x: np.log10(1 + x)}


@pytest.fixture
def x_ng() -> np.ndarray:
    return np.random.default_rng(0).poisson(2.0, (50, 20)).astype(np.float32) + np.eye(50, 20, dtype=np.float32)


@pytest.mark.parametrize("step", FORMULAS)
def test_logarithms_agree_with_numpy(x_ng: np.ndarray, step: str):
    got = transform(x_ng, [step], None)

    assert got.dtype == np.float32
    np.testing.assert_allclose(got, FORMULAS[step](x_ng.astype(float)), rtol=1e-6)


def test_normalize_brings_every_row_to_the_median_total(x_ng: np.ndarray):
    target = median_total(x_ng)

    got = transform(x_ng, ["normalize"], target)

    assert target == np.median(x_ng.sum(1))
    np.testing.assert_allclose(got.sum(1), target, rtol=1e-5)


def test_normalize_agrees_with_scanpy(x_ng: np.ndarray):
    import scanpy
    from anndata import AnnData

    adata = AnnData(x_ng.copy())
    scanpy.pp.normalize_total(adata)
    scanpy.pp.log1p(adata)

    np.testing.assert_allclose(transform(x_ng, ["normalize", "log1p"], median_total(x_ng)), adata.X, rtol=1e-5)


@pytest.mark.parametrize("steps", [["normalize"], ["normalize", "log1p"], ["log10p1"]])
def test_sparse_stays_sparse_with_the_same_values_and_the_input_is_left_alone(x_ng: np.ndarray, steps: list[str]):
    rows = sparse.csr_matrix(x_ng)

    got = transform(rows, steps, 40.0)

    assert sparse.issparse(got) and got.dtype == np.float32 and got.nnz == rows.nnz
    assert np.array_equal(got.toarray(), transform(x_ng, steps, 40.0))
    assert np.array_equal(rows.toarray(), x_ng)


def test_variances_agree_with_numpy_and_a_constant_gene_has_none():
    x_ng = np.random.default_rng(1).gamma(2, 1, (37, 700)).astype(np.float32)
    x_ng[:, 5] = 0.1

    assert variances(x_ng)[5] == 0
    np.testing.assert_allclose(variances(x_ng), x_ng.astype(float).var(0), rtol=1e-6, atol=1e-15)
    assert np.array_equal(variances(sparse.csr_matrix(x_ng)), variances(x_ng))


def choose(
    config: Genes, x_ng: np.ndarray, names: list[str], train: np.ndarray | None = None, base: Path | None = None
):
    train = np.arange(len(x_ng)) if train is None else train
    return choose_genes(config, x_ng, train, np.array(names), where="spec.yaml", base=base).tolist()


def test_top_variable_keeps_the_order_of_the_file_and_breaks_ties_by_name():
    x_ng = np.array([[0, 0, 0, 0], [1, 9, 5, 1]], dtype=np.float32)

    assert choose(Genes(top_variable=2), x_ng, list("dcba")) == [1, 2]
    assert choose(Genes(top_variable=3), x_ng, list("dcba")) == [1, 2, 3]


def test_genes_are_chosen_on_training_rows_only():
    x_ng = np.zeros((6, 3), dtype=np.float32)
    x_ng[:3, 2], x_ng[3:, 0] = [1, 2, 3], [10, 20, 30]

    assert choose(Genes(top_variable=2), x_ng, ["a", "b", "c"], train=np.arange(3)) == [0, 2]
    assert choose(Genes(min_cells=1), x_ng, ["a", "b", "c"], train=np.arange(3)) == [2]


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix])
def test_min_cells_counts_values_other_than_zero(make):
    x_ng = make(np.array([[1, 0, 2], [1, 0, 0], [1, 3, 0]], dtype=np.float32))

    assert choose_genes(
        Genes(min_cells=2), x_ng, np.arange(3), np.array(list("abc")), where="spec.yaml", base=None
    ).tolist() == [0]


def test_a_gene_file_keeps_its_genes_in_the_order_of_the_data(tmp_path: Path):
    (tmp_path / "genes.txt").write_text("c\na\n")

    assert choose(Genes(file="genes.txt"), np.ones((3, 3), np.float32), list("abc"), base=tmp_path) == [0, 2]


def test_too_few_genes_left_is_an_error_with_both_counts():
    with pytest.raises(DataError, match="1 gene of 2 left where 2 are wanted"):
        choose(Genes(min_cells=1, top_variable=2), np.array([[0, 1], [0, 2]], np.float32), ["a", "b"])
