"""Phenotypes: how well a run tells them, and which it takes for which, for the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gxsearch.errors import RunError
from gxsearch.results import leaderboard
from gxsearch.results.evaluation import OF_PHENOTYPES, meaning
from gxsearch.results.gallery import Easel, Picture, drawing
from gxsearch.results.page import number
from gxsearch.results.run_dir import RunDir

MOST = 30
"""Categories that a picture shows; the rarest beyond are one row and one column."""
REST = "all others"
MEAN = "mean of all"


@dataclass(frozen=True)
class Phenotypes:
    """What the report tells of phenotypes.

    Attributes:
        warning: what a careful reader should know of the split; empty where donors are held out.
        head: the names of the methods.
        rows: of every phenotype and measure: the phenotype, the measure, its values by method, its meaning.
        pictures: a heat map of every phenotype.
    """

    warning: str
    head: list[str]
    rows: list[tuple[str, str, list[str], str]]
    pictures: list[Picture]


def phenotypes(easel: Easel, run: RunDir) -> Phenotypes | None:
    """Return what a run tells of phenotypes on test rows; None where it tells none.

    Raises:
        RunError: when a table of the results is damaged.
    """
    tables = confusions(run)
    if not tables:
        return None
    own = {"name": "best trial", **leaderboard.scores(run)}
    asked = {(name, measure): f"test/{measure}_{name}" for name in tables for measure in OF_PHENOTYPES}
    asked |= {(MEAN, measure): f"test/{measure}" for measure in ("pheno_nll", *OF_PHENOTYPES)}
    told = [row for row in [own, *leaderboard.baselines(run)] if any(key in row for key in asked.values())]
    rows = [
        (phenotype, measure, [number(row.get(key)) for row in told], meaning(measure))
        for (phenotype, measure), key in asked.items()
        if any(key in row for row in told) and (phenotype != MEAN or len(tables) > 1 or measure == "pheno_nll")
    ]
    drawn = {phenotype: fewer(frame) for phenotype, frame in tables.items()}
    pictures = [
        easel.picture(
            lambda frame=frame: drawing().confusion(frame),
            lambda static, frame=frame: static.confusion(frame),
            f"{phenotype}: of the test rows of each true category (rows) the share that each is taken for (columns).",
        )
        for phenotype, frame in drawn.items()
    ]
    return Phenotypes(split_warning(run.facts()), [row["name"] for row in told], rows, pictures)


def split_warning(facts: dict[str, Any]) -> str:
    """Return a sentence of warning where rows of a donor may be in training and test alike; else nothing."""
    if facts["spec"]["data"].get("split", {}).get("group") is not None:
        return ""
    return (
        "no donors were held out (data.split.group is not set): where rows of one donor are in training and test "
        "alike, figures of phenotypes flatter, those of sex, age and disease often by far"
    )


def confusions(run: RunDir) -> dict[str, pd.DataFrame]:
    """Read the tables that `tokens.write_confusion` left, by phenotype; none where it left none.

    Raises:
        RunError: when one is no such table.
    """
    found = {}
    for path in run.confusions():
        try:
            frame = pd.read_csv(path, index_col=0, dtype={0: str}, keep_default_na=False).astype(np.int64)
        except (OSError, ValueError, IndexError) as error:
            what = f"cannot be read ({str(error).splitlines()[0]})"
            raise RunError.one("E631", str(path), what, "remove it") from None
        found[str(frame.index.name)] = frame.set_axis(frame.index.astype(str))
    return found


def fewer(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table of at most `MOST` categories, those of most rows; the others are added up as one."""
    if len(frame) <= MOST:
        return frame
    often = frame.sum(axis=1).sort_values(ascending=False, kind="stable").index[: MOST - 1]
    names = np.array([name if name in often else REST for name in frame.index])
    return frame.groupby(names, sort=False).sum().T.groupby(names, sort=False).sum().T
