"""Plots: the pictures of the report as figures of plotly, or of matplotlib with `static`; none is shown by itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from gxsearch.errors import RunError, SpecError, did_you_mean
from gxsearch.results import gallery, leaderboard, maps, plots
from gxsearch.results.leaderboard import Objective
from gxsearch.results.several import several
from gxsearch.run import Run

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from anndata import AnnData
    from matplotlib.figure import Figure

    Drawn = go.Figure | Figure
    Source = str | os.PathLike[str]


def history(run: Source, *, static: bool = False) -> Drawn:
    """Draw every trial's value in the order of the trials, by state, and the best so far."""
    folder = Run(run).folder
    frame, level = plots.history_data(folder), plots.level(folder)
    return _static().history(frame, level) if static else gallery.drawing().history(frame, level)


def curves(run: Source, *, static: bool = False) -> Drawn:
    """Draw the objective over the epochs, the best five trials bold."""
    folder = Run(run).folder
    frame, level = plots.curves_data(folder), plots.level(folder)
    return _static().curves(frame, level) if static else gallery.drawing().curves(frame, level)


def importance(run: Source, *, static: bool = False) -> Drawn:
    """Draw the share of each setting in what makes a trial good; gray what cannot be told from no effect.

    Raises:
        RunError: E616 when there are fewer than 10 trials that ended well, or all did equally well.
    """
    found = plots.importance_data(Run(run).folder)
    if not found.shares:
        raise RunError.one("E616", os.fspath(run), gallery.why_none(found))
    return _static().bars(found) if static else gallery.drawing().bars(found)


def parallel(run: Source, *, static: bool = False) -> Drawn:
    """Draw the best trials as lines through their settings, the most important first.

    Raises:
        RunError: E616 when fewer than two settings were searched, or no trial may win.
    """
    folder = Run(run).folder
    data = plots.parallel_data(folder, plots.importance_data(folder))
    if len(data.axes) < 2 or not len(data.lines):
        raise RunError.one("E616", os.fspath(run), "there are no trials of at least two settings to draw")
    return _static().parallel(data) if static else gallery.drawing().parallel(data, Objective.of(folder))


def slice(run: Source, setting: str | None = None, *, static: bool = False) -> Drawn:
    """Draw the objective over one setting, by its path in the spec; by default over the most important one.

    Raises:
        SpecError: E347 when that was not searched. RunError: E616 when no trial may win.
    """
    folder = Run(run).folder
    domains = folder.facts()["space_domains"]
    tried = [name for name in domains if any(name in trial.params for trial in leaderboard.ranked(folder))]
    if setting is not None and setting not in domains:
        raise SpecError.one("E347", "setting", f"'{setting}' was not searched", did_you_mean(setting, domains))
    if not tried or setting not in (None, *tried):
        raise RunError.one("E616", os.fspath(run), f"no trial that may win has a value of {setting or 'any setting'}")
    name = setting or plots.importance_data(folder).first(tried, 1)[0]
    data = (plots.slice_data(folder, name), name, domains[name], plots.level(folder))
    return _static().slice_(*data) if static else gallery.drawing().slice_(*data)


def front(run: Source, second: str | None = None, *, static: bool = False) -> Drawn:
    """Draw the trials by the first objective and a second one: the front, and the trial that was chosen.

    Raises:
        RunError: E616 when the search had one objective, or no trial may win.
        SpecError: E347 when `second` is none of the others.
    """
    from gxsearch.results import scatter

    folder = Run(run).folder
    found = several(folder)
    if found is None:
        what = (
            "there is no front: the search had one objective" if len(Objective.all(folder)) == 1 else "no trial may win"
        )
        raise RunError.one("E616", os.fspath(run), what)
    others = found.names[1:]
    if second is not None and second not in others:
        raise SpecError.one("E347", "second", f"'{second}' is no further objective", did_you_mean(second, others))
    plane = found.plane(found.names.index(second or others[0], 1))
    return _static().trade(plane) if static else scatter.trade(plane)


def embedding(adata: AnnData, basis: str, *, color: str | None = None, static: bool = False) -> Drawn:
    """Draw vectors of rows, obsm[`basis`], or of genes, varm[`basis`], in the plane.

    Two dimensions are drawn as they are. Of more a UMAP is: obsm["<basis>_umap"] where there is one, else it is made,
    the same on every call, and not kept. At most 6,000 points are drawn.

    Args:
        color: a column of obs, or a gene; of genes a column of var.

    Raises:
        DataError: E496 when there are no such vectors; E497 no such column.
    """
    found, column = maps.of_adata(adata, basis, color)
    if static:
        return _static().rows(found, column, legend=color is not None)
    figure = maps.row_figure(found, column)
    return figure if color is None else figure.update_layout(showlegend=not maps.is_number(found.points[column]))


def _static() -> Any:
    from gxsearch.results import static  # matplotlib takes a while to import

    return static
