"""Drawing: plotly figures from the data of `plots` and `maps`; no text of a stranger is read as markup."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from gxsearch.results import palette
from gxsearch.results.leaderboard import Objective
from gxsearch.results.page import clipped, number, plain, short
from gxsearch.results.plots import BOLD, FEW, STATES, Level, Parallel, option, steps
from gxsearch.results.study import Importance

HEATMAP = 460
"""Height of a heatmap in pixels."""


def history(frame: pd.DataFrame, level: Level) -> go.Figure:
    """Draw trials by number, one series a state, and a step line of the best so far."""
    figure = blank("trial, in the order of their start", plain(level.title), height=380)
    best = frame.dropna(subset="best")
    line = {"color": palette.INK, "width": 1.5, "shape": "hv"}
    figure.add_scatter(x=best["number"], y=level.clip(best["best"]), mode="lines", line=line, name="best so far")
    for state in STATES:
        part = frame[frame["state"] == state]
        if part.empty:
            continue
        color, symbol = palette.STATES[state]
        marker = {"color": color, "symbol": symbol, "size": 8, "line": {"width": 1.4, "color": color}}
        text = [
            f"trial {n}: {number(v) or 'no value'}, {state}" for n, v in zip(part["number"], part["value"], strict=True)
        ]
        figure.add_scatter(
            x=part["number"],
            y=level.clip(part["value"]),
            mode="markers",
            marker=marker,
            name=state,
            hovertext=text,
            cliponaxis=False,
        )
    return _with_level(figure, level)


def curves(frame: pd.DataFrame, level: Level) -> go.Figure:
    """Draw all trials faint in one series, and the best ones bold."""
    figure = blank("epoch", plain(level.title), height=380)
    faint = frame[~(frame["rank"] <= BOLD)]
    xs, ys = _joined(faint)
    line = {"color": palette.FAINT, "width": 1}
    figure.add_scatter(x=xs, y=ys, mode="lines", line=line, name="other trials", hoverinfo="skip", opacity=0.7)
    for rank, part in reversed(list(frame[frame["rank"] <= BOLD].groupby("rank"))):
        color, trial = palette.RANKS[int(rank) - 1], part["trial"].iloc[0]
        told = zip(part["epoch"], part["value"], strict=True)
        figure.add_scatter(
            x=part["epoch"], y=part["value"], mode="lines+markers", name=f"trial {trial}", legendrank=rank,
            line={"color": color, "width": 2.2}, marker={"size": 4},
            hovertext=[f"trial {trial}, epoch {epoch}: {number(value)}" for epoch, value in told],
        )  # fmt: skip
    return _with_level(figure, level)


def bars(found: Importance) -> go.Figure:
    """Draw the settings' shares as bars with their bands, the largest at the top; pale what may have no effect."""
    names, shares = list(found.shares)[::-1], list(found.shares.values())[::-1]
    low, high = found.ends(names)
    figure = blank("share of importance", "", height=90 + 26 * len(names))
    labels = [plain(clipped(name, 30)) for name in names]
    band = {"type": "data", "symmetric": False, "color": palette.INK, "thickness": 1.2, "width": 4}
    band |= {"array": [h - s for h, s in zip(high, shares, strict=True)]}
    band |= {"arrayminus": [s - v for v, s in zip(low, shares, strict=True)]}
    figure.add_bar(
        x=shares, y=labels, orientation="h", width=0.6, error_x=band if found.bands else None, hoverinfo="skip",
        marker={"color": [palette.FAINT if name in found.unsure else palette.BLUE for name in names]},
    )  # fmt: skip
    figure.add_scatter(
        x=high, y=labels, mode="text", text=[f" {share:.0%}" for share in shares], textposition="middle right",
        cliponaxis=False, hoverinfo="skip",
    )  # fmt: skip
    figure.update_xaxes(range=[0, 1.12 * max(high, default=1)], tickformat=".0%")
    figure.update_yaxes(showgrid=False, automargin=True)
    return figure.update_layout(showlegend=False)


def parallel(data: Parallel, objective: Objective) -> go.Figure:
    """Draw a line a trial through its settings, the best in color; a gap where a setting was not active."""
    figure = blank("", "", height=400)
    for rank, row in reversed(list(enumerate(data.lines.to_dict("records"), 1))):
        bold = rank <= BOLD
        color = palette.RANKS[rank - 1] if bold else palette.FAINT
        name = f"trial {row['trial']}: {number(row['value'])}"
        figure.add_scatter(
            x=list(range(len(data.axes))), y=[row[axis.name] for axis in data.axes], mode="lines+markers",
            line={"color": color, "width": 2.4 if bold else 1}, marker={"size": 6 if bold else 3},
            opacity=1 if bold else 0.6, name=name,
            showlegend=bold, legendrank=rank, hovertext=plain(f"{name} {objective.metric}"),
        )  # fmt: skip
    for i, axis in enumerate(data.axes):
        figure.add_shape(type="line", x0=i, x1=i, y0=0, y1=1, line={"color": palette.INK, "width": 1}, layer="below")
        side = {"xanchor": "right", "xshift": -5} if i == len(data.axes) - 1 else {"xanchor": "left", "xshift": 5}
        for where, text in axis.ticks.items():
            _note(figure, i, where, clipped(text, 14), **side)
    _settings_axis(figure, [axis.name for axis in data.axes])
    return figure


def slice_(frame: pd.DataFrame, name: str, domain: dict[str, Any], level: Level) -> go.Figure:
    """Draw the objective over one setting, by state."""
    figure = blank(plain(name), plain(level.objective.metric), height=280)
    choice = domain["kind"] == "choice"
    for state, part in frame.groupby("state", sort=True):
        color, symbol = palette.STATES[state]
        settings = [plain(option(value)) for value in part["drawn"]] if choice else part["drawn"]
        figure.add_scatter(
            x=settings, y=level.clip(part["value"]), mode="markers", name=state,
            marker={"color": color, "symbol": symbol, "size": 7, "opacity": 0.85}, cliponaxis=False,
            hovertext=[f"trial {t}: {number(v)}" for t, v in zip(part["trial"], part["value"], strict=True)],
        )  # fmt: skip
    figure.update_layout(showlegend=False)
    if choice:
        figure.update_xaxes(type="category", categoryarray=[plain(option(value)) for value in domain["options"]])
        return _with_level(figure, level, label=False)
    marks = {value: short(value) for value in steps(domain)}
    figure.update_xaxes(
        type="log" if domain.get("log") else "linear", tickvals=list(marks), ticktext=list(marks.values())
    )
    return _with_level(figure, level, label=False)


def lines(frame: pd.DataFrame, titles: tuple[str, str], *, height: int = 230) -> go.Figure:
    """Draw a line a series: columns series, x and y; the x are whole numbers."""
    figure = blank(plain(titles[0]), plain(titles[1]), height=height)
    few = frame["x"].nunique() <= FEW
    for color, (name, part) in zip(palette.CATEGORIES, frame.groupby("series", sort=False), strict=False):
        told = zip(part["x"], part["y"], strict=True)
        figure.add_scatter(
            x=part["x"], y=part["y"], mode="lines+markers" if few else "lines", name=plain(name),
            line={"color": color, "width": 1.8}, marker={"size": 5}, hoverinfo="text",
            hovertext=[plain(f"{name}, {titles[0]} {x}: {number(y)}") for x, y in told],
        )  # fmt: skip
    figure.update_xaxes(tickformat="d", nticks=6)
    figure.update_yaxes(nticks=5)
    return figure.update_layout(showlegend=frame["series"].nunique() > 1)


def dots(frame: pd.DataFrame, measure: str) -> go.Figure:
    """Draw values of contenders: columns name, part (val or test), value and kind; a row a name, in their order."""
    names = list(dict.fromkeys(frame["name"]))
    figure = blank(plain(measure), "", height=70 + 26 * len(names))
    colors = {"model": palette.BLUE, "classic": palette.GREEN, "control": palette.FAINT}
    for (kind, part), rows in frame.groupby(["kind", "part"], sort=False):
        told = zip(rows["name"], rows["value"], strict=True)
        figure.add_scatter(
            x=rows["value"], y=[plain(clipped(name, 26)) for name in rows["name"]], mode="markers", hoverinfo="text",
            marker={"color": colors[kind], "symbol": "circle" if part == "test" else "circle-open", "size": 9},
            hovertext=[plain(f"{name}, {part}: {number(value)}") for name, value in told],
        )  # fmt: skip
    shown = [plain(clipped(name, 26)) for name in names]
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=shown, autorange="reversed", ticks="")
    return figure.update_layout(showlegend=False)


def heatmap(frame: pd.DataFrame) -> go.Figure:
    """Draw similarities between -1 and 1, a row and a column a gene."""
    names, values = [plain(clipped(name)) for name in frame.index], frame.to_numpy().round(3)
    told = [
        [f"{a}, {b}: {v:.2f}" for b, v in zip(names, row, strict=True)] for a, row in zip(names, values, strict=True)
    ]
    bar = {"thickness": 8, "outlinewidth": 0, "len": 0.85, "y": 0, "yanchor": "bottom"}
    bar["title"] = {"text": "cosine", "side": "right", "font": {"size": 11}}
    figure = blank("", "", height=HEATMAP)
    figure.add_heatmap(
        z=values.tolist(), zmin=-1, zmax=1, colorscale=palette.DIVERGING, hoverinfo="text", hovertext=told, colorbar=bar
    )
    look = {"showgrid": False, "ticks": "", "tickfont": {"size": 9}, "tickvals": list(range(len(names)))}
    figure.update_xaxes(**look, ticktext=names, tickangle=-90)
    return figure.update_yaxes(**look, ticktext=names, autorange="reversed")


def confusion(frame: pd.DataFrame) -> go.Figure:
    """Draw counts of true categories (rows) by predicted ones (columns), as shares of the rows."""
    names, count_cc = [plain(clipped(name)) for name in frame.index], frame.to_numpy()
    columns = [plain(clipped(name)) for name in frame.columns]
    share_cc = count_cc / count_cc.sum(1, keepdims=True).clip(min=1)
    told = [
        [f"{a} taken for {b}: {n:,} ({s:.1%})" for b, n, s in zip(columns, ns, shares, strict=True)]
        for a, ns, shares in zip(names, count_cc, share_cc, strict=True)
    ]
    bar = {"thickness": 8, "outlinewidth": 0, "len": 0.85, "y": 0, "yanchor": "bottom", "tickformat": ".0%"}
    figure = blank("predicted", "true", height=HEATMAP)
    look = {"zmin": 0, "zmax": 1, "colorscale": palette.SHARES, "hoverinfo": "text", "colorbar": bar}
    figure.add_heatmap(z=share_cc.round(4).tolist(), hovertext=told, xgap=1, ygap=1, **look)
    if len(names) <= 12:
        cells = [[f"{share:.0%}" if share else "" for share in shares] for shares in share_cc]
        figure.update_traces(text=cells, texttemplate="%{text}", textfont={"size": 10})
    look = {"showgrid": False, "ticks": "", "tickfont": {"size": 10}}
    figure.update_xaxes(**look, tickvals=list(range(len(columns))), ticktext=columns, tickangle=-40)
    return figure.update_yaxes(**look, tickvals=list(range(len(names))), ticktext=names, autorange="reversed")


def blank(x: str, y: str, *, height: int) -> go.Figure:
    """Return an empty figure in the common look."""
    figure = go.Figure()
    axis = {
        "gridcolor": palette.GRID, "zeroline": False, "linecolor": palette.FAINT, "ticks": "outside",
        "tickcolor": palette.FAINT, "title": {"font": {"size": 12}, "standoff": 8}, "automargin": True,
    }  # fmt: skip
    figure.update_layout(
        template="none", height=height, font={"family": palette.FONT, "size": 12, "color": palette.INK},
        margin={"l": 56, "r": 12, "t": 8, "b": 44}, hovermode="closest", dragmode=False,
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "xanchor": "left", "font": {"size": 12}},
        hoverlabel={"bgcolor": "white", "font": {"family": palette.FONT, "color": palette.INK}},
    )  # fmt: skip
    figure.update_xaxes(**axis, title_text=x)
    figure.update_yaxes(**axis, title_text=y)
    figure.update_traces(hoverinfo="text")
    return figure


def _with_level(figure: go.Figure, level: Level, *, label: bool = True) -> go.Figure:
    figure.update_yaxes(range=[level.low, level.high])
    figure.update_traces(hoverinfo="text", selector={"type": "scatter", "hoverinfo": None})
    if level.baseline is not None and level.low <= level.baseline[1] <= level.high:
        name, value = level.baseline
        figure.add_hline(y=value, line={"color": palette.GREEN, "width": 1.2, "dash": "dash"}, layer="below")
        if label:
            _note(figure, 0, value, f"{name} {number(value)}", palette.GREEN, xref="paper", xanchor="left", yshift=9)
    return figure


def _joined(frame: pd.DataFrame) -> tuple[list, list]:
    """Return the curves of many trials as one series with gaps."""
    xs, ys = [], []
    for _, part in frame.groupby("trial"):
        xs += [*part["epoch"].tolist(), None]
        ys += [*part["value"].tolist(), None]
    return xs, ys


def _settings_axis(figure: go.Figure, names: list[str]) -> None:
    words = [plain(clipped(name.partition(".")[2] or name, 16)) for name in names]
    figure.update_xaxes(
        tickvals=list(range(len(names))), ticktext=words, ticklabeloverflow="allow",
        range=[-0.15, len(names) - 0.85], tickangle=30, showgrid=False, ticks="",
        linecolor="rgba(0,0,0,0)", tickfont={"size": 12},
    )  # fmt: skip
    figure.update_yaxes(visible=False, range=[-0.06, 1.06])
    figure.update_layout(margin={"l": 12, "r": 40, "b": 72})


def _note(figure: go.Figure, x: float, y: float, text: str, color: str = palette.INK, **more: Any) -> None:
    look = {"size": 11, "color": color}
    figure.add_annotation(
        x=x, y=y, text=plain(text), showarrow=False, font=look, bgcolor="rgba(255,255,255,.75)", borderpad=1, **more
    )
