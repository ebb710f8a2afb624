"""The leaderboard: trials and baselines in one table, ranked by the objective at their best epoch."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from gxsearch.errors import RunError, RunFailed
from gxsearch.results import pareto
from gxsearch.results.ledger import TrialRecord, trials
from gxsearch.results.run_dir import RunDir, write_atomic

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the start of a formula (OWASP, CSV injection)."""


@dataclass(frozen=True)
class Objective:
    """What a search optimizes: a metric, and whether less or more of it is better."""

    metric: str
    mode: Literal["min", "max"]

    @classmethod
    def of(cls, run: RunDir) -> Objective:
        """Read the objective of a run."""
        told = run.facts()["spec"]["objective"]
        return cls(told["metric"], told["mode"])

    @classmethod
    def all(cls, run: RunDir) -> list[Objective]:
        """Read all objectives of a run, the first one first."""
        return [cls.of(run), *(cls(told["metric"], told["mode"]) for told in run.facts()["spec"].get("also", []))]

    def key(self, value: float) -> float:
        """Return a number that is the less the better the value is."""
        return value if self.mode == "min" else -value


def table(run: RunDir) -> pd.DataFrame:
    """Return the ranked trials with the baselines in their places, then what is not ranked, by number.

    Columns: rank (blank for what is no trial or may not win), trial (number, or a baseline's name), state, the
    objective, the other ``val/`` measures at the best epoch, best_epoch, epochs, seconds, and the searched
    settings by their dotted names. Baselines that lack the objective follow the ranked rows. Of several objectives
    trials are ranked by the first; the others follow it, then front (yes or no, blank for what may not win).

    Raises:
        RunError: when the ledger or the baselines cannot be read.
    """
    objective, found, controls = Objective.of(run), trials(run.ledger), baselines(run)
    winners = _ordered(found, objective)
    ranks = {trial.number: rank for rank, trial in enumerate(winners, 1)}
    rows = [_trial_row(trial, objective, ranks.get(trial.number)) for trial in winners]
    also = Objective.all(run)[1:]
    if also:
        able, key_nm = standings(winners, [objective, *also])
        told = {str(trial.number): is_on for trial, is_on in zip(able, pareto.front(key_nm), strict=True)}
        rows = [row | {"front": "yes" if told.get(row["trial"]) else "no"} for row in rows]
    rows += [_baseline_row(control, objective) for control in controls]
    rows.sort(key=lambda row: _place(row[objective.metric], objective))  # stable: a trial goes before its equal
    rows += [_trial_row(trial, objective, None) for trial in found if trial.number not in ranks]
    head = [objective.metric, *(one.metric for one in also), *(["front"] if also else [])]
    frame = pd.DataFrame(rows, columns=_columns(found, controls, head))
    whole = {name for trial in found for name, value in trial.params.items() if type(value) is int}
    whole -= {name for trial in found for name, value in trial.params.items() if type(value) is not int}
    return frame.astype(dict.fromkeys(["rank", "best_epoch", "epochs", *sorted(whole)], "Int64"))


def write(run: RunDir) -> pd.DataFrame:
    """Write the table to results/leaderboard.csv, safe to open in a spreadsheet, and return it.

    Seconds are left out, so that a search that is repeated gives the same file, byte for byte.
    """
    frame = table(run).drop(columns="seconds")
    text = frame.rename(columns=cell).map(cell).to_csv(index=False, lineterminator="\n")
    write_atomic(run.leaderboard, text.encode())
    return frame


def best(run: RunDir) -> TrialRecord:
    """Return the trial that won: `chosen`.

    Raises:
        RunFailed: when no trial has a finite value of the objective.
    """
    found = chosen(run)
    if found is None:
        what = f"none of {len(trials(run.ledger))} trials has a finite value of the objective"
        raise RunFailed.one("E710", str(run.path), what, f"read {run.path.name}/trials/*/error.txt")
    return found


def chosen(run: RunDir) -> TrialRecord | None:
    """Return the trial that stands for a run: the best or, of several objectives, the one of the front that `choose`
    tells; None where no trial may win."""
    return chosen_of(run, trials(run.ledger))


def chosen_of(run: RunDir, found: list[TrialRecord]) -> TrialRecord | None:
    """Return what `chosen` does, from the trials of the run's ledger."""
    objectives = Objective.all(run)
    winners = _ordered(found, objectives[0])
    if len(objectives) == 1 or not winners:
        return next(iter(winners), None)
    able, key_nm = standings(winners, objectives)
    told = run.facts()["spec"]["choose"]
    return able[pareto.chosen(key_nm, told["rule"], told["within"])] if able else None


def standings(some: list[TrialRecord], objectives: list[Objective]) -> tuple[list[TrialRecord], np.ndarray]:
    """Return the trials that have all objectives at their best epoch, and the keys (n, m) there: less is better."""
    measured = [(trial, {**at_best(trial), objectives[0].metric: trial.best}) for trial in some]
    rows = [(trial, [one.key(told.get(one.metric, math.nan)) for one in objectives]) for trial, told in measured]
    able = [(trial, row) for trial, row in rows if np.isfinite(row).all()]
    return [trial for trial, _ in able], np.array([row for _, row in able]).reshape(len(able), len(objectives))


def find(run: RunDir, number: int) -> TrialRecord:
    """Return a trial by number.

    Raises:
        RunError: when the ledger has no such trial.
    """
    found = {trial.number: trial for trial in trials(run.ledger)}
    if number not in found:
        raise RunError.one(
            "E630", str(run.path), f"no trial {number}", f"it has {len(found)} trials: gxsearch trials RUN"
        )
    return found[number]


def ranked(run: RunDir) -> list[TrialRecord]:
    """Return the trials that may win, best first; equals by number."""
    return _ordered(trials(run.ledger), Objective.of(run))


def at_best(trial: TrialRecord) -> dict[str, float]:
    """Return the ``val/`` measures of a trial's best epoch, without the weights of the terms."""
    found = next((m for m in trial.history if m["epoch"] == trial.best_epoch), {})
    return {name: found[name] for name in found if name.startswith("val/") and not name.endswith("_weight")}


def baselines(run: RunDir) -> list[dict[str, Any]]:
    """Read the baselines' rows; none where they were not computed.

    Raises:
        RunError: when the file cannot be read.
    """
    return _rows(run.baselines) if run.baselines.exists() else []


def scores(run: RunDir) -> dict[str, float]:
    """Read the best trial's measures on test rows; none where they were not computed."""
    return _json(run.scores, dict) if run.scores.exists() else {}


def cell(value: Any) -> Any:
    """Keep text on one line and from being run as a formula; numbers, negative ones too, stay as they are."""
    if not isinstance(value, str):
        return value
    flat = value.replace("\r", " ").replace("\n", " ")
    return f"'{flat}" if value.startswith(_FORMULA) else flat


def _ordered(found: list[TrialRecord], objective: Objective) -> list[TrialRecord]:
    able = [trial for trial in found if trial.ranked and math.isfinite(trial.best)]
    return sorted(able, key=lambda trial: (objective.key(trial.best), trial.number))


def _place(value: Any, objective: Objective) -> tuple[bool, float]:
    known = value is not None and math.isfinite(value)
    return (not known, objective.key(value) if known else 0.0)


def _trial_row(trial: TrialRecord, objective: Objective, rank: int | None) -> dict[str, Any]:
    ends = {"best_epoch": trial.best_epoch or None, "epochs": len(trial.history), "seconds": trial.seconds}
    params = {name: _plain(value) for name, value in trial.params.items()}
    head = {"rank": rank, "trial": str(trial.number), "state": trial.state}
    return head | at_best(trial) | {objective.metric: trial.best} | ends | params


def _baseline_row(control: dict[str, Any], objective: Objective) -> dict[str, Any]:
    measures = {name: value for name, value in control.items() if name.startswith("val/")}
    head = {"rank": None, "trial": control["name"], "state": "baseline", objective.metric: None}
    return head | measures


def _columns(found: list[TrialRecord], controls: list[dict[str, Any]], aims: list[str]) -> list[str]:
    """Return the columns, `aims` first; measures and settings in the order in which they first appear."""
    measures = [name for source in (*map(at_best, found), *controls) for name in source if name.startswith("val/")]
    params = [name for trial in found for name in trial.params]
    head = ["rank", "trial", "state", *aims]
    return list(dict.fromkeys([*head, *measures, "best_epoch", "epochs", "seconds", *params]))


def _plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict) else value


def _rows(path: Any) -> list[dict[str, Any]]:
    rows = _json(path, list)
    if not all(isinstance(row, dict) and isinstance(row.get("name"), str) for row in rows):
        raise RunError.one("E631", str(path), "is not a list of rows with names")
    for row in rows:
        _check_numbers(row, path)
    return rows


def _check_numbers(row: dict[str, Any], path: Any) -> None:
    """Raise where a measure that rows are ranked by (``val/...``) is no number."""
    measures = [name for name in row if name.startswith("val/")]
    odd = next((name for name in measures if type(row[name]) not in (int, float)), None)
    if odd is not None:
        raise RunError.one("E631", str(path), f"'{odd}' is no number: {row[odd]!r}", "restore it, or remove it")


def _json(path: Any, kind: type) -> Any:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RunError.one("E631", str(path), f"cannot be read ({error})") from None
    if not isinstance(found, kind):
        raise RunError.one("E631", str(path), f"should hold a JSON {'object' if kind is dict else 'list'}")
    return found
