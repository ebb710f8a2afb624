"""Shards are one data set: the same table as one file of all rows, in bounded memory, and faults named by shard."""

from __future__ import annotations

import pickle
import shutil
import tracemalloc
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from gxsearch.data import shard as shard_file
from gxsearch.data.cache import MappedCSR
from gxsearch.data.prepare import prepare
from gxsearch.data.sources import load
from gxsearch.data.table import DataConfig, Genes, Split, Table
from gxsearch.errors import DataError, GxError, UnsafeError

COUNTS = DataConfig(
    path="shards/*.h5ad",
    transform=["normalize", "log1p"],
    genes=Genes(top_variable=20, min_cells=3, min_detected=0.02),
    label="cell_type",
    batch=["batch"],
    split=Split(group="donor", stratify="cell_type"),
)
CUTS = (0, 50, 51, 120)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the cache of each test to itself, and blocks so small that every shard has several."""
    monkeypatch.setenv("GXSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shard_file, "VALUES", 400)
    return tmp_path / "cache" / "corpora"


@pytest.fixture
def whole() -> AnnData:
    """Return 120 cells with an exact copy, a constant gene and categories that not every shard has."""
    adata = load("sim_counts?n=120&g=60")
    x_ng = adata.X.toarray()
    x_ng[70], x_ng[:, 7] = x_ng[3], 1
    adata.X = sparse.csr_matrix(x_ng)
    adata.obs["age"] = np.where(np.arange(120) % 3, np.arange(120), np.nan)
    return adata


def cut(whole: AnnData, folder: Path, ending: str = "h5ad") -> list[AnnData]:
    """Write an AnnData as shards; return them."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [whole[a:b].copy() for a, b in zip(CUTS, CUTS[1:], strict=False)]
    for i, part in enumerate(parts):
        write(part, folder / f"part{i}.{ending}")
    return parts


def write(adata: AnnData, path: Path) -> None:
    if path.suffix == ".zarr":
        shutil.rmtree(path, ignore_errors=True)
        adata.write_zarr(path)
    else:
        adata.write_h5ad(path)


def prepared(base: Path, config: DataConfig = COUNTS, **options) -> Table:
    return prepare(config, where="spec.yaml", base=base, **options)


def faults_of(base: Path, config: DataConfig = COUNTS, **options) -> list[str]:
    with pytest.raises(GxError) as caught:
        prepared(base, config, **options)
    return [str(fault) for fault in caught.value.faults]


def assert_same(got: Table, want: Table) -> None:
    assert np.array_equal(got.dense().x_ng, want.dense().x_ng) and got.x_ng.dtype == np.float32
    for name in ("obs_names", "var_names", "part_n", "total_n"):
        values, wanted = getattr(got, name), getattr(want, name)
        assert np.array_equal(values, wanted) and values.dtype == wanted.dtype
    for field in ("obs", "obsm"):
        values, wanted = getattr(got, field), getattr(want, field)
        assert values.keys() == wanted.keys()
        for name in wanted:
            np.testing.assert_array_equal(values[name], wanted[name])
            assert values[name].dtype == wanted[name].dtype
    assert {**got.facts, "source": ""} == {**want.facts, "source": ""}


VARIANTS = {
    "normalized, most variable genes": {},
    "counts, all genes": {"transform": [], "genes": Genes()},
    "logs": {"transform": ["log1p"], "genes": Genes(min_cells=40)},
}


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("ending", ["h5ad", "zarr"])
@pytest.mark.parametrize("layout", ["sparse", "dense"])
def test_shards_give_the_table_of_the_file_that_they_were_cut_from(tmp_path, whole, name, ending, layout):
    config = COUNTS.model_copy(update=VARIANTS[name])
    whole.write_h5ad(tmp_path / "whole.h5ad")
    cut(whole, tmp_path / "shards", ending)

    want = prepared(tmp_path, config.model_copy(update={"path": "whole.h5ad"}), layout=layout, extra_obs=["age"])
    got = prepared(tmp_path, config.model_copy(update={"path": "shards"}), layout=layout, extra_obs=["age"])

    assert_same(got, want)
    assert any("exactly the values" in text for text in got.facts["warnings"])
    assert isinstance(got.x_ng, MappedCSR if layout == "sparse" else np.ndarray)
