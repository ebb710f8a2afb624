"""The beta-VAE: its size, its losses, its masks and contrasts, and its genes' vectors."""

import numpy as np
import pydantic
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from gxsearch.data.batch import Batch
from gxsearch.data.matrix import MatrixConfig, MatrixView
from gxsearch.data.view import Dims
from gxsearch.models.vae import VAE, VAEConfig
from gxsearch.nn.anneal import weight_of_beta
from gxsearch.training.embedding import reconstruct
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.session import Bench, Job, session

CPU = torch.device("cpu")
SMALL = {"hidden": [32], "latent_dim": 4, "dropout": 0.0}


def vae(g: int = 12, **settings) -> VAE:
    torch.manual_seed(0)
    return VAE(VAEConfig(**{**SMALL, **settings}), Dims(n_rows=20, n_genes=g, n_classes=3, n_groups=4))


def rows(n: int = 10, g: int = 12, **told) -> Batch:
    return Batch(torch.randn(n, g, generator=torch.Generator().manual_seed(1)), **told)


def trained(table, epochs: int = 12, metric: str = "val/masked_mse", **settings):
    job = Job("vae", {**SMALL, **settings}, {"batch_size": 32, "lr": 3e-3}, {}, epochs, 0, metric, "min")
    bench = Bench(table, CPU)
    *_, (metrics, model) = session(job, bench, LocalRuntime(threads=1))
    return metrics, model.eval(), bench.view(job)[0]


@pytest.mark.parametrize(("latent", "count"), [(64, 184_575_957), (19_797, 199_770_367)])
def test_the_reference_has_the_parameters_of_the_source(latent, count):
    with torch.device("meta"):
        config = VAEConfig(hidden=[4096, 2048, 1024, 512, 256], latent_dim=latent)
        model = VAE(config, Dims(n_rows=1, n_genes=19_797))

    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == count


def test_the_kl_is_that_of_normal_distributions_in_nats_per_row():
    model, batch = vae(beta=2.0, anneal="none"), rows()
    model.eval()
    mu, log_var = model.encode(batch.x)

    losses = model(batch, 0.0)

    wanted = kl_divergence(Normal(mu, (0.5 * log_var).exp()), Normal(0.0, 1.0)).sum(1).mean()
    assert torch.isclose(losses.terms["kl"], wanted, rtol=1e-5)
    assert losses.weights["kl"] == pytest.approx(weight_of_beta(2.0, 4, 12) / 4)


def test_the_kl_of_the_prior_is_zero():
    model = vae()
    for layer in (model.mu, model.log_var):
        torch.nn.init.zeros_(layer.weight)

    assert model.eval()(rows(), 1.0).terms["kl"] == 0


def test_training_hides_a_share_of_each_row_and_the_loss_is_over_all_values():
    model, batch = vae(g=2000, mask_min=0.1, mask_width=0.2), rows(n=64, g=2000)
    seen = model._masked(batch.x, 0.5)

    share_n = (seen == 0).float().mean(1)
    np.testing.assert_allclose(seen[0, seen[0] != 0], batch.x[0, seen[0] != 0] / (1 - share_n[0]), rtol=1e-4)
    assert 0.07 < share_n.min() < 0.14 and 0.26 < share_n.max() < 0.33
    losses = model.train()(batch, 0.5)
    assert torch.isclose(losses.terms["mse"], (losses.prediction - batch.x).square().mean())


def test_the_range_of_shares_grows_if_asked():
    model, x = vae(g=4000, mask_min=0.0, mask_width=0.5, mask_growth=0.1), rows(n=8, g=4000).x

    assert torch.equal(model._masked(x, 0.0), x)
    assert (model._masked(x, 0.1) == 0).float().mean() > 0.1


def test_the_error_of_hidden_values_ignores_those_that_are_seen():
    model, batch = vae().eval(), rows()
    hidden = torch.zeros(10, 12, dtype=torch.bool)
    hidden[:, :3] = True
    other = batch.x.clone()
    other[:, :3] += 1.0  # the network must not see these, the error must

    errors = [model(Batch(x, hidden=hidden), 1.0).terms["masked_mse"] for x in (batch.x, other)]
    guess = model.decode_scaled(model.encode(batch.x.masked_fill(hidden, 0.0) * 12 / 9)[0])

    assert torch.isclose(errors[0], (guess - batch.x)[:, :3].square().mean())
    assert torch.isclose(errors[1], (guess - other)[:, :3].square().mean())
    assert torch.equal(model.embed(Batch(batch.x, hidden=hidden)), model.embed(Batch(other, hidden=hidden)))


def test_validation_draws_nothing_and_is_at_the_mean_of_the_codes():
    model, batch = vae(dropout=0.4).eval(), rows()

    first, second = model(batch, 1.0), model(batch, 1.0)

    assert torch.equal(first.prediction, second.prediction)
    assert torch.equal(first.prediction, model.decode_scaled(model.encode(batch.x)[0]))


def test_a_capacity_weighs_the_distance_of_the_kl_to_its_goal():
    model = vae(anneal="capacity", capacity=8.0, anneal_share=0.5, capacity_gamma=3.0).eval()

    losses = model(rows(), 0.25)

    assert torch.isclose(losses.terms["kl_gap"], (losses.terms["kl"] - 4.0).abs())
    assert losses.weights["kl"] == 0 and losses.weights["kl_gap"] == pytest.approx(2 * 3.0 / 12)


@pytest.mark.parametrize("contrast", ["views", "supcon", "pair"])
def test_every_contrast_reaches_the_encoder_and_the_projection(contrast):
    told = {"label": torch.arange(10) % 3, "group": torch.arange(10) // 3, "anchor": torch.arange(10) % 3 == 0}
    model = vae(contrast=contrast).train()

    model(rows(**told), 0.5).terms["contrast"].backward()

    assert model.encoder[0].weight.grad.any() and all(p.grad.any() for p in model.contrast.head[2].parameters())


def test_pairs_work_where_a_group_lacks_a_mixture_or_parts():
    group = torch.tensor([0, 0, 1, 1, 2, 2, 3, 4])
    anchor = torch.tensor([True, False, True, False, False, False, True, True])
    model, batch = vae(contrast="pair").eval(), rows(n=8, group=group, anchor=anchor)

    whole = batch.x[:4], group[:4], anchor[:4]
    alone = Batch(whole[0], group=whole[1], anchor=whole[2])

    assert torch.isclose(model(batch, 1.0).terms["contrast"], model(alone, 1.0).terms["contrast"])


def test_a_second_stage_begins_contrast_on_a_trained_encoder():
    model = vae(contrast="views", contrast_weight=0.3, contrast_from=0.5, second_vae_weight=0.0, anneal="none").train()

    before, after = model(rows(), 0.4).weights, model(rows(), 0.6).weights

    assert before["contrast"] == 0 and before["mse"] == 1.0
    assert after == {"mse": 0.0, "kl": 0.0, "contrast": 0.3}
    assert VAE.rhythm(model.config).warmup == 0.5


@pytest.mark.parametrize(("contrast", "column"), [("supcon", "data.view.classes"), ("pair", "data.view.group")])
def test_a_contrast_without_its_column_is_objected_to(contrast, column):
    config = VAEConfig(contrast=contrast)

    assert column in VAE.objection(config, Dims(20, 12))
    assert VAE.objection(config, Dims(20, 12, n_classes=3, n_groups=4)) is None


def test_widths_that_are_none_are_refused():
    with pytest.raises(pydantic.ValidationError, match="widths"):
        VAEConfig(hidden=[16, 0])


def test_masks_that_hide_everything_are_refused():
    with pytest.raises(pydantic.ValidationError, match="mask_min"):
        VAEConfig(mask_min=0.5, mask_width=0.5)


def test_decoded_values_are_in_units_of_the_table(table):
    _, model, view = trained(table, epochs=40, skip="pca", beta=1e-3)
    test = table.rows("test")

    z_nk = model.embed(Batch(torch.from_numpy(view.scaled(view.values(table)[test])))).detach().numpy()

    error = np.square(reconstruct(model, z_nk) - table.x_ng[test]).mean()
    assert error < 0.6 * table.x_ng[table.rows("train")].var(0).mean()


def test_a_start_at_pca_is_pca():
    from sklearn.decomposition import PCA

    from gxsearch.data.prepare import prepare
    from gxsearch.data.table import DataConfig

    table = prepare(DataConfig(path="sim_bulk?n=120&g=60"), where="test").dense()
    view = MatrixView.fit(table, MatrixConfig())
    torch.manual_seed(0)
    model = VAE(VAEConfig(**SMALL, skip="pca"), view.dims).eval()
    model.start(table, view)
    x = view.scaled(view.values(table))[table.rows("train")]
    z_nk = model.skip_in(torch.from_numpy(x)).detach().numpy()

    pca = PCA(4, random_state=0).fit(x)
    wanted_nk = np.abs(pca.transform(x)) / np.sqrt(pca.explained_variance_.mean())
    np.testing.assert_allclose(np.abs(z_nk), wanted_nk, atol=1e-3)
    found = model.skip_out(torch.from_numpy(z_nk)).detach().numpy()
    np.testing.assert_allclose(found, pca.inverse_transform(pca.transform(x)), atol=1e-3)


def test_the_jacobian_of_a_linear_decoder_is_its_matrix():
    model = vae(skip="linear").eval()
    torch.nn.init.zeros_(model.out.weight)
    model.codes.running_var.copy_(torch.tensor([1.0, 4.0, 0.0, 9.0]))

    wanted = model.skip_out.weight.detach() * torch.tensor([1.0, 2.0, 0.0, 3.0])

    np.testing.assert_allclose(model.gene_vectors(), wanted, atol=1e-5)


def test_the_jacobian_is_the_mean_slope_of_the_decoder():
    model = vae(g=7).eval()
    draws = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    step = torch.tensor([0.0, 1e-2, 0.0, 0.0])

    with torch.no_grad():
        slope = (model.decode_scaled(draws + step) - model.decode_scaled(draws - step)).mean(0) / 2e-2

    np.testing.assert_allclose(model.gene_vectors()[:, 1], slope, atol=2e-3)


def test_rows_of_the_decoder_are_given_on_request():
    assert vae(gene_vectors="decoder").gene_vectors().shape == (12, 32)


def test_masking_in_training_finds_hidden_values_better():
    from gxsearch.data.prepare import prepare
    from gxsearch.data.table import DataConfig

    table = prepare(DataConfig(path="sim_bulk?n=300&g=100&noise=0.6"), where="test")
    with_masks = trained(table, epochs=40, beta=1e-3)[0]["best"]
    without = trained(table, epochs=40, beta=1e-3, mask_min=0.0, mask_width=0.0)[0]["best"]

    assert with_masks < without
