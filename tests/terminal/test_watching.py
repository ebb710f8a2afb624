"""status --watch, board and dash: what is shown, where, and that nothing is left when they end."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_line import process, strict

from gxsearch import serving, standing
from gxsearch.results.compare_dir import CompareDir
from gxsearch.results.ledger import Ledger
from gxsearch.results.run_dir import RunDir, sealed
from gxsearch.search.opening import begin


@contextmanager
def served(*words: str):
    """A server that a verb has started: its address, and the process of the verb."""
    command = [sys.executable, "-m", "gxsearch.cli", *map(str, words), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
        try:
            yield running.stdout.readline().strip(), running
        finally:
            running.send_signal(signal.SIGKILL)


def children(number: int) -> list[int]:
    return [
        int(pid) for task in Path(f"/proc/{number}/task").iterdir() for pid in (task / "children").read_text().split()
    ]


def is_gone(number: int) -> bool:
    return not Path(f"/proc/{number}").exists()


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_the_board_serves_here_only_and_leaves_no_process(run, end):
    with served("board", run) as (url, verb):
        assert url.startswith("http://127.0.0.1:")
        told = json.load(urllib.request.urlopen(f"{url}data/plugin/scalars/tags"))
        started = children(verb.pid)
        verb.send_signal(end)
        code = verb.wait(30)

    assert any(tags.get("val/mse") for tags in told.values()), told
    assert code == (0 if end == signal.SIGINT else 143)
    assert started and all(map(is_gone, started))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("optuna_dashboard") is None, reason="optuna-dashboard is an extra")
def test_the_dashboard_shows_a_copy_that_follows_the_run(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    lines = RunDir(copy).journal.read_bytes()

    with served("dash", copy, "--json") as (first, verb):
        told = first + "".join(verb.stdout.readline() for _ in range(3))
        url = strict(told)["url"]
        studies = json.load(urllib.request.urlopen(f"{url}api/studies"))["study_summaries"]
        started = children(verb.pid)
        verb.send_signal(signal.SIGINT)
        assert verb.wait(30) == 0

    assert len(studies) == 1 and RunDir(copy).journal.read_bytes() == lines
    assert all(map(is_gone, started)) and sorted(p.name for p in copy.iterdir()) == sorted(
        p.name for p in run.iterdir()
    )


def test_a_copy_gains_the_whole_lines_that_a_file_gains(tmp_path):
    source, copy = tmp_path / "journal", serving.Following(tmp_path / "journal", tmp_path / "copy")
    source.write_bytes(b"one\ntw")

    copy.follow()
    first = copy.path.read_bytes()
    source.write_bytes(b"one\ntwo\nthree\n")
    copy.follow()

    assert (first, copy.path.read_bytes()) == (b"one\n", b"one\ntwo\nthree\n")


def test_a_dashboard_that_is_not_installed_is_said_to_be_an_extra(run, call, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    status, out, err = call("dash", run)

    assert status == 5 and err.count("\n") == 1 and 'pip install "gxsearch[dash]"' in err and out == ""


def test_a_port_that_is_taken_is_told_in_a_line(run, call):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        status, out, err = call("board", run, "--port", str(taken.getsockname()[1]))

    assert status == 6 and err.startswith("error[E618]") and err.count("\n") == 1 and out == ""


def test_a_server_that_ends_by_itself_is_told_with_its_last_words(run, monkeypatch, call):
    monkeypatch.setattr(sys, "executable", "/bin/false")

    status, _, err = call("board", run)

    assert status == 7 and err.startswith("error[E718] TensorBoard: ended with exit code 1")


@pytest.mark.parametrize("verb", ["board", "dash", "status"])
def test_what_is_no_run_is_refused(call, tmp_path, verb):
    status, _, err = call(verb, tmp_path)

    assert status == 6 and err.startswith("error[E601]")


def test_watching_shows_each_change_until_the_search_ends(tmp_path, toy_spec, toy_table, monkeypatch):
    opened = begin(toy_spec(), toy_table, 1, tmp_path / "run")
    told, steps = [], iter([lambda: None, opened.referee.create, lambda: opened.close("interrupted")])
    monkeypatch.setattr(time, "sleep", lambda seconds: next(steps)())

    last = standing.watch(str(tmp_path / "run"), told.append)

    assert [found["trials"] for found in told] == [{}, {"running": 1}]
    assert {found["state"] for found in told} == {"running"} and last["state"] == "interrupted"


def test_a_search_whose_process_is_gone_is_killed_and_elsewhere_may_run(tmp_path, toy_spec, toy_table):
    opened = begin(toy_spec(), toy_table, 1, tmp_path / "run")
    gone = subprocess.Popen(["true"])
    gone.wait()
    states = []

    for words in (f"{os.uname().nodename} {os.getpid()}", f"{os.uname().nodename} {gone.pid}", "elsewhere 1", ""):
        opened.run.lock.write_text(words)
        states.append(standing.facts(str(opened.run.path))["state"])
    opened.close("done")

    assert states == ["running", "killed", standing.UNKNOWN, standing.UNKNOWN]


@pytest.fixture
def comparison(run, tmp_path) -> Path:
    """The folder of a comparison, one of whose two searches has been made."""
    place = CompareDir(tmp_path / "both")
    shutil.copytree(run, place.run("toy").path)
    spec = RunDir(run).facts()["spec"]
    entries = [{"name": name, "spec": spec} for name in ("toy", "later")]
    place.facts_file.write_bytes(sealed({"id": "0", "plan": {}, "entries": entries}))
    return place.path


def test_status_of_a_comparison_tells_of_each_search(comparison, call):
    status, out, _ = call("status", comparison)
    told = strict(call("status", comparison, "--json")[1])

    assert status == 0 and "toy" in out and "to come" in out and "gxsearch resume" in out
    assert told["searches"]["toy"]["state"] == "done" and told["searches"]["later"] is None
    assert (told["trials"], told["asked"], told["verdict"]) == ({"complete": 1}, None, None)


@pytest.mark.parametrize("verb", ["trials", "best"])
def test_trials_and_best_of_a_comparison_are_those_of_its_searches(comparison, call, verb, run):
    told = strict(call(verb, comparison, "--json")[1])

    assert told == {"toy": strict(call(verb, run, "--json")[1])}
    assert "toy" in call(verb, comparison)[1]


def test_a_dashboard_asks_for_one_search_of_a_comparison(comparison, call):
    status, _, err = call("dash", comparison)

    assert status == 6 and err.startswith("error[E618]") and "both/MODEL" in err


def test_watching_with_json_sends_events_and_then_the_result(run):
    done = process("status", run, "--watch", "--json")

    told = [strict(line) for line in done.stdout.decode().splitlines()]
    assert [event["event"] for event in told] == ["result"] and told[0]["state"] == "done"


def test_a_ledger_that_is_being_written_is_read_to_its_last_whole_line(tmp_path, toy_spec, toy_table):
    opened = begin(toy_spec(), toy_table, 1, tmp_path / "run")
    with open(opened.run.ledger, "ab") as file:
        file.write(b'{"seq":1,"ti')

    found = standing.facts(str(opened.run.path))

    assert found["state"] == "running" and isinstance(opened.ledger, Ledger)
