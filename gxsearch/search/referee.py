"""Referee: the one place where a search is decided: what is drawn, what counts, who is stopped, what is written."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from gxsearch.errors import RunError
from gxsearch.models import registry
from gxsearch.results import mirror, shelf
from gxsearch.results.ledger import Ledger
from gxsearch.results.run_dir import RunDir
from gxsearch.search.judge import Judge
from gxsearch.search.order import Judged, Metrics, Order
from gxsearch.search.spec import Spec
from gxsearch.search.study import Study
from gxsearch.search.weights import unneeded
from gxsearch.training.course import Course
from gxsearch.training.loop import derive

ALIKE = 5
"""Trials that fail alike, with none that does better, before a search is given up."""


@dataclass
class Standing:
    """A trial as the referee sees it; all is of judged epochs only.

    `epochs` counts them and `seconds` adds them up; of a trial that has ended, `history` keeps its last epoch
    and `final` the objectives at its best one.
    """

    number: int
    params: dict[str, Any]
    seed: int
    history: list[Metrics] = field(default_factory=list)
    state: str = "running"
    reason: str = ""
    epochs: int = 0
    seconds: float = 0.0
    final: list[float] | None = None

    def add(self, metrics: Metrics) -> None:
        """Take an epoch."""
        self.history.append(metrics)
        self.epochs += 1
        self.seconds += metrics["time/epoch_s"]

    @property
    def best(self) -> float | None:
        """The objective at the best judged epoch."""
        return self.history[-1]["best"] if self.history else None

    @property
    def may_win(self) -> bool:
        """Whether it has a judged epoch, and neither failed nor diverged."""
        return self.best is not None and self.state not in ("failed", "diverged")

    @property
    def best_epoch(self) -> int:
        """The best judged epoch; 0 before the first."""
        return int(self.history[-1]["best_epoch"]) if self.history else 0

    def values(self, also: Iterable[str]) -> list[float] | None:
        """Return the objective, and others, at the best judged epoch; None where one of them has no finite value."""
        if self.final is not None:
            return self.final
        told = next((m for m in self.history if int(m["epoch"]) == self.best_epoch), {})
        found = [self.best, *(told.get(metric) for metric in also)]
        return None if any(value is None or not math.isfinite(value) for value in found) else found


class Referee:
    """Runs the rules of a search over results that come from anywhere: Ray, a ledger, a test."""

    def __init__(self, spec: Spec, run: RunDir, slots: int, cost: Callable[[dict[str, Any]], float]):
        self.spec, self.run = spec, run
        self.study, self.judge, self.cost = Study(spec, run.journal), Judge(spec), cost
        self.order = Order(slots, spec.budget.epochs, self._keep_on)
        self.trials: dict[int, Standing] = {}
        self.watchers: list[Callable[[str, Standing], None]] = []
        self._ledger: Ledger | None = None
        self._decided: dict[int, dict[str, Any]] = {}
        self.endings: Counter[tuple[str, str]] = Counter()
        """How many trials have ended, by state and, if they failed, reason."""
        self._shelved: list[Standing] = []
        """The trials that have ended, but for those whose weights are gone."""
        self.leader: Standing | None = None
        """The best trial so far, running ones included."""
        limits = [n for n in (spec.budget.trials, self.study.size) if n is not None]
        self.limit = min(limits) if limits else None

    def record(self, ledger: Ledger) -> None:
        """Write to this ledger from here on; before, in a replay, events are known already.

        An ending that follows from the ledger's last epochs, but had not been written, is written now.
        """
        self._ledger = ledger
        for trial in self.trials.values():
            if trial.state != "running" and trial.number not in self._decided:
                self._write_end(trial)
                self._prune(trial)
        self._prune_ended()

    def create(self, known: dict[str, Any] | None = None) -> Standing | None:
        """Draw the next trial, or None while no slot is free or when there are enough."""
        number = len(self.trials)
        if self.limit is not None and number >= self.limit:
            self.order.close()
        if not self.order.may_create():
            return None
        params = self.study.ask(number, known)
        trial = Standing(number, params, self._seed(number))
        self.trials[number] = trial
        self._write("trial_created", durable=True, trial=number, params=params, seed=trial.seed)
        self.judge.add(number, params)
        self.order.create(number, self.cost(params), self._last(number))
        self._tell("created", trial)
        return trial

    def _seed(self, number: int) -> int:
        """Return the seed of a trial; of draws that are repeated, that of the repetition."""
        n = self.spec.search.repeats
        drawn = ("trial", number) if n == 1 else ("repeat", number % n)
        return derive(self.spec.search.seed, *drawn) % 2**31

    def _last(self, number: int) -> int:
        """Return the last epoch of a trial."""
        until, place = self.spec.search.until, number // self.spec.search.repeats
        return min(self.spec.budget.epochs, until[place]) if place < len(until) else self.spec.budget.epochs

    def enough(self) -> bool:
        """Whether no further trial will be created; that is so too once the first ones have all failed alike."""
        if (self.limit is not None and len(self.trials) >= self.limit) or self._hopeless():
            self.order.close()
        return self.order.closed

    def _hopeless(self) -> bool:
        failed = [n for (state, _), n in self.endings.items() if state == "failed"]
        return len(self.endings) == 1 and sum(failed) >= ALIKE

    def result(self, number: int, metrics: Metrics) -> None:
        """Take an epoch's metrics; they are on disk when this returns."""
        if metrics.get("saved") and (far := mirror.of(self.run.path)):
            far.note(self.run.checkpoints(number), int(metrics["epoch"]))
        if self.over(number):  # it ran on until word reached it, and may have saved meanwhile
            self._prune(self.trials[number])
        elif self.order.arrive(number, metrics):
            fields = {k: v for k, v in metrics.items() if k != "epoch"}
            self._write("epoch", trial=number, epoch=int(metrics["epoch"]), metrics=fields)
            self._apply(self.order.advance())

    def ended(self, number: int, state: str, reason: str) -> None:
        """Take note that a trial has really ended without reaching its last epoch."""
        self.order.finish(number, state, reason)
        self.advance()

    def advance(self) -> None:
        """Judge what can be judged; to be called after a creation."""
        self.enough()
        self._apply(self.order.advance())

    def told(self, number: int) -> int:
        """Return the epoch that a running trial has told of last."""
        return len(self.order.running[number].arrived)

    def over(self, number: int) -> bool:
        """Whether a trial has ended on the clock; it may still be running in fact."""
        return number not in self.order.running

    def cut(self, reason: str) -> None:
        """End the search: running trials count as stopped where they are."""
        self._apply(self.order.cut(reason))

    @property
    def done(self) -> bool:
        """Whether every trial that will be has ended."""
        return self.enough() and not self.order.running

    @property
    def unfinished(self) -> list[Standing]:
        """Trials left to train; of others a ledger tells the end, and only the clock has to get there."""
        return [self.trials[number] for number in sorted(self.order.running) if number not in self._decided]

    def decided(self, endings: dict[int, dict[str, Any]]) -> None:
        """Hold to these endings, by trial, that a ledger tells of."""
        self._decided = endings

    def _keep_on(self, number: int, metrics: Metrics) -> bool:
        keep_on = self.judge.keep_on(number, metrics)
        ending = self._decided.get(number)
        return keep_on if ending is None else metrics["epoch"] < ending["epochs"] or ending["state"] != "stopped"

    def _apply(self, steps: Iterable[Judged]) -> None:
        for step in steps:
            trial = self.trials[step.trial]
            if step.metrics is not None:
                trial.add(step.metrics)
                self.study.report(trial.number, step.metrics[self.spec.objective.metric], step.epoch)
                self._tell("epoch", trial)
            if step.state is not None:
                self._close(trial, step)
            self._lead(trial)
            self._prune(trial)
            if step.state is not None:
                self._prune_ended()

    def _lead(self, trial: Standing) -> None:
        """See whether a trial is the best one now; to look at all of them at each epoch would take long."""
        sign = 1 if self.spec.objective.mode == "min" else -1
        if trial.may_win:
            self.leader = min(filter(None, (self.leader, trial)), key=lambda t: (sign * t.best, t.number))
        elif trial is self.leader:
            able = (other for other in self.trials.values() if other.may_win)
            self.leader = min(able, key=lambda t: (sign * t.best, t.number), default=None)

    def _close(self, trial: Standing, step: Judged) -> None:
        known = self._decided.get(trial.number)
        reason = self._why_complete(trial) if step.state == "complete" else step.reason
        trial.state, trial.reason = (known["state"], known["reason"]) if known else (step.state, reason)
        self.judge.remove(trial.number, trial.history[-1] if trial.history else None)
        trial.final = trial.values(one.metric for one in self.spec.also)
        self.study.tell(trial.number, trial.state, trial.final, trial.reason)
        if known is None:
            self._write_end(trial)
        self.endings[trial.state, trial.reason if trial.state == "failed" else ""] += 1
        self._tell("ended", trial)
        self._shelved.append(trial)
        del trial.history[:-1]  # the ledger has them; those of ten thousand trials would fill the memory

    def _why_complete(self, trial: Standing) -> str:
        """Return what ended a training by itself: it follows from the objective's course; empty at full length."""
        kind, configs = registry.get(self.spec.model), self.spec.space.configs(trial.params)
        epochs, objective = self.spec.budget.epochs, self.spec.objective
        warmup = kind.rhythm(kind.Config(**configs["model"])).warmup_epochs(epochs)
        course = Course(kind.Train(**configs["train"]), objective.mode, epochs, warmup)
        for metrics in trial.history:
            course.see(int(metrics["epoch"]), metrics[objective.metric])
        return course.ending or ""

    def _write_end(self, trial: Standing) -> None:
        self._write(
            "trial_ended",
            durable=True,
            trial=trial.number,
            state=trial.state,
            epochs=trial.epochs,
            best=trial.best,
            best_epoch=trial.best_epoch,
            reason=trial.reason,
            seconds=round(trial.seconds, 3),
        )

    def _prune(self, trial: Standing) -> None:
        """Delete checkpoints that nothing will ask for: all but the best, the newest and those yet to be judged."""
        if self._ledger is None:
            return
        saved = shelf.saved(self.run, trial.number)
        for epoch in saved:
            needed = trial.state == "running" and (epoch == saved[-1] or epoch > trial.epochs)
            if epoch != trial.best_epoch and not needed:
                shelf.drop(self.run, trial.number, epoch)

    def _prune_ended(self) -> None:
        """Delete the weights of ended trials that better ones have pushed out."""
        if self._ledger is None:
            return
        gone = {trial.number for trial in unneeded(self.spec, self._shelved)}
        for number in gone:
            for epoch in shelf.saved(self.run, number):
                shelf.drop(self.run, number, epoch)
        self._shelved = [trial for trial in self._shelved if trial.number not in gone]

    def _write(self, event: str, *, durable: bool = False, **fields: Any) -> None:
        if self._ledger is not None:
            self._ledger.append(event, durable=durable, **fields)

    def _tell(self, what: str, trial: Standing) -> None:
        if self._ledger is not None and trial.number not in self._decided:  # of those, earlier starts have told
            for watcher in self.watchers:
                watcher(what, trial)


def replay(referee: Referee, events: list[dict[str, Any]]) -> None:
    """Bring a fresh referee to where a ledger ends: the same draws, judgments and endings."""
    referee.decided({event["trial"]: event for event in events if event["event"] == "trial_ended"})
    for event in events:
        kind = event["event"]
        if kind == "trial_created":
            trial = referee.create(known=event["params"])
            if trial is None or trial.number != event["trial"]:
                raise RunError.one("E612", str(referee.run.ledger), f"event {event['seq']} is out of turn")
            referee.advance()
        elif kind == "epoch":
            referee.result(event["trial"], {**event["metrics"], "epoch": event["epoch"]})
        elif kind == "trial_ended" and not referee.over(event["trial"]):
            referee.ended(event["trial"], event["state"], event["reason"])
