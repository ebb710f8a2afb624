"""Verdict: what a search found, in words and a few figures, before any picture."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gxsearch.results import leaderboard
from gxsearch.results.edge import edges
from gxsearch.results.evaluation import told_classes
from gxsearch.results.leaderboard import Objective
from gxsearch.results.ledger import TrialRecord, events, trials
from gxsearch.results.page import number, seconds
from gxsearch.results.plots import best_baseline
from gxsearch.results.run_dir import RunDir
from gxsearch.results.several import Several, several, values

WORDS = {"stopped": "stopped early", "running": "still running"}


@dataclass(frozen=True)
class Verdict:
    """What to say first.

    Attributes:
        lead: the answer in one or two sentences.
        rest: what was searched, what came of the trials, the time.
        notes: what a careful reader should know: unfinished, an edge, few trials, warnings of data and spec.
        tiles: (label, figure, remark) to be seen at a glance.
    """

    lead: str
    rest: str
    notes: list[str]
    tiles: list[tuple[str, str, str]]


def verdict(run: RunDir) -> Verdict:
    """Judge a run by its ledger, its baselines and the scores of its best trial."""
    facts, found, objective = run.facts(), trials(run.ledger), Objective.of(run)
    order, told = leaderboard.ranked(run), events(run.ledger)
    best, front = leaderboard.chosen(run), several(run)
    spent = wall_seconds(told)
    tiles = [("trials", str(len(found)), states(found)), ("wall time", seconds(spent), "")]
    return Verdict(
        lead=_chosen(front) if front else _lead(run, best, objective),
        rest=f"{_searched(facts)} {_outcome(found, spent)}",
        notes=[*_unfinished(told), *_edges(facts, order), *_warnings(facts, found)],
        tiles=_value_tiles(run, best, objective) + tiles,
    )


def nouns(data: dict[str, Any]) -> tuple[str, str]:
    """Return what the rows and the columns of the data are called."""
    return ("genes", "samples") if data.get("orientation") == "genes" else ("rows", "genes")


def wall_seconds(told: list[dict[str, Any]]) -> float:
    """Return how long a search ran, the pauses before it was resumed left out."""
    total, begun, last = 0.0, None, None
    for event in told:
        now = datetime.fromisoformat(event["time"]).timestamp()
        if event["event"] in ("run_started", "run_resumed"):
            total += last - begun if begun is not None else 0.0
            begun = now
        last = now
    return total + (last - begun if begun is not None else 0.0)


def states(found: list[TrialRecord]) -> str:
    """Return how many trials ended how, in words."""
    counts = Counter(WORDS.get(trial.state, trial.state) for trial in found)
    return ", ".join(f"{n} {state}" for state, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _lead(run: RunDir, best: TrialRecord | None, objective: Objective) -> str:
    if best is None:
        return "No trial came to a finite value, so there is no best model."
    lead = f"Trial {best.number} is best: {objective.metric} is {number(best.best)} at epoch {best.best_epoch}"
    return f"{lead}. {_against_baseline(run, best.best, objective)}".strip()


def _chosen(front: Several) -> str:
    return f"{front.why()} There, at epoch {front.trial.best_epoch}: {values(front)}."


def _against_baseline(run: RunDir, value: float, objective: Objective) -> str:
    found = best_baseline(run, objective)
    if found is None:
        return "No baseline was measured by the objective, so this figure stands alone."
    name, base = found
    if objective.key(value) < objective.key(base):
        return f"That is {_apart(value, base)} than the best baseline, {name} ({number(base)})."
    if value == base:
        return f"The best baseline, {name}, does just as well."
    return f"The best baseline, {name}, does better without any search: {number(base)}, {_apart(base, value)}."


def _apart(value: float, base: float) -> str:
    way = "lower" if value < base else "higher"
    share = abs(value - base) / abs(base) if base else float("inf")
    return f"{share:.0%} {way}" if 0.005 <= share < 10 else f"{number(abs(value - base), 2)} {way}"


def _searched(facts: dict[str, Any]) -> str:
    spec, n = facts["spec"], len(facts["space_domains"])
    source = facts["data"].get("source", spec["data"]["path"])
    rows, columns = nouns(facts["data"])
    sizes = facts["data"].get("n_obs"), facts["data"].get("n_vars")
    size = f"{sizes[0]:,} {rows} of {sizes[1]:,} {columns}" if None not in sizes else ""
    on = f" on {source}" + (f" ({size})" if size else "")
    return f"The search varied {n} setting{'s' if n != 1 else ''} of the model {spec['model']}{on}."


def _outcome(found: list[TrialRecord], spent: float) -> str:
    epochs = sum(len(trial.history) for trial in found)
    return f"Of {len(found)} trials, {states(found)}; {epochs:,} epochs in all, {seconds(spent)} of wall time."


def _value_tiles(run: RunDir, best: TrialRecord | None, objective: Objective) -> list[tuple[str, str, str]]:
    if best is None:
        return []
    tiles = [(objective.metric, number(best.best), f"trial {best.number}, epoch {best.best_epoch}")]
    found = best_baseline(run, objective)
    return tiles + ([("best baseline", number(found[1]), found[0])] if found else [])


def _unfinished(told: list[dict[str, Any]]) -> list[str]:
    last = told[-1] if told else {"event": ""}
    if last["event"] == "run_ended" and last["state"] == "done":
        return []
    why = last.get("reason") or "it was interrupted or is still running"
    return [f"This report is partial: the search has not come to its end ({why})."]


def _edges(facts: dict[str, Any], order: list[TrialRecord]) -> list[str]:
    found = edges(facts, order)
    if not found:
        return []
    n = len(found)
    what = f"{n} settings have their best values" if n > 1 else "One setting has its best values"
    names = ", ".join(f"{edge.name} ({edge.end})" for edge in found)
    return [f"{what} at an end of the range searched: {names}. A wider one may hold better trials."]


def _warnings(facts: dict[str, Any], found: list[TrialRecord]) -> list[str]:
    reasons = Counter(trial.reason for trial in found if trial.state in ("failed", "diverged") and trial.reason)
    lost = [f"{n} trial{'s' if n > 1 else ''} came to nothing: {reason}" for reason, n in reasons.most_common(3)]
    told = told_classes(facts)
    told = [f"{told[0].upper()}{told[1:]}."] if told else []
    return [*lost, *told, *facts["data"].get("warnings", []), *facts["spec"].get("notes", [])]
