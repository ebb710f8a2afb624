"""Liaison: what Ray Tune asks and tells, handed to the referee of the search that it serves."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from gxsearch.search.disk import Room
from gxsearch.search.referee import Referee, Standing
from gxsearch.search.watchdog import STALLED
from gxsearch.training.course import is_last

if TYPE_CHECKING:
    from gxsearch.search.fleet import Fleet

RETRIES = 2
"""How often a trial whose process was lost goes on from its checkpoint."""
PREEMPTIONS = 20
"""How often it does so besides where its machine was taken away with notice, as cheap ones of a cloud are."""


@dataclass
class Stage:
    """A search that a fleet serves.

    Attributes:
        referee: decides. room: looks at its disk.
        config: makes of a draw what its actor is handed.
        begin: is called when its first trial starts, which `begun` tells.
        numbers: which of Tune's trials is which of ours.
    """

    referee: Referee
    room: Room
    config: Callable[[Standing], dict[str, Any]]
    begin: Callable[[], None] = lambda: None
    begun: bool = False
    numbers: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.unfinished = self.referee.unfinished

    @property
    def trainer(self) -> bool:
        """Whether trials train under a TorchTrainer."""
        return self.referee.spec.resources.backend == "trainer"


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
        self._fleet.thrift.over(trial)

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


class Starts(tune.Callback):
    """Tells of the first start of a trial, and counts the new ones."""

    def __init__(self, fleet: Fleet):
        self._fleet = fleet
        self._again: Counter[str] = Counter()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tell that the search has begun."""
        stage = self._fleet.stage
        if not stage.begun:
            stage.begun = True
            stage.begin()

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """End a trial whose machine was taken away too often: for Tune, these are no failures, and have no limit."""
        stage = self._fleet.stage
        self._again[trial.trial_id] += 1
        taken = self._again[trial.trial_id] - trial.num_failures
        if taken > PREEMPTIONS:
            number = stage.numbers[trial.trial_id]
            stage.referee.ended(number, "failed", f"its machine was taken away {taken} times")
