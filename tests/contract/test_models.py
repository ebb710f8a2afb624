"""What every architecture promises, tested on its demo data for all that are registered."""

import dataclasses

import numpy as np
import torch
from rehearsal import CPU, make_job, train

from gxsearch.config import read, settings
from gxsearch.data.view import ReadsNeighbors
from gxsearch.models import registry
from gxsearch.models.base import EmbedsGenes, KeepsRowVectors, TrainConfig
from gxsearch.training.embedding import embed_table
from gxsearch.training.session import Bench, build, describe, revive


def test_every_default_is_valid_and_every_knob_has_a_sentence(name):
    kind = registry.get(name)

    for config in (kind.Config, kind.Train, kind.View.Config):
        read(config, {}, "", "")
        undocumented = [row.name for row in settings(config) if len(row.doc) < 10]
        assert not undocumented, f"{config.__name__}: no doc for {undocumented}"
    assert issubclass(kind.Train, TrainConfig) and len(kind.reference) > 5


def test_every_term_has_a_weight_and_every_loss_is_finite(job, table):
    bench = Bench(table, CPU)
    view, examples = bench.view(job)
    model, config = build(job, view, table, started=False)

    for batch in examples.train(config.batch_size, torch.Generator().manual_seed(0)):
        losses = model(batch, 0.5)
        assert losses.terms.keys() == losses.weights.keys()
        assert all(term.isfinite() and term.dim() == 0 for term in losses.terms.values())


def test_gradients_reach_every_parameter(job, table):
    view, examples = Bench(table, CPU).view(job)
    model, config = build(job, view, table, started=False)

    for batch in examples.train(config.batch_size, torch.Generator().manual_seed(0)):
        model(batch, 1.0).total.backward()

    unreached = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not unreached


def test_the_optimizer_gets_every_parameter_once(job, table):
    view, _ = Bench(table, CPU).view(job)
    model, config = build(job, view, table, started=False)

    given = [id(p) for group in model.parameter_groups(config) for p in group["params"]]

    assert sorted(given) == sorted(id(p) for p in model.parameters())


def test_validation_gives_every_measure_that_an_objective_may_name(name, job, table):
    history, _, _ = train(job, table)

    missing = [metric for metric in registry.get(name).metrics if f"val/{metric}" not in history[-1]]
    assert not missing


def test_training_lowers_the_loss_at_its_final_weights(name, table):
    history, _, _ = train(make_job(name, epochs=15), table)

    last = history[-1]  # while weights are annealed the loss as it was trained on may rise
    weights = {key.removesuffix("_weight"): value for key, value in last.items() if key.endswith("_weight")}
    first, end = (
        sum(weight * metrics[key] for key, weight in weights.items() if key.startswith("train/"))
        for metrics in (history[0], last)
    )
    assert end < first
    assert last["val/loss"] < history[0]["val/loss"]


def test_there_is_one_finite_vector_per_row(job, table):
    _, model, view = train(job, table)

    z_nk = embed_table(model, view, table, CPU)

    assert len(z_nk) == table.n_obs
    assert z_nk.ndim == 2 and np.isfinite(z_nk).all()


def test_the_vector_of_a_row_does_not_depend_on_rows_that_it_does_not_read(job, table):
    _, model, view = train(job, table)
    rows = np.arange(table.n_obs)[::-3]
    if isinstance(view, ReadsNeighbors):  # whole sections, in another order
        section_n = view.sections(table)
        rows = np.flatnonzero(section_n == section_n[0])[::-1]
        assert len(rows) < table.n_obs

    some_nk = embed_table(model, view, table.take(rows), CPU)

    np.testing.assert_allclose(some_nk, embed_table(model, view, table, CPU)[rows], rtol=1e-3, atol=1e-3)


def test_genes_and_kept_rows_have_one_vector_each(job, table):
    _, model, view = train(job, table)

    if isinstance(model, EmbedsGenes):
        assert len(model.gene_vectors()) == len(view.genes)
    if isinstance(model, KeepsRowVectors):
        assert len(model.row_vectors()) == view.dims.n_rows


def test_a_revived_model_is_the_one_that_was_saved(job, table):
    _, model, view = train(job, table)

    again, view_again, job_again = revive(model.state_dict(), describe(job, view))

    assert job_again == job
    z_nk, other_nk = (embed_table(m, v, table, CPU) for m, v in ((model, view), (again, view_again)))
    assert np.array_equal(z_nk, other_nk)


def test_the_same_seed_gives_the_same_metrics_and_another_seed_others(name, table):
    first, second, other = (train(make_job(name, seed=seed), table)[0] for seed in (0, 0, 1))

    assert first == second
    assert first != other


def test_training_that_was_stopped_and_resumed_equals_training_that_was_not(job, table, tmp_path):
    whole, model, _ = train(job, table, tmp_path / "whole")

    train(job, table, tmp_path / "cut", stop_after=2)
    rest, resumed, _ = train(job, table, tmp_path / "cut")

    assert rest == whole[-len(rest) :] and len(rest) < len(whole)
    weights = resumed.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())


def test_a_constant_schedule_keeps_the_rate_and_a_cosine_lowers_it(job, table):
    rates = {}
    for schedule in ("constant", "cosine"):
        history, _, _ = train(dataclasses.replace(job, train_config={"schedule": schedule}), table)
        rates[schedule] = [metrics["lr"] for metrics in history]

    assert len(set(rates["constant"])) == 1
    assert rates["cosine"] == sorted(rates["cosine"], reverse=True) and rates["cosine"][-1] < rates["constant"][-1]
