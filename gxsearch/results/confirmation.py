"""Confirmation: what became of the best trials when they were trained again: who is better, and by how much."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from gxsearch.data.table import Table
from gxsearch.errors import RunError
from gxsearch.results.judgment import Candidate, Judgment, judge
from gxsearch.results.leaderboard import Objective
from gxsearch.results.page import number
from gxsearch.results.paired import over_trainings
from gxsearch.results.run_dir import RunDir, write_atomic
from gxsearch.results.stability import stability
from gxsearch.results.trainings import Training, column, folders, search_values, trained_again

MAIN = ("knn", "logreg", "expression_r2")
"""Measures of vectors that the table has room for, as far as the data allow them."""


def write(run: RunDir, table: Table) -> dict[str, Any] | None:
    """Write results/confirm.json and return what is in it; None where no trial was trained again.

    Keys: metric, mode, splits, seeds; candidates: each with trial, size, found (what the search saw), values (one per
    training), val, test and stability; judgment, sentences, and table, which a report shows as it is. Test rows
    are read.
    """
    if not folders(run):
        return None
    objective, first = Objective.of(run), RunDir(folders(run)[0])
    numbers = _numbers_of(run, first)
    found = trained_again(run, table)
    if not found or not all(found):
        return _keep(run, {"sentences": ["None of the trials trained again came to a result under every seed."]})
    order = sorted(range(len(found)), key=lambda c: objective.key(_mean(found[c])))
    candidates = [_candidate(numbers[c], found[c]) for c in order]
    judgment = judge(candidates, objective.mode, overlap=_overlap(first, len(folders(run))))
    seen = dict(zip(numbers, search_values(run, numbers), strict=True))
    told = {
        "metric": objective.metric,
        "mode": objective.mode,
        "splits": len(folders(run)),
        "seeds": first.facts()["spec"]["search"]["repeats"],
        "candidates": [_told(numbers[c], found[c], seen[numbers[c]]) for c in order],
        "judgment": judgment.to_json(),
    }
    told["sentences"] = _sentences(told, judgment, objective)
    told["table"] = _table(told)
    return _keep(run, told)


def read(run: RunDir) -> dict[str, Any] | None:
    """Return what `write` found; None where nothing was confirmed.

    Raises:
        RunError: when the file cannot be read.
    """
    if not run.confirmation.exists():
        return None
    try:
        found = json.loads(run.confirmation.read_bytes())
        if not isinstance(found, dict) or not all(isinstance(line, str) for line in found["sentences"]):
            raise ValueError("it has no sentences")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError.one("E631", str(run.confirmation), f"cannot be read ({error})", "remove it") from None
    return found


def _keep(run: RunDir, told: dict[str, Any]) -> dict[str, Any]:
    write_atomic(run.confirmation, json.dumps(told, indent=1).encode())
    return told


def _numbers_of(run: RunDir, first: RunDir) -> list[int]:
    """Return the trials of the search whose settings were trained again."""
    from gxsearch.results.leaderboard import ranked

    by_params: dict[str, int] = {}
    for trial in ranked(run):
        by_params.setdefault(json.dumps(trial.params, sort_keys=True), trial.number)
    return [by_params[json.dumps(params, sort_keys=True)] for params in first.facts()["spec"]["search"]["start"]]


def _candidate(trial: int, trainings: Sequence[Training]) -> Candidate:
    return Candidate(f"trial {trial}", trainings[0].size, np.array([training.value for training in trainings]))


def _mean(trainings: Sequence[Training]) -> float:
    return float(np.mean([training.value for training in trainings]))


def _overlap(first: RunDir, splits: int) -> float:
    sizes = first.facts()["data"]["split"]
    return sizes["val"] / sizes["train"] if splits > 1 else 0.0


def _told(trial: int, trainings: Sequence[Training], seen: float) -> dict[str, Any]:
    same_split = [t.vectors for t in trainings if t.split == 0 and t.vectors is not None]
    return {
        "trial": trial,
        "size": trainings[0].size,
        "seconds": float(np.mean([training.seconds for training in trainings])),
        "found": seen,
        "values": [training.value for training in trainings],
        "val": {name: column(trainings, "val", name).tolist() for name in trainings[0].val},
        "test": {name: column(trainings, "test", name).tolist() for name in trainings[0].test},
        "stability": stability(same_split) if same_split else {},
    }


def _sentences(told: dict[str, Any], judgment: Judgment, objective: Objective) -> list[str]:
    leader = told["candidates"][0]
    n = len(leader["values"])
    over = f"{told['seeds']} seeds" + (f" on each of {told['splits']} splits" if told["splits"] > 1 else "")
    lines = [
        f"Trained again over {over}, trial {leader['trial']} has the best {objective.metric}: "
        f"{spread(leader['values'])}."
    ]
    lines += judgment.sentences
    curse = objective.key(float(np.mean(leader["values"]))) - objective.key(leader["found"])
    way = "worse" if curse > 0 else "better"
    again = f"The search had seen {number(leader['found'])} in it: trained again it is {number(abs(curse), 2)} {way}"
    lines.append(f"{again} on the mean{_luck(leader, n)}.")
    gap = _gap(leader)
    return lines + ([gap] if gap else [])


def _luck(leader: dict[str, Any], n: int) -> str:
    """Say whether what the search saw lies within the spread of the trainings."""
    if n < 2:
        return ""
    d = over_trainings([value - leader["found"] for value in leader["values"]])
    if d.p is None or d.p >= 0.05:
        return ", within the spread of trainings"
    return ", beyond the spread of trainings: the search chose a lucky one" if d.p < 0.05 else ""


def _gap(leader: dict[str, Any]) -> str:
    """Say how the measures that nothing was chosen by compare with those on validation rows."""
    name = next((name for name in MAIN if name in leader["val"] and name in leader["test"]), None)
    if name is None:
        return ""
    val, test = (float(np.mean(leader[part][name])) for part in ("val", "test"))
    return (
        f"On test rows, which nothing was chosen by, {name} is {number(test, 3)}; on validation rows {number(val, 3)}."
    )


def _table(told: dict[str, Any]) -> dict[str, Any]:
    first = told["candidates"][0]
    names = [name for name in MAIN if name in first["val"]]
    columns = ["trial", "weights", "seconds", f"{told['metric']}: search", "again"]
    columns += [f"{part}/{name}" for name in names for part in ("val", "test") if name in first[part]]
    steady = [name for name in ("cka", "neighbors") if name in first["stability"]]
    rows = [
        [
            str(c["trial"]),
            f"{c['size']:,}",
            number(c["seconds"], 3),
            number(c["found"]),
            spread(c["values"]),
            *(_spread_of(c, part, name) for name in names for part in ("val", "test") if name in first[part]),
            *(number(c["stability"].get(name), 2) for name in steady),
        ]
        for c in told["candidates"]
    ]
    return {
        "columns": [*columns, *({"cka": "map: CKA", "neighbors": "map: neighbors kept"}[n] for n in steady)],
        "rows": rows,
    }


def _spread_of(candidate: dict[str, Any], part: str, name: str) -> str:
    return spread(candidate[part][name]) if name in candidate[part] else ""


def spread(values: Sequence[float]) -> str:
    """Return a mean and, of several trainings, their standard deviation."""
    mean = number(float(np.mean(values)))
    return mean if len(values) < 2 else f"{mean} ± {number(float(np.std(values, ddof=1)), 2)}"
