"""Curves: how a run's genes go over time by cluster, with the curves decoded for them, as tables and a picture."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gxsearch.data.series import SeriesView
from gxsearch.data.table import Table
from gxsearch.errors import RunError
from gxsearch.models.rvagene import RVAgene
from gxsearch.results import palette
from gxsearch.results.gallery import Picture
from gxsearch.results.leaderboard import cell
from gxsearch.results.package import Package
from gxsearch.results.page import clipped
from gxsearch.results.run_dir import RunDir, write_atomic
from gxsearch.training.curves import Clusters, decoded, divide

SHOWN = 12
"""Held-out genes that are drawn one by one with their reconstruction."""
_COLUMNS = 4
_LOOK = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "svg.hashsalt": "gxsearch",  # the same data gives the same bytes
    "svg.fonttype": "path",  # text becomes outlines, so that no name is markup
}
_CAPTIONS = {
    "latent": "Vectors of the genes, in the color of their cluster (k-means); of several dimensions the two main ones.",
    "clusters": "Each cluster: the mean of its genes, scaled, with one standard deviation (gray), and the curve that "
    "its center decodes to (color).",
    "genes": "Held-out genes: their values, scaled (points), and the model's curve, in the color of the cluster.",
}


@dataclass(frozen=True)
class SeriesCurves:
    """What the pictures show; of a model that is given batches, the batch of most times.

    Attributes:
        clusters: a row per cluster and time: cluster, genes (how many), time, mean and sd of the genes' scaled values,
            decoded (the curve of the center).
        genes: a row per shown gene and time: gene, cluster, time, value (NaN if not measured), reconstructed.
        latent: a row per gene: gene, cluster, split, z0, z1, ...
    """

    clusters: pd.DataFrame
    genes: pd.DataFrame
    latent: pd.DataFrame


def series_curves(found: Package, table: Table, z_nk: np.ndarray, clusters: int) -> SeriesCurves:
    """Divide the genes of a table into clusters by their vectors (n, k) and gather what the pictures show."""
    assert isinstance(found.view, SeriesView) and isinstance(found.model, RVAgene)
    divided, curves = divide(z_nk, clusters), found.view.curves(table)
    value_nt = curves.x_nt if curves.weight_nt is None else np.where(curves.weight_nt > 0, curves.x_nt, np.nan)
    own_t = found.view.timeline.usual_t
    time_t, center_ct = decoded(found.model, found.view, divided.center_ck, found.view.time_t[own_t])
    rows = []
    for c, center_t in enumerate(center_ct):
        mine_nt = curves.x_nt[divided.cluster_n == c][:, own_t]
        told = {"cluster": c, "genes": len(mine_nt), "time": time_t, "mean": mine_nt.mean(0), "sd": mine_nt.std(0)}
        rows.append(pd.DataFrame({**told, "decoded": center_t}))
    shown = _shown(table, divided)
    _, y_mt = decoded(found.model, found.view, z_nk[shown], time_t)
    genes = [
        pd.DataFrame(
            {
                "gene": table.obs_names[i],
                "cluster": divided.cluster_n[i],
                "time": time_t,
                "value": value_nt[i, own_t],
                "reconstructed": y_t,
            }
        )
        for i, y_t in zip(shown, y_mt, strict=True)
    ]
    z = {f"z{i}": z_nk[:, i] for i in range(z_nk.shape[1])}
    parts = np.array(["train", "val", "test"])[table.part_n]
    latent = pd.DataFrame({"gene": table.obs_names, "cluster": divided.cluster_n, "split": parts, **z})
    return SeriesCurves(pd.concat(rows), pd.concat(genes), latent)


def write(run: RunDir, data: SeriesCurves) -> None:
    """Write results/curves/: clusters, genes and latent as `SeriesCurves` says, a .csv and a .png each."""
    for name in _CAPTIONS:
        text = getattr(data, name).map(cell).to_csv(index=False, lineterminator="\n", float_format="%.6g")
        write_atomic(run.curves / f"{name}.csv", text.encode())
        write_atomic(run.curves / f"{name}.png", _drawn(data, name, "png"))


def pictures(run: RunDir) -> list[Picture]:
    """Return the pictures of results/curves/ for the report; none of a run whose model is none of series.

    Raises:
        RunError: when a table there cannot be read.
    """
    if not run.curves.exists():
        return []
    data = SeriesCurves(*(_read(run.curves / f"{name}.csv") for name in ("clusters", "genes", "latent")))
    images = {name: base64.b64encode(_drawn(data, name, "svg")).decode() for name in _CAPTIONS}
    return [Picture(f"curves-{name}", caption, image=images[name]) for name, caption in _CAPTIONS.items()]


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype={"gene": str})
    except (OSError, ValueError) as error:
        what = f"cannot be read ({str(error).splitlines()[0]})"
        raise RunError.one("E631", str(path), what, "remove the folder") from None


def _drawn(data: SeriesCurves, name: str, form: str) -> bytes:
    draw = {"latent": _draw_latent, "clusters": _draw_clusters, "genes": _draw_genes}[name]
    buffer = io.BytesIO()
    with mpl.rc_context(_LOOK):
        draw(data).savefig(buffer, format=form, dpi=130, metadata={"Date": None} if form == "svg" else None)
    return buffer.getvalue()


def _draw_latent(data: SeriesCurves) -> Figure:
    z_nk = data.latent.filter(regex=r"^z\d+$").to_numpy()
    if z_nk.shape[1] > 2:
        centered = z_nk - z_nk.mean(0)
        z_nk = centered @ np.linalg.svd(centered, full_matrices=False)[2][:2].T
    y_n = z_nk[:, 1] if z_nk.shape[1] > 1 else np.zeros(len(z_nk))
    figure = Figure(figsize=(5.4, 3.8), layout="constrained")
    axis = figure.subplots()
    for c in sorted(data.latent["cluster"].unique()):
        mine = (data.latent["cluster"] == c).to_numpy()
        axis.scatter(z_nk[mine, 0], y_n[mine], s=7, color=_color(c), linewidths=0, label=f"cluster {c}")
    figure.legend(loc="outside right upper", frameon=False)
    return figure


def _draw_clusters(data: SeriesCurves) -> Figure:
    parts = list(data.clusters.groupby("cluster"))
    figure, axes = _panels(len(parts))
    for axis, (c, part) in zip(axes, parts, strict=True):
        band = part["mean"] - part["sd"], part["mean"] + part["sd"]
        axis.fill_between(part["time"], *band, color=palette.GRID, lw=0)
        axis.plot(part["time"], part["mean"], color=palette.INK, lw=1.2, ls="--")
        axis.plot(part["time"], part["decoded"], color=_color(c), lw=2)
        axis.set_title(f"cluster {c}, {part['genes'].iloc[0]} genes")
    return figure


def _draw_genes(data: SeriesCurves) -> Figure:
    parts = list(data.genes.groupby("gene", sort=False))
    figure, axes = _panels(len(parts))
    for axis, (gene, part) in zip(axes, parts, strict=True):
        axis.plot(part["time"], part["value"], "o", ms=2.5, color=palette.INK)
        axis.plot(part["time"], part["reconstructed"], color=_color(part["cluster"].iloc[0]), lw=1.8)
        axis.set_title(clipped(str(gene)))
    return figure


def _panels(n: int) -> tuple[Figure, list[Axes]]:
    columns = min(_COLUMNS, n)
    rows = -(-n // columns)
    figure = Figure(figsize=(2.7 * columns, 2.1 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel().tolist()
    for axis in axes[n:]:
        axis.set_axis_off()
    return figure, axes[:n]


def _color(cluster: int) -> str:
    return palette.CATEGORIES[cluster % len(palette.CATEGORIES)]


def _shown(table: Table, divided: Clusters) -> np.ndarray:
    """Return held-out genes to draw (m,), test before validation, of each cluster in turn."""
    held = np.concatenate([table.rows("test"), table.rows("val")])
    turn, seen = np.empty(len(held)), np.zeros(len(divided.center_ck), dtype=np.int64)
    for i, cluster in enumerate(divided.cluster_n[held]):
        turn[i] = seen[cluster]
        seen[cluster] += 1
    return held[np.lexsort((divided.cluster_n[held], turn))[:SHOWN]]
