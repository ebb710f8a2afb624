"""Order: makes a parallel search repeatable by taking results in the order of a simulated clock.

Trials that run side by side finish in an order that depends on the machine, and both the sampler and the scheduler
look at what has finished. Here every epoch of a trial lasts its estimated cost on a simulated clock; results are
judged in the order of that clock, whenever they really arrive. A trial is free to run ahead of the clock; what it
ran beyond the epoch at which it is stopped does not count. The clock waits for results, never the other way round,
so the price is a slot that idles where the estimate is wrong.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from gxsearch.training.course import is_last

Metrics = dict[str, float]


@dataclass
class Running:
    """A trial between its creation and its end on the clock."""

    number: int
    start: float
    cost: float
    epochs: int
    arrived: list[Metrics] = field(default_factory=list)
    judged: int = 0
    ending: tuple[str, str] | None = None

    @property
    def due(self) -> tuple[float, int]:
        """When its next result is to be judged."""
        return self.start + (self.judged + 1) * self.cost, self.number


@dataclass(frozen=True)
class Judged:
    """One step of the clock: an epoch that was judged, or the end of a trial."""

    trial: int
    epoch: int
    metrics: Metrics | None
    state: str | None
    reason: str = ""


class Order:
    """The clock of a search with a number of slots; a trial has `epochs` epochs, or says which is its last."""

    def __init__(self, slots: int, epochs: int, keep_on: Callable[[int, Metrics], bool]):
        self._free = [0.0] * slots  # a heap: when each free slot became so
        self._due: list[tuple[float, int]] = []  # a heap: `due` of every running trial, and of some that have ended
        self._epochs = epochs
        self._keep_on = keep_on
        self.closed = False
        self.running: dict[int, Running] = {}

    def close(self) -> None:
        """Create no more trials."""
        self.closed = True

    def may_create(self) -> bool:
        """Say whether a slot is free on the clock."""
        return bool(self._free) and not self.closed

    def create(self, number: int, cost: float, epochs: int | None = None) -> None:
        """Start a trial in the slot that was free first; it may have fewer epochs than others."""
        epochs = self._epochs if epochs is None else epochs
        self.running[number] = Running(number, heapq.heappop(self._free), cost, epochs)
        heapq.heappush(self._due, self.running[number].due)

    def arrive(self, number: int, metrics: Metrics) -> bool:
        """Take a result; return False for one that is known already, or that came after the trial's end."""
        trial = self.running.get(number)
        if trial is None or metrics["epoch"] <= len(trial.arrived):
            return False
        assert metrics["epoch"] == len(trial.arrived) + 1, f"trial {number}: {metrics['epoch']} came out of turn"
        trial.arrived.append(metrics)
        return True

    def finish(self, number: int, state: str, reason: str) -> None:
        """Take note that a trial has really ended without a last epoch: diverged, failed."""
        if number in self.running:
            self.running[number].ending = (state, reason)

    def advance(self) -> Iterator[Judged]:
        """Judge all that can be judged now; stops where a new trial has to be created first."""
        while self.running and not self.may_create():
            trial = self._next()
            if trial.judged < len(trial.arrived):
                yield from self._judge(trial)
            elif trial.ending is not None:
                yield self._end(trial, *trial.ending)
            else:
                return

    def cut(self, reason: str) -> Iterator[Judged]:
        """End all running trials where they are."""
        self.close()
        for trial in sorted(self.running.values(), key=lambda t: t.number):
            while trial.judged < len(trial.arrived):
                trial.judged += 1
                yield Judged(trial.number, trial.judged, trial.arrived[trial.judged - 1], None)
            yield self._end(trial, "stopped", reason)

    def _next(self) -> Running:
        """Return the trial whose next result is to be judged first."""
        while self._due[0][1] not in self.running:
            heapq.heappop(self._due)
        return self.running[self._due[0][1]]

    def _judge(self, trial: Running) -> Iterator[Judged]:
        metrics = trial.arrived[trial.judged]
        trial.judged += 1
        heapq.heapreplace(self._due, trial.due)
        keep_on = self._keep_on(trial.number, metrics)
        yield Judged(trial.number, trial.judged, metrics, None)
        if is_last(metrics, trial.epochs) or trial.judged >= trial.epochs:
            yield self._end(trial, "complete", "")
        elif not keep_on:
            yield self._end(trial, "stopped", f"early, at epoch {trial.judged}")

    def _end(self, trial: Running, state: str, reason: str) -> Judged:
        at, _ = trial.due
        heapq.heappush(self._free, at - trial.cost)
        del self.running[trial.number]
        return Judged(trial.number, trial.judged, None, state, reason)
