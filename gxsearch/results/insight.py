"""Insight: what a search teaches beyond its winner, from its ledger alone; nothing is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gxsearch.results import leaderboard, study
from gxsearch.results.edge import Edge, edges
from gxsearch.results.forecast import Forecast, forecast
from gxsearch.results.leaderboard import Objective
from gxsearch.results.ledger import trials
from gxsearch.results.progress import Progress, Waste, progress, waste
from gxsearch.results.run_dir import RunDir
from gxsearch.results.stopping import Stopping, stopping
from gxsearch.results.study import Importance


@dataclass(frozen=True)
class Insight:
    """Numbers and sentences about a search.

    Attributes:
        importance: shares with bands, by resampling.
        edges: settings whose best values lie at an end of their range.
        progress: whether the best trials were still learning.
        stopping: what early stopping saved, and whether it changed the winner.
        waste: failures, duplicates, epochs after the best one.
        forecast: what as many trials again would gain.
    """

    importance: Importance
    edges: list[Edge]
    progress: Progress
    stopping: Stopping
    waste: Waste
    forecast: Forecast

    @property
    def told(self) -> list[tuple[str, list[str]]]:
        """Headings, each with the sentences below it; those of `edges` apart, which come with ranges to try."""
        pairs = [
            ("Settings", self._importance()),
            ("Epochs", [self.progress.sentence]),
            ("Early stopping", self.stopping.sentences),
            ("More trials", self.forecast.sentences),
            ("Spent for little", self.waste.sentences),
        ]
        return [(heading, sentences) for heading, sentences in pairs if sentences]

    def _importance(self) -> list[str]:
        found = self.importance
        if not found.shares:
            why = "all trials did equally well" if found.enough else f"{found.n_trials} trials ended well, of 10 needed"
            return [f"Which settings matter cannot be told: {why}."]
        sure = [name for name in found.shares if name not in found.unsure]
        rest = len(found.shares) - len(sure)
        if not sure:
            return [f"None of the {rest} settings can be told from one that has no effect, from so few trials."]
        told = f"{', '.join(sure)} matter{'s' if len(sure) == 1 else ''}"
        return [f"{told}; the other {rest} cannot be told from settings without effect." if rest else f"{told}."]


def insight(run: RunDir, found: Importance | None = None) -> Insight:
    """Draw from the ledger what it teaches; `found` is the importance, where it is known already.

    Raises:
        RunError: when the run cannot be read.
    """
    facts, told, objective = run.facts(), trials(run.ledger), Objective.of(run)
    ranked, search = leaderboard.ranked(run), facts["spec"].get("search", {})
    epochs = _epochs(facts)
    return Insight(
        study.resampled(run) if found is None else found,
        edges(facts, ranked),
        progress(told, objective, epochs),
        stopping(told, objective, epochs),
        waste(told, repeats=search.get("repeats", 1)),
        forecast([t.best for t in ranked], objective, search.get("sampler", "random"), search.get("startup", 0)),
    )


def _epochs(facts: dict[str, Any]) -> int:
    """Return the epochs of a trial at full length."""
    return int(facts["spec"]["budget"]["epochs"])
