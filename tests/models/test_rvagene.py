"""RVAgene: its losses are those of the docstring, whatever the batch; gaps, times and layers count as they should."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from gxsearch.data.batch import Batch
from gxsearch.data.prepare import prepare
from gxsearch.data.series import SeriesConfig, SeriesView
from gxsearch.data.table import DataConfig, Split, Table
from gxsearch.data.view import Dims
from gxsearch.models.rvagene import RVAgene, RVAgeneConfig, RVAgeneTrain
from gxsearch.nn.recurrent import last_state, recurrent, time_features
from gxsearch.nn.schedules import decay
from gxsearch.training.embedding import embed_table
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.series_baselines import series_baselines, series_scores
from gxsearch.training.session import Bench, Job, session

CPU = torch.device("cpu")
DATA = DataConfig(path="sim_series?n=12&g=60", orientation="genes", time="time", label="cluster")


def model_of(n_times: int = 9, **config) -> RVAgene:
    torch.manual_seed(0)
    return RVAgene(RVAgeneConfig(hidden_size=8, **config), Dims(20, n_times))


def batch_of(n: int = 6, n_times: int = 9, *, weight: bool = False) -> Batch:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, n_times, generator=generator)
    return Batch(x, weight=(torch.rand(x.shape, generator=generator) < 0.7).float() if weight else None)


@pytest.fixture(scope="module")
def table() -> Table:
    return prepare(DATA, where="test")


def test_recon_is_summed_over_times_and_kl_over_the_latent_as_means_over_genes():
    model, batch = model_of().eval(), batch_of()

    losses = model(batch, 1.0)

    mu, log_var = model.encode(batch.x)
    prior, posterior = torch.distributions.Normal(0, 1), torch.distributions.Normal(mu, (0.5 * log_var).exp())
    kl = torch.distributions.kl_divergence(posterior, prior).sum() / 6
    error = (model.decode(mu) - batch.x).square().sum() / 6
    torch.testing.assert_close(losses.terms["recon"], error)
    torch.testing.assert_close(losses.terms["kl"], kl)
    torch.testing.assert_close(losses.terms["mse"], error / 9)


@pytest.mark.parametrize("weight", [False, True])
@pytest.mark.parametrize("recon", ["mse", "smooth_l1", "gaussian"])
def test_no_loss_depends_on_how_genes_are_batched(recon, weight):
    model, whole = model_of(recon=recon, free_bits=0.1).eval(), batch_of(weight=weight)
    parts = [Batch(whole.x[s], weight=whole.weight[s] if weight else None) for s in (slice(0, 2), slice(2, 6))]

    with torch.no_grad():
        together, (two, four) = model(whole, 1.0).terms, (model(part, 1.0).terms for part in parts)

    for name in set(together) - {"elbo"}:  # which draws
        torch.testing.assert_close(together[name], (2 * two[name] + 4 * four[name]) / 6)


def test_a_total_divides_the_sums_so_that_workers_add_up():
    model, whole = model_of().eval(), batch_of()
    halves = [Batch(whole.x[rank::2], total=torch.tensor(3.0)) for rank in (0, 1)]

    with torch.no_grad():
        parts = [model(half, 1.0).total for half in halves]

    torch.testing.assert_close(sum(parts) / 2, model(whole, 1.0).total)


def test_values_that_were_not_measured_have_no_say_in_the_loss():
    model, batch = model_of().eval(), batch_of(weight=True)
    mu, _ = model.encode(batch.x)

    losses = model(batch, 1.0)

    error_nt = (model.decode(mu) - batch.x).square() * batch.weight
    torch.testing.assert_close(losses.terms["recon"], error_nt.sum() / 6)
    torch.testing.assert_close(losses.terms["mse"], (error_nt.sum(1) / batch.weight.sum(1)).mean())
    assert losses.weight is batch.weight


def test_smooth_l1_and_gaussian_are_those_of_torch():
    batch, smooth, gauss = batch_of(), model_of(recon="smooth_l1").eval(), model_of(recon="gaussian").eval()
    with torch.no_grad():
        gauss.log_sigma.fill_(-0.7)
    y, y_gauss = (model.decode(model.encode(batch.x)[0]) for model in (smooth, gauss))

    nats = -torch.distributions.Normal(y_gauss, math.exp(-0.7)).log_prob(batch.x).sum() / 6

    torch.testing.assert_close(smooth(batch, 1.0).terms["recon"], F.smooth_l1_loss(y, batch.x, reduction="sum") / 6)
    torch.testing.assert_close(gauss(batch, 1.0).terms["recon"], nats)


def test_the_elbo_is_at_beta_1_and_full_noise_whatever_beta_is():
    batch = batch_of(200)
    model = model_of(beta=0.01, recon="gaussian").eval()

    with torch.no_grad():
        told = torch.stack([model(batch, 1.0).terms["elbo"] for _ in range(50)])
        mu, log_var = model.encode(batch.x)
        draws = mu + (0.5 * log_var).exp() * torch.randn(400, *mu.shape)
        nats = [-torch.distributions.Normal(model.decode(z), model.sigma).log_prob(batch.x).sum(1) for z in draws]
        kl = 0.5 * (mu.square() + log_var.exp() - 1 - log_var).sum(1)

    assert told.mean().item() == pytest.approx((torch.stack(nats).mean(0) + kl).mean().item(), rel=2e-3)


def test_the_deviation_of_squared_errors_is_that_of_the_residuals():
    model, batch = model_of().train(), batch_of(500)

    for _ in range(5):
        model(batch, 0.5)

    y = model.decode(model.encode(batch.x)[0])
    assert model.residual.item() == pytest.approx((y - batch.x).square().mean().item(), rel=0.05)
    assert model.state_dict()["residual"] == model.residual


def test_free_bits_cost_nothing_below_and_count_for_each_gene():
    losses = model_of(free_bits=0.3, beta=0.5, beta_warmup=0.0).eval()(batch := batch_of(), 1.0)

    mu, log_var = model_of(free_bits=0.3).encode(batch.x)
    kl_nk = 0.5 * (mu.square() + log_var.exp() - 1 - log_var)
    torch.testing.assert_close(losses.terms["kl_paid"], kl_nk.clamp(min=0.3).sum() / 6)
    assert losses.weights["kl_paid"] == 0.5 and losses.weights["kl"] == 0.0


def test_beta_grows_over_its_share_of_the_training():
    model, batch = model_of(beta=2.0, beta_warmup=0.5), batch_of()

    weights = [model(batch, progress).weights["kl"] for progress in (0.0, 0.25, 0.5, 1.0)]

    assert weights == pytest.approx([0.0, 1.0, 2.0, 2.0]) and model.rhythm(model.config).warmup == 0.5


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_gradients_reach_every_layer_of_the_encoder(cell, bidirectional):
    model = model_of(num_layers=3, cell=cell, bidirectional=bidirectional)

    model(batch_of(), 1.0).total.backward()

    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_state_is_that_of_the_last_layer_after_all_times(cell):
    stack, x_tnf = recurrent(cell, 1, 5, 2, bidirectional=True), torch.randn(7, 3, 1)

    h_nh = last_state(stack, x_tnf)

    out_tnh = stack(x_tnf)[0]
    torch.testing.assert_close(h_nh, torch.cat([out_tnh[-1, :, :5], out_tnh[0, :, 5:]], dim=1))


def test_a_decoder_without_inputs_runs_from_its_first_state_alone():
    model, z = model_of(decoder_input="zero", num_layers=2), torch.randn(4, 3)

    y_nt = model.decode(z)

    first = torch.stack([layer(z) for layer in model.first.layers])
    h_tnh, _ = model.decoder(torch.zeros(9, 4, 1), (first, torch.zeros_like(first)))
    torch.testing.assert_close(y_nt, model.out(h_tnh)[:, :, 0].T)


def test_what_the_decoder_reads_is_the_vector_and_sines_of_time():
    model, z = model_of(decoder_input="z_time"), torch.randn(4, 3)

    inputs_tnf = model._inputs(z, model.time)

    assert inputs_tnf.shape == (9, 4, 11) and torch.equal(inputs_tnf[5, :, :3], z)
    half_turn = time_features(torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(half_turn[:, 0], torch.tensor([0.0, 1.0, 0.0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(half_turn[:, 4], torch.tensor([1.0, 0.0, -1.0]), atol=1e-6, rtol=0)


def test_uneven_times_reach_the_decoder(table):
    view = SeriesView.fit(table, SeriesConfig())
    model = RVAgene(RVAgeneConfig(), view.dims)

    model.start(table, view)

    time_t = np.sort(table.var["time"])
    np.testing.assert_allclose(model.time, (time_t - time_t[0]) / (time_t[-1] - time_t[0]))


@pytest.mark.parametrize("batch_size", [1, 7, 20, 41, 500])
def test_there_is_a_vector_for_every_gene_whatever_the_batch_size(table, batch_size):
    job = Job("rvagene", {"hidden_size": 4}, {"batch_size": batch_size}, {}, 1, 0, "val/elbo", "min")
    bench = Bench(table, CPU)

    *_, (metrics, model) = session(job, bench, LocalRuntime())

    z_nk = embed_table(model, bench.view(job)[0], table, CPU)
    assert z_nk.shape == (60, 3) and np.isfinite(z_nk).all() and math.isfinite(metrics["val/elbo"])
    assert len(np.unique(z_nk, axis=0)) == 60


def test_genes_with_gaps_are_trained_and_embedded(table):
    x_ng = table.x_ng.copy()
    x_ng[::2, 3] = np.nan
    gappy = dataclasses.replace(table, x_ng=x_ng)
    job = Job("rvagene", {"hidden_size": 4}, {}, {"missing": "mask"}, 2, 0, "val/elbo", "min")
    bench = Bench(gappy, CPU)

    *_, (metrics, model) = session(job, bench, LocalRuntime())

    assert np.isfinite(embed_table(model, bench.view(job)[0], gappy, CPU)).all()
    assert all(math.isfinite(value) for value in metrics.values())


def test_pca_stands_beside_the_model_on_the_same_genes(table):
    view = SeriesView.fit(table, SeriesConfig())
    x_nt = view.curves(table).x_nt.astype(np.float64)
    train, val = x_nt[table.rows("train")], x_nt[table.rows("val")]

    found = series_baselines(view, table, "cluster", 2)

    _, _, v = np.linalg.svd(train - train.mean(0), full_matrices=False)
    centered = val - train.mean(0)
    assert found["pca-2"]["val/mse"] == pytest.approx(np.square(centered - centered @ v[:2].T @ v[:2]).mean(), rel=1e-4)
    assert found["mean curve"]["val/mse"] == pytest.approx(np.square(centered).mean(), rel=1e-4)
    assert found["flat"]["val/mse"] == pytest.approx(1.0, rel=1e-4) and found["pca-2"]["val/r2"] > 0.5
    assert {"test/mse", "test/knn", "test/elbo"} <= set(found["pca-2"])


def test_the_likelihood_of_pca_is_that_of_its_gaussian(table):
    view = SeriesView.fit(table, SeriesConfig())
    x_nt = view.curves(table).x_nt.astype(np.float64)
    train, val = x_nt[table.rows("train")], x_nt[table.rows("val")]

    got = series_baselines(view, table, None, 2)["pca-2"]["val/elbo"]

    values, vectors = np.linalg.eigh(np.cov(train.T))
    values[:-2] = values[:-2].mean()
    model = torch.distributions.MultivariateNormal(
        torch.from_numpy(train.mean(0)), torch.from_numpy((vectors * values) @ vectors.T)
    )
    assert got == pytest.approx(-model.log_prob(torch.from_numpy(val)).mean().item(), rel=1e-3)


def test_baselines_leave_out_what_was_not_measured(table):
    x_ng = table.x_ng.copy()
    x_ng[:, 3] = np.where(np.arange(60) % 3 == 0, np.nan, x_ng[:, 3])
    gappy = dataclasses.replace(table, x_ng=x_ng)
    view = SeriesView.fit(gappy, SeriesConfig(missing="mask"))

    found = series_baselines(view, gappy, None, 2)

    assert found["flat"]["val/mse"] == pytest.approx(1.0, rel=1e-4) and "val/elbo" not in found["pca-2"]


def test_the_scores_of_test_genes_are_the_models_own(table):
    job = Job("rvagene", {"hidden_size": 6}, {}, {}, 3, 0, "val/elbo", "min")
    bench = Bench(table, CPU)
    *_, (_, model) = session(job, bench, LocalRuntime())
    view = bench.view(job)[0]
    z_nk = embed_table(model, view, table, CPU)

    scores = series_scores(model, view, table, "cluster", z_nk)

    test = table.rows("test")
    with torch.no_grad():
        y_nt = model.decode(torch.from_numpy(z_nk[test])).numpy()
    assert scores["test/mse"] == pytest.approx(np.square(y_nt - view.curves(table).x_nt[test]).mean(), rel=1e-4)
    assert {"test/elbo", "test/kl", "test/active_units", "test/knn"} <= set(scores)
    assert not {"test/loss", "test/recon"} & set(scores)


def test_one_cycle_is_torchs():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=1000, pct_start=0.1)
    wanted = []
    for _ in range(1000):
        wanted.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        cycle.step()

    np.testing.assert_allclose(
        [decay("onecycle", step / 1000) for step in range(1000)], wanted, atol=1e-2
    )  # its peak is a step early


def test_the_papers_settings_have_its_number_of_weights():
    config = RVAgeneConfig(decoder_input="zero")

    model = RVAgene(config, Dims(120, 100))

    assert sum(p.numel() for p in model.parameters()) == 41_657
    assert RVAgeneTrain().lr == 3e-3 and config.hidden_size == 70 and config.latent_dim == 3


def test_rows_are_held_out_as_genes(table):
    facts = prepare(DATA.model_copy(update={"split": Split(val=0.2, test=0.1)}), where="test").facts

    assert facts["split"] == {"train": 42, "val": 12, "test": 6}


def test_a_model_with_a_linear_path_starts_at_pca(table):
    view = SeriesView.fit(table, SeriesConfig())
    model = RVAgene(RVAgeneConfig(latent_dim=2, skip="pca"), view.dims).eval()

    model.start(table, view)

    batch = next(iter(view.examples(table, CPU).validation()))
    with torch.no_grad():
        losses = model(batch, 1.0)
        z_nk = model.embed(Batch(torch.from_numpy(view.curves(table.take(table.rows("train"))).x_nt)))
    found = series_baselines(view, table, None, 2)["pca-2"]["val/mse"]
    assert losses.terms["mse"].item() == pytest.approx(found, rel=1e-4)
    np.testing.assert_allclose(np.cov(z_nk.T, bias=True), np.eye(2), atol=1e-3)
