"""Report: one HTML file that tells what a search found, to be read offline, printed, and believed."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pandas as pd

from gxsearch.models import registry
from gxsearch.results import ablations, curves, evaluation, gallery, leaderboard, page, plots
from gxsearch.results.gallery import Easel
from gxsearch.results.latent import latent
from gxsearch.results.leaderboard import Objective
from gxsearch.results.ledger import TrialRecord
from gxsearch.results.page import number
from gxsearch.results.phenotypes import phenotypes
from gxsearch.results.run_dir import RunDir, write_atomic
from gxsearch.results.verdict import nouns, verdict

TOP = 15
SETTINGS = 5
"""Settings that the table has room for."""


def write(run: RunDir, *, static: bool = False) -> Path:
    """Write results/report.html and return its path; it needs no network and no other file.

    With `static`, pictures are drawn by matplotlib and the file holds no script at all. Maps are drawn from
    results/embeddings.h5ad, where `embed.embeddings` has written it.

    Raises:
        RunError: when the run cannot be read.
    """
    easel = Easel(run, static=static)
    facts = run.facts()
    best = next(iter(leaderboard.ranked(run)), None)
    html = page.template("report.html").render(
        facts=facts,
        spec_text=run.spec.read_text(errors="replace") if run.spec.exists() else "",
        command=_command(facts["command"]),
        verdict=verdict(run),
        board=_board(run, easel),
        tests=_tests(run),
        search=gallery.search(easel, run),
        slices=gallery.slices(easel, run),
        too_few=gallery.too_few(easel),
        ablations=_ablations(run),
        settings=_settings(facts, best, easel),
        best=best,
        terms=gallery.terms(easel, run),
        latent=latent(easel, run, facts["spec"]["model"], facts["spec"]["data"]["label"]),
        curves=curves.pictures(run),
        phenotypes=phenotypes(easel, run),
        data=_data(facts["data"]),
        css=page.style("report.css"),
        scripts=page.scripts() if not static else None,
        path=run.path.name,
    )
    write_atomic(run.report, html.encode())
    return run.report


def _board(run: RunDir, easel: Easel) -> dict[str, Any]:
    """Return the head, the rows and the number of rows left out of the table of the best trials and baselines."""
    frame, metric = leaderboard.table(run), Objective.of(run).metric
    domains = list(run.facts()["space_domains"])
    settings = easel.importance.first(domains, SETTINGS)
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
        "rows": rows,
        "left_out": len(frame) - len(shown),
        "hidden": len(domains) - len(settings),
    }


def _ablations(run: RunDir) -> list[tuple[str, list[str]]]:
    """Return what changes of the best settings did: a heading and a line a measure."""
    told = ablations.past(run)
    return [(ablations.heading(one), [ablations.sentence(*row) for row in one["measures"].items()]) for one in told]


def _epochs(row: dict[str, Any]) -> str:
    if pd.isna(row["epochs"]):
        return ""
    return f"{row['best_epoch']} of {row['epochs']}" if pd.notna(row["best_epoch"]) else str(row["epochs"])


def _tests(run: RunDir) -> dict[str, Any]:
    """Return the table of measures on test rows: a row a measure, a column for the best trial and each baseline."""
    own = leaderboard.scores(run)
    rows = ([{"name": "best trial", **own}] if own else []) + leaderboard.baselines(run)
    measures = evaluation.test_measures(rows)
    if run.confusions():  # these have a section of their own
        of_phenotypes = {f"test/{measure}" for measure in ("pheno_nll", *evaluation.OF_PHENOTYPES)}
        measures = [name for name in measures if name not in of_phenotypes]
    kept = [row for row in rows if any(name in row for name in measures)]
    table = [(name, [number(row.get(name)) for row in kept], evaluation.meaning(name)) for name in measures]
    return {"names": [row["name"] for row in kept], "rows": table, "told": evaluation.told_classes(run.facts())}


def _data(facts: dict[str, Any]) -> list[tuple[str, str]]:
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
        "sha256 of the data": facts.get("sha256"),
        "sha256 of the split": facts.get("split_sha256"),
    }
    return [(name, str(value)) for name, value in told.items() if value]


def _settings(facts: dict[str, Any], best: TrialRecord | None, easel: Easel) -> dict[str, list[dict[str, str]]]:
    """Return the best trial's settings: the searched ones with their ranges, and all others."""
    if best is None:
        return {"searched": [], "others": []}
    space, domains, model = facts["spec"]["space"], facts["space_domains"], facts["spec"]["model"]
    resting = {name: p["default"] for name, p in space.get("parameters", {}).items() if "default" in p}
    values = {**space.get("fixed", {}), **resting, **best.params}
    kinds = {}
    if model in registry.names():
        kinds = {"model": registry.get(model).Config, "train": registry.get(model).Train}
    for group, kind in kinds.items():
        given = {name.partition(".")[2]: value for name, value in values.items() if name.startswith(f"{group}.")}
        values |= {f"{group}.{name}": value for name, value in kind(**given).model_dump(mode="json").items()}
    share = easel.importance.shares
    rows = [
        {
            "name": name,
            "value": page.short(value),
            "range": _range(domains[name]) if name in domains else "",
            "share": f"{share[name]:.0%}" if name in share else "",
            "doc": page.documented(kinds[group], rest) if (group := name.partition(".")[0]) in kinds else "",
        }
        for name, value in values.items()
        for rest in [name.partition(".")[2]]
    ]
    order = {name: place for place, name in enumerate(domains)}
    searched = sorted((row for row in rows if row["name"] in best.params), key=lambda row: order[row["name"]])
    return {"searched": searched, "others": [row for row in rows if row["name"] not in best.params]}


def _range(domain: dict[str, Any]) -> str:
    if domain["kind"] == "choice":
        return ", ".join(plots.option(value) for value in domain["options"])
    log = ", log" if domain.get("log") else ""
    return f"{page.short(domain['low'])} to {page.short(domain['high'])}{log}"


def _command(command: str | list[str]) -> str:
    return command if isinstance(command, str) else shlex.join(command)


def _has(row: dict[str, Any], name: str) -> bool:
    return name in row and _known(row[name]) is not None


def _known(value: Any) -> Any:
    """Return a cell as a plain value; None for a blank one."""
    if pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value
