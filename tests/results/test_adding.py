"""Vectors come into a user's own AnnData, which loses nothing of what it has."""

import json
import shutil
import warnings
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scanpy
from anndata import AnnData
from scipy import sparse

import gxsearch
from gxsearch.data import simulate
from gxsearch.errors import DataError

N, G = 14, 33


def full() -> AnnData:
    """An AnnData that has all of what one can have: 30 genes of the model, in another order, and three more."""
    draw = np.random.default_rng(0)
    genes = [f"gene{i:02d}" for i in draw.permutation(30)]
    obs = pd.DataFrame(index=pd.Index([f"cell{i}" for i in range(N)], name="barcode"))
    obs["cluster"] = pd.Categorical(draw.choice(["b", "a"], N), categories=["b", "a", "never"], ordered=True)
    obs["text"] = np.array(["x", "y"] * (N // 2), dtype=object)
    obs["whole"] = pd.array([1, None] * (N // 2), dtype="Int64")
    obs["maybe"] = pd.array([True, None] * (N // 2), dtype="boolean")
    obs["words"] = pd.array(["u", None] * (N // 2), dtype="string")
    obs["half"] = draw.normal(size=N).astype(np.float32)
    var = pd.DataFrame({"chosen": draw.random(G) > 0.5}, index=[*genes, "mine1", "mine2", "mine3"])
    adata = AnnData(sparse.random(N, G, 0.7, "csc", dtype=np.float64, random_state=0), obs=obs, var=var)
    adata.layers["counts"] = sparse.csr_matrix(draw.poisson(2, (N, G)))
    adata.layers["dense"] = draw.normal(size=(N, G))
    adata.obsm["X_mine"] = draw.normal(size=(N, 3))
    adata.obsm["frame"] = pd.DataFrame({"a": range(N), "b": list("ab") * (N // 2)}, index=obs.index)
    adata.varm["loadings"] = draw.normal(size=(G, 2))
    adata.obsp["near"] = sparse.random(N, N, 0.3, "csr", random_state=1)
    adata.varp["alike"] = draw.normal(size=(G, G))
    nested = {"deep": {"deeper": np.arange(3), "text": "a"}, "none": None, "table": pd.DataFrame({"z": [1.5]})}
    adata.uns |= {"nested": nested, "flag": np.True_, "sparse": sparse.eye(3, format="csr"), "names": np.array(["q"])}
    adata.raw = AnnData(sparse.random(N, 40, 0.5, "csr", random_state=2), obs=obs[[]])
    return adata


def same(a, b, where: str = "") -> None:
    """Check that two values are the same in kind, form, type and value, with all that is in them."""
    assert type(a) is type(b), where
    if isinstance(a, AnnData):
        for place in ("X", "obs", "var", "layers", "obsm", "varm", "obsp", "varp", "uns"):
            same(_plain(a, place), _plain(b, place), place)
        same(a.raw.X, b.raw.X, "raw.X")
        same(a.raw.var, b.raw.var, "raw.var")
    elif isinstance(a, dict):
        assert list(a) == list(b), where
        for key in a:
            same(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, pd.DataFrame):
        pd.testing.assert_frame_equal(a, b, check_categorical=True, check_names=True)
    elif sparse.issparse(a):
        assert a.dtype == b.dtype and (a != b).nnz == 0 and a.shape == b.shape, where
    else:
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b), where)
        kinds = [getattr(value, "dtype", None) for value in (a, b)]
        assert kinds[0] == kinds[1] or {kind.kind for kind in kinds} == {"O", "U"}, where  # files have one kind of text


def _plain(adata: AnnData, place: str):
    value = getattr(adata, place)
    return dict(sorted(value.items())) if place not in ("X", "obs", "var") else value


def without(adata: AnnData, key: str) -> AnnData:
    """Return an AnnData without what was added under a key."""
    out = adata.copy()
    for place in ("obs", "var", "obsm", "varm", "layers"):
        for name in [n for n in getattr(out, place) if n in (key, f"X_{key}") or n.startswith(f"{key}_")]:
            del getattr(out, place)[name]
    told = dict(out.uns["gxsearch"])
    del told[key]
    out.uns["gxsearch"] = told
    if not told:
        del out.uns["gxsearch"]
    return out


@pytest.fixture
def stored(tmp_path) -> Path:
    with anndata.settings.override(allow_write_nullable_strings=True):
        full().write_h5ad(tmp_path / "own.h5ad", convert_strings_to_categoricals=False)
    return tmp_path / "own.h5ad"


def test_a_file_that_has_everything_keeps_everything(finished, stored, tmp_path):
    before = anndata.read_h5ad(stored)

    gxsearch.embed(finished.path, stored, tmp_path / "out.h5ad", recon=True)

    after = anndata.read_h5ad(tmp_path / "out.h5ad")
    same(without(after, "fe"), before)
    assert set(after.obsm) - set(before.obsm) == {"X_fe"} and set(after.varm) - set(before.varm) == {"fe"}
    assert after.obsm["X_fe"].dtype == np.float32 and np.isfinite(after.obsm["X_fe"]).all()
    assert np.isnan(after.layers["fe_recon"][:, 30:]).all() and np.isfinite(after.layers["fe_recon"][:, :30]).all()


def test_in_memory_it_is_added_in_place_and_nothing_else_changes(finished):
    adata, before = full(), full()

    returned = gxsearch.embed(finished.path, adata)

    assert returned is adata
    same(without(adata, "fe"), before)
    told = json.loads(adata.uns["gxsearch"]["fe"])
    assert told["trial"] == 1 and told["settings"]["train"]["lr"] == 0.03 and told["split"]["seed"] == 0
    assert "\n" in adata.uns["gxsearch"]["fe"]  # for people, too


def test_a_copy_leaves_the_original_as_it_was_and_a_file_is_written_if_named(finished, tmp_path):
    adata, before = full(), full()

    returned = gxsearch.embed(finished.path, adata, tmp_path / "out.h5ad", copy=True)

    same(adata, before)
    assert returned is not adata and "X_fe" in returned.obsm
    assert np.array_equal(anndata.read_h5ad(tmp_path / "out.h5ad").obsm["X_fe"], returned.obsm["X_fe"])


def test_text_some_of_which_is_missing_can_be_written_and_stays_as_it_is_in_memory(finished, tmp_path):
    adata = full()
    adata.obs["holes"] = np.array(["x", None] * (N // 2), dtype=object)

    gxsearch.embed(finished.path, adata, tmp_path / "out.h5ad")

    after = anndata.read_h5ad(tmp_path / "out.h5ad").obs
    assert adata.obs["holes"].dtype == object and after["text"].dtype == object
    assert after["holes"].astype(object).where(after["holes"].notna(), None).tolist() == adata.obs["holes"].tolist()


def test_the_same_trial_replaces_what_it_had_added_and_another_key_adds_beside_it(finished):
    adata = gxsearch.embed(finished.path, full())
    vectors = adata.obsm["X_fe"].copy()
    adata.obsm["X_fe"][:] = 0

    gxsearch.embed(finished.path, adata)
    gxsearch.embed(finished.path, adata, key="second")

    assert np.array_equal(adata.obsm["X_fe"], vectors) and np.array_equal(adata.obsm["X_second"], vectors)
    assert set(adata.uns["gxsearch"]) == {"fe", "second"} and "second" in adata.varm


def test_names_that_are_taken_by_others_are_told_all_at_once_and_nothing_is_added(finished):
    adata = full()
    adata.obsm["X_fe"], adata.varm["fe"], adata.layers["fe_recon"] = np.ones((N, 2)), np.ones((G, 2)), np.ones((N, G))
    before = adata.copy()

    with pytest.raises(DataError) as error:
        gxsearch.embed(finished.path, adata, recon=True)

    assert [f.code for f in error.value.faults] == ["E457"] * 3 and "--key NAME" in str(error.value)
    same(adata, before)
    assert gxsearch.embed(finished.path, adata, recon=True, force=True).obsm["X_fe"].shape[1] > 2


def test_a_record_of_another_run_or_of_nobody_is_not_overwritten(finished):
    other, strange = full(), full()
    other.uns["gxsearch"] = {"fe": json.dumps({"run": "another", "trial": 1, "epoch": 4})}
    strange.uns["gxsearch"] = "my notes"

    with pytest.raises(DataError, match=r"E457.*uns\['gxsearch'\]\['fe'\]"):
        gxsearch.embed(finished.path, other)
    with pytest.raises(DataError, match="no record of ours"):
        gxsearch.embed(finished.path, strange)


def test_a_view_becomes_an_anndata_of_its_own_and_its_parent_is_left_alone(finished):
    parent = full()
    part = parent[:9]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gxsearch.embed(finished.path, part)

    assert part.obsm["X_fe"].shape[0] == 9 and "X_fe" not in parent.obsm


def test_a_backed_anndata_and_a_key_that_is_no_name_are_refused(finished, stored):
    with pytest.raises(DataError, match="E459.*to_memory"):
        gxsearch.embed(finished.path, anndata.read_h5ad(stored, backed="r"))
    with pytest.raises(DataError, match="E458"):
        gxsearch.embed(finished.path, full(), key="a/b")


def test_a_file_of_the_oldest_format_keeps_all_that_anndata_reads_of_it(finished, tmp_path):
    old = tmp_path / "old.h5ad"  # obs is one compound array, categories are in uns, raw.X stands at the top
    shutil.copy(Path(scanpy.__file__).parent / "datasets" / "10x_pbmc68k_reduced.h5ad", old)
    with h5py.File(old, "r+") as file:
        genes = file["var"][:]
        genes["index"] = [f"gene{i:02d}" for i in range(len(genes))]
        file["var"][...] = genes
        file["X"][...] = np.abs(file["X"][...])
        assert isinstance(file["obs"], h5py.Dataset) and "raw.X" in file and "louvain_categories" in file["uns"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        anndata.read_h5ad(old).write_h5ad(tmp_path / "new.h5ad", convert_strings_to_categoricals=False)

    gxsearch.embed(finished.path, old, tmp_path / "out.h5ad")

    after = anndata.read_h5ad(tmp_path / "out.h5ad")
    same(without(after, "fe"), anndata.read_h5ad(tmp_path / "new.h5ad"))
    assert after.obs["louvain"].dtype == "category" and after.raw.X.nnz > 0


def test_the_run_s_own_genes_are_those_of_the_simulator(finished):
    assert set(full().var_names[:30]) == set(simulate.bulk(n=2, g=30).var_names)
