"""Stages: a search that another one builds on: run first, on the same data and split, in the folder ``first``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from gxsearch.data.table import Table
from gxsearch.results.first import joined
from gxsearch.results.run_dir import RunDir
from gxsearch.search.intake import read_table
from gxsearch.search.opening import Opened, begin, reopen
from gxsearch.search.spec import Spec, load


def first_spec(spec: Spec) -> Spec | None:
    """Return the spec of the search that comes first; None where there is none.

    It keeps its own model, objective, space and budget, and gets the data, split and resources of `spec`; its view
    is as by default.

    Raises:
        SpecError: with all faults of its file.
    """
    if spec.first is None:
        return None
    found = load(Path(spec.path).resolve().parent / spec.first)
    found = dataclasses.replace(
        found,
        path=str(Path(spec.path).resolve()),  # relative paths of the data are looked up beside the second file
        data=spec.data.model_copy(update={"view": {}}),
        resources=spec.resources,
    )
    found.check_corners()
    return found


def run_first(
    opened: Opened,
    search: Callable[[Opened], None],
    conclude: Callable[[RunDir, Table], None],
    narrow: Callable[[Spec], Spec],
) -> None:
    """Run the search that comes first, or go on with it, and give the second its vectors.

    `search` runs an opened search to its end and closes it; `conclude` makes its results; `narrow` may make one
    training of a search.
    """
    first = first_spec(opened.spec)
    run = RunDir(opened.run.first)
    if first is None or run.embeddings.is_file():
        opened.table = joined(opened.run, opened.table)
        return
    first = narrow(first)
    with reopen(run, {}) if run.run.is_file() else begin(first, read_table(first), opened.slots, run.path) as stage:
        stage.take(opened.spec.resources)
        if stage.referee.done:
            stage.close("done")
        else:
            search(stage)
    conclude(run, stage.table)
    opened.table = joined(opened.run, opened.table)
