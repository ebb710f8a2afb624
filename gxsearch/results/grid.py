"""Draws the map of a two-dimensional embedding: where each class would lie, and where the rows do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from gxsearch.training.grid import Grid


def draw(grid: Grid, path: Path | None = None, *, columns: int = 4, levels: int = 20) -> Figure:
    """Draw one panel a class: correlation as filled contours, the class's rows in black on all others in gray.

    The figure is also saved to `path`, in the format of its suffix, where one is given.
    """
    n = len(grid.classes)
    columns = min(columns, n)
    figure = Figure(figsize=(3.2 * columns, 3.0 * -(-n // columns)), layout="constrained")
    steps = np.linspace(grid.pearson.min(), grid.pearson.max() + 1e-6, levels)
    axes = figure.subplots(-(-n // columns), columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axis, name, pearson in zip(axes, grid.classes, grid.pearson, strict=False):
        filled = axis.contourf(grid.x, grid.y, pearson, levels=steps)
        own = grid.labels == name
        axis.scatter(*grid.z[~own].T, s=2, c="0.75", linewidths=0)
        axis.scatter(*grid.z[own].T, s=4, c="black", linewidths=0)
        axis.set_title(str(name), fontsize=9)
    for axis in axes[n:]:
        axis.set_axis_off()
    figure.colorbar(filled, ax=axes.tolist(), label="Pearson r with the class mean", shrink=0.8)
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure
