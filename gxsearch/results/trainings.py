"""Trainings: what the repeated trainings of a few settings came to, on held-out rows that all of them share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from gxsearch.data.table import Table
from gxsearch.models import registry
from gxsearch.models.base import FitsNewRows
from gxsearch.results import embed, leaderboard
from gxsearch.results.ledger import TrialRecord, trials
from gxsearch.results.package import Package, of_run
from gxsearch.results.run_dir import RunDir
from gxsearch.training.probes import BY_ROW, ByRow, Yardstick
from gxsearch.training.probing import yardstick
from gxsearch.training.session import exported_weights


@dataclass(frozen=True)
class Training:
    """One training, at its best epoch.

    Attributes:
        split, seed: which of the splits, and of the seeds.
        value: the objective of the search, on validation rows.
        seconds: how long it trained.
        size: numbers that the exported model is made of.
        val, test: measures of the yardstick by name.
        by_row: those of `BY_ROW`, on test rows; on validation rows where there are none.
        vectors: of the rows that `by_row` is of (r, k).
    """

    split: int
    seed: int
    value: float
    seconds: float
    size: int
    val: dict[str, float] = field(default_factory=dict)
    test: dict[str, float] = field(default_factory=dict)
    by_row: dict[str, ByRow] = field(default_factory=dict, repr=False)
    vectors: np.ndarray | None = field(default=None, repr=False)


def folders(run: RunDir) -> list[Path]:
    """Return the folders of the splits over which the best trials were trained again, in their order."""
    return sorted(path for path in run.confirming.glob("[0-9][0-9]") if RunDir(path).run.is_file())


def trained_again(
    run: RunDir, table: Table, ruler_of: Callable[[Table], Yardstick] = yardstick
) -> list[list[Training]]:
    """Return the trainings of every confirmed trial, best trial first, splits before seeds.

    A training without a result is left out, and so is that seed of all trials. Of models without an encoder, whose
    vectors of new rows take long, only those of the trial that does best are measured by the yardstick.

    Args:
        table: the data on the split of the search; those of other splits are read again.
        ruler_of: gives the yardstick of a table.
    """
    found: list[list[Training]] = []
    for split, path in enumerate(folders(run)):
        part = RunDir(path)
        given = table if split == 0 else embed.again(part)
        rows = _of_split(part, given, split, ruler_of)
        found = rows if not found else [a + b for a, b in zip(found, rows, strict=True)]
    return found


def _of_split(run: RunDir, table: Table, split: int, ruler_of: Callable[[Table], Yardstick]) -> list[list[Training]]:
    told = run.facts()["spec"]["search"]
    seeds, ended = told["repeats"], {trial.number: trial for trial in trials(run.ledger)}
    usable = [
        seed
        for seed in range(seeds)
        if all(_has_result(ended.get(c * seeds + seed)) for c in range(len(told["start"])))
    ]
    records = [[ended[c * seeds + seed] for seed in usable] for c in range(len(told["start"]))]
    if not usable:
        return [[] for _ in records]
    key, ruler = leaderboard.Objective.of(run).key, ruler_of(table)
    best = min(records, key=lambda row: sum(key(record.best) for record in row))
    slow = issubclass(registry.get(run.facts()["spec"]["model"]), FitsNewRows)
    return [
        [
            measured(
                of_run(run, record.number), table, ruler if row is best or not slow else None, (split, seed), record
            )
            for seed, record in zip(usable, row, strict=True)
        ]
        for row in records
    ]


def measured(
    found: Package, table: Table, ruler: Yardstick | None, place: tuple[int, int], record: TrialRecord
) -> Training:
    """Return what a training came to; with the yardstick of a table, its measures too."""
    size = sum(w.numel() for w in exported_weights(type(found.model), found.weights).values())
    if ruler is None:
        return Training(*place, record.best, record.seconds, size)
    z_nk = found.embed_table(table if found.view.layout == "sparse" else table.dense())
    return of_vectors(z_nk, ruler, Training(*place, record.best, record.seconds, size))


def of_vectors(z_nk: np.ndarray, ruler: Yardstick, training: Training) -> Training:
    """Return a training with the measures of its vectors (n, k) of all rows."""
    last = "test" if ruler.names_of("test") else "val"
    by_row = {name: ruler.by_row(z_nk, last, name) for name in ruler.names_of(last) if name in BY_ROW}
    test = ruler(z_nk, "test") if last == "test" else {}
    return replace(training, val=ruler(z_nk, "val"), test=test, by_row=by_row, vectors=z_nk[ruler.rows(last)])


def _has_result(record: Any) -> bool:
    return record is not None and record.ranked and math.isfinite(record.best)


def column(trainings: Sequence[Training], part: str, name: str) -> np.ndarray:
    """Return a measure of trainings (s,)."""
    return np.array([getattr(training, part)[name] for training in trainings])


def search_values(run: RunDir, numbers: Sequence[int]) -> list[float]:
    """Return the objective of trials as the search saw it."""
    return [float(leaderboard.find(run, number).best) for number in numbers]
