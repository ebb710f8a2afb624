"""What must not be refused: sound data in every form that they come in, and search spaces that only look odd."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from case import Home, cells
from scipy import sparse
from test_bad_specs import END, FE, HEAD
from test_bad_text import table, text

SPACES = Path(__file__).parents[2] / "search_spaces"


def to(make: Callable, dtype: type = np.float32) -> Callable[[AnnData], None]:
    def change(adata: AnnData) -> None:
        adata.X = make(adata.X.astype(dtype))

    return change


def unsorted(adata: AnnData) -> None:
    x = sparse.csr_matrix(adata.X)
    for row in range(x.shape[0]):
        part = slice(x.indptr[row], x.indptr[row + 1])
        x.indices[part], x.data[part] = x.indices[part][::-1].copy(), x.data[part][::-1].copy()
    x.has_sorted_indices = False
    adata.X = x


def column(values: Callable[[int], list]) -> Callable[[AnnData], None]:
    def change(adata: AnnData) -> None:
        adata.obs["kind"] = values(adata.n_obs)

    return change


def extras(adata: AnnData) -> None:
    adata.raw = adata.copy()
    adata.obsp["near"] = sparse.eye(adata.n_obs, format="csr")
    adata.uns["colors"] = {"kind": ["#fff"], "n": 3}
    adata.varm["pcs"] = np.ones((adata.n_vars, 2))


SOUND: dict[str, tuple[Callable[[AnnData], object], dict, str]] = {
    "dense float32": (to(np.asarray), {}, "fe"),
    "dense float64": (to(np.asarray, np.float64), {}, "fe"),
    "dense int64": (to(np.asarray, np.int64), {}, "nbvae"),
    "dense uint8": (to(np.asarray, np.uint8), {}, "nbvae"),
    "Fortran order": (to(np.asfortranarray), {}, "fe"),
    "CSR": (to(sparse.csr_matrix), {}, "nbvae"),
    "CSC": (to(sparse.csc_matrix), {}, "nbvae"),
    "CSR of int32": (to(sparse.csr_matrix, np.int32), {}, "nbvae"),
    "CSR of float64": (to(sparse.csr_matrix, np.float64), {}, "fe"),
    "CSR array": (to(sparse.csr_array), {}, "fe"),
    "unsorted CSR": (unsorted, {}, "nbvae"),
    "a layer": (lambda a: setattr(a, "X", None), {"layer": "counts"}, "nbvae"),
    "much besides": (extras, {}, "fe"),
    "values below zero": (lambda a: setattr(a, "X", a.X - 3), {"allow_negative": True}, "vae"),
    "all that a model needs": (lambda a: None, {"label": "kind", "batch": ["batch"], "split": {"group": "donor"}}, "nbvae"),
    "categories": (lambda a: a.obs.__setitem__("kind", a.obs["kind"].astype("category")), {"label": "kind"}, "fe"),
    "whole numbers as classes": (column(lambda n: [i % 3 for i in range(n)]), {"label": "kind"}, "fe"),
    "numbers with a point as classes": (column(lambda n: [float(i % 3) for i in range(n)]), {"label": "kind"}, "fe"),
    "true and false as classes": (column(lambda n: [i % 2 == 0 for i in range(n)]), {"label": "kind"}, "fe"),
    "names of all alphabets": (column(lambda n: [["Zellen α", "細胞", "<b>T</b>"][i % 3] for i in range(n)]), {"label": "kind"}, "fe"),
    "a gap in a column that is not named": (lambda a: a.obs.__setitem__("note", [None, *a.obs_names[1:]]), {}, "fe"),
    "rows named like numbers": (lambda a: setattr(a, "obs_names", [str(i) for i in range(a.n_obs)]), {}, "fe"),
    "genes with versions": (lambda a: setattr(a, "var_names", [f"ENSG{i:011d}.{i}" for i in range(a.n_vars)]), {}, "fe"),
    "genes like formulas": (lambda a: setattr(a, "var_names", [f"=cmd|{i}" for i in range(a.n_vars)]), {}, "fe"),
    "a row of zeros": (lambda a: a.X.__setitem__(3, 0), {}, "fe"),
    "a gene of zeros": (lambda a: a.X.__setitem__((slice(None), 3), 0), {}, "fe"),
    "uneven times": (lambda a: None, {"time": "time"}, "rvagene"),
    "replicates": (lambda a: a.obs.__setitem__("time", np.repeat(np.arange(12.0), 4)), {"time": "time"}, "rvagene"),
    "places in space": (lambda a: a.obsm.__setitem__("spatial", np.random.default_rng(0).normal(size=(48, 3))), {"spatial": "spatial", "view": {"features": "counts"}}, "spatial"),
    "no test rows": (lambda a: None, {"split": {"test": 0.0}}, "fe"),
    "genes as rows": (lambda a: None, {"orientation": "genes"}, "vae"),
}  # fmt: skip


@pytest.mark.parametrize("case", SOUND)
def test_sound_data_are_taken_in_whatever_form(home: Home, case: str):
    change, data, model = SOUND[case]
    adata = cells()
    change(adata)
    adata.write_h5ad("cells.h5ad")

    status, out, err = home.call("check", home.spec(model, **data))

    assert status == 0, err
    assert out.rstrip().endswith("ok")


def zipped(path: Path) -> None:
    path.with_suffix(".csv.gz").write_bytes(gzip.compress(text(table()).encode()))


FILES: dict[str, tuple[str, Callable[[], object]]] = {
    "csv": ("a.csv", lambda: Path("a.csv").write_text(text(table()))),
    "tsv": ("a.tsv", lambda: Path("a.tsv").write_text(text(table(), "\t"))),
    "gzipped csv": ("a.csv.gz", lambda: zipped(Path("a.csv"))),
    "a mark of byte order": ("a.csv", lambda: Path("a.csv").write_bytes(b"\xef\xbb\xbf" + text(table()).encode())),
    "lines of Windows": ("a.csv", lambda: Path("a.csv").write_bytes(text(table()).replace("\n", "\r\n").encode())),
    "no last newline": ("a.csv", lambda: Path("a.csv").write_text(text(table()).rstrip())),
    "a blank last line": ("a.csv", lambda: Path("a.csv").write_text(text(table()) + "\n\n")),
    "quotes": ("a.csv", lambda: Path("a.csv").write_text(text([[f'"{word}"' for word in row] for row in table()]))),
    "spaces around numbers": ("a.csv", lambda: Path("a.csv").write_text(text(table(), ", "))),
    "powers of ten": ("a.csv", lambda: Path("a.csv").write_text(text(table()).replace(",7", ",7e0"))),
    "no name of the first column": ("a.csv", lambda: Path("a.csv").write_text(text(table())[2:])),
    "a row that is called NA": ("a.csv", lambda: Path("a.csv").write_text(text(table()).replace("r3", "NA"))),
    "zarr": ("a.zarr", lambda: cells().write_zarr("a.zarr")),
    "compressed h5ad": ("a.h5ad", lambda: cells().write_h5ad("a.h5ad", compression="gzip")),
    "a folder with spaces": ("a b/c.h5ad", lambda: (Path("a b").mkdir(), cells().write_h5ad("a b/c.h5ad"))),
    "a link to a file": ("l.h5ad", lambda: (cells().write_h5ad("a.h5ad"), Path("l.h5ad").symlink_to("a.h5ad"))),
    "a data frame's index": ("a.csv", lambda: pd.DataFrame(np.ones((9, 3)) + np.eye(9, 3), index=list("abcdefghi")).add_prefix("g").to_csv("a.csv")),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_every_form_of_file_is_read(home: Home, case: str):
    name, make = FILES[case]
    make()

    status, out, err = home.call("check", home.spec(path=name))

    assert status == 0 and out.rstrip().endswith("ok"), err


ODD = {
    "comments and blank lines": "# one\n\n" + FE + "\n# two\n" + END,
    "a mark of byte order": "\ufeff" + FE + END,
    "lines of Windows": (FE + END).replace("\n", "\r\n"),
    "quotes": HEAD.replace("case", "'case'") + 'model: "fe"\ndata: {path: "cells.h5ad"}\n' + END,
    "1e-4 is a number": FE + "space: {train: {lr: 1e-4}}\n" + END,
    "1E-4 is a number": FE + "space: {train: {lr: {float: [1E-4, 1E-2], log: true}}}\n" + END,
    "whole ends of real numbers": FE + "space: {train: {lr: {float: [1, 2]}}}\n" + END,
    "a choice of lists": FE + "space: {model: {hidden: {choice: [[8], [8, 4]]}}}\n" + END,
    "a fixed list": FE + "space: {model: {hidden: {value: [8, 4]}}}\n" + END,
    "a condition": FE + "space: {model: {head: {choice: [linear, sigmoid_range]}, range_pad: {float: [0.0, 0.5], when: {head: sigmoid_range}}}}\n" + END,
    "aliases": FE + "space: {model: {sample_dim: &d {int: [2, 4]}, gene_dim: *d}}\n" + END,
    "nothing searched": FE + END,
    "time alone ends it": FE + "budget: {time: 1.5h, epochs: 2}\n",
    "days": FE + "budget: {time: 2d, epochs: 2}\n",
    "a stop in a word": FE + "stop: none\n" + END,
    "a stop with its own defaults": FE + "stop: {asha: {grace: 1}}\n" + END,
    "a median": FE + "stop: {median: {grace: 1}}\n" + END,
    "a grid": FE + "space: {model: {sample_dim: {int: [2, 4]}}}\nsearch: {sampler: grid}\n" + END,
    "a random search": FE + "space: {model: {sample_dim: {int: [2, 4]}}}\nsearch: {sampler: random, seed: 3}\n" + END,
    "the objective left out": HEAD + "model: nbvae\ndata: {path: cells.h5ad}\n" + END,
    "a probe of labels": HEAD + "model: vae\ndata: {path: cells.h5ad, label: kind}\nobjective: {metric: val/knn}\n" + END,
    "a probe of a model without an encoder": HEAD + "model: fe\ndata: {path: cells.h5ad, label: kind}\nobjective: {metric: val/logreg}\n" + END,
    "a probe without a label": HEAD + "model: vae\ndata: {path: cells.h5ad}\nobjective: {metric: val/expression_r2}\n" + END,
}  # fmt: skip


@pytest.mark.parametrize("case", ODD)
def test_a_search_space_that_only_looks_odd_is_taken(home: Home, case: str):
    cells().write_h5ad("cells.h5ad")
    Path("case.yaml").write_bytes(ODD[case].encode())

    status, out, err = home.call("check", "case.yaml")

    assert status == 0 and out.rstrip().endswith("ok"), err


@pytest.mark.parametrize("path", sorted(SPACES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_search_space_of_ours_is_sound(home: Home, path: Path):
    shutil.copytree(SPACES, "spaces")

    status, out, err = home.call("check", f"spaces/{path.name}", "--no-data")

    assert status == 0 and "ok" in out, err
