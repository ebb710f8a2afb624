"""Verbs that come to a verdict: `compare` and `confirm`; and what they print."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gxsearch.answer import answer, asked, sayer, streams
from gxsearch.verbs import TRACK

if TYPE_CHECKING:
    from gxsearch.results.compare_dir import CompareDir

WIDTH = 100
COLUMNS = 6
"""Columns of the leaderboard for which a terminal has room."""


@click.command()
@click.argument("specs", metavar="SPEC...", nargs=-1, required=True)
@click.option("--data", metavar="PATH", help="Data set of all files, instead of those that they name.")
@click.option("-s", "--set", "sets", multiple=True, metavar="[MODEL:]PATH=VALUE", help="Change a value of the files.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="About the time of all, shared equally.")
@click.option("-n", "--trials", type=click.IntRange(1), help="Trials of each search.")
@click.option("--by", metavar="MEASURE", help="Measure that decides: knn, logreg, expression_r2, ari, ...")
@click.option("--top", type=click.IntRange(1), help="Best trials among which the measure chooses; by default 3.")
@click.option("--seeds", type=click.IntRange(2), help="Trainings of each architecture's best settings; by default 3.")
@click.option("--splits", type=click.IntRange(1), help="Divisions of the rows, each with all seeds; by default 1.")
@click.option("--name", help="Name of the comparison's folder.")
@TRACK
@click.option("-o", "--out", default=lambda: os.environ.get("GXSEARCH_RUNS", "runs"), help="Folder of runs.")
@click.option("--address", default="local", show_default=True, help="Ray cluster; local starts one here.")
@streams
def compare(specs: Sequence[str], sets: Sequence[str], track: Sequence[str], **given: Any) -> None:
    """Compare architectures on one data set, at an equal budget, on one yardstick."""
    from gxsearch import comparing, outcome
    from gxsearch.search.track import as_sets

    place = comparing.compare(specs, sets=[*sets, *as_sets(track)], quiet=asked().quiet, say=sayer(), **given)
    answer(lambda: compared(place), lambda: outcome.compared(place))


@click.command()
@click.argument("run")
@click.option("--top", type=click.IntRange(1), default=3, show_default=True, help="Best trials that are trained again.")
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Trainings of each.")
@click.option("--splits", type=click.IntRange(1), default=1, show_default=True, help="Divisions of the rows, each.")
@click.option("--address", default="local", show_default=True, help="Ray cluster; local starts one here.")
@streams
def confirm(run: str, **given: Any) -> None:
    """Train a search's best trials again, over seeds and splits, and say which is better."""
    from gxsearch import confirming

    told = confirming.confirm(run, quiet=asked().quiet, say=sayer(), **given)
    answer(lambda: confirmed(told), lambda: {"run": run, **told})


def confirmed(told: dict[str, Any]) -> str:
    """Return a confirmation as text."""
    from gxsearch.overview import fitted, room

    lines = [textwrap.fill(line, min(WIDTH, room() or WIDTH)) for line in told["sentences"]]
    shown = told.get("table")
    return "\n".join([*lines, "", fitted([shown["columns"], *shown["rows"]])] if shown else lines)


def compared(place: CompareDir) -> str:
    """Return a comparison as text: the verdict, the leaderboard, and where everything is."""
    from gxsearch.overview import fitted, room
    from gxsearch.results import compare_words as words
    from gxsearch.results.comparison import read

    told = read(place)
    columns, rows = words.columns(told), words.rows(told)
    kept = range(COLUMNS)
    table = fitted([[line[i] for i in kept] for line in [columns, *rows]])
    shown = place.path.relative_to(Path.cwd()) if place.path.is_relative_to(Path.cwd()) else place.path
    files = [place.leaderboard, place.best, place.report]
    lines = [textwrap.fill(line, min(WIDTH, room() or WIDTH)) for line in [*told["sentences"], *words.budgets(told)]]
    where = [f"      {shown / path.relative_to(place.path)}" for path in files]
    return "\n".join([*lines, "", table, "", *where])


def is_comparison(path: str) -> bool:
    """Say whether a folder is that of a comparison."""
    from gxsearch.results.run_dir import COMPARISON

    return (Path(path) / COMPARISON).is_file()
