"""Conclude: all that is made of a finished search: baselines, test scores, best model, embeddings, report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gxsearch.data.series import SeriesView
from gxsearch.data.table import Table
from gxsearch.results import curves, embed, evaluation, export, leaderboard, report
from gxsearch.results.package import of_run
from gxsearch.results.run_dir import RunDir, write_atomic
from gxsearch.training.baselines import baselines, test_scores
from gxsearch.training.curves import default_clusters
from gxsearch.training.series_baselines import series_baselines, series_scores


def conclude(run: RunDir, table: Table, *, say: Callable[[str], None] = lambda text: None) -> None:
    """Write everything below results/ from what the trials left behind; test rows are read here and nowhere else.

    Raises:
        RunFailed: when no trial has a finite value of the objective.
    """
    table = table.dense()
    say("baselines and test rows")
    best = of_run(run)
    label = run.facts()["spec"]["data"]["label"]
    z_nk = best.embed_table(table)
    metric = run.facts()["spec"]["objective"]["metric"]
    series = isinstance(best.view, SeriesView)
    rows = (series_baselines if series else baselines)(best.view, table, label, z_nk.shape[1], metric)
    _write(run.baselines, [{"name": name, **row} for name, row in rows.items()])
    _write(run.scores, (series_scores if series else test_scores)(best.model, best.view, table, label, z_nk))
    leaderboard.write(run)
    say("best model and embeddings")
    export.export(run)
    adata = embed.embeddings(run, table, vectors=z_nk)
    if series:
        say("curves")
        clusters = default_clusters(table.obs.get(label), z_nk)
        curves.write(run, curves.series_curves(best, table, z_nk, clusters))
    say("clusters")
    evaluation.write_clusters(run, adata, best.name, label)
    say("report")
    report.write(run)


def _write(path: Path, value: Any) -> None:
    write_atomic(path, json.dumps(value, indent=1).encode())
