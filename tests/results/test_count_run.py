"""A run of nbvae: from counts to totals, classes, dispersions and expression in an AnnData; new data; refusals."""

import anndata
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from gxsearch import api
from gxsearch.cli import cli
from gxsearch.data.sources import load
from gxsearch.errors import DataError, SpecError
from gxsearch.results import embed, leaderboard
from gxsearch.results.package import load as load_model
from gxsearch.results.package import of_run

DATA = "sim_counts?n=160&g=60"
SPEC = f"""\
gxsearch: 1
name: counts
model: nbvae
data:
  path: "{DATA}"
  label: cell_type
  batch: [batch]
  genes: {{top_variable: 40}}
  split: {{stratify: cell_type}}
  view: {{classes: cell_type}}
objective: {{metric: val/elbo}}
space:
  model: {{hidden: {{value: [24]}}, latent_dim: 4, kl_warmup: 0.2, adversary: 1.0, classifier: linear}}
  train: {{lr: 1e-2}}
budget: {{trials: 1, epochs: 40}}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("counts")
    (folder / "counts.yaml").write_text(SPEC)
    return api.train(api.load_spec(folder / "counts.yaml"), out=folder, name="run", quiet=True)


@pytest.fixture(scope="module")
def folder(run):
    from gxsearch.results.run_dir import RunDir

    return RunDir.open(run.path)


def test_embeddings_hold_what_users_of_count_models_expect(folder):
    written = anndata.read_h5ad(folder.embeddings)
    counts = load(DATA)

    assert written.obsm["X_nbvae"].shape == (160, 4) and written.obsm["X_pca"].shape == (160, 4)
    assert np.array_equal(written.obs["nbvae_library"], np.asarray(counts.X.sum(1)).ravel())
    assert written.obsm["nbvae_probabilities"].shape == (160, 4)
    assert np.allclose(written.obsm["nbvae_probabilities"].sum(1), 1, atol=1e-5)
    named = np.asarray(written.uns["nbvae_classes"])[written.obsm["nbvae_probabilities"].argmax(1)]
    assert (named == written.obs["nbvae_prediction"].astype(str)).all()
    assert (named == written.obs["cell_type"].astype(str)).mean() > 0.8
    assert (written.var["nbvae_dispersion"] > 0).all() and written.n_vars == 40
    x_ng = counts[:, written.var_names].X[np.asarray(written.obs["nbvae_split"] == "train")].toarray()
    assert np.allclose(written.var["mean"], x_ng.mean(0), rtol=1e-4)
    assert np.allclose(written.var["variance"], x_ng.var(0), rtol=1e-3)


def test_profiles_and_pca_stand_in_the_leaderboard_in_the_units_of_the_objective(folder):
    rows = {row["name"]: row for row in leaderboard.baselines(folder)}

    assert {"nb, one profile", "poisson, one profile", "nb, true profile", "nb, profile of the batch", "pca-4"} == set(
        rows
    )
    for part in ("val", "test"):
        elbo, nll = (rows["nb, one profile"][f"{part}/{name}"] for name in ("elbo", "nll"))
        assert elbo == pytest.approx(40 * nll)
    assert {"test/elbo", "test/nll", "test/accuracy", "test/knn", "test/recon_r2"} <= set(leaderboard.scores(folder))


def test_new_cells_get_expression_under_one_batch(folder, tmp_path):
    out = tmp_path / "new.h5ad"
    done = CliRunner().invoke(
        cli,
        ["embed", str(folder.path), "sim_counts?n=30&g=60&seed=3", "-o", str(out), "--recon", "--as-batch", "batch1"],
    )

    assert done.exit_code == 0, done.output
    new = anndata.read_h5ad(out)
    recon_ng = new.layers["nbvae_recon"]
    assert recon_ng.shape == (30, 60) and np.isnan(recon_ng).any(0).sum() == 20
    assert new.var["nbvae_dispersion"].isna().sum() == 20
    found = of_run(folder)
    codes = torch.tensor([0.0, 1.0, 0.0])
    with torch.no_grad():
        want = found.model.expression(torch.from_numpy(new.obsm["X_nbvae"]), codes.expand(30, -1)).numpy()
    assert np.allclose(recon_ng[:, new.var_names.get_indexer(found.genes)], want, rtol=1e-4)


def test_cells_without_their_batch_are_embedded_all_the_same(folder, tmp_path):
    adata = load("sim_counts?n=20&g=60&seed=4")
    del adata.obs["batch"]
    adata.write_h5ad(tmp_path / "x.h5ad")

    new = embed.embed_new(folder.path, tmp_path / "x.h5ad", tmp_path / "y.h5ad")

    assert np.isfinite(new.obsm["X_nbvae"]).all()


def test_a_batch_that_training_did_not_have_is_refused(folder, tmp_path):
    with pytest.raises(SpecError, match="E304.*'bacth1' is a category of 0 covariates.*did you mean"):
        embed.embed_new(folder.path, DATA, tmp_path / "y.h5ad", recon=True, as_batch=["bacth1"])


def test_a_batch_is_only_chosen_for_values(folder, tmp_path):
    with pytest.raises(DataError, match="E451. --as-batch"):
        embed.embed_new(folder.path, DATA, tmp_path / "y.h5ad", as_batch=["batch1"])


def test_new_values_that_are_no_counts_are_refused(folder, tmp_path):
    adata = load("sim_counts?n=20&g=60")
    adata.X = adata.X * 0.5
    adata.write_h5ad(tmp_path / "x.h5ad")

    with pytest.raises(DataError, match="E481"):
        embed.embed_new(folder.path, tmp_path / "x.h5ad", tmp_path / "y.h5ad")


def test_an_exported_model_gives_the_same_vectors_without_its_adversary(folder):
    exported, found = load_model(folder.best), of_run(folder)
    adata = load(DATA)

    assert not any(name.startswith("adversary") for name in exported.weights)
    assert np.array_equal(exported.embed(adata), found.embed(adata))
