"""Genes are found whatever the version of their Ensembl id, and dropped where too few training rows show them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from gxsearch.data.ensembl import partners, places, unversioned
from gxsearch.data.genes import choose_genes, detected
from gxsearch.data.prepare import prepare
from gxsearch.data.sources import load
from gxsearch.data.table import DataConfig, Genes
from gxsearch.data.view import align
from gxsearch.errors import DataError

TP53, ACTB, GAPDH = "ENSG00000141510", "ENSG00000075624", "ENSG00000111640"


def bulk(var_names: list[str]) -> AnnData:
    adata = load(f"sim_bulk?n=20&g={len(var_names)}")
    adata.var_names = var_names
    return adata


def listed(tmp_path: Path, have: list[str], names: list[str], **settings):
    bulk(have).write_h5ad(tmp_path / "set.h5ad")
    (tmp_path / "genes.txt").write_text("\n".join(names))
    config = DataConfig(path="set.h5ad", genes=Genes(file="genes.txt", **settings))
    return prepare(config, where="spec.yaml", base=tmp_path)


@pytest.mark.parametrize(
    ("name", "want"),
    [
        (f"{TP53}.17", TP53),
        ("ENSMUSG00000059552.14", "ENSMUSG00000059552"),
        ("ENSMUST00000059552.1", "ENSMUST00000059552"),
        (TP53, TP53),
        (f"{TP53}.17_PAR_Y", f"{TP53}.17_PAR_Y"),
        ("ENSG141510.17", "ENSG141510.17"),
        ("RP11-34P13.7", "RP11-34P13.7"),
    ],
)
def test_only_the_version_of_an_ensembl_id_is_left_out(name: str, want: str):
    assert unversioned(name) == want


def test_a_name_stands_for_itself_before_it_stands_for_another_version():
    have = [f"{TP53}.5", TP53, f"{ACTB}.1", f"{GAPDH}.1", f"{GAPDH}.2"]

    found = places([TP53, f"{TP53}.9", f"{ACTB}.7", GAPDH, "XIST"], have)

    assert found == ([1, -1, 2, -1, -1], [f"{TP53}.9", GAPDH])


def test_two_names_have_no_place_in_common():
    assert partners([f"{TP53}.1", f"{TP53}.2"], [TP53]) == [-1, -1]
    assert partners([f"{TP53}.1", TP53], [TP53]) == [-1, 0]


@given(st.permutations([f"{TP53}.17", f"{ACTB}.9", f"{GAPDH}", "XIST", "ENSMUSG00000059552.14"]))
def test_names_without_versions_find_all_genes_in_any_order(have: list[str]):
    assert partners([unversioned(name) for name in have], have) == list(range(len(have)))


def test_a_list_without_versions_keeps_the_names_of_the_file(tmp_path: Path):
    table = listed(tmp_path, [f"{TP53}.17", "b", f"{ACTB}.9", "XIST", "c", "d"], [ACTB, "XIST", f"{TP53}.2"])

    assert table.var_names.tolist() == [f"{TP53}.17", f"{ACTB}.9", "XIST"]


def test_a_name_that_fits_two_genes_is_a_fault(tmp_path: Path):
    have = [f"{TP53}.17", f"{TP53}.18", "a", "b", "c", "d"]

    with pytest.raises(DataError, match=f"E431.*several genes of set.h5ad fit 1 name: '{TP53}'"):
        listed(tmp_path, have, [TP53, "a"])
    assert listed(tmp_path, have, [f"{TP53}.17", "a"]).n_vars == 2


def test_a_long_list_may_name_genes_that_the_data_lack(tmp_path: Path):
    have, names = list("abcdef"), ["a", "c", "XIST", "TSIX"]

    with pytest.raises(DataError, match="E431.*2 of 4 genes not in set.h5ad: 'XIST', 'TSIX'.*require_all: false"):
        listed(tmp_path, have, names)
    table = listed(tmp_path, have, names, require_all=False)

    assert table.var_names.tolist() == ["a", "c"]
    assert any("2 of 4 genes not in set.h5ad" in text for text in table.facts["warnings"])


def test_a_list_of_which_the_data_have_nothing_is_always_a_fault(tmp_path: Path):
    with pytest.raises(DataError, match="E431.*2 of 2 genes not in"):
        listed(tmp_path, list("abcdef"), ["XIST", "TSIX"], require_all=False)


def test_new_rows_are_aligned_whatever_the_version():
    x_ng = np.arange(6.0).reshape(2, 3)
    have = np.array([f"{ACTB}.3", "XIST", TP53])

    got = align(x_ng, have, np.array([f"{TP53}.17", ACTB]), "new")

    assert got.tolist() == [[2, 0], [5, 3]]


def test_new_rows_with_several_versions_of_a_gene_are_refused():
    have = np.array([f"{TP53}.1", f"{TP53}.2"])

    with pytest.raises(DataError, match=f"E420.*new: 1 of 1 genes are missing: {TP53}"):
        align(np.ones((2, 2)), have, np.array([TP53]), "new")


FLOOR = float(np.log2(0.001))


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("zero", [0.0, FLOOR])
def test_a_gene_is_detected_above_the_floor_of_the_data(make, zero: float):
    x_ng = np.full((10, 4), zero, dtype=np.float32)
    x_ng[:1, 1] = x_ng[:5, 2] = x_ng[:, 3] = 1.5

    assert detected(make(x_ng)).tolist() == [0.0, 0.1, 0.5, 1.0]


def test_genes_seen_in_too_small_a_share_of_training_rows_are_dropped():
    x_ng, train = np.zeros((30, 3), dtype=np.float32), np.arange(20)
    x_ng[:2, 0] = x_ng[:1, 1] = x_ng[20:, 1] = x_ng[:, 2] = 1

    def kept(share: float) -> list[int]:
        config, names = Genes(min_detected=share), np.array(["a", "b", "c"])
        return choose_genes(config, x_ng, train, names, where="spec.yaml", base=None).tolist()

    assert [kept(0.0), kept(0.1), kept(0.11)] == [[0, 1, 2], [0, 2], [2]]
