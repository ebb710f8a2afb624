"""Study: the trials of a ledger as an Optuna study in memory, for its measures of importance; nothing is searched."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from gxsearch.errors import RunError
from gxsearch.results.leaderboard import Objective
from gxsearch.results.ledger import TrialRecord, trials
from gxsearch.results.run_dir import RunDir

if TYPE_CHECKING:
    import optuna

    OptunaStudy = optuna.Study

ENOUGH = 10
"""Trials below which an importance is noise."""
MOST = 500
"""Trials that an importance is measured on, drawn from all; the bands of so many are narrow, and more take minutes."""
DRAWS = 50
"""Resamples of the trials, and as many permutations of their values."""
CHANCE = 0.95
"""Share of permutations in which no setting at all may do as well as one that is said to matter."""


@dataclass(frozen=True)
class Importance:
    """How much each searched setting decides whether a trial is among the best tenth.

    Attributes:
        shares: setting -> share, the largest first, summing to 1; empty where there are too few trials, or all did
            equally well.
        n_trials: trials it is based on: complete and stopped ones, at most `MOST` of them.
        bands: setting -> where the middle 80 % of the resampled shares lie; empty where they were not resampled.
        unsure: settings that cannot be told from one that has no effect.
    """

    shares: dict[str, float]
    n_trials: int
    bands: dict[str, tuple[float, float]] = field(default_factory=dict)
    unsure: frozenset[str] = frozenset()

    @property
    def enough(self) -> bool:
        """Whether there were enough trials to say anything."""
        return self.n_trials >= ENOUGH

    def ends(self, names: list[str]) -> tuple[list[float], list[float]]:
        """Return both ends of the bands of `names`; the shares themselves where they were not resampled."""
        bands = [self.bands.get(name, (self.shares[name],) * 2) for name in names]
        return [low for low, _ in bands], [high for _, high in bands]

    def first(self, names: list[str], most: int) -> list[str]:
        """Return the most important of `names`; in their own order where nothing is known of importance."""
        return sorted(names, key=lambda name: -self.shares.get(name, 0.0))[:most]


def importance(run: RunDir) -> Importance:
    """Measure importance by PED-ANOVA (Watanabe et al., IJCAI 2023), which conditional settings do not disturb."""
    built, n = _worth_measuring(run)
    found = _pearson(built.trials, built) if built is not None else {}
    shares = _shares(found)
    return Importance(dict(sorted(shares.items(), key=lambda item: -item[1])), n)


def resampled(run: RunDir) -> Importance:
    """Measure importance as `importance` does, and how sure it is; always the same for the same trials.

    Shares are means over `DRAWS` bootstrap resamples of the trials (Efron 1979), bands their 10 % and 90 % quantiles.
    A setting is unsure if, with the values permuted among the trials, the luckiest of all settings does as well in more
    than one of twenty cases (the maximum statistic of Westfall and Young 1993): one without effect may get as much.
    """
    built, n = _worth_measuring(run)
    if built is None:
        return Importance({}, n)
    draw, all_ = np.random.default_rng(0), built.trials
    measured = [_shares(_pearson(some, built)) for some in _resamples(all_, draw)]
    measured = [one for one in measured if one]
    names = sorted({name for one in measured for name in one})
    table = _table(measured, names)
    if not names:
        return Importance({}, n)
    mean, low, high = table.mean(0), *np.quantile(table, [0.1, 0.9], axis=0)
    order = [int(i) for i in np.argsort(-mean, kind="stable")]
    true = _pearson(all_, built)
    chance = [_pearson(some, built) for some in _permuted(all_, draw)]
    sure = _beyond_chance(_table([true], names)[0], _table(chance, names))
    return Importance(
        {names[i]: float(mean[i]) for i in order},
        n,
        {names[i]: (float(low[i]), float(high[i])) for i in order},
        frozenset(name for name, is_sure in zip(names, sure, strict=True) if not is_sure),
    )


def study(run: RunDir) -> optuna.Study:
    """Return the complete and stopped trials, at most `MOST`, as a study in memory, each with its best value."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    domains = run.facts()["space_domains"]
    direction = "minimize" if Objective.of(run).mode == "min" else "maximize"
    built = optuna.create_study(direction=direction, study_name=run.path.name)
    for trial in _some(_usable(trials(run.ledger))):
        kinds = {name: _distribution(domains[name]) for name in trial.params}
        params = {name: _stored(domains[name], value) for name, value in trial.params.items()}
        built.add_trial(optuna.trial.create_trial(params=params, distributions=kinds, value=trial.best))
    return built


def copied(run: RunDir) -> optuna.Study:
    """Return the study of a search as its journal tells it, copied into memory.

    Raises:
        RunError: E614 when the journal is missing or damaged.
    """
    import optuna
    from optuna.storages import InMemoryStorage, JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    fix = "gxsearch resume RUN makes it anew from the ledger"
    if not run.journal.is_file():  # Optuna would make one
        raise RunError.one("E614", str(run.journal), "the journal of the study is missing", fix)
    held = InMemoryStorage()
    try:
        kept = JournalStorage(JournalFileBackend(str(run.journal)))
        name = kept.get_all_studies()[0].study_name
        optuna.copy_study(from_study_name=name, from_storage=kept, to_storage=held)
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise RunError.one("E614", str(run.journal), f"cannot be read ({error!r})", fix) from None
    return optuna.load_study(study_name=name, storage=held)


def _worth_measuring(run: RunDir) -> tuple[optuna.Study | None, int]:
    """Return the study and its number of trials; None where they are too few, or all did equally well."""
    usable = _some(_usable(trials(run.ledger)))
    enough = len(usable) >= ENOUGH and len({trial.best for trial in usable}) > 1
    return (study(run) if enough else None), len(usable)


def _pearson(some: list[optuna.trial.FrozenTrial], like: optuna.Study) -> dict[str, float]:
    """Return the divergence of each setting's values in the best tenth from those in all; trials may come twice."""
    import optuna

    built = optuna.create_study(direction=like.direction)
    built.add_trials(some)
    with warnings.catch_warnings():  # that the best tenth of a resample is all of it, where values tie
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        return optuna.importance.get_param_importances(built, evaluator=evaluator, normalize=False)


def _table(rows: list[dict[str, float]], names: list[str]) -> np.ndarray:
    """Return measures (d, k), a row a draw, 0 for a setting that a draw has not."""
    return np.array([[row.get(name, 0.0) for name in names] for row in rows])


def _beyond_chance(true_k: np.ndarray, permuted_dk: np.ndarray) -> np.ndarray:
    """Say which settings (k,) diverge by more than the luckiest of them does by chance, in units of its spread."""
    center_k, spread_k = permuted_dk.mean(0), permuted_dk.std(0) + 1e-12
    luckiest_d = ((permuted_dk - center_k) / spread_k).max(1)
    return (true_k - center_k) / spread_k > np.quantile(luckiest_d, CHANCE)


def _shares(found: dict[str, float]) -> dict[str, float]:
    total = sum(found.values())
    return {name: value / total for name, value in found.items()} if total > 0 else {}


def _resamples(
    some: list[optuna.trial.FrozenTrial], draw: np.random.Generator
) -> Iterator[list[optuna.trial.FrozenTrial]]:
    for _ in range(DRAWS):
        yield [some[i] for i in draw.integers(0, len(some), len(some))]


def _permuted(
    some: list[optuna.trial.FrozenTrial], draw: np.random.Generator
) -> Iterator[list[optuna.trial.FrozenTrial]]:
    import optuna

    for _ in range(DRAWS):
        order = draw.permutation(len(some))
        yield [
            optuna.trial.create_trial(params=one.params, distributions=one.distributions, value=some[i].value)
            for one, i in zip(some, order, strict=True)
        ]


def _usable(found: list[TrialRecord]) -> list[TrialRecord]:
    ended = ("complete", "stopped")
    return [trial for trial in found if trial.state in ended and trial.ranked and math.isfinite(trial.best)]


def _some(found: list[TrialRecord]) -> list[TrialRecord]:
    """Return at most `MOST` of the trials, drawn at random, by number; always the same of the same."""
    if len(found) <= MOST:
        return found
    drawn = np.random.default_rng(0).choice(len(found), MOST, replace=False)
    return [found[i] for i in sorted(drawn)]


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
