"""Curves: how a run's genes go over time by cluster, with the curves decoded for them, as tables and a picture."""

from __future__ import annotations

from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gxsearch.data.series import SeriesView
from gxsearch.data.table import Table
from gxsearch.models.rvagene import RVAgene
from gxsearch.results import palette
from gxsearch.results.package import Package
from gxsearch.results.run_dir import RunDir, write_atomic
from gxsearch.training.curves import Clusters, decoded, divide

SHOWN = 12
"""Held-out genes that are drawn one by one with their reconstruction."""
_FAINT = 60
"""Genes of a cluster that are drawn behind its mean, at most."""


@dataclass(frozen=True)
class SeriesCurves:
    """What the pictures show.

    Attributes:
        clusters: a row per cluster and time: cluster, genes (how many), time, mean and sd of the genes' scaled values,
            decoded (the curve of the center).
        genes: a row per shown gene and time: gene, cluster, time, value (NaN if not measured), reconstructed.
        latent: a row per gene: gene, cluster, split, z0, z1, ...
        faint: some genes of each cluster: a list of (cluster, curves (n, t)).
    """

    clusters: pd.DataFrame
    genes: pd.DataFrame
    latent: pd.DataFrame
    faint: list[tuple[int, np.ndarray]]
    time_t: np.ndarray


def series_curves(found: Package, table: Table, z_nk: np.ndarray, clusters: int) -> SeriesCurves:
    """Divide the genes of a table into clusters by their vectors (n, k) and gather what the pictures show."""
    assert isinstance(found.view, SeriesView) and isinstance(found.model, RVAgene)
    divided, curves = divide(z_nk, clusters), found.view.curves(table)
    value_nt = curves.x_nt if curves.weight_nt is None else np.where(curves.weight_nt > 0, curves.x_nt, np.nan)
    time_t, center_ct = decoded(found.model, found.view, divided.center_ck)
    rows, faint = [], []
    for c, center_t in enumerate(center_ct):
        mine_nt = curves.x_nt[divided.cluster_n == c]
        told = {"cluster": c, "genes": len(mine_nt), "time": time_t, "mean": mine_nt.mean(0), "sd": mine_nt.std(0)}
        rows.append(pd.DataFrame({**told, "decoded": center_t}))
        faint.append((c, mine_nt[:_FAINT]))
    shown = _shown(table, divided)
    _, y_mt = decoded(found.model, found.view, z_nk[shown])
    genes = [
        pd.DataFrame(
            {
                "gene": table.obs_names[i],
                "cluster": divided.cluster_n[i],
                "time": time_t,
                "value": value_nt[i],
                "reconstructed": y_t,
            }
        )
        for i, y_t in zip(shown, y_mt, strict=True)
    ]
    z = {f"z{i}": z_nk[:, i] for i in range(z_nk.shape[1])}
    parts = np.array(["train", "val", "test"])[table.part_n]
    latent = pd.DataFrame({"gene": table.obs_names, "cluster": divided.cluster_n, "split": parts, **z})
    return SeriesCurves(pd.concat(rows), pd.concat(genes), latent, faint, time_t)


def write(run: RunDir, data: SeriesCurves) -> None:
    """Write results/curves/: clusters.csv, genes.csv and latent.csv as `SeriesCurves` says, and curves.png."""
    for name in ("clusters", "genes", "latent"):
        text = getattr(data, name).to_csv(index=False, lineterminator="\n", float_format="%.6g")
        write_atomic(run.curves / f"{name}.csv", text.encode())
    with mpl.rc_context(
        {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "text.parse_math": False}
    ):
        draw(data).savefig(run.curves / "curves.png", dpi=130)


def draw(data: SeriesCurves, *, columns: int = 4) -> Figure:
    """Draw the latent colored by cluster, each cluster with its decoded curve, and held-out genes one by one."""
    shown = list(data.genes.groupby("gene", sort=False))
    n_clusters = len(data.faint)
    rows = -(-(1 + n_clusters) // columns) + -(-len(shown) // columns)
    figure = Figure(figsize=(3.0 * columns, 2.3 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    colors = [palette.CATEGORIES[c % len(palette.CATEGORIES)] for c in range(n_clusters)]
    _draw_latent(axes[0], data.latent, colors)
    for axis, (c, mine_nt) in zip(axes[1:], data.faint, strict=False):
        part = data.clusters[data.clusters["cluster"] == c]
        axis.plot(data.time_t, mine_nt.T, color=palette.FAINT, lw=0.5, alpha=0.5)
        axis.plot(part["time"], part["mean"], color=palette.INK, lw=1.2, ls="--")
        axis.plot(part["time"], part["decoded"], color=colors[c], lw=2)
        axis.set_title(f"cluster {c}, {part['genes'].iloc[0]} genes")
    first = columns * -(-(1 + n_clusters) // columns)
    for axis, (gene, part) in zip(axes[first:], shown, strict=False):
        axis.plot(part["time"], part["value"], "o", ms=2.5, color=palette.INK)
        axis.plot(part["time"], part["reconstructed"], color=colors[part["cluster"].iloc[0]], lw=1.8)
        axis.set_title(str(gene))
    for axis in [*axes[1 + n_clusters : first], *axes[first + len(shown) :]]:
        axis.set_axis_off()
    return figure


def _draw_latent(axis: mpl.axes.Axes, latent: pd.DataFrame, colors: list[str]) -> None:
    z_nk = latent.filter(regex=r"^z\d+$").to_numpy()
    if z_nk.shape[1] > 2:
        centered = z_nk - z_nk.mean(0)
        z_nk = centered @ np.linalg.svd(centered, full_matrices=False)[2][:2].T
    y_n = z_nk[:, 1] if z_nk.shape[1] > 1 else np.zeros(len(z_nk))
    axis.scatter(z_nk[:, 0], y_n, s=6, c=[colors[c] for c in latent["cluster"]], linewidths=0)
    axis.set_title("vectors of genes by cluster")


def _shown(table: Table, divided: Clusters) -> np.ndarray:
    """Return held-out genes to draw (m,), test before validation, of each cluster in turn."""
    held = np.concatenate([table.rows("test"), table.rows("val")])
    turn, seen = np.empty(len(held)), np.zeros(len(divided.center_ck), dtype=np.int64)
    for i, cluster in enumerate(divided.cluster_n[held]):
        turn[i] = seen[cluster]
        seen[cluster] += 1
    return held[np.lexsort((divided.cluster_n[held], turn))[:SHOWN]]
