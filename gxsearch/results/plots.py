"""Plots of a search: the data of each apart from the drawing of it, which is plotly; `static` draws the same data."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gxsearch.results import leaderboard
from gxsearch.results.leaderboard import Objective
from gxsearch.results.ledger import trials
from gxsearch.results.page import short
from gxsearch.results.run_dir import RunDir
from gxsearch.results.study import Importance, resampled

if TYPE_CHECKING:
    import plotly.graph_objects as go

BOLD = 5
"""Best trials that are drawn bold."""
REACH = 2.5
"""How far a value axis goes towards the bad end, in units of the distance from the best to the middle value."""
CURVES = 500
"""Trials whose learning curves are drawn."""
LINES = 40
"""Trials that parallel coordinates show."""
SETTINGS = 7
"""Settings that parallel coordinates show."""
FEW = 40
"""Values of a small curve that are also marked one by one."""
STATES = ("complete", "stopped", "interrupted", "running", "diverged", "failed")


@dataclass(frozen=True)
class Level:
    """What a value axis shows: the objective, the limits where it is looked at, and the best baseline."""

    objective: Objective
    low: float
    high: float
    baseline: tuple[str, float] | None = None

    @property
    def title(self) -> str:
        """Axis title."""
        return f"{self.objective.metric} ({'lower' if self.objective.mode == 'min' else 'higher'} is better)"

    @property
    def worst(self) -> float:
        """The limit at the bad end; worse values are drawn here."""
        return self.high if self.objective.mode == "min" else self.low

    def clip(self, values: pd.Series) -> pd.Series:
        """Return values no worse than the worst that is shown; what has no value is drawn there too."""
        return values.fillna(self.worst).clip(self.low, self.high)


@dataclass(frozen=True)
class Axis:
    """One setting of parallel coordinates: where values lie between 0 and 1, and its marks."""

    name: str
    domain: dict[str, Any]
    ticks: dict[float, str] = field(default_factory=dict)

    def place(self, value: Any) -> float | None:
        """Return where a value lies; None for a setting that was not active."""
        return None if value is None else place(self.domain, value)


@dataclass(frozen=True)
class Parallel:
    """Trials as lines through the axes of their settings; `lines` has a row a trial, best first."""

    axes: list[Axis]
    lines: pd.DataFrame


def level(run: RunDir) -> Level:
    """Return limits in which good values can be told apart: the far worse ones are cut off."""
    objective = Objective.of(run)
    values = np.array([trial.best for trial in leaderboard.ranked(run)], dtype=float)
    values = values if len(values) else np.array([0.0, 1.0])
    known = [
        (b["name"], b[objective.metric]) for b in leaderboard.baselines(run) if b.get(objective.metric) is not None
    ]
    baseline = min(known, key=lambda item: objective.key(item[1]), default=None)
    sign = 1 if objective.mode == "min" else -1
    best, middle, worst = np.quantile(sign * values, [0, 0.5, 1])
    worst = min(worst, best + REACH * (middle - best))
    if baseline is not None and sign * baseline[1] < best + 3 * (worst - best):
        best, worst = min(best, sign * baseline[1]), max(worst, sign * baseline[1])
    pad = 0.06 * (worst - best) or 0.05 * abs(best) or 1.0
    ends = sorted((sign * (best - pad), sign * (worst + pad)))
    return Level(objective, *ends, baseline)


def best_baseline(run: RunDir, objective: Objective) -> tuple[str, float] | None:
    """Return the name and value of the best baseline that has the objective; None without one."""
    known = [(row["name"], row[objective.metric]) for row in leaderboard.baselines(run) if objective.metric in row]
    return min(known, key=lambda item: objective.key(item[1]), default=None)


def history_data(run: RunDir) -> pd.DataFrame:
    """Return number, state, value (NaN without one) and the best value so far of every trial, by number."""
    objective, best, rows = Objective.of(run), math.nan, []
    for trial in trials(run.ledger):
        value = trial.best if trial.best is not None else math.nan
        if trial.ranked and math.isfinite(value) and not objective.key(best) <= objective.key(value):
            best = value
        rows.append((trial.number, trial.state, value, best))
    return pd.DataFrame(rows, columns=["number", "state", "value", "best"])


def curves_data(run: RunDir) -> pd.DataFrame:
    """Return trial, epoch, value and rank (NaN for what is not ranked) of every epoch that counts.

    Of more than `CURVES` trials, those of the best tenth of so many, and others evenly over the rest.
    """
    metric, found = Objective.of(run).metric, trials(run.ledger)
    ranks = {trial.number: rank for rank, trial in enumerate(leaderboard.ranked(run), 1)}
    if len(found) > CURVES:
        others = [trial for trial in found if ranks.get(trial.number, math.inf) > CURVES // 10]
        apart = math.ceil(len(others) / (CURVES - CURVES // 10))
        dropped = {trial.number for place, trial in enumerate(others) if place % apart}
        found = [trial for trial in found if trial.number not in dropped]
    rows = [
        (trial.number, int(epoch["epoch"]), epoch.get(metric, math.nan), ranks.get(trial.number, math.nan))
        for trial in found
        for epoch in trial.history
    ]
    return pd.DataFrame(rows, columns=["trial", "epoch", "value", "rank"])


def terms_data(run: RunDir) -> pd.DataFrame:
    """Return the terms of the best trial's loss and the weights that change: name, series, epoch, value.

    `name` is a term, or ``<term>_weight``; `series` is train or val, of a weight only train. Nothing without a best
    trial, or where its loss has one term that always weighs the same.
    """
    best = leaderboard.chosen(run)
    rows = [
        (name.partition("/")[2], name.partition("/")[0], int(epoch["epoch"]), value)
        for epoch in (best.history if best else ())
        for name, value in epoch.items()
        if name.startswith(("train/", "val/"))
    ]
    frame = pd.DataFrame(rows, columns=["name", "series", "epoch", "value"])
    weights = [name for name in frame.loc[frame["series"] == "train", "name"].unique() if name.endswith("_weight")]
    own = frame["series"] == "train"
    moving = [name for name in weights if frame.loc[own & (frame["name"] == name), "value"].nunique() > 1]
    terms = [name.removesuffix("_weight") for name in weights]
    if len(terms) + len(moving) < 2:
        return frame.iloc[:0]
    kept = frame["name"].isin(terms) | (own & frame["name"].isin(moving))
    return frame[kept].reset_index(drop=True)


def importance_data(run: RunDir) -> Importance:
    """Return the shares of the settings, with bands; empty where there are too few trials."""
    return resampled(run)


def parallel_data(run: RunDir, found: Importance) -> Parallel:
    """Return the best trials as lines over the most important settings, and the objective at the end."""
    domains, best = run.facts()["space_domains"], leaderboard.ranked(run)[:LINES]
    names = found.first(list(domains), SETTINGS)
    axes = [Axis(name, domains[name], ticks(domains[name])) for name in names]
    rows = [{"trial": t.number, "value": t.best, **{a.name: a.place(t.params.get(a.name)) for a in axes}} for t in best]
    return Parallel(axes, pd.DataFrame(rows, columns=["trial", "value", *names]).astype(dict.fromkeys(names, float)))


def slice_data(run: RunDir, name: str) -> pd.DataFrame:
    """Return trial, drawn (the setting's value), value and state of the ranked trials that have the setting."""
    rows = [(t.number, t.params[name], t.best, t.state) for t in leaderboard.ranked(run) if name in t.params]
    return pd.DataFrame(rows, columns=["trial", "drawn", "value", "state"]).sort_values("trial")


def place(domain: dict[str, Any], value: Any) -> float:
    """Return where a value lies in its domain, from 0 to 1, on the scale that it is drawn from."""
    if domain["kind"] == "choice":
        labels = [option(o) for o in domain["options"]]
        return (labels.index(option(value)) + 0.5) / len(labels)
    low, high = domain["low"], domain["high"]
    if domain.get("log"):
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low)


def ticks(domain: dict[str, Any]) -> dict[float, str]:
    """Return the marks of a domain's axis: its options, or its ends and middle."""
    if domain["kind"] == "choice":
        return {place(domain, o): option(o) for o in domain["options"]}
    return {place(domain, value): short(value) for value in steps(domain)}


def steps(domain: dict[str, Any]) -> tuple[float, float, float]:
    """Return both ends of a range and a value half-way, on the scale that it is drawn from."""
    low, high = domain["low"], domain["high"]
    middle = math.sqrt(low * high) if domain.get("log") else (low + high) / 2
    return (low, min(max(round(middle), low), high) if domain["kind"] == "int" else middle, high)


def option(value: Any) -> str:
    """Return an option of a choice as text."""
    return value if isinstance(value, str) else json.dumps(value)


def history_figure(run: RunDir) -> go.Figure:
    """Draw every trial's value in the order of the trials, by state, and the best so far."""
    from gxsearch.results.drawing import history

    return history(history_data(run), level(run))


def curves_figure(run: RunDir) -> go.Figure:
    """Draw the objective over the epochs, the best five trials bold."""
    from gxsearch.results.drawing import curves

    return curves(curves_data(run), level(run))


def importance_figure(run: RunDir, found: Importance | None = None) -> go.Figure:
    """Draw the share of each setting in what makes a trial good; `found` as in `parallel_figure`."""
    from gxsearch.results.drawing import bars

    return bars(found or importance_data(run))


def parallel_figure(run: RunDir, found: Importance | None = None) -> go.Figure:
    """Draw the best trials as lines through their settings; `found` is the importance, where it is known already."""
    from gxsearch.results.drawing import parallel

    return parallel(parallel_data(run, found or importance_data(run)), Objective.of(run))


def slice_figure(run: RunDir, name: str) -> go.Figure:
    """Draw the objective over one setting."""
    from gxsearch.results.drawing import slice_

    return slice_(slice_data(run, name), name, run.facts()["space_domains"][name], level(run))
