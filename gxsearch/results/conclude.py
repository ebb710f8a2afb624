"""Conclude: all that is made of a finished search: baselines, test scores, best model, embeddings, report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from gxsearch.data.table import Table
from gxsearch.results import embed, export, leaderboard, report
from gxsearch.results.package import Package, of_run
from gxsearch.results.run_dir import RunDir, write_atomic
from gxsearch.training.baselines import baselines, test_scores


def conclude(run: RunDir, table: Table, *, say: Callable[[str], None] = lambda text: None) -> None:
    """Write everything below results/ from what the trials left behind; test rows are read here and nowhere else.

    Raises:
        RunFailed: when no trial has a finite value of the objective.
    """
    table = table.dense()
    say("baselines and test rows")
    best = of_run(run)
    label = run.facts()["spec"]["data"]["label"]
    rows = baselines(best.view, table, label, _width(best, table))
    _write(run.baselines, [{"name": name, **row} for name, row in rows.items()])
    _write(run.scores, test_scores(best.model, best.view, table, label, torch.device("cpu")))
    leaderboard.write(run)
    say("best model and embeddings")
    export.export(run)
    embed.embeddings(run, table)
    say("report")
    report.write(run)


def _width(found: Package, table: Table) -> int:
    """Return the number of dimensions of a model's vectors, at which the baselines are compared with it."""
    return found.embed_table(table.take(table.rows("train")[:2])).shape[1]


def _write(path: Path, value: Any) -> None:
    write_atomic(path, json.dumps(value, indent=1).encode())
