"""Study: the Optuna study of a search, on a journal file that optuna-dashboard opens.

Every draw uses a sampler seeded by (seed, trial number), so a draw depends on the trials told before it and on
nothing else: a search that is resumed goes on as if it had never stopped. Of very many trials TPE looks at some
(`journal`).
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import FrozenTrial, TrialState

from gxsearch.search.domain import Choice, Domain, Float
from gxsearch.search.journal import Mirror, Seen
from gxsearch.search.spec import Spec
from gxsearch.training.loop import derive

_STATES = {"complete": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "interrupted": TrialState.PRUNED}
_LEARNS_FROM_COMPLETE_ONLY = ("gp", "cmaes", "nsga2")
_COUNTS = ("qmc", "cmaes", "nsga2")
"""Samplers that write into the study, when they draw, how far they have come."""


class Study:
    """Draws settings and is told what became of them."""

    def __init__(self, spec: Spec, journal: Path):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._spec = spec
        self._start = spec.space.grid() if spec.search.sampler == "grid" else list(spec.search.start)
        self._live: dict[int, optuna.Trial] = {}
        directions = ["minimize" if one.mode == "min" else "maximize" for one in spec.objectives]
        whole, sign = spec.search.sampler != "tpe" or bool(spec.also), 1 if spec.objective.mode == "min" else -1
        self._seen = Seen(Mirror(journal), whole=whole, sign=sign)
        self._study = optuna.create_study(storage=self._seen, study_name=spec.name, directions=directions)
        if spec.also:
            with _experimental():
                self._study.set_metric_names([one.metric for one in spec.objectives])

    @property
    def size(self) -> int | None:
        """The number of trials there can be: that of the grid, or None."""
        return len(self._start) if self._spec.search.sampler == "grid" else None

    def ask(self, number: int, known: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the settings of trial `number`, by name; `known` ones, from a ledger, are taken as they are."""
        if known is not None and self._spec.search.sampler not in _COUNTS:
            return self._take(number, known)
        fixed = known if known is not None else self._begun(number)
        with _experimental():
            self._study.sampler = _sampler(self._spec, number)
            if fixed is not None:
                self._study.enqueue_trial({k: _stored(self._spec.space.domains[k], v) for k, v in fixed.items()})
            trial = self._study.ask()
            assert trial.number == number, f"the study is at trial {trial.number}, the search at {number}"
            if self._spec.search.sampler in _COUNTS:  # a draw that is known counts as when it was new
                _ = trial.relative_params
            params = self._spec.space.draw(lambda name, domain: _suggest(trial, name, domain))
        self._live[number] = trial
        return params

    def _take(self, number: int, known: dict[str, Any]) -> dict[str, Any]:
        """Have a trial with these settings, at once: by asking for one after the other it takes ten times as long."""
        domains = self._spec.space.domains
        stored = {name: _stored(domains[name], value) for name, value in known.items()}
        forms = {name: _distribution(domains[name]) for name in known}
        self._study.add_trial(optuna.create_trial(state=TrialState.RUNNING, params=stored, distributions=forms))
        self._live[number] = optuna.Trial(self._study, number)  # ids count the trials of all studies; here is one
        return known

    def _begun(self, number: int) -> dict[str, Any] | None:
        """Return the draw of the start that a trial takes; None beyond them."""
        place = number // self._spec.search.repeats
        return self._start[place] if place < len(self._start) else None

    def report(self, number: int, value: float, epoch: int) -> None:
        """Tell the objective of an epoch; Optuna takes none where there are several objectives."""
        if not self._spec.also:
            self._live[number].report(value, epoch)

    def tell(self, number: int, state: str, values: Sequence[float] | None, reason: str) -> None:
        """Tell how a trial ended: at the objectives' values at its best epoch, or as a failure."""
        trial = self._live.pop(number)
        trial.set_user_attr("ended", f"{state}: {reason}" if reason else state)
        told = _STATES.get(state, TrialState.FAIL)
        if values is None or told is TrialState.FAIL:
            self._study.tell(trial, state=TrialState.FAIL)
        elif told is TrialState.COMPLETE or self._spec.search.sampler in _LEARNS_FROM_COMPLETE_ONLY:
            self._study.tell(trial, values)
        else:
            self._study.tell(trial, state=TrialState.PRUNED)

    def flush(self) -> None:
        """Write to the journal's file what is not there yet."""
        self._seen.flush()


@contextmanager
def _experimental() -> Iterator[None]:
    """Say nothing of what Optuna calls experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


class _Tpe(TPESampler):
    """Optuna's, with a shorter way to the settings that it draws together.

    Optuna compares the domains of all trials for each draw, a third of its time; here those of a name are the same.
    """

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the settings that all trials have, by name."""
        if len(study.directions) > 1:
            return super().infer_relative_search_space(study, trial)
        seen = [
            t.distributions for t in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        ]
        names = set.intersection(*map(set, seen)) if seen else set()
        return {name: seen[0][name] for name in sorted(names) if not seen[0][name].single()}


def _sampler(spec: Spec, number: int) -> BaseSampler:
    seed, startup = derive(spec.search.seed, "draw", number) % 2**32, spec.search.startup
    if spec.search.sampler == "tpe":
        return _Tpe(n_startup_trials=startup, seed=seed)
    if spec.search.sampler == "gp":
        return GPSampler(n_startup_trials=startup, seed=seed)
    if spec.search.sampler == "nsga2":  # a first generation of random draws, and all others of its size
        return NSGAIISampler(population_size=max(2, startup), seed=seed)
    if spec.search.sampler == "cmaes":
        return CmaEsSampler(n_startup_trials=startup, seed=seed, warn_independent_sampling=False)
    if spec.search.sampler == "qmc":  # one scrambled sequence for the whole search, so one seed
        return QMCSampler(scramble=True, seed=spec.search.seed, warn_independent_sampling=False)
    return RandomSampler(seed=seed)


def _suggest(trial: optuna.Trial, name: str, domain: Domain) -> Any:
    if isinstance(domain, Choice):
        return json.loads(trial.suggest_categorical(name, [json.dumps(option) for option in domain.options]))
    if isinstance(domain, Float):
        return trial.suggest_float(name, domain.low, domain.high, log=domain.log, step=domain.step)
    return trial.suggest_int(name, domain.low, domain.high, log=domain.log, step=domain.step)


def _distribution(domain: Domain) -> BaseDistribution:
    """Return what Optuna keeps of a domain when it suggests a value of it."""
    if isinstance(domain, Choice):
        return CategoricalDistribution([json.dumps(option) for option in domain.options])
    kind = FloatDistribution if isinstance(domain, Float) else IntDistribution
    return kind(domain.low, domain.high, log=domain.log, step=domain.step)


def _stored(domain: Domain, value: Any) -> Any:
    return json.dumps(value) if isinstance(domain, Choice) else value
