"""Asking: the verbs that check a search or ask more of a finished run, as Python has them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gxsearch import after, api, confirming
from gxsearch.results.run_dir import RunDir
from gxsearch.run import Run, Trial, located
from gxsearch.screen import sayer
from gxsearch.searching import Given, Say, Source, in_python, load_spec
from gxsearch.told import Told

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


def read(data: str | os.PathLike[str]) -> AnnData:
    """Return a data set as it is stored, by a name, path or URI as `data.path` takes them.

    Raises:
        DataError: when there is none, or it is damaged. UnsafeError: when it reaches outside of itself.
    """
    from gxsearch.data.sources import load

    return load(os.fspath(data))


def check(
    spec: Given,
    *,
    sets: Sequence[str] = (),
    data: bool = True,
    measure: bool = False,
    within: float | None = None,
    price: float | None = None,
    quiet: bool = False,
    say: Say | None = None,
) -> Told:
    """Check a search space and its data; start nothing. With `measure`, also what its search would take.

    Args:
        spec, sets, quiet, say: as in `tune`.
        data: without it only the file is checked.
        within: most seconds of each training that is measured, by default 60.
        price: of an hour of a machine like this one.

    Returns:
        what `api.check` says; shown, it is the text that the command line prints.

    Raises:
        SpecError, DataError: with all faults. ResourceError: with `measure`, when not even one trial fits.
    """
    from gxsearch import overview

    loaded = load_spec(spec, *sets)
    wish = {"measure": measure, "within": within, "price": price}
    found = api.check(loaded, data=data, say=say or sayer(quiet), **wish)
    return Told(found, overview.checked(loaded, found))


def architectures(name: str | None = None) -> pd.DataFrame:
    """Return the architectures, or every setting of one.

    Columns: model, what it is, reference; or setting, type, default, bounds, meaning.

    Raises:
        SpecError: E310 when there is none of that name.
    """
    import json

    import pandas as pd

    from gxsearch import overview

    rows = json.loads(overview.models(name, as_json=True))
    return pd.DataFrame(rows, columns=["model", "what it is", "reference"] if name is None else None)


def status(run: Source) -> Told:
    """Return where a search stands, which may be running; shown, it is text."""
    from gxsearch import standing

    path = os.fspath(run)
    facts = standing.facts(path)
    return Told(facts, standing.told(facts, path))


def trials(run: Source, *, top: int | None = None, failed: bool = False) -> pd.DataFrame:
    """Return the ranked trials of a run with the baselines in their places, as results/leaderboard.csv has them.

    Args:
        top: the best so many only. failed: those that failed or diverged only.
    """
    from gxsearch.results import leaderboard

    frame = leaderboard.table(Run(run).folder)
    frame = frame[frame["state"].isin(["failed", "diverged"])] if failed else frame
    return frame.head(top) if top else frame


def best(run: Source) -> Trial:
    """Return the trial that stands for a run.

    Raises:
        RunFailed: E710 when no trial has a finite value of the objective.
    """
    return Run(run).best


def report(run: Source, *, static: bool = False) -> Path:
    """Write the report of a run, or of a comparison, again, and return its path.

    With `static`, pictures are drawn by matplotlib and the page holds no script.
    """
    from gxsearch.results import compare_report, comparison
    from gxsearch.results import report as page
    from gxsearch.results.compare_dir import CompareDir
    from gxsearch.verdicts import is_comparison

    if is_comparison(located(run)):
        place = CompareDir.open(located(run))
        return compare_report.write(place, comparison.read(place), static=static)
    return page.write(RunDir.open(located(run)), static=static)


def export(run: Source, out: Source | None = None) -> Path:
    """Write the best model of a run, or that of a trial, as a folder that `load` reads; return the folder."""
    from gxsearch.results.export import export as write

    place, number = after.parted(run)
    return write(RunDir.open(place), number, None if out is None else located(out))


def grid(run: Source, out: Source | None = None) -> list[Path]:
    """Map a two-dimensional embedding, of a run or a trial: grid.png and grid.h5ad, whose paths are returned.

    Raises:
        DataError: when the vectors are not two-dimensional, or the spec names no label.
    """
    from gxsearch.results.grid import write

    place, number = after.parted(run)
    return write(RunDir.open(place), number, None if out is None else Path(out))


def ablate(run: Source, *changes: str, seeds: int = 3, quiet: bool = False, say: Say | None = None) -> Told:
    """Train the best settings with and without changes such as ``model.contrast=none``, over the same seeds.

    Returns:
        what `search.ablate.ablate` describes; shown, a line a measure. It is kept in the run and told in its report.

    Raises:
        SpecError: when a setting is unknown or its value is refused.
    """
    from gxsearch import listing

    found = after.ablate(run, *changes, seeds=seeds, say=say or sayer(quiet))
    return Told(found, listing.ablation(found))


def replay(
    run: Source, number: int | None = None, *, keep: bool = False, quiet: bool = False, say: Say | None = None
) -> Told:
    """Train the best trial of a run, or another, again from the run's own record, and compare the figures.

    Returns:
        what `search.replay.replay` describes; its ``verdict`` is identical, rounding or differs.

    Raises:
        RunError: when data, columns or split are no longer those of the run, or there is no such trial.
    """
    from gxsearch import listing

    found = after.replay(run, number, keep=keep, say=say or sayer(quiet))
    return Told(found, listing.replayed(found))


def confirm(
    run: Source,
    *,
    top: int = 3,
    seeds: int = 3,
    splits: int = 1,
    address: str = api.LOCAL,
    quiet: bool = False,
    say: Say | None = None,
) -> Told:
    """Train the best `top` trials of a search again, over seeds and splits, and say which is better.

    What was trained already is not trained again.

    Raises:
        RunError: E609 when the search has not ended. SpecError: E328 when other splits cannot be had.
    """
    from gxsearch.verdicts import confirmed

    with in_python():
        asked = {"top": top, "seeds": seeds, "splits": splits, "address": address}
        found = confirming.confirm(located(run), quiet=quiet, say=say or sayer(quiet), **asked)
        return Told(found, confirmed(found))
