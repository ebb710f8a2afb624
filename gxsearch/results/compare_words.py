"""What is said of a comparison: the verdict first, then what speaks for and against it, and the tables."""

from __future__ import annotations

from typing import Any

import numpy as np

from gxsearch.results.judgment import listed
from gxsearch.results.page import number, seconds

SHOWN = 4
"""Measures beside the one that decides for which the leaderboard of a page has room."""
_ALIKE = 5e-4
"""Difference of a measure on two parts below which none is told."""


def sentences(told: dict[str, Any]) -> list[str]:
    """Return the verdict, a sentence an item, from what comparison.json holds."""
    parts = verdict(told)
    return [parts["lead"], parts["judged"], *told["judgment"]["sentences"], *parts["rest"]]


def verdict(told: dict[str, Any]) -> dict[str, Any]:
    """Return what is said around the judgment: lead, judged (on what) and rest, a list."""
    judgment, by = told["judgment"], told["by"]
    first = {row["name"]: row for row in told["rows"]}[judgment["leader"]]
    n = max(len(row["val"][by]) for row in told["rows"])
    part = "test" if first["test"] else "val"
    lead = f"{judgment['leader']} leads by {by} of validation rows: {spread(first['val'][by])}"
    judged = f"Judged on {told['held_out'][part]:,} {_rows(part)} and {n} trainings of each architecture"
    rest = [*_told_labels(told), *_gap(first, by), *_below_baseline(told), *_take(told)]
    return {"lead": f"{lead}.", "judged": f"{judged}:", "rest": rest}


def budgets(told: dict[str, Any]) -> list[str]:
    """Return what each search was given and used."""
    plan = told["plan"]
    models = [row for row in told["rows"] if row["kind"] == "model"]
    given = "the trials of its file"
    if plan["minutes"] is not None:
        given = f"an equal part of {number(plan['minutes'], 3)} minutes"
    if plan["trials"] is not None:
        given = f"{plan['trials']} trials" + (f" or {given}, whichever ended first" if plan["minutes"] else "")
    used = [
        f"{row['name']} {seconds(row['facts']['search_s'])}, {row['facts']['trials']} trials, "
        f"{row['facts']['epochs']:,} epochs"
        for row in models
    ]
    return [f"Each search was given {given}; used were: {'; '.join(used)}."]


def columns(told: dict[str, Any]) -> list[str]:
    """Return the head of the leaderboard of a page."""
    by, part = told["by"], _part(told)
    head = ["", "k", "weights", f"val/{by}", f"{part}/{by}", "against the leader"]
    return [*head, *(f"{part}/{name}" for name in _others(told)), "map: CKA", "own objective"]


def rows(told: dict[str, Any]) -> list[list[str]]:
    """Return the leaderboard of a page, as text."""
    by, part, judgment = told["by"], _part(told), told["judgment"]
    against = {pair["name"]: pair for pair in judgment["pairs"]}
    return [
        [
            f"{row['name']}{'*' if row['facts'].get('told') else ''}",
            str(row["k"]),
            f"{row['size']:,}",
            spread(row["val"][by]),
            spread(row[part][by]),
            "leader" if row["name"] == judgment["leader"] else _against(against.get(row["name"]), row["kind"]),
            *(spread(row[part][name]) if name in row[part] else "" for name in _others(told)),
            number(row["stability"].get("cka"), 2),
            f"{row['facts']['native']} {number(row['facts']['native_value'])}" if row["facts"] else "",
        ]
        for row in told["rows"]
    ]


def flat(told: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of leaderboard.csv: a mean and a deviation of every measure on both parts."""
    found = []
    for row in told["rows"]:
        head = {name: row[name] for name in ("rank", "name", "kind", "k", "size")}
        head |= {"told_labels": bool(row["facts"].get("told"))}
        for part in ("val", "test"):
            for name, values in row[part].items():
                head[f"{part}/{name}"] = float(np.mean(values))
                if len(values) > 1:
                    head[f"{part}/{name}_sd"] = float(np.std(values, ddof=1))
        found.append(
            {**head, **row["stability"], **{f"own_{k}": row["facts"].get(k) for k in ("native", "native_value")}}
        )
    return found


def spread(values: list[float]) -> str:
    """Return a mean and, of several trainings, their standard deviation."""
    mean = number(float(np.mean(values)), 3)
    return mean if len(values) < 2 else f"{mean} ± {float(np.std(values, ddof=1)):.1g}"


def _part(told: dict[str, Any]) -> str:
    return "test" if told["rows"][0]["test"] else "val"


def _others(told: dict[str, Any]) -> list[str]:
    return [name for name in told["measures"] if name != told["by"]][:SHOWN]


def _rows(part: str) -> str:
    return "test rows, by which nothing was chosen," if part == "test" else "validation rows (there are no test rows)"


def _against(pair: dict[str, Any] | None, kind: str) -> str:
    if pair is None:
        return "control" if kind == "control" else ""
    chance = "" if pair["p"] is None else (", p < 0.001" if pair["p"] < 0.001 else f", p = {pair['p']:.2g}")
    word = {"better": "worse", "worse": "better", "tie": "cannot be told apart"}[pair["called"]]
    return f"{word}{chance}"


def _take(told: dict[str, Any]) -> list[str]:
    choice, best = told["judgment"]["choice"], told["exported"]
    beside = "" if best == choice else f"; results/best holds {best}, the best of the architectures"
    return [f"Take {choice}{beside}."]


def _told_labels(told: dict[str, Any]) -> list[str]:
    names = [row["name"] for row in told["rows"] if row["facts"].get("told")]
    if not names:
        return []
    was = "was" if len(names) == 1 else "were"
    return [f"{listed(names)} {was} told the labels of training rows (*); the others were not."]


def _gap(first: dict[str, Any], by: str) -> list[str]:
    """Say how far the leader fell from the rows it was chosen by to those it was not: the winner's curse."""
    if not first["test"]:
        return []
    val, test = (float(np.mean(first[part][by])) for part in ("val", "test"))
    way = f"{number(abs(test - val), 2)} {'below' if test < val else 'above'} validation rows"
    way = way if abs(test - val) >= _ALIKE else "as on validation rows"
    return [f"On test rows {first['name']} has {number(test, 3)}, {way}."]


def _below_baseline(told: dict[str, Any]) -> list[str]:
    """Say which architectures did no better than a classical method."""
    ranks = {row["name"]: row["rank"] for row in told["rows"]}
    classics = [row["name"] for row in told["rows"] if row["kind"] == "classic"]
    if not classics:
        return []
    best = min(classics, key=ranks.__getitem__)
    below = [row["name"] for row in told["rows"] if row["kind"] == "model" and row["rank"] > ranks[best]]
    return [f"On validation rows {best}, which needs no training, did better than {listed(below)}."] if below else []
