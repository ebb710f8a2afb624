"""Progress: whether the best trials were still learning when they ended, and what of the budget came to nothing."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gxsearch.results.leaderboard import Objective
from gxsearch.results.ledger import TrialRecord
from gxsearch.results.page import seconds
from gxsearch.results.stopping import best_until

TOP = 5
"""Best trials trained to the end that are looked at."""
LATE = 0.9
"""Share of the epochs after which a best epoch is at the end."""
EARLY = 0.5
"""Share of the epochs before which a best epoch is early."""
TAIL = 0.8
"""Share of the epochs where the last part of a training begins."""
FLAT = 0.02
"""Share of all that a training gained below which what its last part gained is next to nothing."""


@dataclass(frozen=True)
class Progress:
    """How the best trials went on: verdict rising, flat, early or mixed; unknown where none went to the end.

    Attributes:
        trials: how many were looked at.
        late_share: of what they gained since their first epoch, the share that came in the last fifth of their epochs;
            the mean over trials.
        best_at: mean best epoch, as a share of the epochs.
    """

    verdict: Literal["rising", "flat", "early", "mixed", "unknown"]
    trials: int
    late_share: float
    best_at: float

    @property
    def sentence(self) -> str:
        """The finding in words."""
        one = self.trials == 1
        who = "The one trial trained to the end" if one else f"The best {self.trials} trials trained to the end"
        late = f"{self.late_share:.0%} of what {'it' if one else 'they'} gained came in the last fifth of the epochs"
        were, still = ("was", "more epochs may help") if one else ("were", "more epochs may help")
        return {
            "unknown": "Whether more epochs would help cannot be told: no trial was trained to the end.",
            "rising": f"{who} {were} still improving at the end ({late}): {still}.",
            "flat": f"{who} improved to the end, but by next to nothing ({late}): more epochs would gain little.",
            "early": f"{who} peaked early, at {self.best_at:.0%} of the epochs: fewer epochs would do, or more "
            "regularization or a smaller learning rate.",
            "mixed": f"{who} peaked at {self.best_at:.0%} of the epochs: there were enough of them.",
        }[self.verdict]


@dataclass(frozen=True)
class Waste:
    """What of the budget taught nothing, or little.

    Attributes:
        lost: state -> (trials, epochs, seconds) of failed, diverged and interrupted trials.
        duplicates: trials with the same settings as an earlier one.
        beyond: epochs of completed trials after their best epoch.
        epochs: of all trials together.
    """

    lost: dict[str, tuple[int, int, float]]
    duplicates: int
    beyond: int
    epochs: int

    @property
    def sentences(self) -> list[str]:
        """The findings in words."""
        told = [
            f"{n} {'trial' if n == 1 else 'trials'} {state}: {epochs:,} epochs ({seconds(spent)}) without a result."
            for state, (n, epochs, spent) in self.lost.items()
        ]
        if self.duplicates:
            n = self.duplicates
            told.append(f"{n} {'trial' if n == 1 else 'trials'} repeated the settings of an earlier one.")
        if self.epochs and self.beyond:
            share = self.beyond / self.epochs
            told.append(f"{self.beyond:,} of {self.epochs:,} epochs ({share:.0%}) came after their trial's best one.")
        return told or ["No trial failed, diverged or repeated another."]


def progress(found: Sequence[TrialRecord], objective: Objective, epochs: int) -> Progress:
    """Judge the learning curves of the best trials that the rule did not stop.

    A trial rises if its best epoch is in the last tenth of the full length and its last fifth brought at least 2 % of
    what it gained since its first epoch; it is flat if it brought less; early if its best epoch is in the first half,
    or its own patience ended it. What most of them do is the verdict.

    Args:
        epochs: what a trial has at full length.
    """
    done = [t for t in found if t.state == "complete" and t.ranked and math.isfinite(t.best) and len(t.history) > 1]
    top = sorted(done, key=lambda t: (objective.key(t.best), t.number))[:TOP]
    if not top:
        return Progress("unknown", 0, 0.0, 0.0)
    shares = [_late_share(trial, objective) for trial in top]
    counts = Counter(_way(trial, share, epochs) for trial, share in zip(top, shares, strict=True))
    way, n = counts.most_common(1)[0]
    at = [trial.best_epoch / epochs for trial in top]
    return Progress(way if 2 * n > len(top) else "mixed", len(top), sum(shares) / len(top), sum(at) / len(top))


def waste(found: Sequence[TrialRecord], *, repeats: int = 1) -> Waste:
    """Add up what taught nothing; of a search that repeats its draws (`repeats`), those are no duplicates."""
    lost: dict[str, tuple[int, int, float]] = {}
    for state in ("failed", "diverged", "interrupted"):
        mine = [trial for trial in found if trial.state == state]
        if mine:
            lost[state] = (len(mine), sum(len(t.history) for t in mine), sum(t.seconds for t in mine))
    draws = Counter(json.dumps(trial.params, sort_keys=True) for trial in found if trial.params)
    duplicates = sum(n - 1 for n in draws.values()) if repeats == 1 else 0
    beyond = sum(len(t.history) - t.best_epoch for t in found if t.state == "complete" and t.best_epoch)
    return Waste(lost, duplicates, beyond, sum(len(t.history) for t in found))


def _late_share(trial: TrialRecord, objective: Objective) -> float:
    """Return the share of what a training gained since its first epoch that came in its last fifth; 0 of nothing."""
    n = len(trial.history)
    first, late, end = (objective.key(best_until(trial, epoch)) for epoch in (1, math.floor(TAIL * n), n))
    return (late - end) / (first - end) if first > end else 0.0


def _way(trial: TrialRecord, late_share: float, epochs: int) -> Literal["rising", "flat", "early", "mixed"]:
    if trial.best_epoch <= EARLY * epochs or len(trial.history) < LATE * epochs:
        return "early"
    if trial.best_epoch < LATE * epochs:
        return "mixed"
    return "rising" if late_share >= FLAT else "flat"
