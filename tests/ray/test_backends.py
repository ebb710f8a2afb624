"""Both ways to train a trial over several workers: the same results, nothing left behind, no rank that is missed."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import ray
from ray.util import placement_group_table

from gxsearch.results.ledger import trials

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.fault("F30")]
BACKENDS = ("actors", "trainer")
PATIENCE_S = 90
OF_RAY = ("AutoscalingCoordinatorActor",)
"""One for a whole Ray, which Ray Train starts with the first TorchTrainer."""


def told(run):
    return [(t.number, t.params, t.state, t.best, len(t.history)) for t in trials(run.ledger)]


def until(true: Callable[[], bool]) -> bool:
    """Wait for something, and say whether it came."""
    end = time.monotonic() + PATIENCE_S
    while not true() and time.monotonic() < end:
        time.sleep(0.1)
    return true()


def groups() -> list[str]:
    return [name for name, group in placement_group_table().items() if group["state"] != "REMOVED"]


def ours() -> dict[int, str]:
    """Return the processes of Ray that this one started, by what they call themselves."""
    parents, names = {}, {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            parents[pid] = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            names[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0].decode()
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return {pid: names[pid] for pid in found if pid in names and names[pid].startswith("ray::")}


def working() -> list[str]:
    return [name for name in ours().values() if not name.endswith(("IDLE", "Agent", *OF_RAY))]


def all_free() -> bool:
    return not groups() and not working() and ray.available_resources().get("CPU") == 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_twenty_stopped_trials_of_two_ranks_leave_nothing_behind(toy_spec, run_search, fleet, backend):
    # after its first epoch a trial sees whether it is among the best quarter, and few are
    two = ("resources.workers=2", "resources.cpus=0.5", "budget.trials=28", "stop={asha: {grace: 1, reduction: 4}}")

    run = run_search(toy_spec(*two, f"resources.backend={backend}"))

    states = [t.state for t in trials(run.ledger)]
    assert states.count("stopped") >= 20
    assert len(states) == 28
    fleet.end()
    assert until(all_free), (groups(), working(), ray.available_resources())
    assert not list(run.path.glob("trials/*/relay.*"))


def test_a_torch_trainer_for_each_trial_gives_what_actors_give(toy_spec, run_search):
    few = ("budget.trials=6", "stop={asha: {grace: 1, reduction: 2}}", "resources.concurrent=2")

    actors, trainer = (run_search(toy_spec(*few, f"resources.backend={name}"), name) for name in BACKENDS)

    assert told(actors) == told(trainer)
    assert "stopped" in {t.state for t in trials(trainer.ledger)}


@pytest.mark.parametrize("sets", [("space.model.explode_at=2",), ("space.model.fail=true",)])
def test_hopeless_trials_end_alone_under_a_torch_trainer_too(toy_spec, run_search, sets):
    few = ("stop=none", "budget.trials=2", "resources.backend=trainer")

    run = run_search(toy_spec(*few, *sets))

    assert {t.state for t in trials(run.ledger)} == {"diverged" if "explode" in sets[0] else "failed"}
    for trial in trials(run.ledger):
        assert (run.trial(trial.number) / "error.txt").exists() == (trial.state == "failed")


@pytest.mark.parametrize(("sets", "workers"), [(("space.model.die_at=3",), 1), (("space.model.die_at=3",), 2)])
def test_a_lost_rank_is_started_again_from_the_checkpoint_of_its_trial(toy_spec, run_search, sets, workers):
    few = ("stop=none", "budget.trials=1", "budget.epochs=5", "resources.cpus=0.5", f"resources.workers={workers}")
    calm = run_search(toy_spec(*few), "calm")

    run = run_search(toy_spec(*few, *sets, "resources.backend=trainer"), "deadly")

    (one,), (other,) = trials(calm.ledger), trials(run.ledger)
    assert (other.state, len(other.history)) == (one.state, len(one.history))
    assert other.best == pytest.approx(one.best, rel=1e-5)


def test_a_trial_that_hangs_is_started_again(toy_spec, run_search):
    few = ("stop=none", "budget.trials=1", "budget.epochs=4", "resources.backend=trainer")

    run = run_search(toy_spec(*few, "space.model.hang_at=3", "resources.stall_s=2"))

    (trial,) = trials(run.ledger)
    assert (trial.state, len(trial.history)) == ("complete", 4)


def test_what_the_workers_of_a_killed_trial_had_is_free_for_the_next(toy_spec, run_search, fleet, tmp_path):
    """Ray itself keeps their placement group until the search ends: with all CPUs in it, nothing would ever start."""
    few = ("stop=none", "budget.trials=2", "budget.epochs=8", "resources.backend=trainer", "resources.cpus=2")
    folder, killed, seen = tmp_path / "run" / "trials" / "000", [], []

    def kill() -> None:
        until(lambda: any(len(file.read_bytes().split(b"\n")) > 2 for file in folder.glob("relay.*.told")))
        for pid, name in ours().items():
            seen.append(name)
            if name.startswith("ray::TrainerTrial"):
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

    thread = threading.Thread(target=kill)
    thread.start()

    run = run_search(toy_spec(*few, "space.model.sleep=0.2"))

    thread.join()
    assert killed, seen
    assert [(t.state, t.reason, len(t.history)) for t in trials(run.ledger)] == [("complete", "", 8)] * 2
    fleet.end()
    assert until(all_free), (groups(), working())
    assert not list(folder.glob("relay.*"))
