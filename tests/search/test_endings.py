"""Trials that end by themselves, in a search: complete with a reason, replayed and resumed alike; no Ray."""

import json

import pytest
import torch

from gxsearch.results import leaderboard, package
from gxsearch.results.ledger import Ledger, events, trials
from gxsearch.results.run_dir import RunDir
from gxsearch.search.local import search_here
from gxsearch.search.opening import begin, reopen
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.session import Bench, Job, session

ENDINGS = (
    "space.train.patience={choice: [1, 3]}",
    "space.train.min_delta=0.02",
    "stop={asha: {grace: 3, reduction: 2}}",
)
"""Some trials of this search run to the end, some are stopped, some end by themselves."""


def run_here(spec, table, folder, slots=1) -> RunDir:
    opened = begin(spec, table, slots, folder)
    search_here(spec, opened.run, table, opened.referee, lambda: None)
    opened.close("done")
    return opened.run


def gone_on(run) -> None:
    opened = reopen(run, {})
    search_here(opened.spec, run, opened.table, opened.referee, lambda: None)
    opened.close("done")


def _copy(run, folder) -> RunDir:
    """Return a run folder without ledger and trials."""
    copied = RunDir(folder)
    folder.mkdir()
    for name in ("run.json", "spec.yaml"):
        (folder / name).write_bytes((run.path / name).read_bytes())
    return copied


def told(run) -> list[tuple]:
    return [(t.number, t.params, t.state, t.reason, t.best, t.best_epoch, len(t.history)) for t in trials(run.ledger)]


def test_a_trial_whose_patience_is_over_is_complete_and_says_so(toy_spec, toy_table, tmp_path):
    spec = toy_spec("space.train.patience=2", "space.train.min_delta=1000", "stop=none", "budget.trials=3")

    run = run_here(spec, toy_table, tmp_path / "run")

    assert [(t.state, t.reason, len(t.history)) for t in trials(run.ledger)] == [
        ("complete", "no better epoch in 2", 3)
    ] * 3
    ends = [e for e in events(run.ledger) if e["event"] == "trial_ended"]
    assert [(e["epochs"], e["reason"]) for e in ends] == [(3, "no better epoch in 2")] * 3


def test_a_trial_that_reaches_its_target_is_complete_and_says_so(toy_spec, toy_table, tmp_path):
    spec = ("search.sampler=random", "stop=none", "budget.trials=4")
    whole = trials(run_here(toy_spec(*spec), toy_table, tmp_path / "whole").ledger)
    target = sorted(t.best for t in whole)[2]

    found = trials(run_here(toy_spec(*spec, f"space.train.target={target!r}"), toy_table, tmp_path / "run").ledger)

    assert [t.reason for t in found].count("target reached") == 3
    for trial, before in zip(found, whole, strict=True):
        reached = [i for i, m in enumerate(before.history, 1) if m["val/mse"] <= target]
        assert (trial.state, trial.reason) == ("complete", "target reached" if reached else "")
        assert len(trial.history) == (reached[0] if reached else 8)


def test_neither_counts_before_the_models_warmup_is_over(toy_spec, toy_table, tmp_path):
    spec = toy_spec("space.train.patience=2", "space.train.min_delta=1000", "space.model.warmup=0.5", "budget.trials=2")

    run = run_here(spec, toy_table, tmp_path / "run")

    assert {(t.reason, len(t.history)) for t in trials(run.ledger)} == {("no better epoch in 2", 6)}


@pytest.mark.parametrize("slots", [1, 3])
def test_a_search_with_patience_that_is_cut_anywhere_and_reopened_ends_like_one_that_was_not(
    toy_spec, toy_table, tmp_path, slots
):
    whole = run_here(toy_spec(*ENDINGS), toy_table, tmp_path / "whole", slots)
    kinds = {(t.state, t.reason.partition(",")[0]) for t in trials(whole.ledger)}
    assert {("complete", "no better epoch in 1"), ("stopped", "early")} <= kinds
    lines = whole.ledger.read_bytes().split(b"\n")

    for cut in range(2, len(lines) - 2, 17):
        run = _copy(whole, tmp_path / f"cut{cut}")
        run.ledger.write_bytes(b"\n".join(lines[:cut]) + b"\n")

        gone_on(run)

        assert told(run) == told(whole), f"cut after {cut} of {len(lines)} events"


def test_an_ending_that_was_not_written_any_more_is_written_on_resume_with_its_reason(toy_spec, toy_table, tmp_path):
    spec = toy_spec("space.train.patience=2", "space.train.min_delta=1000", "budget.trials=1")
    run = run_here(spec, toy_table, tmp_path / "run")
    before = told(run)
    lines = run.ledger.read_bytes().split(b"\n")
    assert [e["event"] for e in events(run.ledger)][-2:] == ["trial_ended", "run_ended"]
    run.ledger.write_bytes(b"\n".join(lines[:-3]) + b"\n")

    gone_on(run)

    assert told(run) == before


def test_a_ledger_of_before_last_epochs_were_told_is_replayed_and_gone_on_with(toy_spec, toy_table, tmp_path):
    whole = run_here(toy_spec("budget.trials=8"), toy_table, tmp_path / "whole")
    past = events(whole.ledger)
    assert {"complete", "stopped"} == {t.state for t in trials(whole.ledger)}

    for cut in (len(past), len(past) // 2):
        run = _copy(whole, tmp_path / f"cut{cut}")
        old = Ledger(run.ledger)
        for event in past[:cut]:
            fields = {k: v for k, v in event.items() if k not in ("seq", "time", "crc", "event")}
            if event["event"] == "epoch":
                fields["metrics"] = {k: v for k, v in fields["metrics"].items() if k != "last"}
                assert len(fields["metrics"]) == len(event["metrics"]) - 1
            old.append(event["event"], **fields)
        old.close()

        gone_on(run)

        assert told(run) == told(whole)


def test_a_trial_that_was_to_train_on_does_not_when_its_checkpoint_is_its_last(toy_spec, toy_table, tmp_path):
    spec = toy_spec("space.train.patience=2", "space.train.min_delta=1000", "budget.trials=1")
    run = run_here(spec, toy_table, tmp_path / "run")
    before, best = told(run), [m["epoch"] for t in trials(run.ledger) for m in t.history]
    lines = run.ledger.read_bytes().split(b"\n")
    run.ledger.write_bytes(b"\n".join(lines[:4]) + b"\n")  # two epochs; the third and the end were lost
    assert [e["event"] for e in events(run.ledger)] == ["run_started", "trial_created", "epoch", "epoch"]

    gone_on(run)

    assert told(run) == before and best == [1, 2, 3]


def test_what_is_exported_is_the_best_epoch_and_not_the_last(toy_spec, toy_table, tmp_path):
    spec = toy_spec("space.train.lr=0.5", "space.train.patience=2", "stop=none", "budget.trials=4", "budget.epochs=30")
    run = run_here(spec, toy_table, tmp_path / "run")
    best = leaderboard.best(run)
    assert best.best_epoch < len(best.history), "worse epochs come last"

    job = Job(**{k: v for k, v in json.loads(_config(run, best)).items() if k not in ("trial", "params")})
    weights = []
    for _, model in session(job, Bench(toy_table, torch.device("cpu")), LocalRuntime(threads=1)):
        weights.append({name: value.clone() for name, value in model.state_dict().items()})
    found = package.of_run(run).model.state_dict()

    assert len(weights) == len(best.history)
    assert all(torch.equal(found[name], value) for name, value in weights[best.best_epoch - 1].items())
    assert not all(torch.equal(found[name], value) for name, value in weights[-1].items())


def _config(run, trial) -> str:
    return (run.trial(trial.number) / "config.json").read_text()


def test_the_flag_is_no_scalar_and_no_column(toy_spec, toy_table, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = run_here(toy_spec("budget.trials=1"), toy_table, tmp_path / "run")

    shown = EventAccumulator(str(run.trial(0))).Reload().Tags()["scalars"]
    assert "val/mse" in shown and "val/mae" in shown and "last" not in shown
    assert "last" not in leaderboard.table(run).columns
