"""Maps: rows and genes in the plane, colored by what is known of them, with principal components as a control."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score

from gxsearch.results import palette
from gxsearch.results.embed import CONTROL
from gxsearch.results.projection import Plane, plane
from gxsearch.results.run_dir import RunDir

if TYPE_CHECKING:
    import plotly.graph_objects as go

DRAWN = 6000
"""Points in one picture; more would make the page slow and show nothing more."""
SCORED = 2000
NAMED = 8
"""Genes that the picture names: those of largest variance."""


@dataclass(frozen=True)
class RowMap:
    """Rows in the plane.

    Attributes:
        points: the drawn rows: x, y, name, and every column to color by.
        axes: names of both axes.
        title: what the vectors are.
        silhouettes: silhouette of each column of classes in the full space, over at most 2,000 rows.
        n_rows: rows there are, drawn or not.
    """

    points: pd.DataFrame
    axes: tuple[str, str]
    title: str
    silhouettes: dict[str, float]
    n_rows: int


@dataclass(frozen=True)
class GeneMap:
    """Genes in the plane of the two principal components of their vectors.

    Attributes:
        points: x, y, name, mean, and whether the picture names the gene.
        axes: names of both axes, with the share of variance.
    """

    points: pd.DataFrame
    axes: tuple[str, str]


def row_maps(run: RunDir, adata: AnnData, model: str) -> list[RowMap]:
    """Return the map of a model's vectors and, as a control, that of principal components; none without vectors."""
    if f"X_{model}" not in adata.obsm:
        return []
    vectors, control = adata.obsm[f"X_{model}"], adata.obsm[CONTROL]
    size = f"{vectors.shape[1]} dimension" + ("s" if vectors.shape[1] > 1 else "")
    pca = Plane(control[:, :2], ("PC 1", "PC 2"))
    return [
        _row_map(adata, vectors, plane(run, vectors, model), f"{model}, {size}"),
        _row_map(adata, control, pca, f"PCA, {control.shape[1]} components"),
    ]


def gene_map(adata: AnnData, model: str) -> GeneMap | None:
    """Return the map of a model's gene vectors; None if it has none."""
    if model not in adata.varm:
        return None
    vectors = np.asarray(adata.varm[model])
    known = np.isfinite(vectors).all(1)
    if vectors.shape[1] == 1 or known.sum() < 3:
        return None
    pca = PCA(2, random_state=0)
    points = pca.fit_transform(vectors[known])
    var = adata.var[known]
    named = var["variance"].rank(ascending=False, method="first") <= NAMED
    columns = {"x": points[:, 0], "y": points[:, 1], "name": var.index, "mean": var["mean"].to_numpy()}
    frame = pd.DataFrame({**columns, "named": named.to_numpy()})
    axes = tuple(f"PC {i} ({share:.0%} of variance)" for i, share in enumerate(pca.explained_variance_ratio_, 1))
    return GeneMap(_thinned(frame), axes)


def columns(points: pd.DataFrame) -> list[str]:
    """Return the columns of a map's points to color by, classes before numbers; not those with too many classes."""
    given = [name for name in points if name not in ("x", "y", "name")]
    given = [name for name in given if is_number(points[name]) or points[name].nunique() <= palette.MOST]
    return sorted(given, key=lambda name: is_number(points[name]))


def is_number(values: pd.Series) -> bool:
    """Say whether a column is drawn on a scale of colors; else each value is a class."""
    return pd.api.types.is_numeric_dtype(values)


def row_figure(found: RowMap, column: str) -> go.Figure:
    """Draw rows colored by a column."""
    from gxsearch.results import scatter

    if is_number(found.points[column]):
        return scatter.numbers(found.points, column, found.axes)
    return scatter.classes(found.points, column, found.axes, palette.styles(found.points[column].to_numpy()))


def gene_figure(found: GeneMap) -> go.Figure:
    """Draw genes colored by their mean, a few of them named."""
    from gxsearch.results import scatter

    figure = scatter.numbers(found.points, "mean", found.axes, title="mean in training rows")
    return scatter.named(figure, found.points[found.points["named"]])


def _row_map(adata: AnnData, vectors: np.ndarray, flat: Plane, title: str) -> RowMap:
    frame = pd.DataFrame({"x": flat.points[:, 0], "y": flat.points[:, 1], "name": adata.obs_names.astype(str)})
    for name, values in adata.obs.items():
        frame[name] = values.to_numpy() if is_number(values) else values.astype(str).to_numpy()
    classes = [name for name in adata.obs if not is_number(adata.obs[name])]
    found = {name: _silhouette(vectors, frame[name].to_numpy()) for name in classes}
    scores = {name: score for name, score in found.items() if score is not None}
    return RowMap(_thinned(frame), flat.axes, title, scores, adata.n_obs)


def _silhouette(vectors: np.ndarray, labels: np.ndarray) -> float | None:
    """Return the mean silhouette over at most 2,000 rows; None where it is not defined."""
    rows = _chosen(len(vectors), SCORED)
    rows = rows[np.isfinite(vectors[rows]).all(1)]
    n_classes = len(np.unique(labels[rows]))
    return float(silhouette_score(vectors[rows], labels[rows])) if 1 < n_classes < len(rows) else None


def _thinned(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.iloc[_chosen(len(frame), DRAWN)]


def _chosen(n: int, most: int) -> np.ndarray:
    """Return all rows, or `most` of them, the same ones each time, in their order."""
    return np.arange(n) if n <= most else np.sort(np.random.default_rng(0).choice(n, most, replace=False))
