"""Stopping: what ending trials early saved, and the chance that one of them would have won."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gxsearch.results.leaderboard import Objective
from gxsearch.results.ledger import TrialRecord
from gxsearch.results.page import number, seconds

LEAST = 6
"""Trials trained to the end below which nothing is told of those that were not."""
DRAWS = 2000
"""Draws from the prediction."""
FAR = 3.0
"""How many interquartile ranges beyond the upper quartile a value counts as no worse than."""


@dataclass(frozen=True)
class Stopping:
    """What early stopping did.

    Attributes:
        stopped, completed: trials that the rule ended, and that were trained to the end.
        epochs, seconds: what was not trained, at each trial's own pace, had none ended by itself.
        share: of the epochs that training all of these trials to the end would have taken.
        correlation: Spearman's, over completed trials, of the best value at the epoch where most trials were stopped
            with the final one; None where it cannot be told.
        epoch: that epoch.
        winner_rank: place of the best trial among the completed ones at that epoch.
        chance: that at least one of the stopped trials would have won; None where it cannot be told.
    """

    stopped: int
    completed: int
    epochs: int
    seconds: float
    share: float
    correlation: float | None
    epoch: int
    winner_rank: int | None
    chance: float | None

    @property
    def sentences(self) -> list[str]:
        """The findings in words; none where nothing was stopped."""
        if not self.stopped:
            return []
        told = [
            f"Early stopping ended {self.stopped} of {self.stopped + self.completed} trials and saved up to "
            f"{self.epochs:,} epochs, {self.share:.0%} of what training all of them to the end would have taken "
            f"(about {seconds(self.seconds)} of training)."
        ]
        if self.chance is None:
            n = self.completed
            why = f"{n} trials were" if n != 1 else "one trial was"
            return [*told, f"Whether it changed the winner cannot be told: only {why} trained to the end."]
        if self.correlation is not None:
            rank = f"; the winner was then in place {self.winner_rank}" if self.winner_rank else ""
            told.append(
                f"Of the {self.completed} trials trained to the end, order at epoch {self.epoch} and final order "
                f"correlate by {number(self.correlation, 2)} (Spearman){rank}."
            )
        chance = f"at most about {self.chance:.0%}" if self.chance >= 0.01 else "below 1 %"
        return [*told, f"The chance that a stopped trial would have won is {chance}, as the curves of the others tell."]


def stopping(found: Sequence[TrialRecord], objective: Objective, epochs: int) -> Stopping:
    """Estimate what early stopping saved, and whether it changed the winner.

    Whether a stopped trial would have won is estimated after Baker et al. 2017 (Accelerating neural architecture
    search using performance prediction): final values of the completed trials are regressed on their best value up to
    the epoch at which the trial was stopped, and the chance is the share of draws from the line's posterior prediction
    (its own uncertainty included, so it is wide far from the completed trials) that beat the winner. Completed trials
    are those that the rule spared: the estimate knows nothing of late crossings that none of them show. In simulated
    searches with halving it came out at one to forty times the true frequency, never below: hence "at most".

    Args:
        found: all trials of the ledger.
        epochs: what a trial has at full length.
    """
    done = [t for t in found if t.state == "complete" and t.ranked and math.isfinite(t.best) and t.history]
    cut = [t for t in found if is_stopped(t) and t.best is not None and math.isfinite(t.best) and t.history]
    left = [max(epochs - len(t.history), 0) for t in cut]
    paces = [t.seconds / len(t.history) for t in cut]
    spent = sum(len(t.history) for t in (*done, *cut))
    whole = spent + sum(left)
    best = min((t for t in (*done, *cut)), key=lambda t: (objective.key(t.best), t.number), default=None)
    enough = len(done) >= LEAST and bool(cut)
    rung = _rung(cut)
    others = [trial for trial in cut if trial is not best]
    correlation, rank = _order(done, best, objective, rung) if enough else (None, None)
    return Stopping(
        len(cut),
        len(done),
        sum(left),
        sum(n * pace for n, pace in zip(left, paces, strict=True)),
        sum(left) / whole if whole else 0.0,
        correlation,
        rung,
        rank,
        _chance(done, others, best, objective) if enough else None,
    )


def is_stopped(trial: TrialRecord) -> bool:
    """Say whether the rule ended a trial, and not the end of the search's time."""
    return trial.state == "stopped" and trial.reason.startswith("early")


def best_until(trial: TrialRecord, epoch: int) -> float:
    """Return the best value of a trial up to an epoch; up to its last one if it has fewer."""
    known = [metrics["best"] for metrics in trial.history if metrics["epoch"] <= epoch]
    return known[-1] if known else trial.history[0]["best"]


def _rung(cut: Sequence[TrialRecord]) -> int:
    """Return the epoch after which most trials were stopped, the earliest of equals."""
    lengths = [len(trial.history) for trial in cut]
    return min(lengths, key=lambda n: (-lengths.count(n), n), default=0)


def _chance(done: Sequence[TrialRecord], cut: Sequence[TrialRecord], best: TrialRecord, objective: Objective) -> float:
    """Return the chance that any of the stopped trials would have come to a better value than the best one did."""
    draw, won_d = np.random.default_rng(0), np.zeros(DRAWS, dtype=bool)
    goal = objective.key(best.best)
    for epoch in sorted({len(trial.history) for trial in cut}):
        x_n = _tamed(np.array([objective.key(best_until(trial, epoch)) for trial in done]))
        y_n = _tamed(np.array([objective.key(trial.best) for trial in done]))
        x_m = np.array([objective.key(best_until(t, epoch)) for t in cut if len(t.history) == epoch])
        y_dm = _predicted(x_n, y_n, np.minimum(x_m, x_n.max() + FAR * np.ptp(x_n)), draw)
        won_d |= (np.minimum(y_dm, x_m) < goal).any(axis=1)
    return float(won_d.mean())


def _predicted(x_n: np.ndarray, y_n: np.ndarray, x_m: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Draw final values (d, m) from what a line through (x, y) predicts at new x, its own uncertainty included."""
    free, center = len(x_n) - 2, x_n.mean()
    spread = float(((x_n - center) ** 2).sum()) or math.inf
    slope = float((x_n - center) @ y_n) / spread
    residual_n = y_n - y_n.mean() - slope * (x_n - center)
    scale_d = np.sqrt(float(residual_n @ residual_n) / draw.chisquare(free, DRAWS))
    level_d = y_n.mean() + scale_d / math.sqrt(len(x_n)) * draw.standard_normal(DRAWS)
    slope_d = slope + scale_d / math.sqrt(spread) * draw.standard_normal(DRAWS)
    noise_dm = scale_d[:, None] * draw.standard_normal((DRAWS, len(x_m)))
    return level_d[:, None] + slope_d[:, None] * (x_m - center) + noise_dm


def _tamed(value_n: np.ndarray) -> np.ndarray:
    """Return values, less is better, of which none is so bad that it alone draws the line."""
    low, high = np.quantile(value_n, [0.25, 0.75])
    return np.minimum(value_n, high + FAR * (high - low))


def _order(
    done: Sequence[TrialRecord], best: TrialRecord, objective: Objective, epoch: int
) -> tuple[float | None, int | None]:
    """Return how order at an epoch agrees with the final one, and the winner's place then."""
    from scipy.stats import spearmanr

    early = np.array([objective.key(best_until(trial, epoch)) for trial in done])
    late = np.array([objective.key(trial.best) for trial in done])
    rank = 1 + int((early < objective.key(best_until(best, epoch))).sum()) if best in done else None
    if len(set(early)) < 2 or len(set(late)) < 2:
        return None, rank
    return float(spearmanr(early, late).statistic), rank
