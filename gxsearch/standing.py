"""Standing: `gxsearch status`: where a search, or each search of a comparison, stands; `--watch` follows it."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gxsearch.events import dumps
from gxsearch.overview import figure, fitted
from gxsearch.results import leaderboard, ledger
from gxsearch.results.compare_dir import CompareDir
from gxsearch.results.run_dir import COMPARISON, RunDir

LOOK_S = 1.0
UNKNOWN = "running, or killed"
"""The state of a search on another machine that has not said that it ended."""


def status(path: str, *, as_json: bool) -> str:
    """Return where a search stands, from its ledger; it may be running. Of a comparison, where each search does."""
    found = facts(path)
    return dumps(found, indent=1) if as_json else told(found, path)


def facts(path: str) -> dict[str, Any]:
    """Return where a search stands: run, state, trials (state -> number), asked, objective, best (or None).

    The state is that of the last start that ended (done, interrupted, failed), or running, killed, or `UNKNOWN`.
    Of a comparison: run, state, trials and asked over all, searches (name -> the same of each), verdict (sentences).

    Raises:
        RunError: when there is no run, or its ledger is damaged.
    """
    if (Path(path) / COMPARISON).is_file():
        return _comparison(CompareDir.open(path))
    return _run(RunDir.open(path))


def _run(run: RunDir) -> dict[str, Any]:
    events = ledger.events(run.ledger)
    found = ledger.gathered(events, run.ledger)
    last = next((e for e in reversed(events) if e["event"].startswith("run_")), {"event": "run_started"})
    best, objective = leaderboard.chosen_of(run, found), leaderboard.Objective.of(run)
    return {
        "run": str(run.path),
        "state": last.get("state") or _running(run.lock),
        "trials": dict(Counter(trial.state for trial in found)),
        "asked": trials_asked(run, events),
        "objective": {"metric": objective.metric, "mode": objective.mode},
        "best": best and {"trial": best.number, "value": best.best, "epoch": best.best_epoch},
    }


def _running(lock: Path) -> str:
    """Return whether the process that a lock names is there, as far as this machine can tell."""
    words = lock.read_text().split() if lock.is_file() else []
    if len(words) != 2 or words[0] != os.uname().nodename or not words[1].isdigit():
        return UNKNOWN
    return "running" if Path("/proc/self").exists() and Path("/proc", words[1]).exists() else "killed"


def trials_asked(run: RunDir, events: list[dict[str, Any]]) -> int | None:
    """Return the number of trials that were asked for last; None where only time limits a search."""
    changes = [event["budget"] for event in events if event["event"] == "run_resumed"]
    budgets = [run.facts()["spec"]["budget"], *changes]
    return next(budget["trials"] for budget in reversed(budgets) if "trials" in budget)


def _comparison(place: CompareDir) -> dict[str, Any]:
    from gxsearch.results.comparison import read

    names = [entry["name"] for entry in place.facts()["entries"]]
    searches = {name: _run(place.run(name)) for name in names if place.run(name).run.is_file()}
    states = [found["state"] for found in searches.values()]
    busy = next((state for state in states if state != "done"), UNKNOWN)
    asked = [found["asked"] for found in searches.values()]
    counts: Counter[str] = sum((Counter(found["trials"]) for found in searches.values()), Counter())
    return {
        "run": str(place.path),
        "state": "done" if place.verdict.is_file() else busy,
        "trials": dict(counts),
        "asked": None if None in asked or len(asked) < len(names) else sum(asked),
        "searches": {name: searches.get(name) for name in names},
        "verdict": read(place)["sentences"] if place.verdict.is_file() else None,
    }


def told(found: dict[str, Any], path: str) -> str:
    """Return where a search or a comparison stands, as text."""
    name, state = Path(found["run"]).name, found["state"]
    counts = "   ".join(f"{n} {kind}" for kind, n in found["trials"].items()) or "no trials yet"
    lines = [f"{name}   {state}", f"{sum(found['trials'].values())}/{found['asked'] or '-'} trials   {counts}"]
    if "searches" in found:
        rows = [_row(search, each) for search, each in found["searches"].items()]
        lines += ["", fitted([["search", "state", "trials", "objective", "best", "trial"], *rows])]
        lines += ["", *found["verdict"]] if found["verdict"] else []
    elif found["best"] is not None:
        best, metric = found["best"], found["objective"]["metric"]
        lines.append(f"best {best['trial']:03d}   {metric} {best['value']:.5g}   epoch {best['epoch']}")
    idle = state != "done" and state != "running"
    return "\n".join(lines + ([f"go on with: gxsearch resume {path}"] if idle else []))


def _row(name: str, found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return [name, "to come", "", "", "", ""]
    best = found["best"]
    value = [figure(best["value"]), f"{best['trial']:03d}"] if best else ["", ""]
    n = f"{sum(found['trials'].values())}/{found['asked'] or '-'}"
    return [name, found["state"], n, found["objective"]["metric"], *value]


def watch(path: str, show: Callable[[dict[str, Any]], None], *, every: float = LOOK_S) -> dict[str, Any]:
    """Show where a search stands each time that has changed, until it ends; return, unshown, where it stands then.

    Raises:
        RunError: as `facts`.
    """
    before: dict[str, Any] | None = None
    while True:
        now = facts(path)
        if now["state"] not in ("running", UNKNOWN):
            return now
        if now != before:
            show(now)
        before = now
        time.sleep(every)
