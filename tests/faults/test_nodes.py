"""Searches on a cluster of several nodes, one of which is lost, or taken away with notice (F02, F17)."""

from __future__ import annotations

import pytest
from shell import Node, count, wait_for

from gxsearch.results.ledger import trials
from gxsearch.results.run_dir import RunDir
from gxsearch.search.launch import connected
from gxsearch.search.liaison import RETRIES
from gxsearch.search.sections import Resources

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
WIDE = ("-s", "resources.workers=2", "-s", "stop=none", "-s", "budget.trials=2")
RANKS = ("ray::GxTrial", "ray::Peer", "ray::RayTrainWorker")


def busy(nodes: list[Node]) -> list[Node]:
    """Return the nodes on which a trial trains."""
    return [node for node in nodes if any(node.pids(word) for word in RANKS)]


@pytest.mark.fault("F02")
@pytest.mark.parametrize("backend", ["actors", "trainer"])
def test_a_trial_over_two_nodes_goes_on_when_one_of_them_is_lost(folder, start, cluster, backend):
    others = [cluster.add(), cluster.add()]
    run = RunDir(folder / "runs" / "run")
    words = (*WIDE, "-s", f"resources.backend={backend}")
    command = start("tune", "slow.yaml", "--name", "run", "-q", "--address", cluster.address, *words)
    wait_for(lambda: count(run, "epoch") >= 3 and busy(others), why=lambda: command.err)

    busy(others)[0].stop()

    assert command.wait() == 0, command.err
    assert [(t.number, t.state, len(t.history)) for t in trials(run.ledger)] == [(0, "complete", 8), (1, "complete", 8)]
    command.check_gone()


@pytest.mark.fault("F17")
@pytest.mark.parametrize("cluster", [0], indirect=True)
def test_a_trial_whose_nodes_are_taken_away_with_notice_goes_on_and_it_counts_as_no_failure(folder, start, cluster):
    run, other = RunDir(folder / "runs" / "run"), cluster.add()
    once = ("-s", "stop=none", "-s", "budget.trials=1", "-s", "budget.epochs=30")
    command = start("tune", "slow.yaml", "--name", "run", "-q", "--address", cluster.address, *once)
    for seen in range(6, 6 * (RETRIES + 2), 6):  # once more than a trial is tried again
        wait_for(lambda seen=seen: count(run, "epoch") >= seen, why=lambda: command.err)
        cluster.drain(other)
        other.stop()
        other = cluster.add()

    assert command.wait() == 0, command.err
    (trial,) = trials(run.ledger)
    assert (trial.state, len(trial.history)) == ("complete", 30)


@pytest.mark.fault("F29")
def test_shares_of_the_gpus_of_a_cluster_are_counted_and_what_it_has_not_is_refused(cluster, monkeypatch, start):
    """The GPUs are Ray's word only: none of these nodes has one."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    cluster.add("--num-cpus=8", "--num-gpus=2")

    with connected(cluster.address, Resources(cpus=1, gpus=0.25)) as fit:
        assert fit == 8, "four share a card"
    with connected(cluster.address, Resources(cpus=1, gpus=1, workers=2)) as fit:
        assert fit == 1
    words = ("-q", "--address", cluster.address, "-s", "resources.gpus=3")
    command = start("tune", "toy.yaml", *words)

    assert command.wait() == 5
    assert "error[E502]" in command.err and "asks for 3 GPUs (workers x gpus), there are 2" in command.err
