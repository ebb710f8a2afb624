"""The same faults for gxsearch and for sixty lines of plain Ray Tune (plain_tune.py), side by side.

    python tests/benchmarks/faults_plain_tune.py [FAULT ...]

Each fault has a time limit; what has not ended by then hangs. A sign stands before each figure: + where work and
meaning are kept and the exit code tells the truth, - where not.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))
from shell import PACE, TOY, Command, count, wait_for  # noqa: E402

from gxsearch.results.ledger import events, trials  # noqa: E402
from gxsearch.results.run_dir import RunDir  # noqa: E402

LIMIT_S = 90.0
Answer = tuple[str, bool]


class Ours:
    """A search of gxsearch in a folder."""

    name = "gxsearch"

    def __init__(self, folder: Path):
        self.folder, self.run = folder, RunDir(folder / "runs" / "run")
        (folder / "toy.yaml").write_text(TOY)

    def start(self, trials: int = 12, epochs: int = 8, bad: int = 0, gpus: int = 0, fail: bool = False) -> Command:
        sets = [f"budget.trials={trials}", f"budget.epochs={epochs}", f"space.model.sleep={PACE}"]
        sets += ["stop={asha: {grace: 4, reduction: 2}}", f"resources.gpus={gpus}"]
        sets += [f"space.model.fail={str(fail).lower()}"]
        points = [{"explode_at": int(i < bad)} for i in range(trials)]
        sets += ["space.model.explode_at={int: [0, 1]}", f"search.start={points}"] if bad else []
        return Command(self.folder, "tune", "toy.yaml", "--name", "run", "-q", *(w for s in sets for w in ("-s", s)))

    def resume(self) -> Command:
        self.again = self._lost()
        return Command(self.folder, "resume", "runs/run", "-q")

    def _lost(self) -> int:
        """Return the epochs beyond the newest checkpoints of the trials that were running: they are run again."""
        if not count(self.run, "epoch"):
            return 0
        running = [t for t in trials(self.run.ledger) if t.state == "running"]
        newest = [max((int(p.name) for p in self.run.checkpoints(t.number).glob("0*")), default=0) for t in running]
        return sum(max(0, len(t.history) - saved) for t, saved in zip(running, newest, strict=True))

    def told(self) -> list[tuple[str, int]]:
        """Return the epochs that were told of, by trial."""
        if not count(self.run, "epoch"):
            return []
        return [(str(e["trial"]), e["epoch"]) for e in events(self.run.ledger) if e["event"] == "epoch"]

    def wasted(self) -> int:
        """Return the epochs that trials without a finite loss took; the one that told of it is one of them."""
        return sum(len(t.history) + 1 for t in trials(self.run.ledger) if t.state == "diverged")

    def state(self) -> Path:
        return self.run.ledger

    workers = "ray::GxTrial"


class Plain:
    """The same with plain Ray Tune."""

    name = "plain Ray Tune"

    def __init__(self, folder: Path):
        self.folder = folder

    def start(self, trials: int = 12, epochs: int = 8, bad: int = 0, gpus: int = 0, fail: bool = False) -> Command:
        words = ["--trials", trials, "--epochs", epochs, "--bad", bad, "--gpus", gpus, *(["--fail"] if fail else [])]
        return PlainCommand(self.folder, *map(str, words), RAY_DEDUP_LOGS="0")

    def resume(self) -> Command:
        return PlainCommand(self.folder, "--resume")

    @property
    def again(self) -> int:
        """The epochs that were run more than once."""
        return len(self.told()) - len(set(self.told()))

    def told(self) -> list[tuple[str, int]]:
        log = self.folder / "epochs.log"
        lines = log.read_text().split("\n")[:-1] if log.exists() else []
        return [(line.split()[0], int(line.split()[1])) for line in lines]

    def wasted(self) -> int:
        order = list(dict.fromkeys(trial for trial, _ in self.told()))  # the first six drawn are those that are bad
        return sum(trial in order[:6] for trial, _ in self.told())

    def state(self) -> Path:
        return max((self.folder / "runs" / "run").glob("experiment_state-*.json"))

    workers = "ray::"


class PlainCommand(Command):
    program = (str(Path(__file__).with_name("plain_tune.py")),)


def worker_killed(side) -> Answer:
    command = side.start(trials=4)
    _until(command, side, 5)
    busy = [pid for pid in command.pids(side.workers) if "IDLE" not in _words(pid) and "Agent" not in _words(pid)]
    os.kill(busy[-1], signal.SIGKILL)
    code, ran = _end(command), len({trial for trial, epoch in side.told() if epoch >= 4})
    return f"exit {code}, {ran} of 4 trials ran", code == 0 and ran == 4


def driver_killed(side) -> Answer:
    command = side.start()
    _until(command, side, 9)
    command.signal(signal.SIGKILL)
    _end(command)
    wait_for(lambda: not command.left(), 60)
    code = _end(side.resume())
    return f"exit {code}, {side.again} epochs of 2 trials lost", code == 0 and side.again <= 2


def stopped(number: int, wanted: int) -> Callable[[object], Answer]:
    def fault(side) -> Answer:
        command = side.start()
        _until(command, side, 5)
        command.signal(number)
        begun, code = time.monotonic(), _end(command)
        says = "says how to go on" if "resume" in command.err else "says nothing of how to go on"
        return f"exit {code}, after {time.monotonic() - begun:.0f} s, {says}", code == wanted and "says how" in says

    return fault


def eight_gpus(side) -> Answer:
    command = side.start(gpus=8)
    begun, code = time.monotonic(), _end(command, 45)
    return f"exit {code}, after {time.monotonic() - begun:.0f} s", code == 5


def not_finite(side) -> Answer:
    code, wasted = _end(side.start(trials=10, epochs=16, bad=6)), side.wasted()
    return f"exit {code}, {wasted} epochs spent on 6 trials", code == 0 and wasted <= 8


def state_cut(side) -> Answer:
    command = side.start()
    _until(command, side, 12)
    command.signal(signal.SIGINT)
    _end(command)
    state, before = side.state(), len({trial for trial, _ in side.told()})
    state.write_bytes(state.read_bytes()[: state.stat().st_size // 2])
    code = _end(side.resume())
    known = len({trial for trial, _ in side.told()})
    return f"exit {code}, {known} trials where 12 were asked for ({before} before)", code == 6 or known == 12


def all_fail(side) -> Answer:
    command = side.start(fail=True)
    code = _end(command)
    lines = [line for line in command.err.splitlines() if line.strip()]
    return f"exit {code}, {len(lines)} line(s)", code == 7 and len(lines) == 1


def same_name(side) -> Answer:
    first = _end(side.start(trials=2))
    code = _end(side.start(trials=2))
    return f"exit {first}, then {code}", (first, code) == (0, 6)


FAULTS = {
    "worker killed": worker_killed,
    "driver killed, resumed": driver_killed,
    "SIGTERM": stopped(signal.SIGTERM, 143),
    "SIGINT": stopped(signal.SIGINT, 130),
    "8 GPUs asked for": eight_gpus,
    "6 of 10 losses NaN": not_finite,
    "newest state cut in half": state_cut,
    "all trials fail": all_fail,
    "name used twice": same_name,
}


def main() -> None:
    """Put both through the faults and print a table."""
    asked = sys.argv[1:] or list(FAULTS)
    print(f"{'fault':<26} {Ours.name:<52} {Plain.name}")
    for name in asked:
        cells = []
        for kind in (Ours, Plain):
            with tempfile.TemporaryDirectory(prefix="fault-") as folder:
                text, kept = FAULTS[name](kind(Path(folder)))
            cells.append(f"{'+' if kept else '-'} {text}")
        print(f"{name:<26} {cells[0]:<52} {cells[1]}", flush=True)


def _until(command: Command, side, epochs: int) -> None:
    wait_for(lambda: len(side.told()) >= epochs, LIMIT_S, lambda: command.err)


def _end(command: Command, seconds: float = LIMIT_S) -> int | str:
    """Return the exit code, or that there was none in time."""
    try:
        return command.wait(seconds)
    except Exception:  # noqa: BLE001 - subprocess.TimeoutExpired: it is a figure of the table
        return "none: it hangs"
    finally:
        command.stop()


def _words(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


if __name__ == "__main__":
    main()
