"""Generate: new curves of genes from a run's best model of series, written as CSV or AnnData."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from gxsearch.config import Config, knob
from gxsearch.data import h5ad
from gxsearch.data.series import SeriesView
from gxsearch.errors import DataError, UnsafeError
from gxsearch.results import package
from gxsearch.results.embed import again
from gxsearch.results.package import Package
from gxsearch.results.run_dir import RunDir, write_atomic
from gxsearch.training.curves import SD, Generated, default_clusters, divide, generate

_ANYWHERE = -1


class Wish(Config):
    """Which curves to draw."""

    n: int = knob(20, doc="curves drawn around each center, beside its own", low=0, high=1_000_000)
    clusters: int | None = knob(
        None, doc="clusters to divide the genes into; by default as many as the label has classes, else 6", low=1
    )
    cluster: int | None = knob(None, doc="the cluster to draw around; by default all; 0 is the largest", low=0)
    at: list[float] | None = knob(None, doc="a point of the latent space to draw around instead")
    prior: bool = knob(False, doc="draw anywhere: from the prior N(0, I) instead")
    times: list[float] | None = knob(None, doc="times to give, in units of the data; by default those of the training")
    batch: str | None = knob(
        None, doc="the batch whose curves to give, where the model is given batches; by default that of most times"
    )
    sd: float = knob(SD, doc="standard deviation of the draws; the paper's covariance is 0.3 I", low=0.0)
    seed: int = knob(0, doc="seed of the draws and of k-means", low=0, high=2**32 - 1)


def new_curves(run: RunDir, wish: Wish, number: int | None = None) -> Generated:
    """Draw curves around the centers of clusters of a run's genes, or around any point of the latent space.

    Each center's own curve comes before those drawn around it. `number` is the trial; the best by default.

    Raises:
        DataError: when the model is none of series, there is no such cluster, a time is beyond those of the training,
            the model is given no such batch, or the point is not of the length of the model's vectors.
    """
    found = package.of_run(run, number)
    _of_series(found, str(run.path))
    if wish.at is not None or wish.prior:
        center_ck, names, sd = *_point(found, wish), 1.0 if wish.prior else wish.sd
    else:
        table = again(run).dense()
        z_nk = found.embed_table(table)
        clusters = wish.clusters or default_clusters(table.obs.get(found.data.label), z_nk)
        center_ck, sd = divide(z_nk, clusters, wish.seed).center_ck, wish.sd
        names = list(range(clusters))
        if wish.cluster is not None:
            if wish.cluster >= clusters:
                raise DataError.one("E478", "cluster", f"there is no cluster {wish.cluster} of 0 to {clusters - 1}")
            center_ck, names = center_ck[[wish.cluster]], [wish.cluster]
    under = {"times": wish.times, "batch": wish.batch, "seed": wish.seed}
    return generate(found.model, found.view, center_ck, wish.n, sd=sd, names_c=names, **under)


def _point(found: Package, wish: Wish) -> tuple[np.ndarray, list[int]]:
    k = found.model.config.latent_dim
    point = wish.at if wish.at is not None else [0.0] * k
    if len(point) != k:
        raise DataError.one("E478", "at", f"vectors of this model have {k} numbers, got {len(point)}")
    if wish.cluster is not None or (wish.prior and wish.at is not None):
        raise DataError.one("E478", "at", "cluster, at and prior exclude one another", "leave out all but one")
    return np.array([point], dtype=np.float32), [_ANYWHERE]


def write(made: Generated, out: str | Path, *, force: bool = False) -> Path:
    """Write curves to a file; return its path.

    ``.csv``: a row per curve: name, cluster, center, z0, z1, ..., then a column per time. ``.h5ad``: as data are, a row
    per time with `time` in obs, and a column per curve with `cluster` and `center` in var and the vectors in varm["z"].

    Raises:
        DataError: when the file is of another kind, or is there already and `force` is not given.
        UnsafeError: when it is a link.
    """
    out = Path(out)
    check_out(out, force=force)
    if out.suffix == ".csv":
        text = io.StringIO()
        frame(made).to_csv(text, index=False, lineterminator="\n", float_format="%.6g")
        write_atomic(out, text.getvalue().encode())
    else:
        h5ad.write(_anndata(made), out)
    return out


def frame(made: Generated) -> pd.DataFrame:
    """Return a row per curve: name, cluster, center, its vector, its values; columns of values are named by times."""
    z = {f"z{i}": made.z_mk[:, i] for i in range(made.z_mk.shape[1])}
    head = pd.DataFrame({"name": _names(made), "cluster": made.cluster_m, "center": made.center_m, **z})
    return pd.concat([head, pd.DataFrame(made.y_mq, columns=[f"{time:.10g}" for time in made.time_q])], axis=1)


def _anndata(made: Generated) -> AnnData:
    obs = pd.DataFrame({"time": made.time_q}, index=[f"time{i}" for i in range(len(made.time_q))])
    var = pd.DataFrame({"cluster": made.cluster_m.astype(str), "center": made.center_m}, index=_names(made))
    adata = AnnData(np.ascontiguousarray(made.y_mq.T), obs=obs, var=var.astype({"cluster": "category"}))
    adata.varm["z"] = made.z_mk
    return adata


def _names(made: Generated) -> list[str]:
    count: dict[int, int] = {}
    names = []
    for cluster, is_center in zip(made.cluster_m.tolist(), made.center_m, strict=True):
        stem = "point" if cluster == _ANYWHERE else f"cluster{cluster}"
        count[cluster] = count.get(cluster, 0) + (not is_center)
        names.append(f"{stem}_center" if is_center else f"{stem}_{count[cluster]}")
    return names


def _of_series(found: Package, where: str) -> None:
    if not isinstance(found.view, SeriesView):
        what = f"the model {found.name} is none of series: it has no curves"
        raise DataError.one("E479", where, what, "give a run of rvagene, or for cells of transformer")


def check_out(out: Path, *, force: bool) -> None:
    """Refuse an output that must not be written, as `write` does; to be asked before the work is done."""
    if out.suffix != ".csv":
        h5ad.check_out(out, force=force)
    if out.is_symlink():
        raise UnsafeError.one("E811", str(out), "the output file is a link", "give the file it points to")
    if out.exists() and not force:
        raise DataError.one("E454", str(out), "this file exists already", "give another -o, or --force to replace it")
