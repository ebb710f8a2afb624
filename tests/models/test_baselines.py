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

    spread_ng = np.square(data.x_ng - data.train_ng.mean(0))
    assert found["test/recon_r2"] == pytest.approx(1 - wanted / spread_ng.mean(), rel=1e-3)
    hidden = 1 - found["test/masked_mse"] / spread_ng[~data.known_ng].mean()
    assert found["test/masked_r2"] == pytest.approx(hidden, rel=1e-3)
    assert {"test/kl", "test/mae", "test/gene_pearson", "test/active_units"} <= set(found)
    assert not {"test/loss", "test/mse_weight"} & set(found)
