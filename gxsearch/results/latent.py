"""Latent: the pictures of an embedding: its points in the plane, how they cluster, and the genes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import anndata

from gxsearch.data import h5ad
from gxsearch.results import evaluation, maps, page, palette, similar
from gxsearch.results.gallery import Easel, Picture, drawing
from gxsearch.results.maps import RowMap
from gxsearch.results.run_dir import RunDir

COLUMNS = 7
"""Columns that maps are colored by, at most; all but the first are small."""
TALL = 300
"""Height in pixels of one of three maps in a row."""


@dataclass(frozen=True)
class ColoredMaps:
    """Maps of points colored by one column, and their common legend of (name, color, sign)."""

    column: str
    pictures: list[Picture]
    legend: list[tuple[str, str, str]]


@dataclass(frozen=True)
class Clusters:
    """How vectors cluster: pictures over k, and a table of head and rows of agreement with classes."""

    pictures: list[Picture]
    head: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Latent:
    """All that a report shows of an embedding; everything is empty where nothing was embedded.

    Attributes:
        what: what a point is: row or gene.
        maps: the vectors, with the control for the first column, by column.
        ways: the vectors by PCA, UMAP and t-SNE, colored by the first column; None of two dimensions or fewer, and in
            a brief report.
        genes: the map of gene vectors and the heatmap of their similarity, as far as there are any.
    """

    what: str
    maps: list[ColoredMaps]
    ways: ColoredMaps | None
    clusters: Clusters | None
    genes: list[Picture]


def latent(easel: Easel, run: RunDir, model: str, label: str | None, *, brief: bool = False) -> Latent:
    """Draw an embedding; the label's column comes first. A `brief` one has no t-SNE, which takes the longest.

    Raises:
        RunError: when results/clusters.csv is damaged.
    """
    if not run.embeddings.exists():
        return Latent("row", [], None, None, [])
    adata = h5ad.read(run.embeddings, str(run.embeddings))
    found = maps.row_maps(run, adata, model)
    three = [] if brief else maps.three_maps(run, adata, model)
    given = maps.columns(found[0].points) if found else []
    shown = sorted(given, key=lambda name: (name != label, name == f"{model}_split"))[:COLUMNS]
    return Latent(
        found[0].what if found else "row",
        [colored(easel, found[: 1 if i else None], column, small=i > 0) for i, column in enumerate(shown)],
        colored(easel, three, shown[0], small=True) if three and shown else None,
        _clusters(easel, run),
        _genes(easel, adata, model),
    )


def colored(easel: Easel, found: list[RowMap], column: str, *, small: bool = False) -> ColoredMaps:
    """Draw maps of the same points colored by a column, `small` where three are to stand in a row."""
    pictures = [
        easel.picture(
            lambda one=one: _sized(maps.row_figure(one, column), small=small),
            lambda static, one=one: static.rows(one, column, width=3.8 if small else 5.4),
            _caption(one, column),
        )
        for one in found
    ]
    points = found[0].points[column]
    looks = {} if maps.is_number(points) else palette.styles(points.to_numpy())
    legend = [(name, color, palette.SHAPES[shape]) for name, (color, shape) in looks.items()]
    return ColoredMaps(column, pictures, legend)


def _sized(figure: Any, *, small: bool) -> Any:
    return figure.update_layout(height=TALL) if small else figure


def _caption(one: RowMap, column: str) -> str:
    score = f", silhouette {one.silhouettes[column]:.2f}" if column in one.silhouettes else ""
    fewer = len(one.points) < one.n_rows
    return f"{one.title}{score}" + (f"; {len(one.points):,} of {one.n_rows:,} {one.what}s drawn" if fewer else "")


def _clusters(easel: Easel, run: RunDir) -> Clusters | None:
    frame = evaluation.read_clusters(run)
    if frame is None:
        return None
    lines = frame[frame["k"] <= evaluation.CURVE].rename(columns={"vectors": "series", "k": "x"})
    named = {
        "silhouette": f"Silhouette of k-means: {evaluation.GLOSSARY['silhouette']}.",
        "calinski_harabasz": f"Calinski-Harabasz: {evaluation.GLOSSARY['calinski_harabasz']}.",
    }
    pictures = [
        easel.picture(
            lambda part=part, name=name: drawing().lines(part, ("clusters k", name)),
            lambda static, part=part, name=name: static.lines(part, ("clusters k", name), width=5.4),
            caption,
        )
        for name, caption in named.items()
        for part in [lines.assign(y=lines[name])]
    ]
    rows = evaluation.class_rows(frame)
    k = rows[0]["classes"] if rows else ""
    head = ["vectors", f"ARI at k = {k}", f"NMI at k = {k}", "best ARI", "at k"]
    keys = ("vectors", "ari", "nmi", "best_ari", "best_k")
    return Clusters(pictures, head, [[page.number(row[key], 3) for key in keys] for row in rows])


def _genes(easel: Easel, adata: anndata.AnnData, model: str) -> list[Picture]:
    """Return the map of gene vectors, unless genes are the points of the maps already, and the heatmap."""
    pictures = []
    found = maps.gene_map(adata, model) if f"X_{model}" in adata.obsm else None
    if found is not None:
        caption = f"Gene vectors by their two main components; the {maps.NAMED} most variable genes named."
        pictures.append(easel.picture(lambda: maps.gene_figure(found), lambda static: static.genes(found), caption))
    alike = similar.most_variable(adata, model)
    if alike is not None:
        caption = f"Cosine similarity of the vectors of the {len(alike)} most variable genes, like beside like."
        pictures.append(easel.picture(lambda: drawing().heatmap(alike), lambda static: static.heatmap(alike), caption))
    return pictures
