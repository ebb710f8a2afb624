"""Study: the trials of a ledger as an Optuna study in memory, for its measures of importance; nothing is searched."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gxsearch.results.leaderboard import Objective
from gxsearch.results.ledger import TrialRecord, trials
from gxsearch.results.run_dir import RunDir

if TYPE_CHECKING:
    import optuna

ENOUGH = 10
"""Trials below which an importance is noise."""


@dataclass(frozen=True)
class Importance:
    """How much each searched setting decides whether a trial is among the best tenth.

    Attributes:
        shares: setting -> share, the largest first, summing to 1; empty where there are too few trials, or all did
            equally well.
        n_trials: trials it is based on: complete and stopped ones.
    """

    shares: dict[str, float]
    n_trials: int

    @property
    def enough(self) -> bool:
        """Whether there were enough trials to say anything."""
        return self.n_trials >= ENOUGH

    def first(self, names: list[str], most: int) -> list[str]:
        """Return the most important of `names`; in their own order where nothing is known of importance."""
        return sorted(names, key=lambda name: -self.shares.get(name, 0.0))[:most]


def importance(run: RunDir) -> Importance:
    """Measure importance by PED-ANOVA (Watanabe et al., IJCAI 2023), which conditional settings do not disturb."""
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    usable = _usable(trials(run.ledger))
    if len(usable) < ENOUGH or len({trial.best for trial in usable}) < 2:
        return Importance({}, len(usable))
    found = get_param_importances(study(run), evaluator=PedAnovaImportanceEvaluator())
    total = sum(found.values())
    shares = {name: share / total for name, share in found.items()} if total > 0 else {}
    return Importance(dict(sorted(shares.items(), key=lambda item: -item[1])), len(usable))


def study(run: RunDir) -> optuna.Study:
    """Return the complete and stopped trials as a study in memory, each with its best value."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    domains = run.facts()["space_domains"]
    direction = "minimize" if Objective.of(run).mode == "min" else "maximize"
    built = optuna.create_study(direction=direction, study_name=run.path.name)
    for trial in _usable(trials(run.ledger)):
        kinds = {name: _distribution(domains[name]) for name in trial.params}
        params = {name: _stored(domains[name], value) for name, value in trial.params.items()}
        built.add_trial(optuna.trial.create_trial(params=params, distributions=kinds, value=trial.best))
    return built


def _usable(found: list[TrialRecord]) -> list[TrialRecord]:
    ended = ("complete", "stopped")
    return [trial for trial in found if trial.state in ended and trial.ranked and math.isfinite(trial.best)]


def _distribution(domain: dict[str, Any]) -> optuna.distributions.BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if domain["kind"] == "choice":
        return CategoricalDistribution([json.dumps(option) for option in domain["options"]])
    low, high, log = domain["low"], domain["high"], bool(domain.get("log"))
    if domain["kind"] == "int":
        return IntDistribution(low, high, log=log, step=domain.get("step") or 1)
    return FloatDistribution(low, high, log=log, step=domain.get("step"))


def _stored(domain: dict[str, Any], value: Any) -> Any:
    return json.dumps(value) if domain["kind"] == "choice" else value
