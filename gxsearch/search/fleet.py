"""Fleet: Ray Tune's controller and the actors of its trials, which serve one search after the other."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ray
from ray import tune
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Experiment
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import ConcurrencyLimiter, Searcher, SearchGenerator

from gxsearch.data.table import Table
from gxsearch.search.disk import Room
from gxsearch.search.rank import Place
from gxsearch.search.referee import Referee, Standing
from gxsearch.search.refit import place_of
from gxsearch.search.spec import Spec
from gxsearch.search.thrift import Thrift
from gxsearch.search.trial import Given, GxTrial, TrainerTrial
from gxsearch.search.watchdog import STALLED
from gxsearch.training.course import is_last

RETRIES = 2
"""How often a trial whose process was lost goes on from its checkpoint."""
PREEMPTIONS = 20
"""How often it does so besides where its machine was taken away with notice, as cheap ones of a cloud are."""
HEAD = "node:__internal_head__"
PATIENCE_S = 3.0
"""Seconds that trials which ran ahead of the end of a search have for their epoch, before their processes are ended."""


@dataclass
class Stage:
    """A search that a fleet serves: who decides, what a draw becomes, and which of Tune's trials is which of ours."""

    referee: Referee
    room: Room
    config: Callable[[Standing], dict[str, Any]]
    numbers: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.unfinished = self.referee.unfinished

    @property
    def trainer(self) -> bool:
        """Whether trials train under a TorchTrainer."""
        return self.referee.spec.resources.backend == "trainer"


class Fleet:
    """Serves searches; what they share is started once, as long as they ask for the same resources.

    `tune.run` ends its actors with its search, and those of the next one import for five seconds what these have
    imported, where a small search takes less. Its event loop is here for that, without what it writes and prints.
    """

    def __init__(self) -> None:
        self.stage: Stage | None = None
        self._kind: tuple[Any, ...] | None = None
        self._shared: tuple[Table, Any] | None = None

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        self.end()
        self._shared = None

    def given(self, table: Table, place: Place) -> Given:
        """Return what all trials of a search are given, the table once in the object store."""
        if self._shared is None or self._shared[0] is not table:
            self._shared = table, ray.put(table)
        return Given(self._shared[1], place)

    def serve(self, stage: Stage, slots: int, going: Callable[[], bool]) -> None:
        """Train what a search draws as long as `going`, which is asked several times a second, says so.

        Where every trial has ended by then, actors are kept; those still in an epoch soon after that, and all of a
        search that was cut short, are ended.
        """
        self._fit(stage.referee.spec, slots)
        self.stage, kept = stage, False
        try:
            while going():
                self._controller.step()
            kept = stage.referee.done and self._settled()
        except KeyboardInterrupt:
            self._forget()
            raise
        finally:
            if not kept:
                self.end()

    def end(self) -> None:
        """End all actors, if there are any."""
        if self._kind is None:
            return
        try:
            self._controller.search_alg.set_finished()  # else it keeps actors for more
            self._controller.cleanup()
        finally:
            self._forget()

    def _forget(self) -> None:
        self._kind = self.stage = None
        del self._controller, self._thrift
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _fit(self, spec: Spec, slots: int) -> None:
        """Make a controller for what a spec asks of Ray, unless there is one."""
        trainable, request = _asked(spec)
        kind = trainable, request, slots
        if self._kind == kind:
            return
        self.end()
        self._scratch = tempfile.mkdtemp(prefix="gxsearch-")  # Tune's own state, which nothing of ours reads
        experiment = Experiment(
            "search",
            trainable,
            resources_per_trial=request,
            num_samples=sys.maxsize,
            storage_path=self._scratch,
            max_failures=RETRIES,
            trial_dirname_creator=lambda trial: trial.trial_id,
        )
        search = SearchGenerator(ConcurrencyLimiter(Draws(self), max_concurrent=slots))
        self._controller = TuneController(
            search_alg=search,
            scheduler=Verdicts(self),
            callbacks=[Recoveries(self)],
            storage=experiment.storage,
            reuse_actors=True,
        )
        search.add_configurations([experiment])
        self._thrift = Thrift(self._controller)
        self._thrift.keep_actors(request, slots)
        self._kind = kind

    def _settled(self) -> bool:
        """Have trials that ran ahead end with their epoch; return whether they have, and actors hold nothing."""
        until = time.monotonic() + PATIENCE_S
        while self._controller.get_live_trials() and time.monotonic() < until:
            self._controller.step()
        if self._controller.get_live_trials():
            return False
        self._thrift.rest()
        return True


def _asked(spec: Spec) -> tuple[type[GxTrial], tune.PlacementGroupFactory]:
    """Return what trains a draw, and what its actor asks of Ray."""
    place = place_of(spec)
    if spec.resources.backend == "trainer":  # Ray Train places the workers; their trial's actor is on the head
        return TrainerTrial, tune.PlacementGroupFactory([{HEAD: 0.001}])
    bundle = {"CPU": place.cpus, **({"GPU": place.gpus} if place.gpus else {})}
    return GxTrial, tune.PlacementGroupFactory([bundle] * place.world_size)


class Draws(Searcher):
    """Tune's searcher: first what an earlier start left unfinished, then new draws of the referee."""

    def __init__(self, fleet: Fleet):
        super().__init__(metric="best", mode="min")  # which Tune asks for; nothing goes by them
        self._fleet = fleet

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return a draw; None while there is none; Tune's word for the end, where it would else wait for one."""
        stage = self._fleet.stage
        with stage.room.noted():
            trial = stage.unfinished.pop(0) if stage.unfinished else stage.referee.create()
            if trial is not None:
                stage.numbers[trial_id] = trial.number
                stage.referee.advance()
                return stage.config(trial)
        return Searcher.FINISHED if stage.room.lost else None

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        """Take note of a trial whose process was lost more often than it is tried again; `Verdicts` hears the rest."""
        if error:
            stage = self._fleet.stage
            number = stage.numbers[trial_id]
            stalled = stage.referee.run.trial(number) / STALLED
            hung = f", the last time because it hung: see {stalled}" if stalled.exists() else ""
            with stage.room.noted():
                stage.referee.ended(number, "failed", f"its process was lost {RETRIES + 1} times{hung}")


class Verdicts(FIFOScheduler):
    """Tune's scheduler: hands results to the referee and passes its verdicts on."""

    def __init__(self, fleet: Fleet):
        super().__init__()
        self._fleet = fleet
        self._waiting: deque[Any] = deque()

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Take note of a new trial."""
        self._waiting.append(trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Return the first trial that waits for an actor; Tune's own would look at all there ever were."""
        while self._waiting and self._waiting[0].status != "PENDING":
            self._waiting.popleft()
        return self._waiting[0] if self._waiting else None

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Have Tune forget a trial that is over."""
        self._fleet._thrift.over(trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Take a result; stop the trial if it is over on the clock, by itself or by the scheduler."""
        stage = self._fleet.stage
        stage.room.number = result.get("disk", stage.room.number)
        if stage.room.lost:
            return TrialScheduler.STOP
        verdict = TrialScheduler.STOP
        with stage.room.noted():
            verdict = _verdict(stage.referee, stage.numbers[trial.trial_id], result)
        if verdict == TrialScheduler.STOP and stage.trainer:
            trial.temporary_state.ray_actor.rest.remote()
        return verdict


def _verdict(referee: Referee, number: int, result: dict[str, Any]) -> str:
    if "ended" in result:
        referee.ended(number, result["ended"], result["reason"])
        return TrialScheduler.STOP
    metrics = dict(result["metrics"])
    referee.result(number, metrics)
    last = is_last(metrics, referee.spec.budget.epochs)
    return TrialScheduler.STOP if last or referee.over(number) else TrialScheduler.CONTINUE


class Recoveries(tune.Callback):
    """Counts the new starts of trials."""

    def __init__(self, fleet: Fleet):
        self._fleet = fleet
        self._again: Counter[str] = Counter()

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """End a trial whose machine was taken away too often: for Tune, these are no failures, and have no limit."""
        stage = self._fleet.stage
        self._again[trial.trial_id] += 1
        taken = self._again[trial.trial_id] - trial.num_failures
        if taken > PREEMPTIONS:
            number = stage.numbers[trial.trial_id]
            stage.referee.ended(number, "failed", f"its machine was taken away {taken} times")
