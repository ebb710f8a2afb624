"""Signals, and processes that are killed, in a training and in a search, as a user meets them (F01, F03, F26-F28)."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from damage import go_on
from shell import Command, count, finished, lost, one_line, wait_for

from gxsearch.results.ledger import events, trials
from gxsearch.results.run_dir import RunDir
from gxsearch.search.opening import reopen

KINDS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 75)]
slow = pytest.mark.slow


@pytest.fixture
def run(folder) -> RunDir:
    return RunDir(folder / "runs" / "run")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> list[tuple]:
    """What the search finds that nothing happens to."""
    from shell import PACE, TOY

    folder = tmp_path_factory.mktemp("whole")
    (folder / "slow.yaml").write_text(TOY.replace("{int: [1, 6]}", f"{{int: [1, 6]}}, sleep: {PACE}"))
    command = Command(folder, "tune", "slow.yaml", "--name", "run", "-q")
    assert command.wait() == 0, command.err
    return told(RunDir(folder / "runs" / "run"))


def told(run: RunDir) -> list[tuple]:
    return [(t.number, t.params, t.state, t.best, len(t.history)) for t in trials(run.ledger)]


def epochs(run: RunDir) -> int:
    return count(run, "epoch")


def ends_the_same(start, run: RunDir, whole: list[tuple]) -> None:
    """Go on with a search; fail unless it ends as one that was left alone, with what had ended untouched."""
    before = finished(run)
    command = start("resume", "runs/run", "-q")
    assert command.wait() == 0, command.err
    assert told(run) == whole and run.report.exists()
    assert {number: finished(run)[number] for number in before} == before
    command.check_gone()


@pytest.mark.fault("F26", "F28")
@pytest.mark.parametrize(("number", "code"), [KINDS[0], *(pytest.param(*kind, marks=slow) for kind in KINDS[1:])])
def test_a_training_that_a_signal_stops_says_how_to_go_on(folder, start, run, number, code):
    command = start("train", "slow.yaml", "--name", "run", "-q", "-s", "budget.epochs=4000")
    wait_for(lambda: epochs(run) >= 2, why=lambda: command.err)

    command.signal(number)

    assert command.wait(30) == code
    assert one_line(command).endswith(f"go on with: gxsearch resume {run.path}")
    assert [e["state"] for e in events(run.ledger) if e["event"] == "run_ended"] == ["interrupted"]
    command.check_gone()


@pytest.mark.fault("F03")
def test_a_training_that_is_killed_loses_no_epoch_that_was_told(folder, start, run):
    command = start("train", "slow.yaml", "--name", "run", "-q", "-s", "budget.epochs=9")
    wait_for(lambda: epochs(run) >= 3, why=lambda: command.err)

    command.signal(signal.SIGKILL)

    assert command.wait(30) == 137 and not command.err
    command.check_gone()
    assert lost(run) <= 1
    before = trials(run.ledger)[0].history
    go_on(reopen(run, {}))
    (trial,) = trials(run.ledger)
    assert trial.history[: len(before)] == before and len(trial.history) == 9


@pytest.mark.fault("F26", "F28")
@pytest.mark.parametrize(("number", "code"), KINDS)
def test_a_signal_that_comes_before_anything_has_begun_ends_in_one_word(folder, start, number, code):
    command = start("train", "slow.yaml", "--name", "run")
    maps = Path(f"/proc/{command.process.pid}/maps")
    wait_for(lambda: b"libtorch_cpu" in maps.read_bytes())  # in the middle of imports

    command.signal(number)

    assert command.wait(30) == code
    assert one_line(command) == "stopped" or "go on with" in one_line(command)
    command.check_gone()


@pytest.mark.fault("F03")
@slow
@pytest.mark.parametrize("after", [1, 6])
def test_a_killed_search_goes_on_as_if_nothing_had_happened(folder, start, run, whole, after):
    command = start("tune", "slow.yaml", "--name", "run", "-q")
    wait_for(lambda: count(run, "trial_ended") >= after, why=lambda: command.err)

    command.signal(signal.SIGKILL)

    command.wait(30)
    command.check_gone()
    assert lost(run) <= 1
    ends_the_same(start, run, whole)


@pytest.mark.fault("F26", "F28")
@slow
@pytest.mark.parametrize("group", [False, True], ids=["alone", "with-all-its-processes"])
@pytest.mark.parametrize(("number", "code"), KINDS)
def test_an_interrupted_search_says_how_to_go_on_and_does(folder, start, run, whole, number, code, group):
    command = start("tune", "slow.yaml", "--name", "run", "-q")
    wait_for(lambda: epochs(run) >= 9, why=lambda: command.err)

    command.signal(number, group=group)

    assert command.wait(30) == code, command.err
    assert one_line(command).endswith(f"go on with: gxsearch resume {run.path}")
    command.check_gone()
    if group or number == signal.SIGUSR1:  # one end is enough for each: a Ray start takes a while
        ends_the_same(start, run, whole)


@pytest.mark.fault("F27")
@slow
@pytest.mark.parametrize("group", [False, True], ids=["alone", "with-all-its-processes"])
def test_two_of_ctrl_c_end_a_search_at_once(folder, start, run, group):
    command = start("tune", "slow.yaml", "--name", "run", "-q", "-s", "space.model.sleep=2.0")
    wait_for(lambda: epochs(run) >= 1, why=lambda: command.err)

    command.signal(signal.SIGINT, group=group)
    command.signal(signal.SIGINT, group=group)

    assert command.wait(30) == 130
    assert one_line(command).endswith(f"go on with: gxsearch resume {run.path}")
    command.check_gone()


@pytest.mark.fault("F28")
@slow
def test_a_search_in_an_epoch_that_takes_forever_ends_before_a_batch_system_kills_it(folder, start, run):
    command = start("tune", "slow.yaml", "--name", "run", "-q", "-s", "space.model.hang_at=2")
    wait_for(lambda: epochs(run) >= 2, why=lambda: command.err)

    command.signal(signal.SIGTERM)

    assert command.wait(28) == 143
    assert "go on with: gxsearch resume" in one_line(command)
    command.check_gone()


@pytest.mark.fault("F01")
@slow
def test_a_worker_that_is_killed_costs_its_trial_at_most_an_epoch(folder, start, run, whole):
    command = start("tune", "slow.yaml", "--name", "run", "-q")
    for after in (5, 20):
        wait_for(lambda after=after: epochs(run) >= after, why=lambda: command.err)
        os.kill(command.pids("ray::GxTrial")[0], signal.SIGKILL)

    assert command.wait() == 0 and not command.err
    assert told(run) == whole
    command.check_gone()


@pytest.mark.fault("F04")
@slow
@pytest.mark.parametrize("process", ["gcs_server", "raylet/raylet"])
def test_a_search_that_loses_its_ray_keeps_all_and_says_how_to_go_on(folder, start, run, whole, process):
    command = start("tune", "slow.yaml", "--name", "run", "-q")
    wait_for(lambda: epochs(run) >= 9, why=lambda: command.err)

    os.kill(command.pids(process)[0], signal.SIGKILL)

    assert command.wait(30) == 7
    line = one_line(command)
    assert line.startswith("error[E712]") and line.endswith(f"go on with: gxsearch resume {run.path}")
    command.check_gone()
    if process == "gcs_server":
        ends_the_same(start, run, whole)
