"""Nodes with caches of their own and no shared disk; and a search that is killed, as a user meets it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from cut_short import RUNS

from gxsearch import api
from gxsearch.results import leaderboard
from gxsearch.results.ledger import trials
from gxsearch.results.run_dir import RunDir

sys.path.append(str(Path(__file__).parents[1] / "faults"))
from shell import PACE, TOY, Command, one_line, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def nodes(store, monkeypatch, tmp_path):
    """Start Ray with a head without CPUs and two nodes of one CPU each; yield its address."""
    import ray
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a" * 64)
    ray._raylet.Config.initialize("")  # it may have been imported before that was set
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for name in ("machine-b", "machine-c"):
        cluster.add_node(num_cpus=1, env_vars={"GXSEARCH_CACHE": str(tmp_path / name)})
    yield cluster.address
    cluster.shutdown()


def test_nodes_without_a_shared_disk_search_together(nodes, toy_spec, search, store, tmp_path):
    sets = ("budget.trials=4", "budget.epochs=4")

    run = api.tune(toy_spec(*sets), out=RUNS, name="run", address=nodes, quiet=True)

    here = search(out=tmp_path / "runs")
    assert {t.number: t.params for t in trials(run.ledger)}.keys() == {t.number for t in trials(here.ledger)}
    assert leaderboard.best(run).state == "complete" and run.report.is_file()
    used = [p for name in ("machine-b", "machine-c") for p in (tmp_path / name).rglob("run/trials")]
    assert used and not [p for folder in used for p in folder.rglob("*") if p.is_file()], "they are left empty"
    events = [name for name in store.objects if "/trials/" in name and "tfevents" in name]
    assert len(events) == 2 * len(trials(run.ledger)), "curves of the nodes, and HParams of the driver"


def test_a_search_that_is_killed_goes_on_on_another_machine_and_comes_to_the_same(store, tmp_path):
    (tmp_path / "slow.yaml").write_text(TOY.replace("{int: [1, 6]}", f"{{int: [1, 6]}}, sleep: {PACE}"))
    asked = ("tune", "slow.yaml", "-q", "-n", "4", "--epochs", "6", "-j", "1", "--name", "run")
    killed = Command(tmp_path, *asked, "--out", RUNS)
    wait_for(lambda: any(name.endswith("000002/manifest.json") for name in store.objects), 280, lambda: killed.err)
    killed.signal(signal.SIGSTOP)  # so that it has not ended before the second one has begun
    second = Command(tmp_path, "resume", f"{RUNS}/run", "-q", GXSEARCH_CACHE=str(tmp_path / "machine-b"))
    assert second.wait() == 6 and one_line(second).startswith("error[E605] s3://lab/runs/run")
    killed.signal(signal.SIGKILL)
    killed.wait()
    killed.check_gone()

    resumed = Command(tmp_path, "resume", f"{RUNS}/run", "-q", GXSEARCH_CACHE=str(tmp_path / "machine-b"))
    assert resumed.wait() == 0, resumed.err
    calm = Command(tmp_path, *asked, "--out", "runs")
    assert calm.wait() == 0, calm.err

    shown = Command(tmp_path, "trials", f"{RUNS}/run", "--json", GXSEARCH_CACHE=str(tmp_path / "machine-c"))
    assert shown.wait() == 0
    far, here = RunDir.open(f"{RUNS}/run"), RunDir(tmp_path / "runs" / "run")
    assert far.leaderboard.read_bytes() == here.leaderboard.read_bytes()
    assert not [p for p in Path(os.environ["GXSEARCH_CACHE"]).rglob("checkpoints") if "/read/" in str(p)]
