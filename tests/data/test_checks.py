"""Every wrong data set is told, all faults at once, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from gxsearch.data.checks import check
from gxsearch.data.findings import Findings
from gxsearch.data.sources import load
from gxsearch.data.table import DataConfig, Genes, Split


def findings(adata: AnnData, allow_negative: bool = False, base: Path | None = None, **settings) -> Findings:
    found = Findings("spec.yaml", "set")
    extra = settings.pop("extra_obs", ())
    config = DataConfig(path="set", **settings)
    values = check(adata, config, found, base=base, allow_negative=allow_negative, extra_obs=extra)
    assert values is not None or found.faults
    return found


def only_fault(found: Findings) -> str:
    assert len(found.faults) == 1, found.faults
    return str(found.faults[0])


def cells(n: int = 40, g: int = 12) -> AnnData:
    adata = load(f"sim_counts?n={n}&g={g}&seed=1")
    adata.X = adata.X.toarray() + 1
    return adata


def with_value(value: float, make: Callable = np.asarray) -> AnnData:
    adata = cells()
    x_ng = np.asarray(adata.X, dtype=np.float64)
    x_ng[2, 3] = x_ng[5, 1] = value
    adata.X = make(x_ng)
    return adata


def test_a_sound_set_has_no_faults_and_no_warnings():
    found = findings(cells(), label="cell_type", batch=["batch"], split=Split(group="donor", stratify="cell_type"))

    assert not found.faults and not found.warnings


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array])
@pytest.mark.parametrize(
    ("value", "code", "part"),
    [
        (
            np.nan,
            "E412",
            "2 values NaN or infinite: row 'cell02' gene 'gene03' is nan, row 'cell05' gene 'gene01' is nan",
        ),
        (-np.inf, "E412", "is -inf"),
        (-2.5, "E413", "2 values negative: row 'cell02' gene 'gene03' is -2.5"),
        (1e300, "E417", "2 values beyond float32"),
    ],
)
def test_wrong_values_are_counted_and_placed(make: Callable, value: float, code: str, part: str):
    faults = findings(with_value(value, make)).faults

    assert code in [fault.code for fault in faults] and part in " ".join(map(str, faults))


def test_negative_values_are_allowed_to_a_view_that_reads_them_but_never_to_a_transform():
    assert not findings(with_value(-1), allow_negative=True).faults
    assert "E413" in only_fault(findings(with_value(-1), allow_negative=True, transform=["log1p"]))


def test_more_than_three_offenders_are_counted():
    adata = cells()
    adata.X[:, 0] = np.nan

    assert "40 values NaN" in only_fault(findings(adata)) and "..." in only_fault(findings(adata))


@pytest.mark.parametrize(("rows", "genes", "part"), [(0, 12, "has no rows"), (40, 0, "has no genes")])
def test_an_empty_set_is_a_fault(rows: int, genes: int, part: str):
    assert part in " ".join(map(str, findings(cells()[:rows, :genes].copy()).faults))


def test_a_row_of_zeros_stops_normalize_and_is_remarked_otherwise():
    adata = cells()
    adata.X[4] = 0

    assert "1 row of zeros only: 'cell04'" in only_fault(findings(adata, transform=["normalize"]))
    assert findings(adata).warnings == ["1 row of zeros only: 'cell04'"]


def test_a_row_of_zeros_is_found_in_a_sparse_matrix_that_stores_them():
    adata = cells()
    adata.X = sparse.csr_matrix(adata.X)
    adata.X.data[adata.X.indptr[4] : adata.X.indptr[5]] = 0

    assert "'cell04'" in findings(adata).warnings[0]


def test_repeated_and_blank_names_are_faults():
    adata = cells()
    adata.obs_names = ["a", "a", "b", "b", *map(str, range(36))]
    adata.var_names = ["", *map(str, range(11))]

    texts = " ".join(map(str, findings(adata).faults))

    assert "set!/obs_names: 2 names used more than once: 'a', 'b'" in texts
    assert "set!/var_names: 1 name blank" in texts


def test_missing_columns_are_all_told_with_the_nearest_ones():
    adata = cells()
    found = findings(adata, label="celltype", batch=["bach"], time="hour", split=Split(group="doner", stratify="x"))

    assert [fault.code for fault in found.faults] == ["E421"] * 5
    assert "data.label: set has no obs column 'celltype' - did you mean 'cell_type'?" in str(found.faults[0])


def test_a_missing_column_of_the_model_is_told():
    assert "the model reads: set has no obs column 'sexx'" in only_fault(findings(cells(), extra_obs=["sexx"]))


@pytest.mark.parametrize("gap", [None, np.nan, ""])
def test_gaps_in_a_label_are_counted(gap: object):
    adata = cells()
    adata.obs["cell_type"] = adata.obs["cell_type"].astype(object)
    adata.obs.iloc[3, 0] = gap

    assert "set!/obs/cell_type: 1 row without a value: 'cell03'" in only_fault(findings(adata, label="cell_type"))


def test_a_class_of_one_row_cannot_be_stratified():
    adata = cells()
    adata.obs["cell_type"] = ["rare", *["a", "b", "c"] * 13]

    found = findings(adata, split=Split(stratify="cell_type"))

    assert "1 class with one row only: 'rare'" in only_fault(found)


def test_times_must_be_numbers():
    adata = cells()
    adata.obs["time"] = pd.Categorical(["day 1", "day 2"] * 20)
    adata.obs["hours"] = pd.Categorical([1.5, 2.5] * 20)

    assert "times must be numbers, got 'day 1', 'day 2'" in only_fault(findings(adata, time="time"))
    assert not findings(adata, time="hours").faults


def test_a_missing_layer_is_told_with_those_there_are():
    assert "no layer 'count' - did you mean 'counts'?" in only_fault(findings(cells(), layer="count"))


def test_a_set_without_values_is_told_with_its_layers():
    adata = cells()
    adata.X = None

    assert "X is empty - data.layer can be 'counts'" in only_fault(findings(adata))
    assert not findings(adata, layer="counts").faults


@pytest.mark.parametrize(
    ("coordinates", "part"),
    [
        (None, "no obsm 'spatial'"),
        (np.ones((40, 1)), "has shape (40, 1)"),
        (np.full((40, 2), np.nan), "40 rows without finite coordinates"),
    ],
)
def test_coordinates_must_be_there_and_finite(coordinates: np.ndarray | None, part: str):
    adata = cells()
    if coordinates is not None:
        adata.obsm["spatial"] = coordinates

    assert part in only_fault(findings(adata, spatial="spatial"))


@pytest.mark.parametrize("kind", [np.complex64, "U3"])
def test_values_must_be_real_numbers(kind: object):
    adata = cells()
    adata.layers["odd"] = np.ones((40, 12)).astype(kind)

    assert "real numbers are needed" in only_fault(findings(adata, layer="odd"))


def broken(change: Callable[[sparse.csr_matrix], None]) -> AnnData:
    adata = cells()
    adata.X = sparse.csr_matrix(adata.X)
    change(adata.X)
    return adata


def out_of_range(x_ng: sparse.csr_matrix) -> None:
    x_ng.indices[3] = 10**6


def falling_indptr(x_ng: sparse.csr_matrix) -> None:
    x_ng.indptr[3] = 10**6


def stored_twice(x_ng: sparse.csr_matrix) -> None:
    x_ng.indices[1] = x_ng.indices[0]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (out_of_range, "damaged sparse structure"),
        (falling_indptr, "damaged sparse structure"),
        (stored_twice, "1 value stored twice in one place"),
    ],
)
def test_a_damaged_sparse_matrix_is_refused_before_its_values_are_used(change: Callable, part: str):
    assert part in only_fault(findings(broken(change)))


def test_unsorted_indices_are_put_in_order_without_a_change_of_values():
    adata = cells()
    want = adata.X.copy()
    adata.X = sparse.csr_matrix(adata.X)
    for low, high in zip(adata.X.indptr[:-1], adata.X.indptr[1:], strict=True):
        adata.X.indices[low:high] = adata.X.indices[low:high][::-1]
        adata.X.data[low:high] = adata.X.data[low:high][::-1]
    adata.X.has_sorted_indices = False

    got = check(adata, DataConfig(path="set"), Findings("spec.yaml", "set"))

    assert got.has_canonical_format and np.array_equal(got.toarray(), want)


def test_values_that_look_logged_are_remarked_when_a_logarithm_is_asked_for():
    assert "look already logged" in findings(load("sim_bulk?n=40&g=12"), transform=["log1p"]).warnings[0]
    assert not findings(cells(), transform=["log1p"]).warnings


def test_constant_genes_and_genes_named_like_dates_are_remarked():
    adata = cells()
    adata.X[:, 3] = 7
    adata.var_names = ["2-Sep", *adata.var_names[1:]]

    warnings = " ".join(findings(adata).warnings)

    assert "1 gene constant: 'gene03'" in warnings and "turned into dates by a spreadsheet: '2-Sep'" in warnings


@pytest.mark.parametrize(
    ("split", "part"),
    [
        (Split(val=0.6, test=0.4), "leave no rows to train on"),
        (Split(val=0.01), "40 rows give train 34, val 0, test 6"),
        (Split(group="batch2"), "2 groups in 'batch2' for 3 parts"),
        (Split(group="donor", stratify="donor"), "group and stratify are both 'donor'"),
    ],
)
def test_a_split_that_leaves_a_part_empty_is_a_fault(split: Split, part: str):
    adata = cells()
    adata.obs["batch2"] = ["a", "b"] * 20

    assert part in only_fault(findings(adata, split=split))


def test_more_genes_than_there_are_cannot_be_kept():
    found = findings(cells(), genes=Genes(top_variable=13))

    assert "data.genes.top_variable: 13 of 12 genes" in only_fault(found)


def test_a_gene_file_must_exist_and_name_known_genes(tmp_path: Path):
    (tmp_path / "genes.txt").write_text("gene01\n\ngene_1\nXIST\n")
    (tmp_path / "empty.txt").write_text("\n")

    assert "there is no such file" in only_fault(findings(cells(), base=tmp_path, genes=Genes(file="gene.txt")))
    assert "names no genes" in only_fault(findings(cells(), base=tmp_path, genes=Genes(file="empty.txt")))
    text = only_fault(findings(cells(), base=tmp_path, genes=Genes(file="genes.txt")))
    assert "2 of 3 genes not in set: 'gene_1', 'XIST' - did you mean" in text


@pytest.mark.parametrize("steps", [["log1p", "normalize"], ["log1p", "log2p1"], ["normalize", "normalize"]])
def test_steps_in_an_order_without_sense_are_a_fault(steps: list[str]):
    assert "normalize comes first" in only_fault(findings(cells(), transform=steps))


def test_faults_of_all_kinds_are_told_together():
    adata = with_value(np.nan)
    adata.var_names = ["x"] * 12

    found = findings(adata, label="cel_type", spatial="xy", transform=["log1p", "log2p1"], genes=Genes(top_variable=99))

    assert {fault.code for fault in found.faults} == {"E412", "E416", "E421", "E425", "E433", "E432"}
