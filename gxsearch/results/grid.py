"""Draws the map of a two-dimensional embedding: where each class would lie, and where the rows do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.figure import Figure

from gxsearch.errors import DataError
from gxsearch.results.embed import again
from gxsearch.results.far import give_back
from gxsearch.results.package import of_run
from gxsearch.results.run_dir import RunDir
from gxsearch.training.grid import Grid
from gxsearch.training.grid import grid as decode_grid


def write(run: RunDir, number: int | None = None, folder: Path | None = None) -> list[Path]:
    """Write the map of a run's best trial, or of another, as grid.png and grid.h5ad; return their paths.

    The AnnData has a row per node: X the decoded profile, in units of the transformed data, obs the place (x, y)
    and the correlation with each class's mean profile.

    Raises:
        DataError: when the vectors are not two-dimensional, or the spec names no label.
    """
    found, table = of_run(run, number), again(run).dense()
    label = found.data.label
    if label is None:
        raise DataError.one("E435", "data.label", "a map shows classes, and the spec names no label", "set data.label")
    made = decode_grid(found.model, found.view, table, found.embed_table(table), table.obs[label])
    folder = run.results if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    picture, profiles = folder / "grid.png", folder / "grid.h5ad"
    draw(made, picture)
    _anndata(made, found.genes).write_h5ad(profiles)
    give_back(run)
    return [picture, profiles]


def _anndata(grid: Grid, genes: np.ndarray) -> AnnData:
    x, y = np.meshgrid(grid.x, grid.y)
    places = {"x": x.ravel(), "y": y.ravel()}
    likeness = {f"pearson {name}": grid.pearson[i].ravel() for i, name in enumerate(grid.classes)}
    obs = pd.DataFrame({**places, **likeness}, index=[f"node{i}" for i in range(x.size)])
    return AnnData(grid.profiles, obs=obs, var=pd.DataFrame(index=genes.astype(object)))


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
