"""Several: what a search for several objectives found: its front, how it grew, the trial chosen and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gxsearch.results import leaderboard, pareto
from gxsearch.results.leaderboard import Objective
from gxsearch.results.ledger import TrialRecord
from gxsearch.results.page import number
from gxsearch.results.plots import REACH
from gxsearch.results.run_dir import RunDir

_AXES = 0.06
"""Room beside the points, as a share of what is shown."""


@dataclass(frozen=True)
class Plane:
    """Trials by two objectives, to be drawn.

    Attributes:
        names, spans: of the axes, and the limits in which good values can be told apart.
        points: columns trial, state, x, y, text, kind (other, front, chosen); what lies beyond a limit lies on it.
        steps: the border of what the front dominates, from point to point: first along x, then along y.
    """

    names: tuple[str, str]
    spans: tuple[tuple[float, float], tuple[float, float]]
    points: pd.DataFrame
    steps: pd.DataFrame


@dataclass(frozen=True)
class Several:
    """Trials under several objectives, each at its best epoch by the first.

    Attributes:
        trials: those that may win and have all objectives, by number; key_nm: their keys (n, m), less is better.
        on_front: which of them (n,) nothing dominates; chosen: the place of the one that stands for the run.
        growth: what share of the box between the best and worst values (`pareto.growth`) they held after each.
        rule, within: how one is chosen, as the spec tells.
    """

    objectives: list[Objective]
    trials: list[TrialRecord]
    key_nm: np.ndarray
    on_front: np.ndarray
    chosen: int
    growth: np.ndarray
    rule: pareto.Rule
    within: float

    @property
    def trial(self) -> TrialRecord:
        """The trial that stands for the run."""
        return self.trials[self.chosen]

    @property
    def names(self) -> list[str]:
        """The measures that are the objectives."""
        return [one.metric for one in self.objectives]

    def frame(self) -> pd.DataFrame:
        """Return a row a trial: number, state, the objectives, front and chosen (yes or no), by number."""
        values_nm = self.key_nm * [1.0 if one.mode == "min" else -1.0 for one in self.objectives]
        rows = {"trial": [t.number for t in self.trials], "state": [t.state for t in self.trials]}
        chosen = np.arange(len(self.trials)) == self.chosen
        return pd.DataFrame(
            rows | dict(zip(self.names, values_nm.T, strict=True)) | {"front": self.on_front, "chosen": chosen}
        )

    def table(self) -> tuple[list[str], list[list[Any]]]:
        """Return the head and the rows of the front, best by the first objective first; the chosen one is marked."""
        frame = self.frame()
        order = np.lexsort(self.key_nm.T[::-1])
        front = frame.iloc[[i for i in order if self.on_front[i]]]
        rows = [
            [f"trial {row['trial']:03d}", *(float(row[name]) for name in self.names), "chosen" if row["chosen"] else ""]
            for row in front.to_dict("records")
        ]
        return ["", *self.names, ""], rows

    def why(self) -> str:
        """Return what the chosen trial is, by the rule."""
        first, second = self.names[:2]
        if self.on_front.sum() == 1:
            return f"Trial {self.trial.number} is the best by {' and by '.join(self.names)}: nothing has to be traded."
        if self.rule == "knee" and pareto.depth(self.key_nm[self.on_front]).max() <= 0:
            return f"Trial {self.trial.number} is chosen: the front has no knee, so that {first} decides."
        told = {
            "first": f"the best of the front by {first}",
            "knee": "the knee of the front, where it lies farthest from the "
            + ("line between its ends" if len(self.names) == 2 else "plane through its ends"),
            "within": f"the best by {second} of those whose {first} is within {self.within:.3g} of the best, "
            "where 1 is the range of the front",
        }
        return f"Trial {self.trial.number} is chosen: {told[self.rule]}."

    def sentences(self) -> list[str]:
        """Return what there is to say of the front, and of what more trials may give."""
        n, half = len(self.trials), self.growth[(len(self.trials) - 1) // 2]
        found = [
            f"{int(self.on_front.sum())} of {n} trials are on the front: no other is better in one objective and as "
            f"good in the rest. All are taken at their best epoch by {self.names[0]}.",
            self.why(),
        ]
        if self.growth[-1] > 0:
            found.append(
                f"The front dominates {self.growth[-1]:.1%} of the box between the best and the worst values seen "
                f"(hypervolume; the worst are the reference); after half of the trials it was {half:.1%}."
            )
        return found

    def plane(self, second: int) -> Plane:
        """Return the trials by the first objective and another."""
        frame, spans = self.frame(), (self._span(0), self._span(second))
        x, y = self.names[0], self.names[second]
        told = [", ".join(f"{name} {number(float(row[name]))}" for name in self.names) for _, row in frame.iterrows()]
        frame["text"] = [f"trial {n}: {text}" for n, text in zip(frame["trial"], told, strict=True)]
        frame["kind"] = np.select([frame["chosen"], frame["front"]], ["chosen", "front"], "other")
        frame["x"], frame["y"] = frame[x].clip(*spans[0]), frame[y].clip(*spans[1])
        key_nk = self.key_nm[:, [0, second]]
        edge = np.flatnonzero(pareto.front(key_nk))
        steps = frame.iloc[edge[np.lexsort(key_nk[edge].T[::-1])]]
        words = [f"{one.metric} ({'lower' if one.mode == 'min' else 'higher'} is better)" for one in self.objectives]
        return Plane((words[0], words[second]), spans, frame, steps)

    def _span(self, place: int) -> tuple[float, float]:
        """Return the limits in which one objective's good values can be told apart; far worse ones lie beyond."""
        key_n = self.key_nm[:, place]
        best, middle, worst = np.quantile(key_n, [0, 0.5, 1])
        worst = min(worst, max(float(key_n[self.on_front].max()), best + REACH * (middle - best)))
        pad = _AXES * (worst - best) or 0.05 * abs(best) or 1.0
        low, high = best - pad, worst + pad
        return (low, high) if self.objectives[place].mode == "min" else (-high, -low)


def several(run: RunDir) -> Several | None:
    """Return what a search for several objectives found; None for one objective, or where no trial may win."""
    objectives = Objective.all(run)
    trials = sorted(leaderboard.ranked(run), key=lambda trial: trial.number)
    able, key_nm = leaderboard.standings(trials, objectives)
    if len(objectives) == 1 or not able:
        return None
    rule = run.facts()["spec"]["choose"]
    at = pareto.chosen(key_nm, rule["rule"], rule["within"])
    parts = (able, key_nm, pareto.front(key_nm), at, pareto.growth(key_nm))
    return Several(objectives, *parts, rule["rule"], rule["within"])


def values(found: Several) -> str:
    """Return the chosen trial's objectives in words."""
    row = found.frame().iloc[found.chosen]
    return ", ".join(f"{name} {number(float(row[name]))}" for name in found.names)
