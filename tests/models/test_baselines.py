"""Classical methods on the entries and rows that models are judged by."""

import dataclasses

import numpy as np
import pytest
import torch

from gxsearch.data.entries import EntriesConfig, EntriesView
from gxsearch.data.matrix import MatrixConfig, MatrixView
from gxsearch.data.table import Table
from gxsearch.models.fe import FactorizedEmbeddings, FEConfig
from gxsearch.models.vae import VAE, VAEConfig
from gxsearch.training import baselines
from gxsearch.training.baselines import additive, entry_baselines, iterative_svd, row_baselines
from gxsearch.training.embedding import embed_table


def low_rank(n: int = 90, g: int = 40, k: int = 3) -> Table:
    draw = np.random.default_rng(0)
    x_ng = draw.normal(size=(n, k)) @ draw.normal(size=(k, g)) + draw.normal(size=g)
    part_n = np.repeat(np.array([0, 1, 2], dtype=np.int8), n // 3)
    sign = np.where(x_ng[:, 0] > 0, "up", "down")
    names = [np.array([f"{kind}{i}" for i in range(m)]) for kind, m in (("r", n), ("g", g))]
    return Table(x_ng.astype(np.float32), *names, part_n, {"sign": sign})


def test_iterative_svd_completes_a_matrix_of_its_rank():
    x_ng = low_rank().x_ng.astype(float)
    known_ng = np.random.default_rng(1).random(x_ng.shape) > 0.1

    fit_ng = iterative_svd(x_ng, known_ng, 3)

    assert np.square(fit_ng - x_ng)[~known_ng].mean() < 1e-4 * x_ng.var()


def test_the_additive_model_finds_row_and_gene_effects():
    draw = np.random.default_rng(0)
    x_ng = draw.normal(size=(30, 1)) + draw.normal(size=20)
    known_ng = draw.random(x_ng.shape) > 0.2

    np.testing.assert_allclose(additive(x_ng, known_ng, rounds=100), x_ng, atol=1e-6)


def test_entry_baselines_are_in_the_order_of_their_freedom(table):
    found = entry_baselines(EntriesView.fit(table, EntriesConfig()), table, 3)

    r2 = [found[name]["val/r2"] for name in ("mean", "gene mean", "gene + sample mean", "svd-3")]
    assert r2 == sorted(r2) and abs(r2[0]) < 0.01


def test_pca_of_full_rank_reconstructs_and_imputes_test_rows():
    table = low_rank()

    found = row_baselines(EntriesView.fit(table, EntriesConfig()), table, "sign", 3)["pca-3"]

    assert found["test/recon_r2"] == pytest.approx(1, abs=1e-4)
    assert found["test/masked_r2"] == pytest.approx(1, abs=1e-3)
    assert 0.5 < found["test/knn"] <= 1


def test_an_untrained_model_gets_every_measure_and_a_poor_one(table):
    torch.manual_seed(0)
    view = EntriesView.fit(table, EntriesConfig())
    model = FactorizedEmbeddings(FEConfig(), view.dims)

    found = baselines.test_scores(model, view, table, "side", embed_table(model, view, table, torch.device("cpu")))

    assert set(found) == {"test/recon_r2", "test/masked_r2", "test/knn", "test/logreg"}
    assert found["test/recon_r2"] < 0.1


def test_the_best_rank_is_found_where_the_full_one_fits_noise():
    table = low_rank(k=2)
    noisy = np.random.default_rng(2).normal(size=table.x_ng.shape).astype(np.float32)
    noisy_table = dataclasses.replace(table, x_ng=table.x_ng + noisy)

    found = entry_baselines(EntriesView.fit(noisy_table, EntriesConfig()), noisy_table, 12)

    assert found["svd-2"]["val/entry_mse"] < 0.9 * found["svd-12"]["val/entry_mse"]


def test_pca_completes_rows_of_its_rank_and_gives_means_where_nothing_is_known():
    table = low_rank()
    data = baselines.Rows.of(MatrixView.fit(table, MatrixConfig(clip=0.0)), table, "test")
    pca = data.pca(3)

    np.testing.assert_allclose(baselines.complete(pca, data), data.x_ng, atol=0.02)
    blind = dataclasses.replace(data, known_ng=np.zeros_like(data.known_ng))
    np.testing.assert_allclose(baselines.complete(pca, blind), np.tile(pca.mean_, (len(data.x_ng), 1)), atol=1e-5)


def test_baselines_of_whole_rows_are_measured_as_models_are():
    table = low_rank(n=120, g=50)

    found = baselines.baselines(MatrixView.fit(table, MatrixConfig()), table, "sign", 3)

    measures = ("mse", "masked_mse", "mae", "r2", "pearson", "gene_pearson")
    assert set(found["gene mean"]) == {f"val/{name}" for name in measures}
    assert found["pca-3"]["val/masked_mse"] < 0.05 < 0.5 < found["gene mean"]["val/masked_mse"]
    tested = {"test/mse", "test/masked_mse", "test/mae", "test/gene_pearson", "test/recon_r2", "test/masked_r2"}
    assert tested | {"test/knn", "test/logreg"} <= set(found["pca-3"])


def test_a_models_test_measures_are_in_the_units_of_its_view():
    table = low_rank(n=120, g=50)
    view = MatrixView.fit(table, MatrixConfig())
    torch.manual_seed(0)
    model = VAE(VAEConfig(hidden=[16], latent_dim=3, skip="pca"), view.dims).eval()
    model.start(table, view)
    z_nk = embed_table(model, view, table, torch.device("cpu"))

    found = baselines.test_scores(model, view, table, "sign", z_nk)

    data = baselines.Rows.of(view, table, "test")
    wanted = np.square(model.decode_scaled(torch.from_numpy(z_nk[data.rows])).detach().numpy() - data.x_ng).mean()
    spread_ng = np.square(data.x_ng - data.train_ng.mean(0))
    assert found["test/mse"] == pytest.approx(wanted, rel=1e-4)
    assert found["test/recon_r2"] == pytest.approx(1 - wanted / spread_ng.mean(), rel=1e-3)
    hidden = 1 - found["test/masked_mse"] / spread_ng[~data.known_ng].mean()
    assert found["test/masked_r2"] == pytest.approx(hidden, rel=1e-3)
    assert {"test/kl", "test/mae", "test/gene_pearson", "test/active_units"} <= set(found)
    assert not {"test/loss", "test/mse_weight"} & set(found)
