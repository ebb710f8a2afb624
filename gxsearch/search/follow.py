"""Follow: a process beside a search, which sends a tracker what the ledger tells: python -m gxsearch.search.follow.

The search never waits for it but at its very end, and nothing that happens here reaches it: the ledger is the queue,
which is on the disk, so that no server that is slow, down or full costs memory, and what was missed is sent later.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from gxsearch.results.ledger import parse
from gxsearch.results.run_dir import RunDir
from gxsearch.search.notes import METRICS, Notes
from gxsearch.search.tracker import Piece, Refused, Results, Tracker, make

POLL_S = 0.5
ORPHAN_S = 10.0
"""Seconds that it may go on when the search's process has gone without a word."""
PAUSE_S = (1.0, 30.0)
"""Seconds after a failure, the first and the longest; half a second once the search waits."""
_AT_ONCE = 1 << 20


class Orders(threading.Thread):
    """Hears from the search's process that the search has ended, or that it is gone."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.state: str | None = None
        self.came = threading.Event()

    def run(self) -> None:
        """Read standard input to its end; then there is not long to live."""
        for line in sys.stdin:
            self.state = line.strip()
            self.came.set()
        self.state = self.state or "interrupted"
        self.came.set()
        time.sleep(ORPHAN_S)
        os.killpg(os.getpid(), signal.SIGKILL)  # with what the tracker's library started


class Follower:
    """Sends one search to one tracker."""

    def __init__(self, run: RunDir, name: str, asked: str, uri: str):
        self._run, self._name, self._asked, self._uri = run, name, asked, uri
        self._tracker: Tracker | None = None
        self._pieces: dict[int, Piece] = {}
        self._since: dict[int, int] = {}
        self._at = 0
        self._refused: dict[str, str] = {}
        self.problem = ""

    def step(self, state: str | None) -> bool:
        """Send what there is now; return whether that was all, and the search has ended.

        Raises:
            Exception: whatever the tracker's library raises.
        """
        if self._tracker is None:
            self._open()
        while self._read():
            self._send()
        self._send()  # what was judged meanwhile
        if state is None:
            return False
        if state == "done" and not self._notes["results"]:
            self._try("results", lambda: self._tracker.results(_results(self._run)))
            self._notes.add(results=True)
        self._tracker.close(state)
        return True

    def report(self, *, closed: bool) -> dict[str, Any]:
        """Return what is known of what was sent."""
        notes = self._notes if self._tracker is not None else {"ended": 0, "results": False}
        told = {"ended": notes["ended"] or 0, "results": bool(notes["results"]), "closed": closed}
        return {**told, "problem": self.problem, "refused": self._refused}

    def _open(self) -> None:
        self._notes = Notes(self._run.track / f"{self._name}.jsonl", self._asked, self._uri)
        self._at = self._notes["at"] or 0
        tracker = make(self._name, self._uri, self._run.facts(), self._notes)
        tracker.open()
        self._tracker = tracker

    def _read(self) -> bool:
        """Take news from the ledger; return whether there are any."""
        with open(self._run.ledger, "rb") as file:
            if os.fstat(file.fileno()).st_size < self._at:
                self._at = 0  # a machine that went down has lost its last lines
            file.seek(self._at)
            data = file.read(_AT_ONCE)
        data = data[: data.rfind(b"\n") + 1]
        for event in _events(data):
            piece = self._pieces.setdefault(event["trial"], Piece(event["trial"]))
            self._since.setdefault(event["trial"], self._at)
            _add(piece, event)
        self._at += len(data)
        return bool(data)

    def _send(self) -> None:
        """Send all but the epochs that the search has not judged yet: it may find that they do not count."""
        ended, before = self._notes["ended"] or 0, (self._notes["ended"], self._notes["at"])
        try:
            for number in list(self._pieces):
                now, later = self._pieces[number].divided(self._judged(number))
                if not now.empty:
                    self._try(f"trial {number}", lambda piece=now: self._tracker.send(piece))
                    ended += now.ended is not None
                self._pieces[number] = later
                if later.empty:
                    del self._pieces[number], self._since[number]
        finally:
            at = min(self._since.values(), default=self._at)
            if (ended, at) != before:
                self._notes.add(at=at, ended=ended, results=False)

    def _judged(self, number: int) -> int:
        """Return how many epochs of a trial were judged: the lines that the scribe wrote of it."""
        path = self._run.trial(number) / METRICS
        return path.read_bytes().count(b"\n") if path.is_file() else 0

    def _try(self, what: str, send: Callable[[], None]) -> None:
        try:
            send()
        except Refused as error:
            self._refused[what] = one_line(error)


def _events(data: bytes) -> Iterator[dict[str, Any]]:
    """Yield the events of trials; a damaged line is the business of whoever reads the ledger in earnest."""
    for line in data.splitlines():
        event = parse(line)
        if event is not None and event["event"] in ("trial_created", "epoch", "trial_ended"):
            yield event


def _add(piece: Piece, event: dict[str, Any]) -> None:
    at = datetime.fromisoformat(event["time"]).timestamp()
    if event["event"] == "trial_created":
        piece.created = (event["params"], event["seed"], at)
    elif event["event"] == "epoch":
        piece.epochs.append((event["epoch"], event["metrics"], at))
    else:
        piece.ended = (event, at)


def _results(run: RunDir) -> Results:
    from gxsearch.results import leaderboard  # a second that only the end of a search takes

    best = leaderboard.best(run)
    metric = run.facts()["spec"]["objective"]["metric"]
    folders = {"best": run.best} if run.best.is_dir() else {}
    files = [path for path in (run.report, run.leaderboard, run.spec) if path.is_file()]
    return Results(best.number, best.params, {metric: best.best, **leaderboard.scores(run)}, folders, files)


def one_line(error: BaseException) -> str:
    """Return an error as text of one line that is not long."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return text if len(text) <= 200 else f"{text[:197]}..."


def follow(follower: Follower, orders: Orders, say: Callable[[dict[str, Any]], None]) -> None:
    """Send until the search has ended and all is sent; what the tracker fails at is tried again."""
    pause = PAUSE_S[0]
    while True:
        state = orders.state  # before looking, so that nothing that came before it is missed
        try:
            closed = follower.step(state)
            follower.problem, pause = "", PAUSE_S[0]
            say(follower.report(closed=closed))
            if closed:
                return
            orders.came.wait(POLL_S)
        except Exception as error:  # noqa: BLE001 - libraries of strangers raise anything; told, and tried again
            follower.problem = one_line(error)
            say(follower.report(closed=False))
            if state is None:
                orders.came.wait(pause)
                pause = min(2 * pause, PAUSE_S[1])
            else:
                time.sleep(POLL_S)


def _teller(out: TextIO) -> Callable[[dict[str, Any]], None]:
    """Return what writes a line wherever it is not the same as the last one."""
    last: list[str] = []

    def tell(told: dict[str, Any]) -> None:
        line = json.dumps(told)
        if last != [line]:
            last[:] = [line]
            out.write(line + "\n")

    return tell


def main() -> None:
    """Follow the search in a folder, until its process says that it has ended."""
    folder, name, asked, uri = sys.argv[1:5]
    os.nice(10)  # the trials go first
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)  # they mean the search, which says when it ends
    out = os.fdopen(os.dup(1), "w", buffering=1)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    orders = Orders()
    orders.start()
    follow(Follower(RunDir(Path(folder)), name, asked, uri), orders, _teller(out))
    os._exit(0)  # libraries leave threads that would wait for a server


if __name__ == "__main__":
    main()
