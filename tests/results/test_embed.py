import json

import anndata
import numpy as np
import pytest

from gxsearch.data.builtin import load_builtin
from gxsearch.errors import DataError, UnsafeError
from gxsearch.results import embed, package


@pytest.fixture(scope="module")
def written(finished, table):
    embed.embeddings(finished, table)
    return anndata.read_h5ad(finished.embeddings)


def test_embeddings_hold_vectors_split_genes_and_a_control_and_no_x(written, finished, table):
    k = package.of_run(finished).job.model_config["sample_dim"]

    assert written.X is None and written.shape == (60, 30)
    assert written.obsm["X_fe"].shape == (60, k) and written.obsm["X_fe"].dtype == np.float32
    assert written.obsm["X_pca"].shape == (60, k)
    assert written.varm["fe"].shape == (30, 6) and np.isfinite(written.varm["fe"]).all()
    assert written.obs.columns.tolist() == ["cell_type", "donor", "fe_split"]
    assert (written.obs["fe_split"] == "train").to_numpy().tolist() == (table.part_n == 0).tolist()


def test_vectors_on_disk_are_those_of_the_model(written, finished, table):
    assert np.array_equal(written.obsm["X_fe"], package.of_run(finished).embed_table(table))


def test_provenance_is_one_json_string(written, finished, table):
    told = json.loads(written.uns["gxsearch"]["fe"])

    assert told["run"] == "0123abcd" and told["trial"] == 1 and told["params"]["train.lr"] == 0.03
    assert told["data"]["sha256"] == table.facts["sha256"] and told["metrics"]["test/knn"] == 0.9


def test_scanpy_finds_neighbors_in_the_embedding(written):
    import scanpy as sc

    adata = written.copy()
    sc.pp.neighbors(adata, use_rep="X_fe", n_neighbors=5, key_added="fe", method="gauss")

    assert adata.obsp["fe_connectivities"].nnz > 0


def test_the_run_s_data_is_prepared_again_if_it_is_not_at_hand(own):
    assert embed.embeddings(own).shape == (60, 30)


def test_data_that_has_changed_since_the_search_is_refused(own):
    facts = own.facts()
    facts["data"]["sha256"] = "0" * 64
    own.run.write_text(json.dumps(facts))

    with pytest.raises(DataError, match="E452.*has changed since the search"):
        embed.embeddings(own)


def test_embedding_new_data_keeps_all_that_it_has(own, tmp_path):
    adata = load_builtin("sim_bulk?n=12&g=30&seed=3")
    adata.obs_names = [f"new{i}" for i in range(12)]
    adata.layers["raw"] = adata.X.copy()
    adata.obsm["X_mine"] = np.ones((12, 2))
    adata.uns["gxsearch"] = {"vae": "earlier"}
    more = adata[:, :1].copy()
    more.var_names = ["a gene the model lacks"]
    adata = anndata.concat([adata, more], axis=1, merge="same", uns_merge="same")
    adata.write_h5ad(tmp_path / "new.h5ad")

    embed.embed_new(own.path, tmp_path / "new.h5ad", tmp_path / "out.h5ad", recon=True)

    out = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert np.array_equal(out.X, adata.X) and np.array_equal(out.obsm["X_mine"], np.ones((12, 2)))
    assert out.uns["gxsearch"]["vae"] == "earlier" and "fe" in out.uns["gxsearch"]
    assert np.isfinite(out.obsm["X_fe"]).all()
    assert np.isnan(out.layers["fe_recon"][:, 30]).all() and np.isfinite(out.layers["fe_recon"][:, :30]).all()
    assert np.isnan(out.varm["fe"][30]).all()


def test_an_output_that_is_a_link_or_no_h5ad_is_refused(own, tmp_path):
    (tmp_path / "link.h5ad").symlink_to(tmp_path / "elsewhere.h5ad")

    with pytest.raises(UnsafeError, match="E811"):
        embed.embed_new(own.path, "sim_bulk?n=12&g=30", tmp_path / "link.h5ad")
    with pytest.raises(DataError, match="E453"):
        embed.embed_new(own.path, "sim_bulk?n=12&g=30", tmp_path / "out.csv")
