"""Scatter: points in the plane as plotly figures; the legend is the page's, so that all its maps share one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import plotly.graph_objects as go

from gxsearch.results import palette
from gxsearch.results.drawing import blank
from gxsearch.results.page import number, plain

if TYPE_CHECKING:
    from gxsearch.results.several import Plane

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


def trade(plane: Plane) -> go.Figure:
    """Draw trials by two objectives: the front with its border, and the chosen trial with a ring."""
    figure = blank(plain(plane.names[0]), plain(plane.names[1]), height=HEIGHT)
    line = {"color": palette.BLUE, "width": 1.2, "shape": "hv", "dash": "dot"}
    figure.add_scatter(
        x=plane.steps["x"], y=plane.steps["y"], mode="lines", line=line, hoverinfo="skip", showlegend=False
    )
    for kind, name, marker in (
        ("other", "other trials", {"color": palette.FAINT, "size": 7}),
        ("front", "on the front", {"color": palette.BLUE, "size": 9}),
        ("chosen", "chosen", {"color": palette.VERMILION, "size": 13, "symbol": "diamond"}),
    ):
        part = plane.points[plane.points["kind"] == kind]
        figure.add_scatter(
            x=part["x"], y=part["y"], mode="markers", name=name, marker=marker, cliponaxis=False,
            hoverinfo="text", hovertext=[plain(text) for text in part["text"]],
        )  # fmt: skip
    figure.update_xaxes(range=list(plane.spans[0]))
    return figure.update_yaxes(range=list(plane.spans[1]))


def _empty(axes: tuple[str, str]) -> go.Figure:
    figure = blank(plain(axes[0]), plain(axes[1]), height=HEIGHT)
    figure.update_layout(modebar={"bgcolor": "rgba(0,0,0,0)", "color": palette.FAINT, "activecolor": palette.INK})
    figure.update_xaxes(showgrid=False, showticklabels=False, ticks="")
    return figure.update_yaxes(showgrid=False, showticklabels=False, ticks="")


def _size(n: int) -> float:
    """Return a point's diameter in pixels: smaller where there are many."""
    return 7 if n <= 400 else 5 if n <= 2000 else 3.5
