"""Gallery: the pictures of a search, interactive or static, each with a caption that says what it shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pandas as pd
from markupsafe import Markup

from gxsearch.results import leaderboard, page, plots
from gxsearch.results.leaderboard import Objective
from gxsearch.results.run_dir import RunDir
from gxsearch.results.several import Several
from gxsearch.results.study import Importance

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from matplotlib.figure import Figure

SLICES = 4


@dataclass(frozen=True)
class Picture:
    """A figure of the report: its plotly JSON, or its SVG; and a caption that says what it shows."""

    name: str
    caption: str
    height: int = 0
    data: Markup = Markup()
    image: str = ""


class Easel:
    """Makes pictures one way for the whole report: interactive, or static."""

    def __init__(self, run: RunDir, *, static: bool):
        self.static, self.importance = static, plots.importance_data(run)
        self._made = 0

    def picture(self, figure: Callable[[], go.Figure], image: Callable[[Any], Figure], caption: str) -> Picture:
        """Return a figure as the report wants it; `image` draws the same with the module `static`."""
        self._made += 1
        name = f"figure-{self._made}"
        if self.static:
            from gxsearch.results import static

            return Picture(name, caption, image=static.svg(image(static)))
        drawn = figure()
        return Picture(name, caption, drawn.layout.height, page.script_data(drawn.to_json()))


def course(easel: Easel, run: RunDir) -> list[Picture]:
    """Return the history of the search and the learning curves."""
    level, objective = plots.level(run), Objective.of(run)
    history, curves = plots.history_data(run), plots.curves_data(run)
    shown = curves["trial"].nunique()
    some = f" {shown:,} of {len(history):,} trials, the best ones among them." * (len(history) > plots.CURVES)
    return [
        easel.picture(
            lambda: plots.history_figure(run),
            lambda static: static.history(history, level),
            "Every trial at its best epoch, and the best so far. Trials without a value, or far worse than the rest, "
            "are drawn at the bad edge.",
        ),
        easel.picture(
            lambda: plots.curves_figure(run),
            lambda static: static.curves(curves, level),
            f"{objective.metric} on held-out data after each epoch; the best {plots.BOLD} trials bold.{some}",
        ),
    ]


def settings(easel: Easel, run: RunDir) -> list[Picture]:
    """Return importance and parallel coordinates, as far as there is something to show."""
    found, parallel = easel.importance, plots.parallel_data(run, easel.importance)
    pictures = []
    if found.shares:
        rough = f" From {found.n_trials} trials; under 50 this is rough." * (found.n_trials < 50)
        pictures.append(
            easel.picture(
                lambda: plots.importance_figure(run, found),
                lambda static: static.bars(found),
                "What decides whether a trial is among the best tenth (PED-ANOVA); bands hold 80 % of resamples of the "
                f"trials; gray: not to be told from a setting without effect.{rough}",
            )
        )
    if len(parallel.axes) > 1 and len(parallel.lines):
        pictures.append(
            easel.picture(
                lambda: plots.parallel_figure(run, found),
                lambda static: static.parallel(parallel),
                f"Settings of the best {len(parallel.lines)} trials, one line each, the best {plots.BOLD} in color; "
                "axes go from the low to the high end of what was searched.",
            )
        )
    return pictures


def slices(easel: Easel, run: RunDir) -> list[Picture]:
    """Return the objective over each of the most important settings."""
    domains, level = run.facts()["space_domains"], plots.level(run)
    tried = {name for trial in leaderboard.ranked(run) for name in trial.params}
    names = easel.importance.first([name for name in domains if name in tried], SLICES)
    return [
        easel.picture(
            lambda name=name: plots.slice_figure(run, name),
            lambda static, name=name: static.slice_(plots.slice_data(run, name), name, domains[name], level),
            name,
        )
        for name in names
    ]


def too_few(easel: Easel) -> str:
    """Say why there is no picture of importance; nothing where there is one."""
    return "" if easel.importance.shares else why_none(easel.importance)


def why_none(found: Importance) -> str:
    """Return why there is no importance to tell."""
    if found.enough:
        return "Importance of settings: none can be told, for all trials did equally well."
    return f"Importance of settings: too few trials ({found.n_trials} of at least 10 that ended well)."


def terms(easel: Easel, run: RunDir) -> list[Picture]:
    """Return a picture of each term of the best trial's loss, and each weight that changes; none of one term."""
    frame = plots.terms_data(run).rename(columns={"epoch": "x", "value": "y"})
    return [
        easel.picture(
            lambda part=part, name=name: drawing().lines(part, ("epoch", name)),
            lambda static, part=part, name=name: static.lines(part, ("epoch", name), width=3.2),
            f"weight of {name.removesuffix('_weight')}" if name.endswith("_weight") else f"term {name}",
        )
        for name, part in frame.groupby("name", sort=False)
    ]


def trades(easel: Easel, found: Several) -> list[Picture]:
    """Return the trials by the first objective and each other one, and how the front grew."""
    pictures = []
    for plane in (found.plane(place) for place in range(1, len(found.objectives))):
        pictures.append(
            easel.picture(
                lambda plane=plane: _scatter().trade(plane),
                lambda static, plane=plane: static.trade(plane),
                "Every trial at its best epoch by the first objective. On the good side of the dotted line there is "
                "none; trials far worse than the front are drawn at the edge.",
            )
        )
    share = pd.DataFrame({"series": "", "x": range(1, len(found.growth) + 1), "y": found.growth})
    titles = ("trials", "share of the box")
    pictures.append(
        easel.picture(
            lambda: drawing().lines(share, titles, height=400),
            lambda static: static.lines(share, titles, width=6.0),
            "Hypervolume: the share of the box between the best and the worst values seen that the front dominates, "
            "after each trial.",
        )
    )
    return pictures


def _scatter() -> ModuleType:
    from gxsearch.results import scatter

    return scatter


def drawing() -> ModuleType:
    """Return the module that draws with plotly, which takes a while to import."""
    from gxsearch.results import drawing

    return drawing
