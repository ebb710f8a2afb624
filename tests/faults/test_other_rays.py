"""Other Rays on the machine: dead, alive, or those of another search (F02, F31, F36)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from shell import count, wait_for

from gxsearch.results.ledger import trials
from gxsearch.results.run_dir import RunDir

pytestmark = pytest.mark.slow


def told(run: RunDir) -> list[tuple]:
    return [(t.number, t.params, t.state, t.best, len(t.history)) for t in trials(run.ledger)]


@pytest.mark.fault("F31", "F36")
def test_two_searches_at_once_know_nothing_of_each_other_nor_of_the_ray_that_the_environment_names(folder, start):
    one = start("tune", "slow.yaml", "--name", "one", "-q")
    wait_for(lambda: count(RunDir(folder / "runs" / "one"), "epoch") >= 1, why=lambda: one.err)
    (raylet,) = one.pids("raylet/raylet")
    address = re.search(r"--gcs-address=(\S+)", Path(f"/proc/{raylet}/cmdline").read_text().replace("\0", " "))[1]

    two = start("tune", "slow.yaml", "--name", "two", "-q", RAY_ADDRESS=address)
    wait_for(lambda: count(RunDir(folder / "runs" / "two"), "epoch") >= 1, why=lambda: two.err)

    assert two.pids("gcs_server") and two.pids("gcs_server") != one.pids("gcs_server")
    assert one.wait() == 0 and two.wait() == 0 and not one.err and not two.err
    assert told(RunDir(folder / "runs" / "one")) == told(RunDir(folder / "runs" / "two"))
    one.check_gone()
    two.check_gone()


@pytest.mark.fault("F31")
def test_the_traces_of_a_dead_ray_are_not_followed(folder, start):
    stale = folder / "ray" / "ray_current_cluster"
    stale.parent.mkdir()
    stale.write_text("127.0.0.1:1")

    command = start("tune", "toy.yaml", "-q", RAY_TMPDIR=str(folder), RAY_ADDRESS="127.0.0.1:1")

    assert command.wait() == 0 and not command.err
    command.check_gone()


@pytest.mark.fault("F02", "F36")
def test_a_node_that_is_lost_costs_nothing_and_the_ray_of_others_is_left_running(folder, start, cluster):
    other = cluster.add()
    run = RunDir(folder / "runs" / "run")
    command = start("tune", "slow.yaml", "--name", "run", "-q", "--address", cluster.address)
    wait_for(lambda: count(run, "epoch") >= 9, why=lambda: command.err)

    other.stop()

    assert command.wait() == 0, command.err
    assert [t.number for t in trials(run.ledger)] == list(range(12))
    assert not [t for t in trials(run.ledger) if t.state == "failed"]
    command.check_gone()
    assert cluster.head.pids("gcs_server")
