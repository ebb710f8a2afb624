"""Machines that a cloud takes away (F17): processes really die; what Ray says of them then is stubbed."""

from __future__ import annotations

import pytest
import ray

from gxsearch.results.ledger import trials
from gxsearch.search import liaison

pytestmark = [pytest.mark.slow, pytest.mark.fault("F17")]
SPEC = ("stop=none", "budget.trials=1", "space.train.lr=0.001", "space.model.latent_dim=2")


@pytest.fixture
def preempted(monkeypatch) -> None:
    """Every process that is lost was on a machine that was taken away."""
    monkeypatch.setattr(ray.exceptions.RayActorError, "preempted", property(lambda error: True))


def test_a_trial_whose_machine_is_taken_away_goes_on_more_often_than_one_that_is_lost(toy_spec, run_search, preempted):
    calm = run_search(toy_spec(*SPEC, "budget.epochs=5"), "calm")

    run = run_search(
        toy_spec(*SPEC, "budget.epochs=5", "space.model.die_at=2"), "taken"
    )  # each start gains an epoch, all are better

    assert liaison.RETRIES < 4, "it is started five times"
    (one,), (other,) = trials(calm.ledger), trials(run.ledger)
    assert (one.state, one.best, len(one.history)) == (other.state, other.best, len(other.history))


def test_a_trial_that_never_gets_anywhere_ends(toy_spec, run_search, preempted, monkeypatch):
    monkeypatch.setattr(liaison, "PREEMPTIONS", 3)

    run = run_search(toy_spec(*SPEC, "budget.epochs=5", "space.model.die_at=1"))

    (trial,) = trials(run.ledger)
    assert (trial.state, trial.reason) == ("failed", "its machine was taken away 4 times")


def test_a_process_that_is_simply_lost_counts_as_a_failure(toy_spec, run_search):
    run = run_search(toy_spec(*SPEC, "budget.epochs=5", "space.model.die_at=1"))

    (trial,) = trials(run.ledger)
    assert (trial.state, trial.reason) == ("failed", f"its process was lost {liaison.RETRIES + 1} times")
