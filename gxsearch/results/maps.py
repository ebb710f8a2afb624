"""Maps: rows and genes in the plane, colored by what is known of them, with principal components as a control."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score

from gxsearch.errors import DataError, did_you_mean
from gxsearch.results import palette
from gxsearch.results.projection import Plane, chosen, drawn_flat, plane, three_ways
from gxsearch.results.run_dir import RunDir
from gxsearch.results.vectors import Vectors, gene_vectors, vectors_of

if TYPE_CHECKING:
    import plotly.graph_objects as go

DRAWN = 6000
"""Points in one picture; more would make the page slow and show nothing more."""
SCORED = 2000
NAMED = 8
"""Genes that the picture names: those of largest variance."""


@dataclass(frozen=True)
class RowMap:
    """Rows, or genes, in the plane.

    Attributes:
        points: the drawn ones: x, y, name, and every column to color by.
        axes: names of both axes.
        title: what the vectors are.
        silhouettes: silhouette of each column of classes in the full space, over at most 2,000 rows.
        n_rows: points there are, drawn or not.
        what: what a point is: row or gene.
    """

    points: pd.DataFrame
    axes: tuple[str, str]
    title: str
    silhouettes: dict[str, float]
    n_rows: int
    what: str = "row"


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
    """Return the map of a model's vectors and, as a control, that of principal components; none without vectors.

    Points are rows or, of a model that gives vectors to genes only, genes.
    """
    found = vectors_of(adata, model)
    if found is None:
        return []
    maps = [_row_map(found, found.matrix, plane(run, found.matrix, model), f"{model}, {_size(found.matrix)}")]
    if found.control is not None:
        pca = Plane(found.control[:, :2], ("PC 1", "PC 2"), np.arange(len(found.control)))
        maps.append(_row_map(found, found.control, pca, f"PCA, {found.control.shape[1]} components"))
    return maps


def three_maps(run: RunDir, adata: AnnData, model: str) -> list[RowMap]:
    """Return the model's vectors by PCA, UMAP and t-SNE; none where they have no more than two dimensions."""
    found = vectors_of(adata, model)
    planes = three_ways(run, found.matrix, model) if found is not None else {}
    return [_row_map(found, None, flat, name) for name, flat in planes.items()]


def gene_map(adata: AnnData, model: str) -> GeneMap | None:
    """Return the map of a model's gene vectors; None if it has none."""
    found = gene_vectors(adata, model)
    if found is None or found.matrix.shape[1] == 1 or len(found.matrix) < 3:
        return None
    pca = PCA(2, random_state=0)
    points, var = pca.fit_transform(found.matrix), found.frame
    named = var["variance"].rank(ascending=False, method="first") <= NAMED
    columns = {"x": points[:, 0], "y": points[:, 1], "name": var.index, "mean": var["mean"].to_numpy()}
    frame = pd.DataFrame({**columns, "named": named.to_numpy()})
    axes = tuple(f"PC {i} ({share:.0%} of variance)" for i, share in enumerate(pca.explained_variance_ratio_, 1))
    return GeneMap(_thinned(frame), axes)


def of_adata(adata: AnnData, basis: str, color: str | None) -> tuple[RowMap, str]:
    """Return vectors of any AnnData as a map, and the name of its column to color by, which may be the same for all.

    Vectors are obsm[`basis`], or varm of genes; of more than two dimensions <basis>_umap beside them, or a new UMAP.

    Raises:
        DataError: E496 when there are none of that name, or not all are numbers; E497 no such column.
    """
    is_row = basis in adata.obsm
    store, frame = (adata.obsm, adata.obs) if is_row else (adata.varm, adata.var)
    if basis not in store:
        fix = did_you_mean(basis, [*adata.obsm, *adata.varm])
        raise DataError.one("E496", "basis", f"there are no vectors '{basis}' in obsm or varm", fix)
    name, values = color or "", _colors(adata, frame, color, is_row=is_row)
    kept = f"{basis}_umap"
    vectors = np.asarray(store[kept] if kept in store else store[basis], dtype=np.float32)
    rows = chosen(len(vectors), DRAWN)
    vectors, values = vectors[rows], values.iloc[rows]
    whole = np.isfinite(vectors).all(1)  # of rows that have no vector there is nothing to draw
    if vectors.ndim != 2 or not whole.any():
        raise DataError.one("E496", "basis", f"'{basis}' holds no vectors of numbers")
    flat = drawn_flat(vectors[whole], basis.removeprefix("X_"))
    points = pd.DataFrame({"x": flat.points[:, 0], "y": flat.points[:, 1]})
    points["name"] = frame.index[rows][whole].astype(str)
    points[name] = (values if is_number(values) else values.astype(str)).to_numpy()[whole]
    axes = ("UMAP 1", "UMAP 2") if kept in store else flat.axes
    return RowMap(points, axes, basis, {}, len(store[basis]), "row" if is_row else "gene"), name


def _colors(adata: AnnData, frame: pd.DataFrame, color: str | None, *, is_row: bool) -> pd.Series:
    if color is None:
        return pd.Series("", index=frame.index)
    if color in frame:
        return frame[color]
    if is_row and color in adata.var_names:
        return pd.Series(adata.obs_vector(color), index=frame.index)
    kind = "obs, nor a gene" if is_row else "var"
    raise DataError.one("E497", "color", f"'{color}' is no column of {kind}", did_you_mean(color, frame))


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


def _row_map(found: Vectors, vectors: np.ndarray | None, flat: Plane, title: str) -> RowMap:
    """Return a map; silhouettes are those of `vectors` (n, k), none without."""
    about = found.frame.iloc[flat.rows]
    frame = pd.DataFrame({"x": flat.points[:, 0], "y": flat.points[:, 1], "name": about.index.astype(str)})
    for name, values in about.items():
        frame[name] = values.to_numpy() if is_number(values) else values.astype(str).to_numpy()
    classes = [name for name in about if vectors is not None and not is_number(about[name])]
    scores = {name: _silhouette(vectors, frame[name].to_numpy()) for name in classes}
    known = {name: score for name, score in scores.items() if score is not None}
    return RowMap(_thinned(frame), flat.axes, title, known, len(found.frame), found.what)


def _size(vectors: np.ndarray) -> str:
    return f"{vectors.shape[1]} dimension" + ("s" if vectors.shape[1] > 1 else "")


def _silhouette(vectors: np.ndarray, labels: np.ndarray) -> float | None:
    """Return the mean silhouette over at most 2,000 rows; None where it is not defined."""
    rows = chosen(len(vectors), SCORED)
    n_classes = len(np.unique(labels[rows]))
    return float(silhouette_score(vectors[rows], labels[rows])) if 1 < n_classes < len(rows) else None


def _thinned(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.iloc[chosen(len(frame), DRAWN)]
