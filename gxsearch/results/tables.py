"""Tables: the rows of a report: leaderboard, measures on test rows, settings, facts of the data, how to repeat it."""

from __future__ import annotations

import hashlib
import shlex
from typing import Any

import pandas as pd

from gxsearch.models import registry
from gxsearch.results import evaluation, leaderboard, page, plots
from gxsearch.results.leaderboard import Objective
from gxsearch.results.ledger import TrialRecord
from gxsearch.results.page import number
from gxsearch.results.run_dir import RunDir
from gxsearch.results.study import Importance
from gxsearch.results.verdict import nouns

TOP = 10
SETTINGS = 5
"""Settings that the leaderboard has room for."""
MEASURES = 6
"""Measures on test rows that are shown at once; the others are folded away."""


def board(run: RunDir, found: Importance) -> dict[str, Any]:
    """Return the head, the rows and the number of rows left out of the table of the best trials and baselines."""
    frame, metric = leaderboard.table(run), Objective.of(run).metric
    domains = list(run.facts()["space_domains"])
    settings = found.first(domains, SETTINGS)
    others = [name for name in frame if name.startswith("val/") and name not in (metric, "val/loss")][:2]
    shown = pd.concat([frame.head(TOP), frame.iloc[TOP:][frame.iloc[TOP:]["state"] == "baseline"]])
    rows = [
        {
            "rank": number(_known(row["rank"])),
            "trial": row["trial"],
            "state": row["state"],
            "values": [number(_known(row[name])) for name in (metric, *others)],
            "epochs": _epochs(row),
            "seconds": page.seconds(row["seconds"]) if pd.notna(row["seconds"]) else "",
            "settings": [(n.partition(".")[2], page.short(_known(row[n]))) for n in settings if _has(row, n)],
        }
        for row in shown.to_dict("records")
    ]
    return {
        "measures": [metric, *others],
        "head": ["rank", "trial", "state", metric, *others, "best epoch", "settings"],
        "lines": [_line(row) for row in rows],
        "rows": rows,
        "left_out": len(frame) - len(shown),
        "hidden": len(domains) - len(settings),
    }


def tests(run: RunDir) -> dict[str, Any]:
    """Return the tables of measures on test rows: those shown at once, and more; a row a measure.

    Each has names (the best trial, and the baselines that have any of its measures) and rows (measure, values, what it
    means); `head` and `lines` are of all measures.
    """
    own = leaderboard.scores(run)
    rows = ([{"name": "best trial", **own}] if own else []) + leaderboard.baselines(run)
    measures = evaluation.test_measures(rows)
    if run.confusions():  # these have a section of their own
        of_phenotypes = {f"test/{measure}" for measure in ("pheno_nll", *evaluation.OF_PHENOTYPES)}
        measures = [name for name in measures if name not in of_phenotypes]
    whole = _measured(rows, measures)
    return {
        "first": _measured(rows, measures[:MEASURES]),
        "more": _measured(rows, measures[MEASURES:]),
        "told": evaluation.told_classes(run.facts()),
        "head": ["measure", *whole["names"]],
        "lines": [[name, *values] for name, values, _ in whole["rows"]],
    }


def _measured(rows: list[dict[str, Any]], measures: list[str]) -> dict[str, list[Any]]:
    kept = [row for row in rows if any(name in row for name in measures)]
    table = [(name, [number(row.get(name)) for row in kept], evaluation.meaning(name)) for name in measures]
    return {"names": [row["name"] for row in kept], "rows": table}


def data(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what is known of the data as names and words."""
    sizes = dict(zip(nouns(facts), (facts.get("n_obs"), facts.get("n_vars")), strict=True))
    counts = {kind: f"{n:,}" if n is not None else None for kind, n in sizes.items()}
    before = facts.get("n_genes_before")
    if counts["genes"] is not None and before not in (None, sizes["genes"]):
        counts["genes"] += f" of {before:,}"
    split = ", ".join(f"{part} {n:,}" for part, n in facts.get("split", {}).items())
    groups = ", ".join(f"{part} {n:,}" for part, n in facts.get("groups", {}).items())
    classes = ", ".join(f"{name} ({n:,})" for name, n in facts.get("classes", {}).items())
    told = {
        "source": facts.get("source"),
        "layer": facts.get("layer"),
        **counts,
        "parts": split,
        "groups kept together": groups,
        "classes": classes,
        "transform": ", ".join(facts.get("transform", [])) or "none",
    }
    return [(name, str(value)) for name, value in told.items() if value]


def settings(facts: dict[str, Any], best: TrialRecord | None, found: Importance) -> dict[str, list[Any]]:
    """Return the best trial's settings: the searched ones with their ranges, and all others."""
    if best is None:
        return {"searched": [], "others": [], "lines": []}
    space, domains, model = facts["spec"]["space"], facts["space_domains"], facts["spec"]["model"]
    resting = {name: p["default"] for name, p in space.get("parameters", {}).items() if "default" in p}
    values = {**space.get("fixed", {}), **resting, **best.params}
    kinds = {}
    if model in registry.names():
        kinds = {"model": registry.get(model).Config, "train": registry.get(model).Train}
    for group, kind in kinds.items():
        given = {name.partition(".")[2]: value for name, value in values.items() if name.startswith(f"{group}.")}
        values |= {f"{group}.{name}": value for name, value in kind(**given).model_dump(mode="json").items()}
    rows = [
        {
            "name": name,
            "value": page.short(value),
            "range": _range(domains[name]) if name in domains else "",
            "share": _share(found, name),
            "doc": page.documented(kinds[group], rest) if (group := name.partition(".")[0]) in kinds else "",
        }
        for name, value in values.items()
        for rest in [name.partition(".")[2]]
    ]
    order = {name: place for place, name in enumerate(domains)}
    searched = sorted((row for row in rows if row["name"] in best.params), key=lambda row: order[row["name"]])
    others = [row for row in rows if row["name"] not in best.params]
    lines = [[row["name"], row["value"], row["range"], row["share"]] for row in searched]
    return {"searched": searched, "others": others, "lines": lines}


def command(facts: dict[str, Any]) -> str:
    """Return the command that began the run, as one types it."""
    told = facts["command"]
    return told if isinstance(told, str) else shlex.join(told)


def repeat(run: RunDir) -> list[tuple[str, str]]:
    """Return what a repetition needs to be the same, as names and words: seeds, versions, fingerprints."""
    facts = run.facts()
    told = {
        "run": f"{facts['id']}, begun {facts['created']}",
        "seed": str(facts["seed"]),
        "versions": ", ".join(f"{name} {version}" for name, version in facts["versions"].items()),
        "sha256 of spec.yaml": hashlib.sha256(run.spec.read_bytes()).hexdigest() if run.spec.exists() else "",
        "sha256 of run.json": hashlib.sha256(run.run.read_bytes()).hexdigest(),
        "sha256 of the data": facts["data"].get("sha256"),
        "sha256 of the split": facts["data"].get("split_sha256"),
    }
    return [(name, value) for name, value in told.items() if value]


def _line(row: dict[str, Any]) -> list[str]:
    """Return a row of the leaderboard as cells of text."""
    settings = "; ".join(f"{name} {value}" for name, value in row["settings"])
    return [row["rank"], row["trial"], row["state"], *row["values"], row["epochs"], settings]


def _share(found: Importance, name: str) -> str:
    """Return a setting's share of importance with its band, and a mark where it may have none."""
    if name not in found.shares:
        return ""
    low, high = (ends[0] for ends in found.ends([name]))
    doubt = " ?" if name in found.unsure else ""
    return f"{found.shares[name]:.0%} ({low:.0%}-{high:.0%}){doubt}"


def _epochs(row: dict[str, Any]) -> str:
    if pd.isna(row["epochs"]):
        return ""
    return f"{row['best_epoch']} of {row['epochs']}" if pd.notna(row["best_epoch"]) else str(row["epochs"])


def _range(domain: dict[str, Any]) -> str:
    if domain["kind"] == "choice":
        return ", ".join(plots.option(value) for value in domain["options"])
    log = ", log" if domain.get("log") else ""
    return f"{page.short(domain['low'])} to {page.short(domain['high'])}{log}"


def _has(row: dict[str, Any], name: str) -> bool:
    return name in row and _known(row[name]) is not None


def _known(value: Any) -> Any:
    """Return a cell as a plain value; None for a blank one."""
    if pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value
