"""Scatter: points in the plane as plotly figures; the legend is the page's, so that all its maps share one."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from gxsearch.results import palette
from gxsearch.results.drawing import blank
from gxsearch.results.page import number, plain

HEIGHT = 400


def classes(points: pd.DataFrame, column: str, axes: tuple[str, str], styles: dict[str, tuple[str, str]]) -> go.Figure:
    """Draw points with the color and shape of their class; no legend."""
    figure = _empty(axes)
    for name, (color, shape) in styles.items():
        part = points[points[column].astype(str) == name]
        figure.add_scatter(
            x=part["x"], y=part["y"], mode="markers", name=plain(name),
            marker={"color": color, "symbol": shape, "size": _size(len(points)), "opacity": 0.8},
            hoverinfo="text", hovertext=[plain(f"{row}: {name}") for row in part["name"]],
        )  # fmt: skip
    return figure.update_layout(showlegend=False)


def numbers(points: pd.DataFrame, column: str, axes: tuple[str, str], title: str | None = None) -> go.Figure:
    """Draw points on a scale of colors, with its bar."""
    figure = _empty(axes)
    bar = {
        "title": {"text": plain(title or column), "side": "right", "font": {"size": 11}},
        "thickness": 8,
        "outlinewidth": 0,
        "len": 0.85,
        "y": 0,
        "yanchor": "bottom",
    }
    figure.add_scatter(
        x=points["x"], y=points["y"], mode="markers", hoverinfo="text",
        marker={
            "color": points[column], "colorscale": palette.SCALE, "size": _size(len(points)), "opacity": 0.85,
            "colorbar": bar,
        },
        hovertext=[plain(f"{n}: {number(v)}") for n, v in zip(points["name"], points[column].tolist(), strict=True)],
    )  # fmt: skip
    return figure.update_layout(showlegend=False)


def named(figure: go.Figure, points: pd.DataFrame) -> go.Figure:
    """Write the names of some points beside them."""
    return figure.add_scatter(
        x=points["x"], y=points["y"], mode="text", text=[plain(name) for name in points["name"]],
        textposition="top center", textfont={"size": 11, "color": palette.INK}, hoverinfo="skip", cliponaxis=False,
    )  # fmt: skip


def _empty(axes: tuple[str, str]) -> go.Figure:
    figure = blank(plain(axes[0]), plain(axes[1]), height=HEIGHT)
    figure.update_layout(modebar={"bgcolor": "rgba(0,0,0,0)", "color": palette.FAINT, "activecolor": palette.INK})
    figure.update_xaxes(showgrid=False, showticklabels=False, ticks="")
    return figure.update_yaxes(showgrid=False, showticklabels=False, ticks="")


def _size(n: int) -> float:
    """Return a point's diameter in pixels: smaller where there are many."""
    return 7 if n <= 400 else 5 if n <= 2000 else 3.5
