"""A search on Ray: the same trials as without it, side by side, in reused processes."""

import os
import signal

import pytest
import ray

from gxsearch.errors import ResourceError
from gxsearch.results.ledger import trials
from gxsearch.search.launch import connected
from gxsearch.search.local import search_here
from gxsearch.search.opening import begin
from gxsearch.search.sections import Resources

pytestmark = pytest.mark.ray


def told(run):
    return [(t.number, t.params, t.state, t.best, t.best_epoch, len(t.history)) for t in trials(run.ledger)]


def test_two_trials_at_once_repeat_themselves_and_really_run_side_by_side(toy_spec, run_search, tmp_path):
    def searched(name):
        (tmp_path / f"{name}-meets").mkdir()
        meet = f"space.model.meet={tmp_path}/{name}-meets"  # of one process alone, all trials would fail
        sleep = "space.model.sleep={choice: [0.01, 0.05]}"  # unlike paces, which the clock knows nothing of
        return run_search(toy_spec(sleep, meet), name)

    first, second = searched("a"), searched("b")

    assert told(first) == told(second)
    assert {t.state for t in trials(first.ledger)} <= {"complete", "stopped"}


def test_all_trials_share_one_process_a_slot(toy_spec, run_search, slots):
    run = run_search(toy_spec("space.model.sleep=0.2"))  # else one is done before the other has started

    processes = {path.name.split(".")[-2] for path in run.path.glob("trials/*/events.*")}  # named by their writers
    assert len(processes - {str(os.getpid())}) == slots


def test_ray_gives_what_this_process_gives(toy_spec, toy_table, run_search, tmp_path):
    spec = toy_spec("search.sampler=random", "stop=none")  # neither looks at other trials, so slots do not matter
    opened = begin(spec, toy_table, 1, tmp_path / "here")
    search_here(spec, opened.run, toy_table, opened.referee, lambda: None)
    opened.close("done")

    assert told(run_search(spec, "ray")) == told(opened.run)


def test_trials_that_end_by_themselves_are_complete_with_a_reason_as_in_this_process(
    toy_spec, toy_table, run_search, tmp_path
):
    train = ("space.train.patience={choice: [1, 2]}", "space.train.min_delta=0.02", "space.train.schedule=plateau")
    spec = toy_spec("search.sampler=random", "stop=none", *train)
    opened = begin(spec, toy_table, 1, tmp_path / "here")
    search_here(spec, opened.run, toy_table, opened.referee, lambda: None)
    opened.close("done")

    run = run_search(spec, "ray")

    assert told(run) == told(opened.run)
    ends = {(t.state, t.reason, len(t.history) < 8) for t in trials(run.ledger)}
    assert ("complete", "no better epoch in 1", True) in ends
    assert ends <= {("complete", f"no better epoch in {n}", True) for n in (1, 2)} | {("complete", "", False)}


def test_hopeless_trials_end_alone(toy_spec, run_search):
    spec = toy_spec("space.model.explode_at={choice: [0, 2]}", "space.model.fail={choice: [true, false]}")

    run = run_search(spec)

    states = {t.state for t in trials(run.ledger)}
    assert {"diverged", "failed"} <= states
    assert len(trials(run.ledger)) == 12
    for trial in trials(run.ledger):
        assert (run.trial(trial.number) / "error.txt").exists() == (trial.state == "failed")


def test_a_lost_process_costs_its_trial_nothing(toy_spec, run_search):
    spec = ("stop=none", "budget.trials=3", "budget.epochs=4")
    calm = run_search(toy_spec(*spec), "calm")

    run = run_search(toy_spec(*spec, "space.model.die_at=3"), "deadly")

    assert [(t.state, t.best, len(t.history)) for t in trials(run.ledger)] == [
        (t.state, t.best, len(t.history)) for t in trials(calm.ledger)
    ]


def test_a_trial_that_hangs_is_started_again_from_where_it_was(toy_spec, run_search):
    spec = ("stop=none", "budget.trials=2", "budget.epochs=4")
    calm = run_search(toy_spec(*spec), "calm")

    run = run_search(toy_spec(*spec, "space.model.hang_at=3", "resources.stall_s=2"), "hanging")

    assert [(t.state, t.best, len(t.history)) for t in trials(run.ledger)] == [
        (t.state, t.best, len(t.history)) for t in trials(calm.ledger)
    ]


def test_a_signal_that_comes_before_the_first_draw_stops_the_search(toy_spec, run_search):
    run = run_search(toy_spec(), ticks=lambda: os.kill(os.getpid(), signal.SIGTERM))

    assert not trials(run.ledger)


def test_the_ray_of_somebody_else_is_refused_and_left_alone(slots):
    with pytest.raises(ResourceError, match="E505.*connected to Ray already"), connected("local", Resources()):
        pass

    assert ray.is_initialized()


def test_a_time_budget_ends_the_search(toy_spec, run_search):
    run = run_search(toy_spec("space.model.sleep=0.3", "budget.time=5s", "budget.trials=1000", "budget.epochs=200"))

    assert "time budget" in {t.reason for t in trials(run.ledger)}
    assert "running" not in {t.state for t in trials(run.ledger)}


@pytest.mark.slow
def test_two_ranks_give_the_losses_of_one(toy_spec, run_search):
    spec = ("stop=none", "budget.trials=3", "budget.epochs=5")

    one, two = run_search(toy_spec(*spec), "one"), run_search(toy_spec(*spec, "resources.workers=2"), "two")

    for a, b in zip(trials(one.ledger), trials(two.ledger), strict=True):
        assert a.params == b.params
        assert [m["val/mse"] for m in b.history] == pytest.approx([m["val/mse"] for m in a.history], rel=1e-5)
        assert [m["train/mse"] for m in b.history] == pytest.approx([m["train/mse"] for m in a.history], rel=1e-5)


@pytest.mark.fault("F30")
@pytest.mark.slow
def test_early_stopping_of_two_ranks_leaves_nobody_waiting(toy_spec, run_search):
    run = run_search(toy_spec("resources.workers=2", "budget.trials=8"))

    assert "stopped" in {t.state for t in trials(run.ledger)}
    assert len(trials(run.ledger)) == 8


@pytest.mark.slow
def test_two_ranks_end_by_themselves_together(toy_spec, run_search):
    train = ("space.train.patience=2", "space.train.min_delta=1000", "resources.workers=2", "budget.trials=3")

    run = run_search(toy_spec(*train, "stop=none"))

    assert [(t.state, t.reason, len(t.history)) for t in trials(run.ledger)] == [
        ("complete", "no better epoch in 2", 3)
    ] * 3
