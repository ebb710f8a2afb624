"""Several objectives in a search: how they are read, drawn for, told, replayed; no Ray."""

import dataclasses
import json
import shutil

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from gxsearch.errors import SpecError
from gxsearch.overview import checked
from gxsearch.results import leaderboard
from gxsearch.results.ledger import trials
from gxsearch.results.run_dir import RunDir
from gxsearch.search.draw import job_of
from gxsearch.search.local import search_here
from gxsearch.search.opening import begin, reopen
from gxsearch.search.sections import Choose
from gxsearch.search.spec import Spec
from gxsearch.training.session import Job

BOTH = "objective=[{metric: val/mse}, {metric: val/knn}]"


def run_here(spec, table, folder, slots=1) -> RunDir:
    opened = begin(spec, table, slots, folder)
    search_here(spec, opened.run, table, opened.referee, lambda: None)
    opened.close("done")
    return opened.run


def gone_on(run) -> RunDir:
    opened = reopen(run, {})
    search_here(opened.spec, run, opened.table, opened.referee, lambda: None)
    opened.close("done")
    return run


def cut_off(run, folder, lines: int) -> RunDir:
    """Return a copy of a run as a kill would have left it: with so many lines of its ledger."""
    copied = RunDir(shutil.copytree(run.path, folder))
    copied.journal.unlink()
    kept = copied.ledger.read_bytes().split(b"\n")[:lines]
    copied.ledger.write_bytes(b"\n".join(kept) + b"\n")
    return copied


def told(run):
    return [(t.number, t.params, t.state, t.best, t.best_epoch, leaderboard.at_best(t)) for t in trials(run.ledger)]


def journal(run) -> optuna.Study:
    return optuna.load_study(study_name="toy", storage=JournalStorage(JournalFileBackend(str(run.journal))))


def test_a_list_of_one_is_the_same_as_one(toy_spec):
    alone = toy_spec("objective=[{metric: val/mse}]")

    assert (alone.objective, alone.also, alone.sha256) == (toy_spec().objective, [], toy_spec().sha256)
    assert "also" not in alone.to_json() and "choose" not in alone.to_json()


def test_several_objectives_are_read_with_their_directions(toy_spec):
    spec = toy_spec("objective=[{metric: val/mse}, {metric: val/knn}, {metric: val/r2}]", "choose={within: 0.02}")

    assert [(one.metric, one.mode) for one in spec.objectives] == [
        ("val/mse", "min"),
        ("val/knn", "max"),
        ("val/r2", "max"),
    ]
    assert spec.choose == Choose(rule="within", within=0.02)
    assert Spec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_the_further_objectives_decide_the_trials_and_the_rule_does_not(toy_spec):
    assert toy_spec(BOTH).sha256 != toy_spec().sha256
    assert toy_spec(BOTH, "choose=knee").sha256 == toy_spec(BOTH).sha256


@pytest.mark.parametrize("sampler", ["gp", "cmaes"])
def test_a_sampler_for_one_objective_is_refused(toy_spec, sampler):
    with pytest.raises(SpecError, match=f"E303.*sampler {sampler} is for one objective"):
        toy_spec(BOTH, f"search.sampler={sampler}")


def test_nsga2_is_refused_for_one_objective(toy_spec):
    with pytest.raises(SpecError, match="E303.*nsga2 is for several objectives"):
        toy_spec("search.sampler=nsga2")


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random", "qmc"])
def test_a_search_repeats_itself_and_goes_on_after_a_kill_as_if_there_had_been_none(
    toy_spec, toy_table, tmp_path, sampler
):
    spec = toy_spec(BOTH, f"search.sampler={sampler}", "budget.epochs=3", "budget.trials=9")

    first = run_here(spec, toy_table, tmp_path / "a", slots=2)
    second = run_here(spec, toy_table, tmp_path / "b", slots=2)
    resumed = gone_on(cut_off(first, tmp_path / "c", lines=len(first.ledger.read_bytes().split(b"\n")) // 2))

    assert len(told(first)) == 9
    assert {state for _, _, state, *_ in told(first)} == {"complete", "stopped"}
    assert told(first) == told(second) == told(resumed)


def test_the_study_knows_all_directions_and_values(toy_spec, toy_table, tmp_path):
    run = run_here(toy_spec(BOTH, "budget.epochs=4"), toy_table, tmp_path / "run")

    study, found = journal(run), {t.number: t for t in trials(run.ledger)}
    assert [one.name for one in study.directions] == ["MINIMIZE", "MAXIMIZE"]
    assert study.metric_names == ["val/mse", "val/knn"]
    for trial in study.trials:
        record = found[trial.number]
        assert trial.state == (TrialState.COMPLETE if record.state == "complete" else TrialState.PRUNED)
        if trial.state == TrialState.COMPLETE:
            assert trial.values == [record.best, leaderboard.at_best(record)["val/knn"]]


def test_trials_stop_and_are_kept_by_the_first_objective(toy_spec, toy_table, tmp_path):
    both = run_here(toy_spec(BOTH, "search.sampler=random", "budget.trials=8"), toy_table, tmp_path / "both")
    one = run_here(toy_spec("search.sampler=random", "budget.trials=8"), toy_table, tmp_path / "one")

    ends = [[(t.params, t.state, t.best_epoch, t.best) for t in trials(run.ledger)] for run in (both, one)]
    assert ends[0] == ends[1]
    assert all("val/knn" in metrics for t in trials(both.ledger) for metrics in t.history)
    assert not any("val/knn" in metrics for t in trials(one.ledger) for metrics in t.history)


def test_a_further_objective_that_some_settings_do_not_tell_fails_their_trials(toy_spec, toy_table, tmp_path):
    aims = "objective=[{metric: val/r2}, {metric: val/mse}]"

    run = run_here(toy_spec(aims, "space.model.tells=nothing", "budget.trials=1"), toy_table, tmp_path / "run")

    (trial,) = trials(run.ledger)
    assert (trial.state, trial.best) == ("failed", None)
    assert "these settings give no measure 'val/mse'" in trial.reason


def test_check_tells_all_objectives_and_the_rule(toy_spec):
    told = checked(toy_spec(BOTH, "choose={within: 0.1}"), {"corners": 1, "notes": []})

    assert "aims      val/mse (min), val/knn (max)   choose within 0.1" in told.splitlines()


def test_what_was_written_before_there_were_several_objectives_is_read(toy_spec):
    job = dataclasses.asdict(job_of(toy_spec(), {"model.latent_dim": 2, "train.lr": 0.01}, seed=0))
    del job["also"]

    assert Job(**job).also == []
    assert Spec.from_json(toy_spec().to_json()).also == []
