"""Losses and measures that are not finite, no numbers, or not there (F12, F13)."""

from __future__ import annotations

import math

import pytest
from damage import go_on
from shell import refused

from gxsearch.results.ledger import events, trials
from gxsearch.results.run_dir import RunDir
from gxsearch.search.opening import begin


def states_of_study(run: RunDir) -> set[str]:
    """Return the states of the trials in the study that a run leaves for others to open."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend(str(run.journal)))
    (study,) = optuna.get_all_study_names(storage)
    return {t.state.name for t in optuna.load_study(study_name=study, storage=storage).trials}


@pytest.mark.fault("F12")
def test_diverged_trials_cost_next_to_nothing_and_leave_no_trial_running(toy_spec, toy_table, tmp_path):
    start = [{"explode_at": n} for n in (0, 1, 1, 0, 1, 0, 1, 1, 0, 2)]  # six of ten, as in R5
    sets = ("space.model.explode_at={int: [0, 2]}", "stop={asha: {grace: 4, reduction: 2}}", f"search.start={start}")
    opened = begin(toy_spec(*sets, "budget.trials=10", "budget.epochs=16"), toy_table, 1, tmp_path / "run")
    go_on(opened)

    diverged = [t for t in trials(opened.run.ledger) if t.state == "diverged"]
    assert len(diverged) == 6 and all("became nan in epoch" in t.reason for t in diverged)
    assert sum(len(t.history) + 1 for t in diverged) <= 8
    assert "RUNNING" not in states_of_study(opened.run) and "FAIL" in states_of_study(opened.run)


@pytest.mark.fault("F12")
@pytest.mark.parametrize("metric", ["val/mse", "val/r2"])
@pytest.mark.parametrize("where", ["training", "validation"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_no_value_that_is_not_finite_wins_or_trains_on(toy_spec, toy_table, tmp_path, value, where, metric):
    sets = [f"space.model.explode_to={value}", f"space.model.explode_in={where}", f"objective.metric={metric}"]
    sets += ["space.model.explode_at={int: [0, 2]}", "search.start=[{explode_at: 2}, {explode_at: 1}, {explode_at: 0}]"]
    opened = begin(toy_spec(*sets, "budget.trials=3", "budget.epochs=4", "stop=none"), toy_table, 1, tmp_path / "run")
    go_on(opened)

    second, first, sound = trials(opened.run.ledger)
    assert [(t.state, len(t.history)) for t in (second, first, sound)] == [
        ("diverged", 1), ("diverged", 0), ("complete", 4)
    ]  # fmt: skip
    assert f"became {value} in epoch 1" in first.reason and not first.ranked and not second.ranked
    assert all(
        math.isfinite(m) for e in events(opened.run.ledger) if e["event"] == "epoch" for m in e["metrics"].values()
    )
    assert states_of_study(opened.run) == {"FAIL", "COMPLETE"}


ODD = {
    "nothing": "these settings give no measure 'val/mse'",
    "none": "the loss's term 'mse' must be a tensor, got None",
    "text": "the loss's term 'mse' must be a tensor, got 'low'",
    "odd none": "model/odd must be a number, got None",
    "odd text": "model/odd must be a number, got 'high'",
}


@pytest.mark.fault("F13")
@pytest.mark.parametrize("tells", ODD)
def test_a_model_that_gives_no_number_fails_that_trial_and_says_what_it_gave(toy_spec, toy_table, tmp_path, tells):
    sets = [f"space.model.tells={{choice: [numbers, {tells}]}}", "budget.trials=2", "budget.epochs=3", "stop=none"]
    sets += [f"search.start=[{{tells: {tells}}}, {{tells: numbers}}]"]
    opened = begin(toy_spec(*sets), toy_table, 1, tmp_path / "run")
    go_on(opened)

    odd, sound = trials(opened.run.ledger)
    assert (odd.state, len(odd.history)) == ("failed", 0) and ODD[tells] in odd.reason
    assert (sound.state, len(sound.history)) == ("complete", 3)
    assert states_of_study(opened.run) == {"FAIL", "COMPLETE"}


@pytest.mark.fault("F35")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("space.model.fail=true", "the toy was told to fail"),
        ("space.model.explode_at=1", "became nan in epoch 1"),
        ("space.model.tells=nothing", ODD["nothing"]),
        ("space.model.tells=text", ODD["text"]),
    ],
)
def test_when_all_trials_fail_a_line_says_why(folder, call, change, reason):
    assert reason in refused(call("train", "toy.yaml", "--name", "run", "-q", "-s", change), "E710")

    assert not (folder / "runs" / "run" / "results" / "best").exists()


@pytest.mark.fault("F13")
def test_a_metric_that_there_is_not_is_refused_before_anything(folder, call):
    line = refused(call("train", "toy.yaml", "--name", "run", "-s", "objective.metric=val/mze"), "E311")

    assert "val/mse" in line and not (folder / "runs").exists()
