"""The built-in data sets by name: one real set from inside the scanpy package, and the simulated ones."""

from __future__ import annotations

import importlib.util
import inspect
import warnings
from pathlib import Path
from urllib.parse import parse_qsl

import anndata
import numpy as np
from anndata import AnnData
from scipy import sparse

from gxsearch.data import simulate
from gxsearch.errors import DataError, Fault, did_you_mean


def pbmc68k() -> AnnData:
    """Read 700 blood cells x 765 genes, log1p of normalized counts, with `bulk_labels` (10) in obs.

    The file is 10x_pbmc68k_reduced.h5ad of scanpy (Zheng 2017, BSD-3-Clause); values and names are those of
    `.raw`. scanpy itself is not imported.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)  # the file has an older layout
        warnings.filterwarnings("ignore", category=PendingDeprecationWarning)
        whole = anndata.read_h5ad(_scanpy_file("datasets/10x_pbmc68k_reduced.h5ad"))
    return AnnData(sparse.csr_matrix(whole.raw.X), obs=whole.obs, var=whole.raw.var)


def pbmc68k_counts() -> AnnData:
    """Read pbmc68k as counts: exp(x) - 1, divided by each cell's smallest positive value, rounded.

    The quotients lie within 0.112 of a whole number, so these are count-like, not the counts that were measured.
    """
    adata = pbmc68k()
    x_ng = adata.X.astype(np.float64)
    x_ng.data = np.expm1(x_ng.data)
    least_n = np.minimum.reduceat(x_ng.data, x_ng.indptr[:-1])
    x_ng.data = np.round(x_ng.data / np.repeat(least_n, np.diff(x_ng.indptr)))
    adata.X = x_ng.astype(np.float32)
    return adata


SETS = {
    "pbmc68k": pbmc68k,
    "pbmc68k_counts": pbmc68k_counts,
    "sim_bulk": simulate.bulk,
    "sim_counts": simulate.counts,
    "sim_series": simulate.series,
    "sim_rvagene": simulate.rvagene,
    "sim_spatial": simulate.spatial,
    "sim_phenotypes": simulate.phenotypes,
}


def is_builtin(path: str) -> bool:
    """Tell whether a path names a built-in set, with options or without."""
    return path.partition("?")[0] in SETS


def load_builtin(path: str) -> AnnData:
    """Make or read a built-in set; options follow a question mark: ``sim_bulk?n=400&g=600&seed=1``.

    Raises:
        DataError: E405 naming every unknown, repeated or unfit option.
    """
    name, _, query = path.partition("?")
    make = SETS[name]
    known = {option: parameter.default for option, parameter in inspect.signature(make).parameters.items()}
    options: dict[str, int | float] = {}
    faults = []
    for option, word in parse_qsl(query, keep_blank_values=True):
        fault = _option_fault(option, word, known, options)
        if fault:
            faults.append(Fault("E405", name, *fault))
        else:
            options[option] = type(known[option])(word)
    if faults:
        raise DataError(faults)
    return make(**options)


def _option_fault(option: str, word: str, known: dict, options: dict) -> tuple[str, str] | None:
    if option not in known:
        return f"unknown option '{option}'", did_you_mean(option, known) or "it has no options"
    if option in options:
        return f"option '{option}' is given twice", "give it once"
    kind = type(known[option])
    low, high = simulate.bounds(option)
    try:
        fits = low <= kind(word) <= high
    except ValueError:
        fits = False
    noun = "a whole number" if kind is int else "a number"
    return None if fits else (f"option '{option}' must be {noun} from {low:g} to {high:g}, got '{word}'", "")


def _scanpy_file(name: str) -> Path:
    spec = importlib.util.find_spec("scanpy")
    folders = list(spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        if (Path(folder) / name).is_file():
            return Path(folder) / name
    raise DataError.one("E401", "pbmc68k", f"the scanpy package has no {name}", "pip install scanpy")
