"""The command line as a user has it: started in a session of its own, signalled, waited for, looked after."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from gxsearch.errors import RunError
from gxsearch.results.ledger import events, trials
from gxsearch.results.run_dir import RunDir

ROOT = Path(__file__).parents[2]
TOY = (ROOT / "tests" / "toy" / "toy.yaml").read_text()
PACE = 0.15
"""Seconds that an epoch takes, so that a search can be met in its middle."""
GONE_S = 10.0
"""After this time nothing of a search that ended may be left on the machine."""


class Command:
    """A `gxsearch` that was started; its output goes to files, which orphans cannot keep open for us.

    Given `room`, no file that it writes may be of more bytes.
    """

    program = ("-m", "gxsearch.cli")

    def __init__(self, folder: Path, *argv: str, room: int | None = None, **environment: str):
        self.folder, self._name = folder, uuid.uuid4().hex
        self._out, self._err = folder / f".{self._name}.out", folder / f".{self._name}.err"
        command = [sys.executable, *self.program, *argv]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "GXSEARCH_MODELS": str(ROOT / "tests/toy"), **environment}
        environment |= {"GXSEARCH_STARTED_BY": self._name}
        limit = (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))) if room is not None else None
        with open(self._out, "wb") as out, open(self._err, "wb") as err:
            settings = {"cwd": folder, "stdout": out, "stderr": err, "env": environment, "preexec_fn": limit}
            self.process = subprocess.Popen(command, start_new_session=True, **settings)
        self.begun = time.monotonic()

    @property
    def out(self) -> str:
        """What it printed."""
        return self._out.read_text()

    @property
    def err(self) -> str:
        """What it said."""
        return self._err.read_text()

    def signal(self, number: int, *, group: bool = False) -> None:
        """Send a signal to the command alone, as `kill` does, or to its group, as a terminal and a batch system do."""
        if group:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    def wait(self, seconds: float = 280) -> int:
        """Return its exit code as a shell gives it."""
        code = self.process.wait(timeout=seconds)
        return code if code >= 0 else 128 - code

    def left(self) -> list[str]:
        """Return what is alive of it and of all that it started."""
        return [f"{pid} {_words(pid)}" for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if self._ours(pid)]

    def pids(self, word: str) -> list[int]:
        """Return the processes that it started whose command line holds a word: ``raylet``, ``GxTrial``."""
        return [int(line.split(" ", 1)[0]) for line in self.left() if word in line]

    def check_gone(self) -> None:
        """Fail unless all of it is gone in ten seconds."""
        wait_for(lambda: not self.left(), GONE_S, lambda: f"left behind: {self.left()}")

    def stop(self) -> None:
        """End what is left, for a test that failed."""
        for line in self.left():
            try:
                os.kill(int(line.split(" ", 1)[0]), signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()

    def _ours(self, pid: int) -> bool:
        try:
            state, *_, session = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:4]
            marked = self._name.encode() in Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return False
        return state not in "ZX" and (int(session) == self.process.pid or marked)


class Node(Command):
    """A node of a Ray cluster, as `ray start` makes it."""

    program = ("-m", "ray.scripts.scripts")


class Cluster:
    """Nodes with a CPU each, on this machine; `words` are told to the head's `ray start`."""

    def __init__(self, folder: Path, scratch: str, *words: str):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self._folder, self._scratch, self._nodes = folder, scratch, []
        self.head = self._begun("--head", f"--port={self.address[10:]}", "--include-dashboard=false", *words)

    def add(self, *words: str) -> Node:
        """Start a node more."""
        return self._begun(f"--address={self.address}", *words)

    def drain(self, node: Node) -> None:
        """Tell Ray that a node is about to be taken away, as the autoscaler does."""
        (raylet,) = node.pids("raylet/raylet --")
        words = Path(f"/proc/{raylet}/cmdline").read_text().split("\0")
        identity = next(word.removeprefix("--node_id=") for word in words if word.startswith("--node_id="))
        why = ("--reason=DRAIN_NODE_REASON_PREEMPTION", "--reason-message=spot", "--deadline-remaining-seconds=1")
        words = ("drain-node", f"--address={self.address}", f"--node-id={identity}", *why)
        told = Node(self._folder, *words, **self._settings)
        assert told.wait(60) == 0, told.err

    def stop(self) -> None:
        """End all of it."""
        for node in reversed(self._nodes):
            node.stop()

    @property
    def _settings(self) -> dict[str, str]:
        return {"RAY_AUTH_MODE": "token", "RAY_health_check_period_ms": "500", "RAY_TMPDIR": self._scratch}

    def _begun(self, *words: str) -> Node:
        common = ("start", "--block", "--num-cpus=1", "--disable-usage-stats")
        self._nodes.append(Node(self._folder, *common, *words, **self._settings))
        node = self._nodes[-1]
        wait_for(lambda: "Ray runtime started" in node.out, 60, lambda: node.out + node.err)
        return node


def _words(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[:300]
    except OSError:
        return ""


def wait_for(
    condition: Callable[[], object], seconds: float = 120, why: Callable[[], str] = lambda: "waited in vain"
) -> None:
    """Wait until a condition holds; fail after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, why()
        time.sleep(0.05)


def count(run: RunDir, event: str) -> int:
    """Return how many events of a kind a ledger tells of; none while it is not there."""
    try:
        return sum(e["event"] == event for e in events(run.ledger))
    except RunError:
        return 0


def finished(run: RunDir) -> dict[int, list]:
    """Return the epochs of the trials that have ended, by number."""
    return {t.number: t.history for t in trials(run.ledger) if t.state != "running"}


def lost(run: RunDir) -> int:
    """Return the most epochs that a running trial has told of beyond its newest checkpoint."""
    running = [t for t in trials(run.ledger) if t.state == "running"]
    saved = {t.number: max((int(p.name) for p in run.checkpoints(t.number).glob("[0-9]*")), default=0) for t in running}
    return max((len(t.history) - saved[t.number] for t in running), default=0)


def one_line(command: Command) -> str:
    """Return the one line that a command said; fail if it said more, or showed a traceback."""
    assert "Traceback" not in command.err, command.err
    lines = [line for line in command.err.splitlines() if line.strip()]
    assert len(lines) == 1, command.err
    return lines[0]


def refused(answer: tuple[int, str, str], code: str) -> str:
    """Return the line of a refusal; fail if it is none, or more than one."""
    status, _, err = answer
    (line,) = [line for line in err.splitlines() if line.startswith("error[")]
    assert line.startswith(f"error[{code}]") and status == int(code[1]) and "Traceback" not in err, err
    return line
