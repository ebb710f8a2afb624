"""A model of genes as rows: its vectors land in varm, of the run's own data and of new genes, and the report stands."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pytest
import torch

from gxsearch import api
from gxsearch.data.sources import load
from gxsearch.errors import DataError
from gxsearch.results import embed, report
from gxsearch.results.package import of_run
from gxsearch.training.embedding import reconstruct

PATH = "sim_series?n=24&g=90"
SPEC = """\
gxsearch: 1
name: genes
model: {model}
data: {{path: "{path}", orientation: genes, label: cluster, split: {{stratify: cluster}}}}
objective: {{metric: {metric}}}
space:
  model: {{hidden: {{choice: [[8], [16]]}}, {dim}: 3}}
budget: {{trials: 1, epochs: 2}}
"""
MODELS = {"fe": ("val/entry_mse", "sample_dim"), "vae": ("val/masked_mse", "latent_dim")}


@pytest.fixture(scope="module", params=MODELS)
def run(request, tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp(request.param)
    metric, dim = MODELS[request.param]
    (folder / "genes.yaml").write_text(SPEC.format(model=request.param, path=PATH, metric=metric, dim=dim))
    return api.train(api.load_spec(folder / "genes.yaml"), out=folder, name="run", quiet=True)


def test_the_embeddings_are_as_the_file_is_with_vectors_of_genes_in_varm(run):
    found, out, source = of_run(run), anndata.read_h5ad(run.embeddings), load(PATH)
    table = embed.again(run)

    assert out.obs_names.equals(source.obs_names) and out.var_names.equals(source.var_names)
    assert np.array_equal(out.varm[found.name], found.embed_table(table)) and out.varm[found.name].shape == (90, 3)
    assert f"X_{found.name}" not in out.obsm and out.varm["X_pca"].shape == (90, 3)
    assert (out.var[f"{found.name}_split"] == "train").to_numpy().tolist() == (table.part_n == 0).tolist()
    np.testing.assert_allclose(out.var["mean"], source.X.mean(0), rtol=1e-5)


def test_vectors_of_samples_stand_in_obsm(run):
    found, out = of_run(run), anndata.read_h5ad(run.embeddings)

    assert np.array_equal(out.obsm[found.name], found.model.gene_vectors()) and len(out.obsm[found.name]) == 24


def test_new_genes_of_the_same_samples_get_vectors_and_values(run, tmp_path: Path):
    found, new = of_run(run), load(PATH)[::-1, 5:40].copy()
    new.write_h5ad(tmp_path / "new.h5ad")

    out = embed.embed_new(run.path, tmp_path / "new.h5ad", tmp_path / "out.h5ad", recon=True)

    assert out.varm[found.name].shape == (35, 3) and np.isfinite(out.varm[found.name]).all()
    own = anndata.read_h5ad(run.embeddings).varm[found.name][5:40]
    np.testing.assert_allclose(out.varm[found.name], own, rtol=1e-3, atol=1e-4)
    values_gn = reconstruct(found.model, out.varm[found.name])
    order = [found.genes.tolist().index(name) for name in new.obs_names]
    np.testing.assert_allclose(out.layers[f"{found.name}_recon"], values_gn.T[order], rtol=1e-5)


def test_new_genes_of_other_samples_are_refused(run, tmp_path: Path):
    load(PATH)[:10].copy().write_h5ad(tmp_path / "new.h5ad")

    with pytest.raises(DataError, match="14 of 24 samples are missing"):
        embed.embed_new(run.path, tmp_path / "new.h5ad", tmp_path / "out.h5ad")


def test_the_report_is_written(run):
    assert report.write(run).stat().st_size > 10_000
