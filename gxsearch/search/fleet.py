"""Fleet: Ray Tune's controller and the actors of its trials, which serve one search after the other."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import ray
from ray import tune
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Experiment
from ray.tune.search import ConcurrencyLimiter, SearchGenerator

from gxsearch.data.table import Table
from gxsearch.search.liaison import RETRIES, Draws, Stage, Starts, Verdicts
from gxsearch.search.rank import Place
from gxsearch.search.refit import place_of
from gxsearch.search.spec import Spec
from gxsearch.search.thrift import Thrift
from gxsearch.search.trial import Given, GxTrial, TrainerTrial

HEAD = "node:__internal_head__"
PATIENCE_S = 3.0
"""Seconds that trials which ran ahead of the end of a search have for their epoch, before their processes are ended."""


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
        del self._controller, self.thrift
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
            callbacks=[Starts(self)],
            storage=experiment.storage,
            reuse_actors=True,
        )
        search.add_configurations([experiment])
        self.thrift = Thrift(self._controller)
        self.thrift.keep_actors(request, slots)
        self._kind = kind

    def _settled(self) -> bool:
        """Have trials that ran ahead end with their epoch; return whether they have, and actors hold nothing."""
        until = time.monotonic() + PATIENCE_S
        while self._live() and time.monotonic() < until:
            self._controller.step()
        if self._live():
            return False
        self.thrift.rest()
        return True

    def _live(self) -> bool:
        """Whether a trial still runs; where none does, and none is drawn, a step of Tune's would wait for one."""
        return any(not trial.is_finished() for trial in self._controller.get_live_trials())


def _asked(spec: Spec) -> tuple[type[GxTrial], tune.PlacementGroupFactory]:
    """Return what trains a draw, and what its actor asks of Ray."""
    place = place_of(spec)
    if spec.resources.backend == "trainer":  # Ray Train places the workers; their trial's actor is on the head
        return TrainerTrial, tune.PlacementGroupFactory([{HEAD: 0.001}])
    bundle = {"CPU": place.cpus, **({"GPU": place.gpus} if place.gpus else {})}
    return GxTrial, tune.PlacementGroupFactory([bundle] * place.world_size)
