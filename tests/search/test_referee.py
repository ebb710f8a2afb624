"""The rules of a search, without Ray: the toy model's trials in this process, or results made up."""

import json
import math
import time

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from gxsearch.errors import RunError
from gxsearch.results.ledger import events, trials
from gxsearch.results.run_dir import RunDir, sealed
from gxsearch.search.judge import Judge
from gxsearch.search.local import search_here, single
from gxsearch.search.opening import begin, reopen


def run_here(spec, table, folder, slots=1):
    opened = begin(spec, table, slots, folder)
    search_here(spec, opened.run, table, opened.referee, lambda: None)
    opened.close("done")
    return opened.run


def told(run):
    return [(t.number, t.params, t.state, t.best, t.best_epoch, len(t.history)) for t in trials(run.ledger)]


def checkpoints(run, number) -> list[str]:
    return sorted(path.name for path in run.checkpoints(number).iterdir())


def journal(run) -> optuna.Study:
    return optuna.load_study(study_name="toy", storage=JournalStorage(JournalFileBackend(str(run.journal))))


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp", "cmaes", "qmc"])
@pytest.mark.parametrize("stop", ["asha", "hyperband", "median", "none"])
def test_every_sampler_and_scheduler_gives_the_number_of_trials_asked_for(toy_spec, toy_table, tmp_path, sampler, stop):
    rule = "none" if stop == "none" else f"{{{stop}: {{grace: 2}}}}"
    spec = toy_spec(f"search.sampler={sampler}", f"stop={rule}", "budget.trials=7", "budget.epochs=4")

    run = run_here(spec, toy_table, tmp_path / "run")

    found = trials(run.ledger)
    assert len(found) == 7
    assert {t.state for t in found} <= {"complete", "stopped"}
    assert stop != "none" or {t.state for t in found} == {"complete"}


def test_a_grid_ends_when_every_point_was_tried(toy_spec, toy_table, tmp_path):
    spec = toy_spec(
        "search.sampler=grid", "space.train.lr={choice: [0.001, 0.01]}", "budget.epochs=3", "budget.trials=99"
    )

    run = run_here(spec, toy_table, tmp_path / "run")

    found = {(t.params["model.latent_dim"], t.params["train.lr"]) for t in trials(run.ledger)}
    assert len(found) == len(trials(run.ledger)) == 12


def test_start_points_are_tried_first(toy_spec, toy_table, tmp_path):
    spec = toy_spec("search.start=[{latent_dim: 3, lr: 0.002}, {latent_dim: 5}]", "budget.trials=3")

    first, second, _ = trials(run_here(spec, toy_table, tmp_path / "run").ledger)

    assert first.params == {"model.latent_dim": 3, "train.lr": 0.002}
    assert second.params["model.latent_dim"] == 5


def test_a_search_repeats_itself(toy_spec, toy_table, tmp_path):
    first = run_here(toy_spec(), toy_table, tmp_path / "a")
    second = run_here(toy_spec(), toy_table, tmp_path / "b")
    other = run_here(toy_spec("search.seed=1"), toy_table, tmp_path / "c")

    assert told(first) == told(second)
    assert told(first) != told(other)


def test_losses_that_are_not_finite_are_failures_to_the_study_and_never_win(toy_spec, toy_table, tmp_path):
    spec = toy_spec("space.model.explode_at={choice: [0, 2]}", "stop=none")

    run = run_here(spec, toy_table, tmp_path / "run")

    states = {t.number: t.state for t in trials(run.ledger)}
    exploded = [n for n, state in states.items() if state == "diverged"]
    assert exploded and len(exploded) < len(states)
    assert all(len(t.history) == 1 for t in trials(run.ledger) if t.number in exploded)
    for trial in journal(run).trials:
        expected = optuna.trial.TrialState.FAIL if trial.number in exploded else optuna.trial.TrialState.COMPLETE
        assert trial.state == expected
        assert trial.value is None or math.isfinite(trial.value)


def test_a_fault_of_the_model_ends_its_trial_with_a_traceback_and_not_the_search(toy_spec, toy_table, tmp_path):
    run = run_here(toy_spec("space.model.fail={choice: [true, false]}"), toy_table, tmp_path / "run")

    failed = [t for t in trials(run.ledger) if t.state == "failed"]
    assert failed and len(failed) < 12
    assert "told to fail" in failed[0].reason
    assert "RuntimeError" in (run.trial(failed[0].number) / "error.txt").read_text()


def test_a_trial_is_judged_by_its_best_epoch_and_keeps_that_checkpoint(toy_spec, toy_table, tmp_path):
    run = run_here(toy_spec("stop=none"), toy_table, tmp_path / "run")

    for trial in trials(run.ledger):
        values = [m["val/mse"] for m in trial.history]
        assert trial.best == min(values) == values[trial.best_epoch - 1]
        assert [p.name for p in run.checkpoints(trial.number).iterdir()] == [f"{trial.best_epoch:06d}"]


def test_every_epoch_is_in_the_ledger_and_in_the_trial_folder(toy_spec, toy_table, tmp_path):
    run = run_here(toy_spec(), toy_table, tmp_path / "run")

    for trial in trials(run.ledger):
        lines = (run.trial(trial.number) / "metrics.ndjson").read_text().splitlines()
        assert [json.loads(line)["epoch"] for line in lines] == [m["epoch"] for m in trial.history]


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_a_search_cut_anywhere_and_reopened_ends_like_one_that_was_not(toy_spec, toy_table, tmp_path, slots):
    whole = run_here(toy_spec(), toy_table, tmp_path / "whole", slots)
    n_events = len(events(whole.ledger))

    for cut in range(2, n_events - 1, 17):
        run = RunDir(tmp_path / f"cut{cut}")
        run.path.mkdir()
        for name in ("run.json", "spec.yaml"):
            (run.path / name).write_bytes((whole.path / name).read_bytes())
        lines = whole.ledger.read_bytes().split(b"\n")[:cut]
        run.ledger.write_bytes(b"\n".join(lines) + b"\n" + b'{"seq": 9')  # and a line torn by the crash

        opened = reopen(run, {})
        search_here(opened.spec, run, opened.table, opened.referee, lambda: None)
        opened.close("done")

        assert told(run) == told(whole), f"cut after {cut} of {n_events} events"


@pytest.mark.parametrize("sampler", ["cmaes", "qmc"])
def test_a_sampler_that_counts_its_draws_goes_on_as_if_it_had_never_stopped(toy_spec, toy_table, tmp_path, sampler):
    whole = run_here(toy_spec(f"search.sampler={sampler}", "budget.epochs=4"), toy_table, tmp_path / "whole")
    lines = whole.ledger.read_bytes().split(b"\n")
    run = RunDir(tmp_path / "cut")
    run.path.mkdir()
    for name in ("run.json", "spec.yaml"):
        (run.path / name).write_bytes((whole.path / name).read_bytes())
    run.ledger.write_bytes(b"\n".join(lines[: len(lines) * 2 // 3]) + b"\n")

    opened = reopen(run, {})
    search_here(opened.spec, run, opened.table, opened.referee, lambda: None)
    opened.close("done")

    assert told(run) == told(whole)


def test_more_trials_can_be_asked_for_when_a_search_is_reopened(toy_spec, toy_table, tmp_path):
    run = run_here(toy_spec("budget.trials=4"), toy_table, tmp_path / "run")
    before = told(run)

    opened = reopen(run, {"trials": 9})
    search_here(opened.spec, run, opened.table, opened.referee, lambda: None)
    opened.close("done")

    assert told(run)[:4] == before
    assert len(told(run)) == 9


@pytest.mark.parametrize("seed", [0, 1, 5])
@pytest.mark.parametrize("stop", ["{asha: {grace: 2, reduction: 2}}", "{median: {grace: 2, min_trials: 2}}"])
def test_trials_that_ended_are_not_run_again_when_more_are_asked_for(toy_spec, toy_table, tmp_path, stop, seed):
    spec = toy_spec(f"stop={stop}", f"search.seed={seed}", "budget.trials=6")
    run = run_here(spec, toy_table, tmp_path / "run", slots=3)
    before, kept = told(run), {n: checkpoints(run, n) for n in range(6)}

    opened = reopen(run, {"trials": 10})
    search_here(opened.spec, run, opened.table, opened.referee, lambda: None)
    opened.close("done")

    assert told(run)[:6] == before and len(told(run)) == 10
    assert {n: checkpoints(run, n) for n in range(6)} == kept
    for trial in trials(run.ledger):
        lines = (run.trial(trial.number) / "metrics.ndjson").read_text().splitlines()
        assert [json.loads(line)["epoch"] for line in lines] == [m["epoch"] for m in trial.history]


@pytest.mark.parametrize("stop", ["{median: {grace: 1, min_trials: 1}}", "{asha: {grace: 1, reduction: 2}}"])
def test_a_trial_may_go_on_though_the_rule_would_have_stopped_it(toy_spec, stop):
    judge = Judge(toy_spec(f"stop={stop}"))
    judge.add(0, {"model.latent_dim": 2})
    judge.add(1, {"model.latent_dim": 2})

    assert judge.keep_on(0, {"epoch": 1, "best": 0.1})
    assert not judge.keep_on(1, {"epoch": 1, "best": 0.9})
    assert not judge.keep_on(1, {"epoch": 2, "best": 0.9})  # a ledger told that it went on
    assert judge.keep_on(0, {"epoch": 2, "best": 0.1})


def test_fewer_trials_than_there_are_is_refused_and_leaves_the_search_free(toy_spec, toy_table, tmp_path):
    run = run_here(toy_spec("budget.trials=4"), toy_table, tmp_path / "run")

    with pytest.raises(RunError, match="E606.*has 4 trials already"):
        reopen(run, {"trials": 3})

    reopen(run, {"trials": 4}).close("done")


def test_a_checkpoint_that_the_ledger_does_not_lead_up_to_is_not_gone_on_from(toy_spec, toy_table, tmp_path):
    whole = run_here(toy_spec("stop=none", "budget.trials=1"), toy_table, tmp_path / "whole")
    run = run_here(toy_spec("stop=none", "budget.trials=1"), toy_table, tmp_path / "run")
    lines = run.ledger.read_bytes().split(b"\n")
    run.ledger.write_bytes(b"\n".join(lines[:5]) + b"\n")  # the machine went down: epoch 3 is the last on disk
    assert [e["event"] for e in events(run.ledger)][-3:] == ["epoch"] * 3
    assert max(checkpoints(run, 0)) > "000004"

    opened = reopen(run, {})
    search_here(opened.spec, run, opened.table, opened.referee, lambda: None)
    opened.close("done")

    assert told(run) == told(whole)


def test_a_lock_that_a_killed_search_left_on_its_journal_delays_nobody(toy_spec, toy_table, tmp_path):
    run = run_here(toy_spec("budget.trials=2"), toy_table, tmp_path / "run")
    lock = run.journal.with_name(f"{run.journal.name}.lock")
    lock.symlink_to(run.journal)  # as optuna writes it

    begun = time.monotonic()
    reopen(run, {}).close("done")

    assert time.monotonic() - begun < 15  # optuna waits 30 s for the owner of a lock


def test_a_stopped_trial_keeps_no_checkpoint_of_epochs_that_do_not_count(toy_spec, toy_table, tmp_path):
    opened = begin(toy_spec("stop=none"), toy_table, 1, tmp_path / "run")
    referee = opened.referee
    referee.create()
    referee.advance()
    referee.result(0, {"epoch": 1, "best": 0.5, "best_epoch": 1, "val/mse": 0.5, "time/epoch_s": 0.1})
    for epoch in (1, 2):
        (opened.run.checkpoints(0) / f"{epoch:06d}").mkdir(parents=True)

    referee.cut("time budget")
    (opened.run.checkpoints(0) / "000003").mkdir()
    referee.result(0, {"epoch": 3, "best": 0.4, "best_epoch": 3, "val/mse": 0.4, "time/epoch_s": 0.1})

    opened.close("done")
    assert checkpoints(opened.run, 0) == ["000001"]


def test_two_processes_cannot_run_one_search(toy_spec, toy_table, tmp_path):
    opened = begin(toy_spec(), toy_table, 1, tmp_path / "run")

    with pytest.raises(RunError, match="E605.*another process"):
        reopen(opened.run, {})


def test_an_existing_folder_is_refused(toy_spec, toy_table, tmp_path):
    (tmp_path / "run").mkdir()

    with pytest.raises(RunError, match="E603.*exists already"):
        begin(toy_spec(), toy_table, 1, tmp_path / "run")


def test_changed_data_are_refused_on_resume(toy_spec, toy_table, tmp_path):
    run = run_here(toy_spec("budget.trials=2"), toy_table, tmp_path / "run")
    facts = run.facts()
    run.run.write_bytes(sealed({**facts, "data": {**facts["data"], "sha256": "0" * 64}}))

    with pytest.raises(RunError, match="E604"):
        reopen(run, {"trials": 3})


def test_a_time_budget_ends_the_running_trials_where_they_are(toy_spec, toy_table, tmp_path):
    opened = begin(toy_spec(), toy_table, 2, tmp_path / "run")
    referee = opened.referee
    for _ in range(2):
        referee.create()
        referee.advance()
    referee.result(0, {"epoch": 1, "best": 0.5, "best_epoch": 1, "val/mse": 0.5, "time/epoch_s": 0.1})

    referee.cut("time budget")

    opened.close("done")
    assert referee.done
    assert [(t.state, t.reason, len(t.history)) for t in trials(opened.run.ledger)] == [
        ("stopped", "time budget", 1),
        ("stopped", "time budget", 0),
    ]


def test_one_training_takes_given_settings_then_a_start_point_then_defaults(toy_spec):
    spec = toy_spec("search.start=[{latent_dim: 3}]")

    assert single(spec, {"model.latent_dim": 5}, 1).space.fixed["model.latent_dim"] == 5
    assert single(spec, None, 1).space.fixed["model.latent_dim"] == 3
    assert "train.lr" not in single(spec, None, 1).space.fixed
