"""Searches that follow one another on the same actors: what they give is what each gives alone."""

import os
import signal
import time

import pytest

from gxsearch.results.ledger import events, trials
from gxsearch.search.deadline import Deadline
from gxsearch.search.intake import read_table
from gxsearch.search.local import search_here
from gxsearch.search.opening import begin

pytestmark = pytest.mark.ray
SHORT = ("stop=none", "search.sampler=random", "budget.trials=4", "budget.epochs=3", "space.model.sleep=0.1")


def told(run):
    return [(t.number, t.params, t.state, t.best, t.best_epoch, len(t.history)) for t in trials(run.ledger)]


def processes(run):
    found = {path.name.split(".")[-2] for path in run.path.glob("trials/*/events.*")}  # named by their writers
    return found - {str(os.getpid())}


def alone(spec, table, folder):
    """Return what a search gives in this process, where nothing came before it."""
    opened = begin(spec, table, 1, folder)
    search_here(spec, opened.run, table, opened.referee, lambda: None)
    opened.close("done")
    return told(opened.run)


def test_one_search_after_the_other_has_the_same_processes_and_gives_what_it_gives_alone(
    toy_spec, toy_table, run_search, tmp_path
):
    narrow, wide = toy_spec(*SHORT), toy_spec(*SHORT, "data.path='sim_bulk?n=90&g=60'")
    table = read_table(wide)

    first, second = run_search(narrow, "first"), run_search(wide, "second", table=table)
    again = run_search(narrow, "again")

    assert processes(first) == processes(second) == processes(again) and len(processes(first)) == 2
    assert told(first) == told(again) == alone(narrow, toy_table, tmp_path / "narrow")
    assert told(second) == alone(wide, table, tmp_path / "wide")


def test_actors_that_ask_for_other_resources_take_the_place_of_those_there_are(toy_spec, run_search):
    first, second = run_search(toy_spec(*SHORT), "first"), run_search(toy_spec(*SHORT, "resources.cpus=2"), "second")

    assert {t.state for t in trials(second.ledger)} == {"complete"}
    assert len(processes(second)) == 1 and not processes(second) & processes(first)


def test_what_a_stopped_search_was_at_is_none_of_the_next_one_s(toy_spec, toy_table, run_search, tmp_path):
    stop = lambda: any(tmp_path.glob("stopped/trials/002")) and os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
    stopped = run_search(toy_spec(*SHORT, "budget.trials=99"), "stopped", stop)

    run = run_search(toy_spec(*SHORT), "next")

    assert "running" in {t.state for t in trials(stopped.ledger)}
    assert told(run) == alone(toy_spec(*SHORT), toy_table, tmp_path / "alone")


def test_a_trial_in_a_long_epoch_when_its_search_ends_holds_nothing_up(toy_spec, toy_table, run_search, tmp_path):
    begun = time.monotonic()

    run_search(toy_spec("space.model.sleep=600", "budget.time=8s", "budget.trials=2"), "long")
    run = run_search(toy_spec(*SHORT), "next")

    assert told(run) == alone(toy_spec(*SHORT), toy_table, tmp_path / "alone")
    assert time.monotonic() - begun < 500


def test_the_time_of_each_search_begins_with_its_first_trial_and_only_once(toy_spec, run_search, monkeypatch, tmp_path):
    begun = []
    monkeypatch.setattr(Deadline, "start_late", lambda deadline: begun.append(kinds(tmp_path)))

    runs = [run_search(toy_spec(*SHORT), name) for name in ("a", "b")]

    assert len(begun) == len(runs)
    assert all("trial_created" in told and "epoch" not in told for told in begun)


def kinds(folder):
    """Return what the ledger of the newest run tells of."""
    newest = max(folder.glob("*/ledger.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    return {event["event"] for event in events(newest)}
