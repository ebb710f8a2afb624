"""Searches in which a step hangs: the watchdog ends the process, and says where it stood (F16)."""

from __future__ import annotations

import pytest
from shell import wait_for

from gxsearch.results.ledger import trials
from gxsearch.results.run_dir import RunDir

pytestmark = [pytest.mark.slow, pytest.mark.fault("F16")]
SPEC = ("-s", "stop=none", "-s", "budget.trials=1", "-s", "budget.epochs=4", "-s", "resources.stall_s=2", "-q")


def test_a_step_that_hangs_once_costs_its_trial_nothing(folder, start):
    calm = start("tune", "toy.yaml", "--name", "calm", *SPEC)
    assert calm.wait() == 0, calm.err
    run, stalled = RunDir(folder / "runs" / "run"), folder / "runs" / "run" / "trials" / "000" / "stalled.txt"
    command = start("tune", "toy.yaml", "--name", "run", *SPEC, "-s", "space.model.hang_at=3")
    wait_for(lambda: stalled.exists() and "Thread" in stalled.read_text(), why=lambda: command.err)
    assert "no batch for" in stalled.read_text() and "_misbehave" in stalled.read_text()

    assert command.wait() == 0 and "error" not in command.err
    (one,), (other,) = trials(RunDir(folder / "runs" / "calm").ledger), trials(run.ledger)
    assert (one.state, one.best, len(one.history)) == (other.state, other.best, len(other.history))
    assert not stalled.exists(), "it is that of the last start"
    command.check_gone()


def test_a_step_that_always_hangs_ends_its_trial_and_says_where(folder, start):
    run = RunDir(folder / "runs" / "run")
    command = start("tune", "toy.yaml", "--name", "run", *SPEC, "-s", "space.model.hang_at=1")

    assert command.wait() == 7
    (line,) = [line for line in command.err.splitlines() if not line.startswith("note: ")]
    assert line.startswith("error[E710]") and "its process was lost 3 times, the last time because it hung" in line
    assert "_misbehave" in (run.trial(0) / "stalled.txt").read_text()
    command.check_gone()
