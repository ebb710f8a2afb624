"""Tracking: starts a process for each tracker beside a search, and tells in a line what one was not sent."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from gxsearch.errors import GxError
from gxsearch.results.far import shown
from gxsearch.results.ledger import trials
from gxsearch.results.run_dir import RunDir
from gxsearch.search.notes import target_of
from gxsearch.search.sections import TRACKERS, Track
from gxsearch.search.stopped import Interrupted
from gxsearch.search.track import odd_target

_MILD = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # the follower tries again itself, and has no more time than it is given
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_SILENT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
"""What the trackers' libraries are told, where the user's environment says nothing else."""
_SQLITE = re.compile(r"sqlite:///(?![/])(.+)")


class Sender:
    """The process that follows a search for one tracker, as the search sees it."""

    def __init__(self, run: RunDir, name: str, asked: str):
        before = target_of(_notes(run, name))
        file = before is not None and before[0] == asked and _SQLITE.fullmatch(asked)
        uri = before[1] if file else _absolute(asked)  # only a file may be elsewhere than it is asked for
        self.name, self.uri, self.told = name, uri, {"ended": 0, "results": False, "closed": False, "refused": {}}
        command = [sys.executable, "-m", "gxsearch.search.follow", str(run.path), name, asked, uri]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        # a session of its own: Ctrl-C means the search, and what its library starts is ended with it
        self._process = subprocess.Popen(
            command, env={**_MILD, **os.environ}, text=True, start_new_session=True, **pipes
        )
        self._reader = threading.Thread(target=self._hear, daemon=True)
        self._reader.start()

    def end(self, state: str) -> None:
        """Say that the search has ended: done, interrupted or failed."""
        try:
            self._process.stdin.write(f"{state}\n")
            self._process.stdin.flush()
        except OSError:  # it was killed, which `problem` tells
            return

    def wait(self, seconds: float) -> None:
        """Give it time to send the rest; then end it, and all that its library started."""
        try:
            self._process.wait(timeout=max(0.0, seconds))
            self._reader.join(timeout=1)
        except subprocess.TimeoutExpired:
            return

    def stop(self) -> None:
        """End what is left of it."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(timeout=1)

    @property
    def problem(self) -> str:
        """Why not all was sent, in a few words; empty where all was."""
        if self.told["closed"]:
            return next((f"{what}: {why}" for what, why in self.told["refused"].items()), "")
        if self.told.get("problem"):
            return self.told["problem"]
        return "it is slow, or does not answer" if self._process.poll() is None else "its process was ended"

    def _hear(self) -> None:
        for line in self._process.stdout:
            self.told = json.loads(line)


class Trackers:
    """The trackers of a search; whatever becomes of them, the search goes on as if there were none."""

    def __init__(self, say: Callable[[str], None]):
        self._say, self._senders, self._run = say, [], None
        self._patience_s, self._where = 0.0, ""

    def follow(self, run: RunDir, track: Track) -> None:
        """Begin to send a search, whose folder this process holds, also to where an earlier start of it sent to.

        Raises:
            UnsafeError: E805 when the folder names an address with a password.
        """
        earlier = {name: found[0] for name in TRACKERS if (found := target_of(_notes(run, name)))}
        earlier = {name: asked for name, asked in earlier.items() if odd_target(name, asked) is None}
        self._run, self._patience_s = run, track.patience_s
        self._where = shown(run.outermost)  # now: the folder may be gone when it is to be told
        for name, asked in {**earlier, **track.targets}.items():
            try:
                self._senders.append(Sender(run, name, asked))
                self._say(f"sent to {name}: {self._senders[-1].uri}")
            except OSError as error:
                self._warn(f"nothing is sent to {name}: no process for it ({error.strerror})")

    def __enter__(self) -> Trackers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stopped = isinstance(error, KeyboardInterrupt | Interrupted)
        state = "done" if kind is None else "interrupted" if stopped else "failed"
        try:
            for sender in self._senders:
                sender.end(state)
            until = time.monotonic() + self._patience_s
            for sender in self._senders:
                sender.wait(until - time.monotonic())
                if problem := sender.problem:
                    self._warn(self._missing(sender, problem, results=kind is None))
        finally:
            for sender in self._senders:
                sender.stop()

    def _missing(self, sender: Sender, problem: str, *, results: bool) -> str:
        told = sender.told
        try:
            lost = sum(trial.state != "running" for trial in trials(self._run.ledger)) - told["ended"]
            lost = max(0, lost)  # a start of a search that was killed may have sent some that it did not note
        except GxError:  # the run folder is gone, or damaged, which the search itself tells
            lost = 0
        refused = sum(what.startswith("trial") for what in told["refused"])
        n = lost + refused
        what = [f"{n} trial{'s' * (n != 1)}"] if n else []
        what += ["the results"] if results and (not told["results"] or "results" in told["refused"]) else []
        what = " and ".join(what) or "how it ended"
        again = "" if told["closed"] else f"; to send it: gxsearch resume {self._where}"
        return f"{sender.name} was not sent {what} ({problem}){again}"

    def _warn(self, text: str) -> None:
        self._say(f"warning: {text}")
        try:
            with open(self._run.log, "a") as file:
                file.write(f"{text}\n")
        except OSError:  # the run folder is gone, or full, which the search itself tells
            return


def _notes(run: RunDir, name: str) -> Path:
    return run.track / f"{name}.jsonl"


def _absolute(asked: str) -> str:
    """Return an address of a file from the root: a search may be gone on with from another folder."""
    found = _SQLITE.fullmatch(asked)
    return f"sqlite:///{Path(found[1]).absolute()}" if found else asked
