"""Data sets that must not start a trial: spoiled in memory, damaged on disk, or made to do harm."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from case import Home, cells
from scipy import sparse


def value(at: float, make: Callable = np.asarray, dtype: type = np.float64) -> Callable[[AnnData], None]:
    """Put a number into row 2, gene 3 of X."""

    def spoil(adata: AnnData) -> None:
        x_ng = adata.X.astype(dtype)
        x_ng[2, 3] = at
        adata.X = make(x_ng)

    return spoil


def put(**fields: object) -> Callable[[AnnData], None]:
    """Set attributes of the AnnData."""

    def spoil(adata: AnnData) -> None:
        for name, new in fields.items():
            setattr(adata, name, new)

    return spoil


def column(name: str, at: object, row: int | slice = 5) -> Callable[[AnnData], None]:
    """Put a value into a column of obs."""

    def spoil(adata: AnnData) -> None:
        adata.obs[name] = adata.obs[name].astype(object)
        adata.obs.iloc[row, adata.obs.columns.get_loc(name)] = at

    return spoil


def number(name: str, at: float, row: int | slice = slice(None)) -> Callable[[AnnData], None]:
    """Put a number into a column of obs."""

    def spoil(adata: AnnData) -> None:
        adata.obs.iloc[row, adata.obs.columns.get_loc(name)] = at

    return spoil


def renamed(axis: str, old: str, new: str) -> Callable[[AnnData], None]:
    """Give a row or gene another name."""

    def spoil(adata: AnnData) -> None:
        names = [new if name == old else name for name in getattr(adata, axis)]
        setattr(adata, axis, names)

    return spoil


def place(at: float) -> Callable[[AnnData], None]:
    def spoil(adata: AnnData) -> None:
        adata.obsm["spatial"][4, 1] = at

    return spoil


def without_x(adata: AnnData) -> None:
    adata.X = None


def zero_row(adata: AnnData) -> None:
    adata.X[7] = 0


def logged(adata: AnnData) -> None:
    adata.X = np.log1p(adata.X)


def alone(adata: AnnData) -> None:
    column("kind", "alone")(adata)


SPOILED: dict[str, tuple[Callable[[AnnData], object], str, dict, str, list[str]]] = {
    # values
    "NaN": (value(np.nan), "E412", {}, "fe", ["row 'cell2' gene 'gene3'"]),
    "infinite": (value(np.inf), "E412", {}, "fe", ["cell2", "inf"]),
    "minus infinite": (value(-np.inf), "E412", {}, "fe", ["cell2"]),
    "NaN in CSR": (value(np.nan, sparse.csr_matrix), "E412", {}, "fe", ["cell2", "gene3"]),
    "NaN in CSC": (value(np.nan, sparse.csc_matrix), "E412", {}, "fe", ["cell2", "gene3"]),
    "NaN in a layer": (lambda a: a.layers["counts"].__setitem__((2, 3), np.nan), "E412", {"layer": "counts"}, "fe", ["layers/counts"]),
    "negative": (value(-1.0), "E413", {}, "fe", ["row 'cell2' gene 'gene3' is -1"]),
    "negative in CSR": (value(-1.0, sparse.csr_matrix), "E413", {}, "fe", ["cell2"]),
    "negative with a transform": (value(-1.0), "E413", {"transform": ["log1p"], "allow_negative": True}, "fe", ["cell2"]),
    "beyond float32": (value(1e39), "E417", {}, "fe", ["cell2"]),
    "complex": (lambda a: put(X=a.X.astype(np.complex64))(a), "E411", {}, "fe", ["complex"]),
    "zero row, normalized": (zero_row, "E415", {"transform": ["normalize"]}, "fe", ["cell7"]),
    "no values": (without_x, "E410", {}, "fe", ["X is empty", "counts"]),
    "no such layer": (lambda a: None, "E410", {"layer": "count"}, "fe", ["did you mean 'counts'?"]),
    "no rows": (lambda a: a[:0].copy(), "E414", {}, "fe", ["has no rows"]),
    "no genes": (lambda a: a[:, :0].copy(), "E414", {}, "fe", ["has no genes"]),
    # names
    "repeated row": (renamed("obs_names", "cell2", "cell1"), "E416", {}, "fe", ["cell1", "obs_names"]),
    "repeated gene": (renamed("var_names", "gene2", "gene1"), "E416", {}, "fe", ["gene1", "var_names_make_unique"]),
    "blank row": (renamed("obs_names", "cell2", "  "), "E416", {}, "fe", ["obs_names"]),
    "blank gene": (renamed("var_names", "gene2", ""), "E416", {}, "fe", ["var_names"]),
    # columns
    "no label": (lambda a: None, "E421", {"label": "kinds"}, "fe", ["did you mean 'kind'?"]),
    "no batch": (lambda a: None, "E421", {"batch": ["batch", "bach"]}, "fe", ["data.batch[1]", "'batch'"]),
    "no group": (lambda a: None, "E421", {"split": {"group": "doner"}}, "fe", ["did you mean 'donor'?"]),
    "no stratum": (lambda a: None, "E421", {"split": {"stratify": "knid"}}, "fe", ["did you mean 'kind'?"]),
    "no columns at all": (lambda a: put(obs=pd.DataFrame(index=a.obs_names))(a), "E421", {"label": "kind"}, "fe", ["obs has no columns"]),
    "gap in the label": (column("kind", None), "E422", {"label": "kind"}, "fe", ["obs/kind"]),
    "blank label": (column("kind", ""), "E422", {"label": "kind"}, "fe", ["obs/kind"]),
    "gap in the batch": (column("batch", np.nan), "E422", {"batch": ["batch"]}, "fe", ["obs/batch"]),
    "class of one row": (alone, "E423", {"split": {"stratify": "kind"}}, "fe", ["alone"]),
    # splits
    "two groups for three parts": (lambda a: None, "E430", {"split": {"group": "batch"}}, "fe", ["2 groups", "3 parts"]),
    "grouped and stratified alike": (lambda a: None, "E430", {"split": {"group": "kind", "stratify": "kind"}}, "fe", ["both 'kind'"]),
    "nothing to train on": (lambda a: None, "E430", {"split": {"val": 0.5, "test": 0.5}}, "fe", ["below 1"]),
    "three rows": (lambda a: a[:3].copy(), "E430", {}, "fe", ["3 rows"]),
    "tiles without places": (lambda a: None, "E430", {"split": {"tiles": 3}}, "fe", ["data.spatial"]),
    # genes and transforms
    "more genes than there are": (lambda a: None, "E432", {"genes": {"top_variable": 100}}, "fe", ["12"]),
    "no gene is in enough cells": (lambda a: None, "E432", {"genes": {"min_cells": 1000}}, "fe", []),
    "gene file is not there": (lambda a: None, "E401", {"genes": {"file": "panel.txt"}}, "fe", ["panel.txt", "no such file of genes"]),
    "normalize after log": (lambda a: None, "E433", {"transform": ["log1p", "normalize"]}, "fe", ["makes no sense"]),
    "two logarithms": (lambda a: None, "E433", {"transform": ["log1p", "log2p1"]}, "fe", ["at most one logarithm"]),
    "normalize twice": (lambda a: None, "E433", {"transform": ["normalize", "normalize"]}, "fe", []),
    # counts
    "fractions are no counts": (value(1.5), "E481", {}, "nbvae", ["1.5", "data.layer"]),
    "logged values are no counts": (logged, "E481", {}, "nbvae", ["raw counts"]),
    "transformed counts": (lambda a: None, "E480", {"transform": ["log1p"]}, "nbvae", ["log1p"]),
    "counts by genes": (lambda a: None, "E480", {"orientation": "genes"}, "nbvae", ["data.orientation"]),
    "no classes": (lambda a: None, "E421", {"view": {"classes": "knd"}}, "nbvae", ["did you mean 'kind'?"]),
    "one class only": (column("kind", "a", slice(None)), "E435", {"view": {"classes": "kind"}}, "nbvae", ["2 or more"]),
    "totals that are words": (lambda a: None, "E485", {"view": {"total": "kind"}}, "nbvae", ["obs/kind"]),
    "totals below the sum": (number("age", 1.0), "E485", {"view": {"total": "age"}}, "nbvae", ["less than the sum"]),
    "classes told twice": (lambda a: None, "E484", {"view": {"classes": "kind", "probabilities": "spatial"}}, "nbvae", ["leave one out"]),
    # time
    "no time": (lambda a: None, "E421", {"time": "tiem"}, "rvagene", ["did you mean 'time'?"]),
    "times are words": (lambda a: None, "E424", {"time": "kind"}, "rvagene", ["times must be numbers"]),
    "an infinite time": (number("time", np.inf, 5), "E424", {"time": "time"}, "rvagene", ["infinite"]),
    "a gap in time": (number("time", np.nan, 5), "E422", {"time": "time"}, "rvagene", ["obs/time"]),
    # places
    "no such places": (lambda a: None, "E425", {"spatial": "spatail"}, "spatial", ["did you mean 'spatial'?"]),
    "a place that is NaN": (place(np.nan), "E425", {"spatial": "spatial"}, "spatial", ["cell4"]),
    "an infinite place": (place(np.inf), "E425", {"spatial": "spatial"}, "spatial", ["cell4"]),
    "places of four dimensions": (lambda a: a.obsm.__setitem__("spatial", np.ones((48, 4))), "E425", {"spatial": "spatial"}, "spatial", ["(48, 4)"]),
    "places of one dimension": (lambda a: a.obsm.__setitem__("spatial", np.ones((48, 1))), "E425", {"spatial": "spatial"}, "spatial", ["(48, 1)"]),
}  # fmt: skip


@pytest.mark.parametrize("case", SPOILED)
def test_a_spoiled_set_is_refused_by_its_place(home: Home, case: str):
    spoil, code, data, model, words = SPOILED[case]
    adata = cells()
    adata = changed if isinstance(changed := spoil(adata), AnnData) else adata
    adata.write_h5ad("cells.h5ad")

    found = home.refused("check", home.spec(model, **data))

    assert any(got == code and all(word in line for word in words) for got, line in found), found


def csr(file: h5py.File, name: str, at: int, new: int) -> None:
    file[f"X/{name}"][at] = new


def external(file: h5py.File) -> None:
    del file["X"]
    file["X"] = h5py.ExternalLink("other.h5", "secret")


def stored_elsewhere(file: h5py.File) -> None:
    file.create_dataset("uns/raw", (3,), "u1", external=[("other.h5", 0, 3)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((3,), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "secret", (3,))
    file.create_virtual_dataset("uns/virtual", layout)


def loop(file: h5py.File) -> None:
    file["uns/again"] = h5py.SoftLink("/uns")


def bomb(file: h5py.File) -> None:
    file.create_dataset("layers/bomb", (10**6, 10**6), "f8", chunks=(1000, 1000), compression="gzip")


def dangling(file: h5py.File) -> None:
    del file["X/data"]
    file["X/data"] = h5py.SoftLink("/nowhere")


def drop(name: str) -> Callable[[h5py.File], None]:
    return lambda file: file.__delitem__(name)


def shorter(name: str) -> Callable[[h5py.File], None]:
    def damage(file: h5py.File) -> None:
        values = file[name][:-2]
        del file[name]
        file[name] = values

    return damage


def encoded(file: h5py.File) -> None:
    file["X"].attrs["encoding-type"] = "pickle"


def codes(file: h5py.File) -> None:
    file["obs/kind/codes"][3] = 77


def shape(file: h5py.File) -> None:
    file["X"].attrs["shape"] = [48, 3]


DAMAGED: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "index beyond the genes": (lambda f: csr(f, "indices", 5, 9999), "E411"),
    "negative index": (lambda f: csr(f, "indices", 5, -3), "E411"),
    "indptr that falls": (lambda f: csr(f, "indptr", 5, 100_000), "E411"),
    "indptr that does not begin at 0": (lambda f: csr(f, "indptr", 0, 7), "E411"),
    "short indptr": (shorter("X/indptr"), "E411"),
    "short data": (shorter("X/data"), "E411"),
    "short indices": (shorter("X/indices"), "E411"),
    "a repeated entry": (lambda f: csr(f, "indices", 1, int(f["X/indices"][0])), "E411"),
    "another shape": (shape, "E402"),
    "no data": (drop("X/data"), "E402"),
    "no obs": (drop("obs"), "E402"),
    "a column without its index": (drop("obs/_index"), "E402"),
    "codes beyond the categories": (codes, "E402"),
    "an unknown encoding": (encoded, "E402"),
    "a link to nothing": (dangling, "E402"),
    "a link to another file": (external, "E801"),
    "values in another file": (stored_elsewhere, "E801"),
    "a virtual data set": (virtual, "E801"),
    "a loop of links": (loop, "E803"),
    "a bomb": (bomb, "E802"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_or_hostile_file_is_refused(home: Home, case: str):
    damage, code = DAMAGED[case]
    adata = cells()
    adata.obs["kind"] = adata.obs["kind"].astype("category")
    adata.X = sparse.csr_matrix(adata.X)
    adata.write_h5ad("cells.h5ad")
    with h5py.File("other.h5", "w") as other:
        other["secret"] = np.full((48, 12), 7.0)
    with h5py.File("cells.h5ad", "a") as file:
        damage(file)

    found = home.refused("check", home.spec(label="kind"))

    assert any(got == code and "cells.h5ad" in line for got, line in found), found


CUT = [0, 1, 100, 2048, 5000, 0.5, 0.9, 0.999]


@pytest.mark.parametrize("cut", CUT)
def test_a_file_cut_short_is_refused(home: Home, cut: float):
    cells().write_h5ad("cells.h5ad")
    whole = Path("cells.h5ad").read_bytes()
    Path("cells.h5ad").write_bytes(whole[: cut if isinstance(cut, int) else int(cut * len(whole))])

    assert home.refused("check", home.spec())[0][0] == "E402"


def as_folder(path: Path) -> None:
    path.mkdir()


def as_text(path: Path) -> None:
    path.write_text("id,A\nr,1\n")


def as_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["x"] = np.ones(3)


def as_pipe(path: Path) -> None:
    os.mkfifo(path)


def as_pickle(path: Path) -> None:
    import pickle

    path.write_bytes(pickle.dumps({"x": 1}))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("make", [as_folder, as_text, as_hdf5, as_pipe, as_pickle], ids=lambda make: make.__name__)
def test_what_is_no_h5ad_is_refused_by_its_name(home: Home, make: Callable[[Path], None]):
    make(home.path / "cells.h5ad")

    ((code, line),) = home.refused("check", home.spec())

    assert code == "E402" and "cells.h5ad" in line


@pytest.mark.parametrize(
    ("path", "code", "word"),
    [
        ("cels.h5ad", "E401", "did you mean 'cells.h5ad'"),
        ("no/cells.h5ad", "E401", "there is no folder 'no'"),
        ("cells.rds", "E403", ""),
        ("cells.loom", "E401", ""),
        ("pbmc68", "E401", "pbmc68k"),
        ("sim_counts?sed=1", "E405", "did you mean 'seed'?"),
        ("sim_counts?n=-4", "E405", "n"),
        ("sim_counts?n=many", "E405", "many"),
        ("ftp://host/cells.h5ad", "E404", "ftp"),
        ("file:///nowhere/cells.h5ad", "E404", "nowhere"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused_with_what_was_meant(home: Home, path: str, code: str, word: str):
    cells().write_h5ad("cells.h5ad")
    Path("cells.rds").write_bytes(b"x")

    found = home.refused("check", home.spec(path=path))

    assert found[0][0] == code and word in found[0][1]
