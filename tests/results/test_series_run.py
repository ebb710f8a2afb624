"""A run of RVAgene: genes from spec to vectors, curves and pictures; new data; generation by the command line."""

from __future__ import annotations

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

import gxsearch
from gxsearch import api
from gxsearch.cli import cli
from gxsearch.data.sources import load
from gxsearch.errors import DataError, RunError, SpecError
from gxsearch.results import embed, leaderboard, report
from gxsearch.results.package import load as load_model
from gxsearch.results.package import of_run

SPEC = """\
gxsearch: 1
name: series
model: rvagene
data: {path: "sim_series?n=20&g=100", time: time, label: cluster, split: {stratify: cluster}}
objective: {metric: val/elbo}
space:
  model: {hidden_size: {choice: [12, 16]}, latent_dim: 2}
  train: {lr: 1e-2}
budget: {trials: 1, epochs: 12}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("series")
    (folder / "series.yaml").write_text(SPEC)
    return api.train(api.load_spec(folder / "series.yaml"), out=folder, name="run", quiet=True)


def invoke(*args: object):
    return CliRunner().invoke(cli, [str(arg) for arg in args], catch_exceptions=True)


def test_genes_have_vectors_clusters_and_scales_and_samples_their_times(run):
    out, table = anndata.read_h5ad(run.embeddings), embed.again(run)

    assert out.shape == (20, 100) and np.array_equal(out.obs["time"], table.var["time"])
    assert (
        np.array_equal(out.varm["rvagene"], of_run(run).embed_table(table)) and np.isfinite(out.varm["rvagene"]).all()
    )
    assert out.var["rvagene_cluster"].nunique() == 6 and out.varm["X_pca"].shape == (100, 2)
    np.testing.assert_allclose(out.var["rvagene_shift"], load(SPEC.split('"')[1]).X.mean(0), rtol=1e-4)
    assert out.var["rvagene_split"].value_counts().to_dict() == json.loads(run.run.read_text())["data"]["split"]


def test_pca_over_time_stands_in_the_leaderboard_at_the_same_latent_size(run):
    frame = leaderboard.table(run)

    assert frame.set_index("trial").loc["pca-2", ["val/elbo", "val/mse"]].notna().all()
    assert {"flat", "mean curve", "pca-2"} == set(frame["trial"]) - {"0", 0, "000"}
    pca = next(row for row in leaderboard.baselines(run) if row["name"] == "pca-2")
    assert {"test/mse", "test/elbo", "test/knn"} <= set(pca) & set(leaderboard.scores(run))


def test_the_curves_of_clusters_and_held_out_genes_are_tables_and_a_picture(run):
    clusters, genes, latent = (pd.read_csv(run.curves / f"{name}.csv") for name in ("clusters", "genes", "latent"))

    assert clusters.groupby("cluster")["genes"].first().sum() == 100 and len(clusters) == 6 * 20
    assert genes["gene"].nunique() == 12 and set(latent[latent["gene"].isin(genes["gene"])]["split"]) <= {"val", "test"}
    assert latent["cluster"].astype(str).tolist() == anndata.read_h5ad(run.embeddings).var["rvagene_cluster"].tolist()
    assert all((run.curves / f"{name}.png").stat().st_size > 10_000 for name in ("clusters", "genes", "latent"))


def test_new_samples_of_some_of_the_times_give_the_genes_vectors(run, tmp_path: Path):
    new = load(SPEC.split('"')[1])[::2, 10:40].copy()
    new.obs_names = [f"new{i}" for i in range(new.n_obs)]
    new.write_h5ad(tmp_path / "new.h5ad")

    out = embed.embed_new(run.path, tmp_path / "new.h5ad", tmp_path / "out.h5ad", recon=True)

    own = anndata.read_h5ad(run.embeddings).varm["rvagene"][10:40]
    assert out.varm["rvagene"].shape == (30, 2) and np.corrcoef(out.varm["rvagene"].T, own.T)[0, 2] > 0.9
    values = out.layers["rvagene_recon"]
    assert values.shape == new.shape and np.corrcoef(values.ravel(), np.asarray(new.X).ravel())[0, 1] > 0.3


def test_new_samples_of_other_times_are_refused(run, tmp_path: Path):
    new = load(SPEC.split('"')[1])
    new.obs["time"] += 0.01
    new.write_h5ad(tmp_path / "new.h5ad")

    with pytest.raises(DataError, match="E471.*20 times that the model was not trained on"):
        embed.embed_new(run.path, tmp_path / "new.h5ad", tmp_path / "out.h5ad")


def test_an_exported_model_gives_the_same_vectors(run):
    table, found = embed.again(run), load_model(run.best)

    assert np.array_equal(found.embed_table(table), of_run(run).embed_table(table))
    assert len((run.best / "genes.txt").read_text().splitlines()) == 20, "the times that it reads"


def test_a_spec_that_makes_rows_of_samples_is_refused(tmp_path: Path):
    (tmp_path / "series.yaml").write_text(SPEC)

    assert api.load_spec(tmp_path / "series.yaml").data.orientation == "genes"
    with pytest.raises(SpecError, match="E303.*the rows of rvagene are genes"):
        api.load_spec(tmp_path / "series.yaml", "data.orientation=samples")


def test_a_spec_without_times_is_refused_before_anything_starts(tmp_path: Path):
    (tmp_path / "series.yaml").write_text(SPEC.replace("time: time, ", ""))

    with pytest.raises(DataError, match="E470.*a series needs the time of each sample"):
        api.check(api.load_spec(tmp_path / "series.yaml"))


def test_generate_writes_curves_of_all_clusters(run, tmp_path: Path):
    done = invoke("generate", run.path, "-n", 4, "-o", tmp_path / "new.csv")

    frame = pd.read_csv(tmp_path / "new.csv")
    assert done.exit_code == 0 and "30 curves, of which 6 are of centers" in done.output
    assert frame["cluster"].value_counts().to_dict() == dict.fromkeys(range(6), 5) and frame.shape == (30, 3 + 2 + 20)
    assert frame["name"].is_unique and frame["center"].sum() == 6
    decoded = pd.read_csv(run.curves / "clusters.csv").groupby("cluster")["decoded"].apply(list)
    np.testing.assert_allclose(frame[frame["center"]].iloc[:, 5:], np.stack(decoded), rtol=1e-3, atol=1e-3)


def test_generated_curves_are_data_again(run, tmp_path: Path):
    invoke(
        "generate", run.path, "--cluster", 1, "--clusters", 4, "-n", 30, "--times", "2,2.5,7", "-o", tmp_path / "g.h5ad"
    )

    adata = load(str(tmp_path / "g.h5ad"))
    assert adata.shape == (3, 31) and adata.obs["time"].tolist() == [2, 2.5, 7]
    assert set(adata.var["cluster"]) == {"1"} and adata.varm["z"].shape == (31, 2)


def test_curves_come_from_a_point_or_from_anywhere(run):
    point = gxsearch.generate(run.path, at=[0.5, -1.0], n=2, sd=0.0)
    anywhere = gxsearch.generate(run.path, prior=True, n=500)

    assert (point[["z0", "z1"]] == [0.5, -1.0]).all(axis=None) and point["name"][0] == "point_center"
    assert anywhere.loc[1:, "z0"].std() == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"cluster": 6}, "E478.*there is no cluster 6 of 0 to 5"),
        ({"at": [1.0]}, "E478.*vectors of this model have 2 numbers, got 1"),
        ({"at": [1.0, 2.0], "cluster": 1}, "E478.*exclude one another"),
        ({"times": [1e6]}, "E477.*the model knows times from"),
        ({"clusters": 101}, "E476.*101 clusters of 100 distinct genes"),
        ({"m": 3}, "E301.*unknown setting 'm'"),
    ],
)
def test_wishes_that_cannot_be_met_are_told(run, wish, message):
    with pytest.raises((DataError, SpecError), match=message):
        gxsearch.generate(run.path, **wish)


def test_a_file_is_replaced_only_when_it_is_allowed(run, tmp_path: Path):
    (tmp_path / "new.csv").write_text("mine")

    with pytest.raises(DataError, match="E454"):
        gxsearch.generate(run.path, tmp_path / "new.csv", n=1)
    gxsearch.generate(run.path, tmp_path / "new.csv", n=1, force=True)

    assert (tmp_path / "new.csv").read_text().startswith("name,cluster,center")
    with pytest.raises(DataError, match="E453"):
        gxsearch.generate(run.path, tmp_path / "new.txt")


def test_a_number_that_is_none_is_a_usage_error(run, tmp_path: Path):
    done = invoke("generate", run.path, "--at", "1,x", "-o", tmp_path / "new.csv")

    assert done.exit_code == 2 and "'1,x' is no list of numbers" in done.output


@pytest.mark.parametrize("static", [False, True])
def test_the_report_shows_the_curves(run, static):
    html = report.write(run, static=static).read_text()

    assert "Curves over time" in html and "Colored by rvagene_cluster" in html
    assert html.count("data:image/svg+xml") >= 3 and "Held-out genes: their values" in html


def test_damaged_curves_are_told(run):
    path = run.curves / "genes.csv"
    text = path.read_text()
    path.write_bytes(b"")

    with pytest.raises(RunError, match="E631.*genes.csv.*cannot be read"):
        report.write(run)
    path.write_text(text)


def test_a_run_that_is_given_batches_draws_curves_of_each_and_refuses_new_ones(tmp_path):
    adata = load("sim_series?n=20&g=60")
    adata.obs["lab"] = pd.Categorical(list("aab" * 6 + "ab"))
    adata.write_h5ad(tmp_path / "two.h5ad")
    spec = SPEC.replace("sim_series?n=20&g=100", "two.h5ad").replace(
        "time: time", "time: time, batch: [lab], view: {batch: given}"
    )
    (tmp_path / "two.yaml").write_text(spec)
    run = api.train(api.load_spec(tmp_path / "two.yaml"), out=tmp_path, name="run", quiet=True)

    made = {
        name: invoke("generate", run.path, "-o", tmp_path / f"{name}.csv", "--prior", "--batch", name) for name in "abc"
    }
    usual = api.generate(run.path, prior=True)

    assert "pca-2" in set(leaderboard.table(run)["trial"])
    a, b = (pd.read_csv(tmp_path / f"{name}.csv").filter(regex=r"^[\d.]+$") for name in "ab")
    assert a.shape[1] == 20 and not np.allclose(a, b) and "the model is given no batch 'c'" in str(made["c"].exception)
    np.testing.assert_allclose(a, usual.filter(regex=r"^[\d.]+$"), rtol=1e-4)
    assert len(pd.read_csv(run.curves / "genes.csv")["time"].unique()) == (adata.obs["lab"] == "a").sum()
    out = api.embed(run.path, tmp_path / "two.h5ad", tmp_path / "out.h5ad", recon=True)
    np.testing.assert_allclose(out.varm["rvagene"], anndata.read_h5ad(run.embeddings).varm["rvagene"], atol=1e-5)
    assert np.isfinite(out.layers["rvagene_recon"]).all()
    adata.obs["lab"] = adata.obs["lab"].astype(str).replace("b", "z")
    adata.write_h5ad(tmp_path / "new.h5ad")
    with pytest.raises(
        DataError,
        match="batches that the model was not trained on: 'z' - it knows 'a', 'b'",
    ):
        api.embed(run.path, tmp_path / "new.h5ad", tmp_path / "other.h5ad")
