"""What gxsearch writes goes on in scanpy and anndata: neighbors, maps, files of both kinds, parts and wholes."""

import anndata
import matplotlib
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData
from scipy import sparse

import gxsearch
from gxsearch.data import simulate
from gxsearch.errors import DataError
from gxsearch.results import embed

matplotlib.use("Agg")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def written(finished, table):
    """A run's own embeddings.h5ad, which has no X."""
    embed.embeddings(finished, table)
    return finished.embeddings


@pytest.fixture
def new() -> AnnData:
    """New samples of the simulator, with names of their own."""
    adata = simulate.bulk(n=24, g=30, seed=5)
    adata.obs_names = [f"new{i}" for i in range(24)]
    return adata


def same_outputs(a: AnnData, b: AnnData) -> None:
    """Check that two AnnData have the same outputs of a model."""
    assert list(a.obs_names) == list(b.obs_names) and list(a.var_names) == list(b.var_names)
    np.testing.assert_array_equal(np.asarray(a.obsm["X_fe"]), np.asarray(b.obsm["X_fe"]))
    np.testing.assert_array_equal(np.asarray(a.varm["fe"]), np.asarray(b.varm["fe"]))
    assert str(a.uns["gxsearch"]["fe"]) == str(b.uns["gxsearch"]["fe"])
    assert a.obsm["X_fe"].dtype == b.obsm["X_fe"].dtype == np.float32


def test_scanpy_finds_neighbors_maps_and_draws_them_under_the_model_s_key(written):
    adata = anndata.read_h5ad(written)

    sc.pp.neighbors(adata, use_rep="X_fe", n_neighbors=10, key_added="fe")
    sc.tl.umap(adata, neighbors_key="fe", key_added="X_fe_umap")
    axes = sc.pl.embedding(adata, "fe_umap", color=["cell_type", "fe_split"], show=False)

    assert [axis.get_title() for axis in axes] == ["cell_type", "fe_split"]
    assert adata.obsm["X_fe_umap"].shape == (60, 2) and "fe" in adata.uns["gxsearch"] and "params" in adata.uns["fe"]


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_a_run_s_embeddings_survive_files_of_both_kinds(written, tmp_path, kind):
    adata = anndata.read_h5ad(written)

    getattr(adata, f"write_{kind}")(tmp_path / f"out.{kind}")
    after = getattr(anndata, f"read_{kind}")(tmp_path / f"out.{kind}")

    same_outputs(adata, after)
    assert after.X is None and after.obs["fe_split"].tolist() == adata.obs["fe_split"].tolist()


def test_a_run_s_embeddings_are_read_in_backed_mode_and_so_are_those_of_own_data(written, finished, new, tmp_path):
    gxsearch.embed(finished.path, new, tmp_path / "out.h5ad")

    for path in (written, tmp_path / "out.h5ad"):
        adata, backed = anndata.read_h5ad(path), anndata.read_h5ad(path, backed="r")
        same_outputs(adata, backed)
        same_outputs(adata[:7], backed[:7])
        backed.file.close()
    backed = anndata.read_h5ad(tmp_path / "out.h5ad", backed="r")
    same_outputs(adata[:7], backed[:7].to_memory())  # of an AnnData without X anndata refuses that
    backed.file.close()


def test_parts_are_parts_and_concatenated_again_they_are_the_whole(written):
    adata = anndata.read_h5ad(written)
    train = adata[adata.obs["fe_split"] == "train"].copy()
    rest = adata[adata.obs["fe_split"] != "train", ::-1].copy()

    whole = anndata.concat([train, rest], merge="same", uns_merge="same")[adata.obs_names, adata.var_names]

    np.testing.assert_array_equal(train.obsm["X_fe"], adata.obsm["X_fe"][(adata.obs["fe_split"] == "train").to_numpy()])
    np.testing.assert_array_equal(rest.varm["fe"], adata.varm["fe"][::-1])
    same_outputs(adata, whole)


def test_new_samples_join_the_run_s_own_in_one_space(finished, written, new):
    own, other = anndata.read_h5ad(written), gxsearch.embed(finished.path, new)
    other.X = None  # anndata joins all of X or none

    both = anndata.concat({"run": own, "new": other}, label="from", join="outer")

    assert both.obsm["X_fe"].shape == (84, own.obsm["X_fe"].shape[1]) and np.isfinite(both.obsm["X_fe"]).all()
    assert both.obs["from"].value_counts().to_dict() == {"run": 60, "new": 24}


def test_umap_is_what_scanpy_writes(finished, new):
    by_hand = gxsearch.embed(finished.path, new.copy())
    sc.pp.neighbors(by_hand, use_rep="X_fe", key_added="fe")
    sc.tl.umap(by_hand, neighbors_key="fe", key_added="X_fe_umap")

    adata = gxsearch.embed(finished.path, new, umap=True)

    assert set(adata.obsp) == {"fe_distances", "fe_connectivities"} == set(by_hand.obsp)
    assert (adata.obsp["fe_connectivities"] != by_hand.obsp["fe_connectivities"]).nnz == 0
    np.testing.assert_array_equal(adata.obsm["X_fe_umap"], by_hand.obsm["X_fe_umap"])
    assert adata.uns["fe"]["params"] == by_hand.uns["fe"]["params"]
    sc.pl.embedding(adata, "fe_umap", show=False)


def test_the_key_of_the_neighbors_is_not_taken_from_others(finished, new):
    new.uns["fe"] = {"mine": 1}

    with pytest.raises(DataError, match=r"E457.*uns\['fe'\]"):
        gxsearch.embed(finished.path, new, umap=True)

    assert new.uns["fe"] == {"mine": 1} and "X_fe" not in new.obsm
    assert "fe2_umap" in "".join(gxsearch.embed(finished.path, new, umap=True, key="fe2").obsm)


def test_a_umap_of_genes_or_of_too_few_rows_is_refused(finished, genes_as_rows, new):
    with pytest.raises(DataError, match="E451.*these are genes"):
        gxsearch.embed(genes_as_rows.path, new, umap=True)
    with pytest.raises(DataError, match="E451.*4 rows are too few"):
        gxsearch.embed(finished.path, new[:4].copy(), umap=True)


def test_data_of_zarr_is_embedded_as_that_of_h5ad(finished, new, tmp_path):
    new.write_zarr(tmp_path / "new.zarr")
    new.write_h5ad(tmp_path / "new.h5ad")

    gxsearch.embed(finished.path, tmp_path / "new.zarr", tmp_path / "a.h5ad", umap=True)
    gxsearch.embed(finished.path, tmp_path / "new.h5ad", tmp_path / "b.h5ad", umap=True)

    a, b = anndata.read_h5ad(tmp_path / "a.h5ad"), anndata.read_h5ad(tmp_path / "b.h5ad")
    np.testing.assert_array_equal(a.obsm["X_fe"], b.obsm["X_fe"])
    np.testing.assert_array_equal(a.obsm["X_fe_umap"], b.obsm["X_fe_umap"])


FORMS = {
    "csr": sparse.csr_matrix,
    "csc": sparse.csc_matrix,
    "csr_array": sparse.csr_array,
    "csc_array": sparse.csc_array,
    "float64": lambda x: x.astype(np.float64),
    "fortran": np.asfortranarray,
    "read_only": lambda x: (x.setflags(write=False), x)[1],
}


@pytest.mark.parametrize("form", FORMS)
def test_the_form_of_the_values_changes_no_vector(finished, new, form):
    plain = gxsearch.embed(finished.path, new.copy())
    other = new.copy()
    other.X = FORMS[form](np.array(new.X))

    gxsearch.embed(finished.path, other)

    np.testing.assert_allclose(other.obsm["X_fe"], plain.obsm["X_fe"], rtol=1e-5, atol=1e-6)


COLUMNS = {
    "unused categories": lambda n: pd.Categorical(["a"] * n, categories=["b", "a", "c"]),
    "missing categories": lambda n: pd.Categorical([None, "a"] * (n // 2)),
    "nullable whole": lambda n: pd.array([None, 1] * (n // 2), dtype="Int64"),
    "nullable yes or no": lambda n: pd.array([None, True] * (n // 2), dtype="boolean"),
    "text array": lambda n: pd.array(["a", "b"] * (n // 2), dtype="string"),
    "text array with holes": lambda n: pd.array([None, "b"] * (n // 2), dtype="string"),
    "text of arrow": lambda n: pd.array(["a", "b"] * (n // 2), dtype="string[pyarrow]"),
    "text of numpy": lambda n: np.array(["a", "bcd"] * (n // 2)),
    "yes or no": lambda n: np.array([True, False] * (n // 2)),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_of_every_type_stay_and_are_in_the_file(finished, new, tmp_path, name):
    values = COLUMNS[name](24)
    new.obs["mine"], new.var["mine"] = values, COLUMNS[name](30)
    before = new.obs["mine"].copy()

    gxsearch.embed(finished.path, new, tmp_path / "out.h5ad")

    after = anndata.read_h5ad(tmp_path / "out.h5ad").obs["mine"]
    pd.testing.assert_series_equal(new.obs["mine"], before)
    told = lambda column: column.astype(object).where(column.notna(), None).tolist()  # noqa: E731
    assert told(after) == told(before)
    if isinstance(before.dtype, pd.CategoricalDtype):
        assert list(after.cat.categories) == list(before.cat.categories)


@pytest.mark.parametrize("dtype", ["object", "string"])
def test_names_may_be_of_any_type_of_text(finished, new, dtype):
    plain = gxsearch.embed(finished.path, new.copy())
    new.obs_names, new.var_names = new.obs_names.astype(dtype), new.var_names.astype(dtype)

    gxsearch.embed(finished.path, new)

    np.testing.assert_array_equal(new.obsm["X_fe"], plain.obsm["X_fe"])
