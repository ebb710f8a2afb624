"""Static: the pictures of a report drawn by matplotlib, from the same data as the interactive ones; and as SVG."""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gxsearch.results import palette
from gxsearch.results.maps import GeneMap, RowMap, is_number
from gxsearch.results.page import clipped, number
from gxsearch.results.plots import BOLD, FEW, STATES, Level, Parallel, place, ticks
from gxsearch.results.several import Plane
from gxsearch.results.study import Importance

_LOOK = {
    "svg.hashsalt": "gxsearch",  # the same data gives the same bytes
    "svg.fonttype": "path",
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": palette.FAINT,
    "axes.labelcolor": palette.INK,
    "xtick.color": palette.INK,
    "ytick.color": palette.INK,
}


class Sheet(Figure):
    """A figure that a notebook shows as it is, though pyplot does not know of it."""

    def _repr_svg_(self) -> str:
        return _drawn(self).decode()


def svg(figure: Figure) -> str:
    """Return a figure as base64 of SVG; text becomes outlines, so that no name is markup."""
    return base64.b64encode(_drawn(figure)).decode()


def history(frame: pd.DataFrame, level: Level) -> Figure:
    """Draw trials by number, by state, and the best so far."""
    with mpl.rc_context(_LOOK):
        figure, axes = _blank("trial, in the order of their start", level.title)
        best = frame.dropna(subset="best")
        steps = {"where": "post", "color": palette.INK, "lw": 1.2, "label": "best so far"}
        axes.step(best["number"], level.clip(best["best"]), **steps)
        for state in STATES:
            part = frame[frame["state"] == state]
            if len(part):
                _points(axes, part["number"], level.clip(part["value"]), state)
        return _finished(figure, _with_level(axes, level))


def curves(frame: pd.DataFrame, level: Level) -> Figure:
    """Draw the objective over the epochs, the best trials bold."""
    with mpl.rc_context(_LOOK):
        figure, axes = _blank("epoch", level.title)
        for trial, part in frame[~(frame["rank"] <= BOLD)].groupby("trial"):
            axes.plot(part["epoch"], part["value"], color=palette.FAINT, lw=0.8, alpha=0.7, gid=f"trial-{trial}")
        for rank, part in frame[frame["rank"] <= BOLD].groupby("rank"):
            name = f"trial {part['trial'].iloc[0]}"
            axes.plot(part["epoch"], part["value"], "o-", color=palette.RANKS[int(rank) - 1], lw=1.8, ms=3, label=name)
        return _finished(figure, _with_level(axes, level))


def bars(found: Importance) -> Figure:
    """Draw the settings' shares with their bands; pale what may have no effect."""
    with mpl.rc_context(_LOOK):
        names = list(found.shares)[::-1]
        shares, (low, high) = np.array([found.shares[name] for name in names]), found.ends(names)
        figure, axes = _blank("share of importance", "", height=1 + 0.26 * len(names))
        colors = [palette.FAINT if name in found.unsure else palette.BLUE for name in names]
        labels = [clipped(name, 30) for name in names]
        reach = np.maximum([shares - low, high - shares], 0.0)  # a mean may lie beyond both ends of its band
        band = {"xerr": reach, "ecolor": palette.INK, "capsize": 2} if found.bands else {}
        axes.barh(range(len(names)), shares, color=colors, height=0.6, error_kw={"lw": 0.9}, **band)
        axes.set_yticks(range(len(names)), labels)
        for i, share in enumerate(shares):
            axes.annotate(f"{share:.0%}", (high[i], i), xytext=(4, 0), textcoords="offset points", va="center")
        axes.set_xlim(0, 1.12 * max(high, default=1))
        axes.xaxis.set_major_formatter("{x:.0%}")
        return _finished(figure, axes)


def parallel(data: Parallel) -> Figure:
    """Draw a line a trial through its settings."""
    with mpl.rc_context(_LOOK):
        figure, axes = _blank("", "", height=3.8)
        for rank, row in reversed(list(enumerate(data.lines.to_dict("records"), 1))):
            bold = rank <= BOLD
            look = {"color": palette.RANKS[rank - 1] if bold else palette.FAINT, "lw": 1.8 if bold else 0.7}
            name = f"trial {row['trial']}: {number(row['value'])}" if bold else None
            axes.plot([row[axis.name] for axis in data.axes], "o-", ms=3, label=name, **look)
        for i, axis in enumerate(data.axes):
            axes.axvline(i, color=palette.INK, lw=0.8, zorder=0)
            for where, text in axis.ticks.items():
                axes.annotate(text, (i, where), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
        axes.set_xticks(range(len(data.axes)), [axis.name.partition(".")[2] for axis in data.axes])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        return _finished(figure, axes, reverse=True)


def slice_(frame: pd.DataFrame, name: str, domain: dict[str, Any], level: Level) -> Figure:
    """Draw the objective over one setting."""
    with mpl.rc_context(_LOOK):
        figure, axes = _blank(name, level.objective.metric, width=3.2, height=2.8)
        for state, part in frame.groupby("state", sort=True):
            _points(
                axes, [place(domain, value) for value in part["drawn"]], level.clip(part["value"]), state, label=False
            )
        axes.set_xticks(list(ticks(domain)), list(ticks(domain).values()))
        axes.set_xlim(-0.05, 1.05)
        return _finished(figure, _with_level(axes, level, label=False))


def rows(found: RowMap, column: str, *, width: float = 5.4, legend: bool = False) -> Figure:
    """Draw rows colored by a column; of classes the legend is the page's, unless there is to be one."""
    with mpl.rc_context(_LOOK):
        figure, axes = _plane(found.axes, width)
        size = 14 if len(found.points) <= 400 else 5
        if is_number(found.points[column]):
            _scale(figure, axes, found.points, column, size=size, label=column)
        else:
            for name, (color, shape) in palette.styles(found.points[column].to_numpy()).items():
                part = found.points[found.points[column].astype(str) == name]
                mark = palette.MARKS[shape]
                look = {"lw": 0, "alpha": 0.8, "rasterized": True, "label": name if legend else None}
                axes.scatter(part["x"], part["y"], s=size, c=color, marker=mark, **look)
        return _finished(figure, axes)


def genes(found: GeneMap) -> Figure:
    """Draw genes colored by their mean, a few of them named."""
    with mpl.rc_context(_LOOK):
        figure, axes = _plane(found.axes)
        _scale(figure, axes, found.points, "mean", size=8, label="mean in training rows")
        for row in found.points[found.points["named"]].itertuples():
            axes.annotate(row.name, (row.x, row.y), xytext=(0, 4), textcoords="offset points", ha="center", fontsize=8)
        return _finished(figure, axes)


def lines(frame: pd.DataFrame, titles: tuple[str, str], *, width: float = 3.6) -> Figure:
    """Draw a line a series: columns series, x and y; the x are whole numbers."""
    with mpl.rc_context(_LOOK):
        figure, axes = _blank(*titles, width=width, height=2.5)
        mark = "o-" if frame["x"].nunique() <= FEW else "-"
        several = frame["series"].nunique() > 1
        for color, (name, part) in zip(palette.CATEGORIES, frame.groupby("series", sort=False), strict=False):
            axes.plot(part["x"], part["y"], mark, color=color, lw=1.5, ms=3, label=str(name) if several else None)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.grid(axis="y", color=palette.GRID, lw=0.8)
        return _finished(figure, axes)


def trade(plane: Plane) -> Figure:
    """Draw trials by two objectives: the front with its border, and the chosen trial."""
    with mpl.rc_context(_LOOK):
        figure, axes = _blank(*plane.names)
        axes.step(plane.steps["x"], plane.steps["y"], where="post", color=palette.BLUE, lw=1, ls=":")
        for kind, name, look in (
            ("other", "other trials", {"c": palette.FAINT, "s": 22}),
            ("front", "on the front", {"c": palette.BLUE, "s": 34}),
            ("chosen", "chosen", {"c": palette.VERMILION, "s": 70, "marker": "D"}),
        ):
            part = plane.points[plane.points["kind"] == kind]
            if len(part):
                axes.scatter(part["x"], part["y"], label=name, lw=0, zorder=3, clip_on=False, **look)
        axes.set_xlim(*plane.spans[0])
        axes.set_ylim(*plane.spans[1])
        axes.grid(color=palette.GRID, lw=0.8)
        axes.set_axisbelow(True)
        return _finished(figure, axes)


def dots(frame: pd.DataFrame, measure: str) -> Figure:
    """Draw values of contenders: columns name, part (val or test), value and kind; a row a name, in their order."""
    names = list(dict.fromkeys(frame["name"]))
    colors = {"model": palette.BLUE, "classic": palette.GREEN, "control": palette.FAINT}
    with mpl.rc_context(_LOOK):
        figure, axes = _blank(measure, "", width=7.0, height=0.8 + 0.28 * len(names))
        for (kind, part), rows in frame.groupby(["kind", "part"], sort=False):
            fill = colors[kind] if part == "test" else "none"
            places = [names.index(name) for name in rows["name"]]
            axes.scatter(rows["value"], places, s=36, facecolors=fill, edgecolors=colors[kind])
        axes.set_yticks(range(len(names)), [clipped(name, 26) for name in names])
        axes.grid(axis="y", color=palette.GRID, lw=0.8)
        axes.invert_yaxis()
        return _finished(figure, axes)


def heatmap(frame: pd.DataFrame) -> Figure:
    """Draw similarities between -1 and 1, a row and a column a gene."""
    with mpl.rc_context(_LOOK):
        figure, axes = _blank("", "", width=5.4, height=4.6)
        colors = LinearSegmentedColormap.from_list("diverging", palette.DIVERGING)
        drawn = axes.imshow(frame.to_numpy(), cmap=colors, vmin=-1, vmax=1, interpolation="nearest")
        places, names = range(len(frame)), [clipped(name) for name in frame.index]
        axes.set_xticks(places, names, rotation=90, fontsize=6)
        axes.set_yticks(places, names, fontsize=6)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        figure.colorbar(drawn, ax=axes, label="cosine", shrink=0.7)
        return _finished(figure, axes)


def confusion(frame: pd.DataFrame) -> Figure:
    """Draw counts of true categories (rows) by predicted ones (columns), as shares of the rows."""
    with mpl.rc_context(_LOOK):
        figure, axes = _blank("predicted", "true", width=5.4, height=4.6)
        count_cc = frame.to_numpy()
        share_cc = count_cc / count_cc.sum(1, keepdims=True).clip(min=1)
        colors = LinearSegmentedColormap.from_list("shares", palette.SHARES)
        drawn = axes.imshow(share_cc, cmap=colors, vmin=0, vmax=1, interpolation="nearest")
        for place, count in np.ndenumerate(count_cc):
            if count and len(frame) <= 12:
                axes.text(*place[::-1], f"{share_cc[place]:.0%}", ha="center", va="center", fontsize=7)
        axes.set_xticks(range(len(frame.columns)), [clipped(name) for name in frame.columns], rotation=40, ha="right")
        axes.set_yticks(range(len(frame)), [clipped(name) for name in frame.index])
        axes.tick_params(length=0, labelsize=7)
        axes.spines[:].set_visible(False)
        figure.colorbar(drawn, ax=axes, shrink=0.7, format="{x:.0%}")
        return _finished(figure, axes)


def _drawn(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    with mpl.rc_context(_LOOK):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, dpi=150)
    return buffer.getvalue()


def _blank(x: str, y: str, *, width: float = 6.0, height: float = 3.6) -> tuple[Figure, Axes]:
    figure = Sheet(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def _plane(names: tuple[str, str], width: float = 5.4) -> tuple[Figure, Axes]:
    figure, axes = _blank(*names, width=width, height=0.4 + 2 * width / 3)
    axes.set_xticks([])
    axes.set_yticks([])
    return figure, axes


def _points(axes: Axes, x: pd.Series, y: pd.Series, state: str, *, label: bool = True) -> None:
    color, symbol = palette.STATES[state]
    mark = {"x": "x"}.get(symbol) or palette.MARKS.get(symbol.removesuffix("-open"), "o")
    face = "none" if symbol.endswith("-open") else color
    colors = {"c": color} if mark == "x" else {"facecolors": face, "edgecolors": color}
    axes.scatter(x, y, s=24, marker=mark, lw=1.1, label=state if label else None, zorder=3, clip_on=False, **colors)


def _scale(figure: Figure, axes: Axes, points: pd.DataFrame, column: str, *, size: float, label: str) -> None:
    look = {"cmap": "cividis", "lw": 0, "rasterized": True}
    drawn = axes.scatter(points["x"], points["y"], s=size, c=points[column].astype(float), **look)
    figure.colorbar(drawn, ax=axes, label=label, shrink=0.7)


def _with_level(axes: Axes, level: Level, *, label: bool = True) -> Axes:
    axes.set_ylim(level.low, level.high)
    axes.grid(axis="y", color=palette.GRID, lw=0.8)
    axes.set_axisbelow(True)
    if level.baseline is not None and level.low <= level.baseline[1] <= level.high:
        name, value = level.baseline
        axes.axhline(value, color=palette.GREEN, lw=1, ls="--", label=f"{name} {number(value)}" if label else None)
    return axes


def _finished(figure: Figure, axes: Axes, *, reverse: bool = False) -> Figure:
    """Put the legend above the axes, where there is one."""
    handles, labels = axes.get_legend_handles_labels()
    handles, labels = (handles[::-1], labels[::-1]) if reverse else (handles, labels)
    if labels:
        columns = min(len(labels), max(1, math.floor(60 / np.mean([len(label) + 4 for label in labels]))))
        above = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2}
        axes.legend(handles, labels, ncols=columns, frameon=False, fontsize=8, **above)
    return figure
