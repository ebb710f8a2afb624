"""Conclude: all that is made of a finished search: baselines, test scores, best model, embeddings, report."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gxsearch.data.counts import CountsView
from gxsearch.data.graph import GraphView
from gxsearch.data.series import SeriesView
from gxsearch.data.table import Table
from gxsearch.data.tokens import TokensView
from gxsearch.data.view import View
from gxsearch.results import confirmation, curves, embed, evaluation, export, leaderboard, projector, report, tokens
from gxsearch.results.package import Package, of_run
from gxsearch.results.run_dir import RunDir, write_atomic
from gxsearch.training.baselines import baselines, test_scores
from gxsearch.training.count_baselines import count_baselines, count_scores
from gxsearch.training.curves import default_clusters
from gxsearch.training.series_baselines import series_baselines, series_scores
from gxsearch.training.spatial_baselines import spatial_baselines, spatial_scores
from gxsearch.training.token_baselines import token_baselines, token_scores


def conclude(run: RunDir, table: Table, *, say: Callable[[str], None] = lambda text: None, brief: bool = False) -> None:
    """Write everything below results/ from what the trials left behind; test rows are read here and nowhere else.

    `brief`: as of `report.write`.

    Raises:
        RunFailed: when no trial has a finite value of the objective.
    """
    say("baselines and test rows")
    best = of_run(run)
    table = table if best.view.layout == "sparse" else table.dense()
    label = run.facts()["spec"]["data"]["label"]
    z_nk = best.embed_table(table)
    metric = run.facts()["spec"]["objective"]["metric"]
    series = isinstance(best.view, SeriesView)
    classical, own = _measures(best)
    judged, z_judged = _judged(best.view, table, z_nk)
    if judged is not table:
        say(f"of {table.n_obs:,} rows {judged.n_obs:,} are judged by, some of every part")
    rows = classical(best.view, judged, label, z_nk.shape[1], metric)
    _write(run.baselines, [{"name": name, **row} for name, row in rows.items()])
    _write(run.scores, own(best.model, best.view, judged, label, z_judged))
    leaderboard.write(run)
    say("best model and embeddings")
    export.export(run)
    adata = embed.embeddings(run, table, vectors=z_nk)
    if series:
        say("curves")
        clusters = default_clusters(table.obs.get(label), z_nk)
        curves.write(run, curves.series_curves(best, table, z_nk, clusters))
    if isinstance(best.view, TokensView):
        tokens.write_confusion(run, best, judged)
    projector.write(run, adata, best.name)
    say("clusters")
    evaluation.write_clusters(run, adata, best.name, label)
    if confirmation.folders(run):
        say("confirmation")
        confirmation.write(run, table)
    say("report")
    report.write(run, brief=brief)


def own_scores(best: Package, table: Table) -> dict[str, float]:
    """Return the measures on test rows of a model that is no run's own: as those of results/scores.json."""
    table = table if best.view.layout == "sparse" else table.dense()
    judged, z_nk = _judged(best.view, table, best.embed_table(table))
    return _measures(best)[1](best.model, best.view, judged, best.data.label, z_nk)


def _judged(view: View, table: Table, z_nk: np.ndarray) -> tuple[Table, np.ndarray]:
    """Return the rows that model and classical methods are judged by: of a large corpus some, for they become dense."""
    rows = table.few() if isinstance(view, CountsView | TokensView) else np.arange(table.n_obs)
    return (table, z_nk) if len(rows) == table.n_obs else (table.take(rows), z_nk[rows])


def _measures(best: Package) -> tuple[Callable[..., dict], Callable[..., dict]]:
    """Return what measures classical methods, and what the model, on the rows of its view."""
    view = best.view
    if isinstance(view, SeriesView):
        return series_baselines, series_scores
    if isinstance(view, CountsView):
        return count_baselines, count_scores
    if isinstance(view, GraphView):
        return spatial_baselines, spatial_scores
    if isinstance(view, TokensView):
        return partial(token_baselines, genes=best.model.config.task == "masked"), token_scores
    return baselines, test_scores


def _write(path: Path, value: Any) -> None:
    write_atomic(path, json.dumps(value, indent=1).encode())
