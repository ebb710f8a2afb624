"""Tuner: a search on Ray Tune; Tune starts, feeds and stops the trials, the referee decides."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from gxsearch.data.table import Table
from gxsearch.results.run_dir import RunDir
from gxsearch.search.deadline import Deadline
from gxsearch.search.disk import Room
from gxsearch.search.draw import draw_config
from gxsearch.search.orphans import Orphans
from gxsearch.search.referee import Referee, Standing
from gxsearch.search.refit import place_of
from gxsearch.search.spec import Spec
from gxsearch.search.thrift import Mute, Silent, Thrift
from gxsearch.search.trial import GxTrial, TrainerTrial
from gxsearch.search.watchdog import STALLED
from gxsearch.training.course import is_last

RETRIES = 2
"""How often a trial whose process was lost goes on from its checkpoint."""
HEAD = "node:__internal_head__"
PREEMPTIONS = 20
"""How often it does so besides where its machine was taken away with notice, as cheap ones of a cloud are."""


def search(
    spec: Spec,
    run: RunDir,
    table: Table,
    referee: Referee,
    *,
    slots: int,
    deadline: Deadline,
    tick: Callable[[], None],
) -> int | None:
    """Run a search until the referee has seen every trial end, or a signal stops it.

    Needs a connected Ray. `tick` is called several times a second. Returns the number of the signal that stopped
    the search, or None when it is done.

    Raises:
        RunFailed: E711 when the disk is full, E714 when it fails, E713 when the run folder is gone.
    """
    deadline.start()
    trainable, resources = _trainable(spec, table)
    numbers: dict[str, int] = {}
    room = Room(run, slots, lambda: list(referee.order.running))
    config = lambda trial: draw_config(spec, run, trial, referee.told(trial.number))  # noqa: E731
    scratch = tempfile.mkdtemp(prefix="gxsearch-")  # Tune's own state, which nothing of ours reads
    with _stopped_by_signals() as caught, _logged_to(run.log):
        try:
            tune.run(
                trainable,
                name=spec.name,
                num_samples=-1,
                resources_per_trial=resources,
                storage_path=scratch,
                search_alg=Draws(referee, numbers, room, config),
                scheduler=Verdicts(referee, numbers, room, slots),
                stop=Whistle(referee, caught, room),
                callbacks=[Pulse(referee, numbers, deadline, tick), Mute()],
                progress_reporter=Silent(),
                reuse_actors=True,
                max_concurrent_trials=slots,
                max_failures=RETRIES,
                raise_on_failed_trial=False,
                trial_dirname_creator=lambda trial: trial.trial_id,
                verbose=0,
            )
        except KeyboardInterrupt:
            if not caught:
                raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    if not referee.done:
        room.check()
    if not caught and not referee.done:
        caught.append(signal.SIGUSR1)  # Tune takes this one itself, and ends its run as for ours
    return caught[0] if not referee.done else None


def _trainable(spec: Spec, table: Table) -> tuple[Any, tune.PlacementGroupFactory]:
    """Return what trains a draw, and what its actor asks of Ray."""
    place = place_of(spec)
    if spec.resources.backend == "trainer":  # Ray Train places the workers; their trial's actor is on the head
        trainable = tune.with_parameters(TrainerTrial, table=[ray.put(table)], place=place)
        return trainable, tune.PlacementGroupFactory([{HEAD: 0.001}])
    bundle = {"CPU": place.cpus, **({"GPU": place.gpus} if place.gpus else {})}
    return tune.with_parameters(GxTrial, table=table, place=place), tune.PlacementGroupFactory(
        [bundle] * place.world_size
    )


def _not_kept(self: object) -> tuple[type, tuple]:
    """Pickle as nothing: Tune snapshots what it holds, and nothing of ours is ever read back from there."""
    return object, ()


class Draws(Searcher):
    """Tune's searcher: first what an earlier start left unfinished, then new draws of the referee."""

    __reduce__ = _not_kept

    def __init__(
        self, referee: Referee, numbers: dict[str, int], room: Room, config: Callable[[Standing], dict[str, Any]]
    ):
        super().__init__(metric="best", mode=referee.spec.objective.mode)
        self._referee, self._numbers, self._room, self._config = referee, numbers, room, config
        self._unfinished = referee.unfinished

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return a draw, None while no slot is free, or Tune's word for the end."""
        with self._room.noted():
            trial = self._unfinished.pop(0) if self._unfinished else self._referee.create()
            if trial is not None:
                self._numbers[trial_id] = trial.number
                self._referee.advance()
                return self._config(trial)
            return Searcher.FINISHED if self._referee.enough() else None
        return None

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        """Take note of a trial whose process was lost more often than it is tried again; `Verdicts` hears the rest."""
        if error:
            number = self._numbers[trial_id]
            stalled = self._referee.run.trial(number) / STALLED
            hung = f", the last time because it hung: see {stalled}" if stalled.exists() else ""
            with self._room.noted():
                self._referee.ended(number, "failed", f"its process was lost {RETRIES + 1} times{hung}")

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the ledger is what a search is resumed from."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing."""


class Verdicts(FIFOScheduler):
    """Tune's scheduler: hands results to the referee and passes its verdicts on."""

    __reduce__ = _not_kept

    def __init__(self, referee: Referee, numbers: dict[str, int], room: Room, slots: int):
        super().__init__()
        self._referee, self._numbers, self._room, self._slots = referee, numbers, room, slots
        self._thrift: Thrift | None = None
        self._waiting: deque[Any] = deque()

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Take note of a new trial."""
        if self._thrift is None:
            self._thrift = Thrift(tune_controller._tune_controller)
            self._thrift.keep_actors(trial, self._slots)
        self._waiting.append(trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Return the first trial that waits for an actor; Tune's own would look at all there ever were."""
        while self._waiting and self._waiting[0].status != "PENDING":
            self._waiting.popleft()
        return self._waiting[0] if self._waiting else None

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Have Tune forget a trial that is over."""
        self._thrift.over(trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Take a result; stop the trial if it is over on the clock, by itself or by the scheduler."""
        self._room.number = result.get("disk", self._room.number)
        if self._room.lost:
            return TrialScheduler.STOP
        verdict = TrialScheduler.STOP
        with self._room.noted():
            verdict = self._verdict(self._numbers[trial.trial_id], result)
        if verdict == TrialScheduler.STOP and self._referee.spec.resources.backend == "trainer":
            trial.temporary_state.ray_actor.rest.remote()
        return verdict

    def _verdict(self, number: int, result: dict[str, Any]) -> str:
        if "ended" in result:
            self._referee.ended(number, result["ended"], result["reason"])
            return TrialScheduler.STOP
        metrics = dict(result["metrics"])
        self._referee.result(number, metrics)
        last = is_last(metrics, self._referee.spec.budget.epochs)
        return TrialScheduler.STOP if last or self._referee.over(number) else TrialScheduler.CONTINUE


class Whistle(tune.Stopper):
    """Ends Tune's run as soon as the referee has seen every trial end, a signal came, or nothing can be written."""

    __reduce__ = _not_kept

    def __init__(self, referee: Referee, caught: list[int], room: Room):
        self._referee, self._caught, self._room = referee, caught, room

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Stop no single trial: that is the scheduler's."""
        return False

    def stop_all(self) -> bool:
        """Whether the search is over, or is to stop."""
        return self._referee.done or bool(self._caught) or self._room.look()


class Pulse(tune.Callback):
    """Called by Tune in each turn of its event loop: keeps the time budget, the display and the count of new starts."""

    __reduce__ = _not_kept

    def __init__(self, referee: Referee, numbers: dict[str, int], deadline: Deadline, tick: Callable[[], None]):
        self._referee, self._numbers, self._deadline, self._tick = referee, numbers, deadline, tick
        self._again: Counter[str] = Counter()
        self._orphans = Orphans()

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """End the search when its time is up; refresh the display."""
        if self._deadline.over() and not self._referee.done:
            self._referee.cut("time budget")
        if self._referee.spec.resources.backend == "trainer":
            self._orphans.look()
        self._tick()

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """End a trial whose machine was taken away too often: for Tune, these are no failures, and have no limit."""
        self._again[trial.trial_id] += 1
        taken = self._again[trial.trial_id] - trial.num_failures
        if taken > PREEMPTIONS:
            self._referee.ended(self._numbers[trial.trial_id], "failed", f"its machine was taken away {taken} times")


@contextmanager
def _stopped_by_signals() -> Iterator[list[int]]:
    """Take note of SIGINT, SIGTERM and SIGUSR1, which `Whistle` heeds; yields the list of those that came.

    In a thread other than the main one, which Python tells of none, the list stays empty.
    """
    caught: list[int] = []

    def on_signal(number: int, frame: Any) -> None:
        if caught:
            raise KeyboardInterrupt  # the second time: at once
        caught.append(number)

    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    able = threading.current_thread() is threading.main_thread()
    heard = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1) if able else ()
    before = {number: signal.signal(number, on_signal) for number in heard}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _logged_to(path: Path) -> Iterator[None]:
    """Send what Ray logs in this process to a file instead of the terminal."""
    logger, handler = logging.getLogger("ray"), logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    before, logger.handlers, logger.propagate = logger.handlers, [handler], False
    try:
        yield
    finally:
        logger.handlers = before
        handler.close()
