"""The count VAE: its likelihood is scipy's, covariates and classes do what they promise, it learns simulated types."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import sparse, stats

from gxsearch.data.batch import Batch
from gxsearch.data.prepare import prepare
from gxsearch.data.table import DataConfig, Table
from gxsearch.data.view import Dims
from gxsearch.models.nbvae import NBVAE, NBVAEConfig, NBVAETrain
from gxsearch.nn.adversary import Adversary
from gxsearch.nn.profile import one_profile, profiles
from gxsearch.training.count_baselines import count_baselines, count_scores, expressions
from gxsearch.training.embedding import embed_table
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.session import Bench, Job, session

CPU, G = torch.device("cpu"), 12


def build(dims: dict | None = None, **settings) -> NBVAE:
    torch.manual_seed(0)
    sizes = {"high": 20.0, "covariates": (2, 3), "n_classes": 3, **(dims or {})}
    return NBVAE(NBVAEConfig(**{"hidden": [8], "latent_dim": 3, **settings}), Dims(20, G, **sizes))


def batch(n: int = 6, *, sparse_rows: bool = False, **fields) -> Batch:
    generator = torch.Generator().manual_seed(1)
    x = torch.poisson(torch.full((n, G), 0.7), generator=generator)
    told = {
        "library": x.sum(1) + 5,
        "constant": torch.lgamma(x + 1).sum(1),
        "covariate": torch.stack([torch.arange(n) % 2, torch.arange(n) % 3], 1),
        "chance": torch.eye(3)[torch.arange(n) % 3],
        "nonzero": x.nonzero().T if sparse_rows else None,
    }
    return Batch(x, **{**told, **fields})


def counts(**settings) -> Table:
    config = DataConfig(path="sim_counts?n=400&g=120", label="cell_type", batch=["batch"], **settings)
    return prepare(config, where="test", layout="sparse", extra_obs=("shown",) if "view" in settings else ())


def trained(table: Table, epochs: int = 30, view: dict | None = None, **model):
    torch.set_num_threads(1)
    bench, job = Bench(table, CPU), Job("nbvae", model, {"lr": 5e-3}, view or {}, epochs, 0, "val/elbo", "min")
    for metrics, found in session(job, bench, LocalRuntime()):
        last = metrics, found
    return last[0], last[1].eval(), bench.view(job)[0]


@pytest.mark.parametrize("likelihood", ["nb", "zinb"])
def test_nll_is_that_of_scipy_with_the_constant_and_elbo_adds_the_kl(likelihood):
    model, given = build(likelihood=likelihood).eval(), batch()
    torch.manual_seed(5)
    losses = model(given, 1.0)

    torch.manual_seed(5)
    codes = model.one_hot(given.covariate)
    q = model._encode(given, codes, None)
    log_mu, log_theta, logit = (
        None if v is None else v.detach().double().numpy() for v in model._decoded(q.draw(), codes, given.library)
    )
    theta = np.exp(np.broadcast_to(log_theta, log_mu.shape))
    p = stats.nbinom.pmf(given.x.numpy(), theta, theta / (theta + np.exp(log_mu)))
    if likelihood == "zinb":
        pi = 1 / (1 + np.exp(-logit))
        p = (1 - pi) * p + pi * (given.x.numpy() == 0)
    assert losses.terms["nll"].item() == pytest.approx(-np.log(p).mean(), rel=1e-4)
    assert losses.terms["elbo"].item() == pytest.approx(-np.log(p).sum(1).mean() + q.kl().mean().item(), rel=1e-4)


@pytest.mark.parametrize("settings", [{}, {"likelihood": "zinb"}, {"dispersion": "gene-cell"}, {"rho": "softplus"}])
def test_sparse_rows_give_the_losses_of_dense_ones(settings):
    model = build(gene_weighting="var_mean", **settings).eval()
    model.gene_weight.copy_(torch.linspace(0.5, 1.5, G))
    found = []
    for sparse_rows in (False, True):
        torch.manual_seed(2)
        found.append(model(batch(sparse_rows=sparse_rows), 1.0).terms)

    assert all(torch.allclose(found[0][name], found[1][name], rtol=1e-4) for name in found[0])


def test_shares_of_the_total_sum_to_one_and_leave_room_for_genes_not_used():
    z, library = torch.randn(4, 3), torch.full((4,), 50.0)
    whole, part = (build({"n_rest": n, "covariates": ()}) for n in (0, 9))

    assert torch.allclose(whole._decoded(z, None, library)[0].exp().sum(1), library)
    assert (part._decoded(z, None, library)[0].exp().sum(1) < library).all()


@pytest.mark.parametrize("dispersion", ["gene", "gene-batch", "gene-cell"])
@pytest.mark.parametrize("covariance", ["diag", "full", "lowrank"])
def test_every_parameter_learns_with_every_dispersion_and_covariance(dispersion, covariance):
    model = build(dispersion=dispersion, covariance=covariance, adversary=1.0, deep_inject=True)
    model.mix.fill_(0.4)
    model(batch(), 1.0).total.backward()

    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]


def test_the_decoder_reads_the_covariates_and_the_encoder_only_on_request():
    first, other = batch(), batch(covariate=torch.zeros(6, 2, dtype=torch.int64))
    for encode in (True, False):
        model = build(encode_covariates=encode).eval()
        assert torch.equal(model.embed(first), model.embed(other)) != encode
    codes = [model.one_hot(given.covariate) for given in (first, other)]
    z = torch.randn(6, 3)
    assert not torch.allclose(*(model.expression(z, code) for code in codes))


def test_the_library_changes_means_and_not_codes():
    model, given = build().eval(), batch()
    doubled = dataclasses.replace(given, x=2 * given.x, library=2 * given.library)

    assert torch.allclose(model.embed(given), model.embed(doubled), atol=1e-5)


def test_unknown_classes_cost_nothing_and_known_ones_are_averaged_over_themselves():
    model = build(alpha=1.0, classifier="linear").eval()
    whole = batch()
    chance = whole.chance.clone()
    chance[3:] = 0
    half = model(batch(chance=chance, known=0.5), 1.0).terms["class_nll"]

    chances = model.classify(whole)[:3]
    want = torch.nn.functional.nll_loss(chances.log(), torch.arange(3))
    assert half.item() == pytest.approx(want.item(), rel=1e-5)


def test_a_gaussian_classifier_learns_from_training_cells_alone_and_moves_no_weight():
    model = build(classifier="gaussian")
    given, none = batch(), batch(chance=torch.zeros(6, 3))

    def gradients(cells):
        torch.manual_seed(0)
        model.zero_grad()
        model(cells, 1.0).total.backward()
        return [p.grad.clone() for p in model.parameters()]

    model.eval()(given, 1.0)
    assert model.classifier.head.count.sum() == 0
    model.train()
    assert all(torch.equal(told, untold) for told, untold in zip(gradients(given), gradients(none), strict=True))
    assert model.classifier.head.count.sum() > 0


def test_values_are_hidden_from_the_encoder_in_training_alone():
    model, given = build(input_dropout=0.5, dropout=0.0), batch()

    assert torch.equal(model.eval().embed(given), model.embed(given))
    model.train()
    assert not torch.equal(model.embed(given), model.embed(given))


def test_soft_labels_are_learnt_by_cross_entropy():
    model = build(classifier="linear").eval()
    chance = torch.softmax(torch.randn(6, 3), 1)
    want = -(chance * model.classify(batch()).log()).sum(1).mean()

    assert torch.allclose(model(batch(chance=chance), 1.0).terms["class_nll"], want)


def test_classes_that_the_encoder_reads_are_not_predicted_and_never_reach_vectors():
    model = build(label_input=True, label_drop=1.0, norm="layer", dropout=0.0)
    told, untold = batch(), batch(chance=torch.zeros(6, 3))

    assert torch.equal(model.eval().embed(told), model.embed(untold))
    model.train()
    assert model._told(told).sum() == 0
    read = torch.eye(3)[torch.arange(6) % 3]
    assert model._judged(torch.randn(6, 3), told, read, 6)["class_nll"] == 0


def test_the_adversary_learns_the_covariate_and_its_input_does_not_pay_for_the_head():
    torch.manual_seed(0)
    head, z, code = Adversary(3, [2]), torch.randn(8, 3, requires_grad=True), torch.arange(8)[:, None] % 2
    found, paid = head(z, code, torch.tensor([0.5, 0.5]))

    assert torch.autograd.grad(found, z, allow_unused=True, retain_graph=True)[0] is None
    assert torch.autograd.grad(paid, list(head.parameters()), allow_unused=True, retain_graph=True) == (None,) * 4
    assert torch.autograd.grad(paid, z)[0].any() and paid > 0


def test_moments_find_the_share_and_the_dispersion_that_counts_were_drawn_with():
    rng = np.random.default_rng(0)
    total_n, share_g, theta = rng.uniform(500, 2000, 20_000), np.array([0.01, 0.002, 0.03]), 2.0
    mu_ng = total_n[:, None] * share_g
    x_ng = sparse.csr_matrix(rng.poisson(mu_ng * rng.gamma(theta, 1 / theta, mu_ng.shape)))

    got_share_g, got_theta_g = one_profile(x_ng, total_n)
    by_cg, theta_g = profiles(x_ng, total_n, np.arange(20_000) % 2, 2)

    assert np.allclose(got_share_g, share_g, rtol=0.05) and np.allclose(got_theta_g, theta, rtol=0.1)
    assert np.allclose(by_cg, [share_g, share_g], rtol=0.05) and np.allclose(theta_g, theta, rtol=0.1)


def test_settings_that_need_covariates_or_classes_are_refused_without_them():
    bare = Dims(20, G)
    for settings in ({"dispersion": "gene-batch"}, {"adversary": 1.0}, {"label_input": True}):
        config = NBVAEConfig(**settings)
        assert "; set data." in NBVAE.objection(config, bare)
        assert NBVAE.objection(config, Dims(20, G, covariates=(2,), n_classes=2)) is None


def test_dispersions_move_faster_and_do_not_decay():
    groups = build().parameter_groups(NBVAETrain(lr=1e-3, fast=7.0, weight_decay=0.1))

    assert [(g["lr"], g["weight_decay"]) for g in groups] == [(1e-3, 0.1), (pytest.approx(7e-3), 0.0)]
    assert len(groups[1]["params"]) == 1


def test_a_short_training_beats_one_profile_and_finds_the_types():
    table = counts()
    metrics, model, view = trained(table)
    z_nk = embed_table(model, view, table, CPU)

    controls = count_baselines(view, table, "cell_type", 10)
    scores = count_scores(model, view, table, "cell_type", z_nk)

    assert (
        scores["test/elbo"] < controls["nb, one profile"]["test/elbo"] < controls["poisson, one profile"]["test/elbo"]
    )
    assert controls["nb, true profile"]["test/nll"] < controls["nb, one profile"]["test/nll"]
    assert scores["test/knn"] > 0.9
    assert "test/accuracy" not in scores and metrics["val/elbo"] > 0


def test_a_baseline_is_measured_as_scipy_does():
    table = counts()
    _, _, view = trained(table, epochs=1)
    train, test = table.rows("train"), table.rows("test")
    total_n = view.totals(table)
    share_g, theta_g = one_profile(table.x_ng[train], total_n[train])
    mu_ng = total_n[test][:, None] * share_g

    want = -stats.nbinom.logpmf(table.x_ng[test].toarray(), theta_g, theta_g / (theta_g + mu_ng)).mean()

    assert count_baselines(view, table, None, 5)["nb, one profile"]["test/nll"] == pytest.approx(want, rel=1e-5)


def test_a_few_labels_are_enough_to_name_simulated_types():
    whole = counts()
    shown_n = np.where(np.arange(whole.n_obs) % 5 == 0, whole.obs["cell_type"], "")
    table = dataclasses.replace(whole, obs={**whole.obs, "shown": shown_n})
    _, model, view = trained(table, view={"classes": "shown"})
    rows = table.rows("test")

    with torch.no_grad():
        chance = torch.cat([model.classify(batch) for batch in view.cut(table.take(rows), CPU)])
    said = np.array(view.classes)[chance.argmax(1).numpy()]

    assert (said == table.obs["cell_type"][rows]).mean() > 0.9


def test_expression_under_one_batch_takes_the_batch_away():
    table = counts()
    _, model, view = trained(table)
    z_nk, batch_n = embed_table(model, view, table, CPU), table.obs["batch"]
    own = expressions(model, z_nk, model.one_hot(torch.from_numpy(view.codes(table))))
    same = expressions(model, z_nk, torch.tensor([1.0, 0.0, 0.0]))

    def apart(y_ng):
        means = np.stack([np.log1p(y_ng[batch_n == b]).mean(0) for b in view.categories["batch"]])
        return means.std(0).mean()

    assert apart(same) < 0.5 * apart(own)
    assert np.allclose(same.sum(1), view.dims.high, rtol=1e-3)
