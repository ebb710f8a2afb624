"""Trainings that end by themselves, rates that fall, and the best epoch: kept, resumed and given back."""

import dataclasses

import pytest
import torch

from gxsearch.models import registry
from gxsearch.training import checkpoint
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.session import Bench, Job, build, describe, exported_weights, revive, session

NOT_REPEATED = ("time/epoch_s", "data/values_per_s", "saved")


@pytest.fixture
def bench(toy_table) -> Bench:
    return Bench(toy_table, torch.device("cpu"))


def toy_job(epochs: int = 12, *, model=None, mode="min", **train) -> Job:
    return Job("toy", model or {}, {"batch_size": 32, **train}, {}, epochs, 0, "val/mse", mode)


def run(job, bench, folder=None, *, stop_after=None):
    """Train; return the metrics that a repeat must give again, and a copy of the weights after each epoch."""
    history, weights = [], []
    training = session(job, bench, LocalRuntime(threads=1), folder)
    for metrics, model in training:
        history.append({name: value for name, value in metrics.items() if name not in NOT_REPEATED})
        weights.append({name: value.clone() for name, value in model.state_dict().items()})
        if len(history) == stop_after:
            training.close()
    return history, weights


def same(some: dict, others: dict) -> bool:
    return some.keys() == others.keys() and all(torch.equal(value, others[name]) for name, value in some.items())


def test_a_training_without_patience_has_all_its_epochs_and_tells_the_last(bench):
    history, _ = run(toy_job(4), bench)

    assert [m["last"] for m in history] == [0.0, 0.0, 0.0, 1.0]


def test_a_training_ends_when_its_patience_is_over(bench):
    history, _ = run(toy_job(patience=3, min_delta=1e6), bench)

    assert [m["last"] for m in history] == [0.0, 0.0, 0.0, 1.0]


def test_a_training_ends_at_its_target(bench):
    whole, _ = run(toy_job(lr=0.01), bench)
    target = whole[4]["val/mse"]

    history, _ = run(toy_job(lr=0.01, target=target), bench)

    wanted = next(i for i, m in enumerate(whole, 1) if m["val/mse"] <= target)
    assert len(history) == wanted == 5 and history[-1]["last"] == 1.0


def test_the_models_warm_up_counts_for_no_patience(bench):
    history, _ = run(toy_job(patience=3, min_delta=1e6, model={"warmup": 0.5}), bench)

    assert len(history) == 6 + 3


def test_a_training_that_ended_is_not_gone_on_with_but_tells_its_last_epoch_again(bench, tmp_path):
    whole, weights = run(toy_job(patience=3, min_delta=1e6), bench, tmp_path)

    again, restored = run(toy_job(patience=3, min_delta=1e6), bench, tmp_path)

    assert again == whole[-1:]
    assert same(restored[0], weights[-1]), "the model that comes with it is that of the checkpoint"


@pytest.mark.parametrize("cut", [1, 3, 4, 6])
def test_a_training_with_patience_and_a_plateau_is_resumed_bit_for_bit(bench, tmp_path, cut):
    settings = {"schedule": "plateau", "plateau_patience": 2, "patience": 7, "min_delta": 1e6, "lr": 0.01}
    whole, weights = run(toy_job(**settings), bench, tmp_path / "whole")
    assert [m["lr"] for m in whole] == [0.01] * 3 + [0.005] * 2 + [0.0025] * 2 + [0.00125]

    run(toy_job(**settings), bench, tmp_path / "cut", stop_after=cut)
    rest, restored = run(toy_job(**settings), bench, tmp_path / "cut")

    assert rest == whole[-len(rest) :] and len(rest) == len(whole) - cut + 1
    assert all(same(a, b) for a, b in zip(restored, weights[-len(rest) :], strict=True))


def test_a_plateau_is_one_of_the_objective_and_not_of_the_training_loss(bench):
    settings = {"schedule": "plateau", "plateau_patience": 2}

    falling, _ = run(toy_job(lr=0.01, **settings), bench)
    inverse, _ = run(toy_job(lr=0.01, mode="max", **settings), bench)

    assert falling[-1]["train/loss"] < falling[0]["train/loss"]
    assert {m["lr"] for m in falling} == {0.01}
    assert inverse[-1]["train/loss"] < inverse[0]["train/loss"]
    assert inverse[-1]["lr"] < 0.01


def test_a_line_lowers_the_rate_evenly_towards_0(bench):
    rates = [m["lr"] for m in run(toy_job(8, lr=0.8, schedule="linear"), bench)[0]]

    steps = [a - b for a, b in zip(rates, rates[1:], strict=False)]
    assert steps == pytest.approx([0.1] * 7) and 0 < rates[-1] < 0.1


@pytest.mark.parametrize("train", [{}, {"patience": 3}])
def test_the_checkpoint_of_the_best_epoch_holds_its_weights_and_not_the_last_ones(bench, tmp_path, train):
    history, weights = run(toy_job(mode="max", lr=0.01, **train), bench, tmp_path)
    best, last = int(history[-1]["best_epoch"]), len(history)
    assert best < last == (12 if not train else best + 3), "a worse epoch comes last"

    kept = checkpoint.read(tmp_path / f"{best:06d}")

    assert same(kept.model, weights[best - 1]) and not same(kept.model, weights[-1])
    assert kept.record["metrics"]["val/mse"] == history[-1]["best"]
    assert same(checkpoint.read(tmp_path / f"{last:06d}").model, weights[-1])


def test_weights_that_only_training_needs_may_be_absent_and_no_others(bench, monkeypatch):
    job = toy_job(1)
    view, _ = bench.view(job)
    kind = registry.get("toy")
    monkeypatch.setattr(kind, "training_only", ("decoder.",))
    model, _ = build(job, view, bench.table, started=True)

    weights = exported_weights(kind, model.state_dict())
    revived, _, _ = revive(weights, describe(job, view))

    assert list(weights) == ["encoder.weight", "encoder.bias"]
    assert same(exported_weights(kind, revived.state_dict()), weights)
    with pytest.raises(RuntimeError, match="encoder.bias"):
        revive({"encoder.weight": weights["encoder.weight"]}, describe(job, view))
    with pytest.raises(RuntimeError, match="stranger"):
        revive({**weights, "stranger": torch.zeros(1)}, describe(job, view))


def test_no_weight_of_a_model_without_training_only_ones_may_be_absent(bench):
    job = dataclasses.replace(toy_job(1))
    view, _ = bench.view(job)
    model, _ = build(job, view, bench.table, started=True)

    with pytest.raises(RuntimeError, match="decoder.bias"):
        revive({k: v for k, v in model.state_dict().items() if k != "decoder.bias"}, describe(job, view))
