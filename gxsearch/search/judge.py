"""Judge: Ray Tune's early-stopping rules, asked about one result at a time, in the order of the search's clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ray.tune.schedulers import AsyncHyperBandScheduler, MedianStoppingRule, TrialScheduler

from gxsearch.models import registry
from gxsearch.models.base import Rhythm
from gxsearch.search.order import Metrics
from gxsearch.search.spec import Spec
from gxsearch.training.loop import derive


@dataclass(frozen=True)
class _Trial:
    """What Ray's rules want to know of a trial."""

    trial_id: str


class _NoController:
    """Ray's rules ask the controller who waits for a slot; on the clock of the search nobody does."""

    def get_live_trials(self) -> list[Any]:
        """Return no trials."""
        return []


class Judge:
    """Says whether a trial goes on, by its best value so far against those of other trials at the same epoch.

    Asynchronous successive halving (Li et al. 2020), its form with several brackets (Hyperband, Li et al. 2018),
    or the median rule (Golovin et al. 2017). While a model's losses cannot be compared (`Rhythm`), its trials are not
    judged: epochs count from the end of the warm-up, and with cycles only the ends of cycles are looked at.
    """

    def __init__(self, spec: Spec):
        self._spec, self._kind = spec, registry.get(spec.model)
        self._rule = _rule(spec)
        self._trials: dict[int, _Trial] = {}
        self._rhythms: dict[int, Rhythm] = {}
        self._stopped: set[int] = set()

    def add(self, number: int, params: dict[str, Any]) -> None:
        """Take note of a new trial and of its settings, by name."""
        self._trials[number] = _Trial(f"{number:05d}")
        if self._rule is not None:
            config = self._kind.Config(**self._spec.space.configs(params)["model"])
            self._rhythms[number] = self._kind.rhythm(config)
            seed = derive(self._spec.search.seed, "bracket", number) % 2**32
            np.random.seed(seed)  # noqa: NPY002 - the rule draws from it
            self._rule.on_trial_add(_NoController(), self._trials[number])

    def keep_on(self, number: int, metrics: Metrics) -> bool:
        """Judge a trial after an epoch; one that was stopped, and goes on because a ledger says so, stays stopped."""
        if self._rule is None:
            return True
        due = self._rhythms[number].comparable(int(metrics["epoch"]), self._spec.budget.epochs)
        if due and number not in self._stopped:  # the median rule may not be asked again
            verdict = self._rule.on_trial_result(_NoController(), self._trials[number], self._counted(number, metrics))
            self._stopped |= {number} if verdict == TrialScheduler.STOP else set()
        return number not in self._stopped

    def remove(self, number: int, last: Metrics | None) -> None:
        """Take note of a trial's end, with its last epoch."""
        if self._rule is not None and last is not None:
            self._rule.on_trial_complete(_NoController(), self._trials[number], self._counted(number, last))
        self._trials.pop(number)
        self._rhythms.pop(number, None)

    def _counted(self, number: int, metrics: Metrics) -> Metrics:
        """Return what the rule looks at, with epochs counted from the end of the warm-up."""
        warmup = self._rhythms[number].warmup_epochs(self._spec.budget.epochs)
        return {"epoch": metrics["epoch"] - warmup, "best": metrics["best"]}


def _rule(spec: Spec) -> TrialScheduler | None:
    stop, common = spec.stop, {"metric": "best", "mode": spec.objective.mode, "time_attr": "epoch"}
    if stop.kind == "none":
        return None
    if stop.kind == "median":
        return MedianStoppingRule(grace_period=stop.grace, min_samples_required=stop.min_trials, **common)
    brackets = stop.brackets if stop.kind == "hyperband" else 1
    # max_t lies beyond the last epoch: a trial that gets there ends by itself and is complete, not stopped. The last
    # argument keeps a trial that is looked at seldom, and so passes several rungs at once, from being entered later,
    # at a later epoch's value, on the lower ones.
    return AsyncHyperBandScheduler(
        max_t=spec.budget.epochs + 1,
        grace_period=stop.grace,
        reduction_factor=stop.reduction,
        brackets=brackets,
        stop_last_trials=False,
        **common,
    )
