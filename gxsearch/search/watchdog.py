"""Watchdog: ends the process of a trial that hangs, so that Ray starts the trial again from its newest checkpoint."""

from __future__ import annotations

import faulthandler
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gxsearch.training.session import Bench

STALLED = "stalled.txt"
"""In the folder of a trial: where each of its threads stood when it was ended."""
_TIMES = 20
"""A batch that takes this many times as long as any before it hangs, but never before `stall_s`."""


class Watchdog:
    """Sees whether batches go on being cut.

    Until the first batch it waits ten times as long: a view is fitted, or other ranks are met.
    """

    def __init__(self, folder: Path, stall_s: float):
        self._folder, self._stall_s = folder, stall_s
        self._seen, self._at, self._longest = 0, time.monotonic(), 0.0
        (folder / STALLED).unlink(missing_ok=True)

    def begin(self) -> None:
        """Begin to wait: what was before, such as the time between two epochs, does not count."""
        self._at = time.monotonic()

    def look(self, pulse: int) -> None:
        """Compare the number of batches with that of the last look; end this process if it has not moved for long."""
        now = time.monotonic()
        waited = now - self._at
        if pulse != self._seen:
            self._longest = max(self._longest, waited) if self._seen else self._longest
            self._seen, self._at = pulse, now
        elif waited > self.limit_s:
            self._end(waited)

    @property
    def limit_s(self) -> float:
        """The seconds that may pass without a batch."""
        return max(self._stall_s, _TIMES * self._longest) if self._seen else 10 * self._stall_s

    def _end(self, waited: float) -> None:
        with open(self._folder / STALLED, "w") as file:
            file.write(f"no batch for {waited:.0f} s; where each thread stood:\n\n")
            file.flush()
            faulthandler.dump_traceback(file, all_threads=True)
        os._exit(1)  # the thread that hangs cannot be ended otherwise


class Watch:
    """Looks every second, in a thread, while the training goes on."""

    def __init__(self, watchdog: Watchdog, bench: Bench):
        self._watchdog, self._bench = watchdog, bench
        self._on, self._over = threading.Event(), threading.Event()
        self._on.set()
        threading.Thread(target=self._look, daemon=True).start()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Look away: the training waits for an answer."""
        self._on.clear()
        yield
        self._watchdog.begin()
        self._on.set()

    def end(self) -> None:
        """Look no more."""
        self._over.set()

    def _look(self) -> None:
        while not self._over.wait(1.0):
            if self._on.is_set():
                self._watchdog.look(self._bench.pulse)
