"""Embed: the vectors of a run's data, or of new data, as an AnnData that scanpy goes on with."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from sklearn.decomposition import PCA

from gxsearch.config import read as read_config
from gxsearch.data import h5ad
from gxsearch.data.counts import CountsView
from gxsearch.data.series import SeriesView
from gxsearch.data.survey import Moments
from gxsearch.data.table import PARTS, Table
from gxsearch.data.tokens import TokensView
from gxsearch.data.values import Matrix
from gxsearch.errors import DataError
from gxsearch.models import registry
from gxsearch.models.base import Decodes, EmbedsGenes
from gxsearch.results import adding, neighborhood, outputs, package
from gxsearch.results import counts as count_outputs
from gxsearch.results.adding import PROVENANCE
from gxsearch.results.first import joined
from gxsearch.results.package import Package
from gxsearch.results.placed import placed
from gxsearch.results.recon import values
from gxsearch.results.run_dir import RunDir
from gxsearch.training.curves import default_clusters, divide
from gxsearch.training.token_baselines import reader as token_reader

CONTROL = "X_pca"


def embeddings(
    run: RunDir,
    table: Table | None = None,
    number: int | None = None,
    *,
    vectors: np.ndarray | None = None,
    device: str = "cpu",
) -> AnnData:
    """Embed a run's own data by its best trial, or by another, and write results/embeddings.h5ad.

    The AnnData has no X. For the model `fe`: obs has the columns that the spec names and ``fe_split``; var has
    ``mean`` and ``variance`` over training rows; obsm["X_fe"] the vectors, float32; obsm["X_pca"] as many principal
    components of the training rows, as a control (of log counts, where the model reads counts); varm["fe"] gene
    vectors, where the model has them, NaN for genes that it lacks; uns["gxsearch"]["fe"] one JSON string that says
    where all this is from. With `data.orientation: genes` the AnnData is as the file is, and the rows are var: their
    columns and split, varm["fe"] the vectors,
    varm["X_pca"] the control; obsm["fe"] holds the vectors of samples, where the model has them. For `rvagene` var has
    also ``rvagene_cluster``, by k-means on the vectors, the largest first, and ``rvagene_shift`` and ``rvagene_scale``,
    what each curve was moved and divided by; and the control is of curves. For `nbvae` see `results.counts.add`, for
    `transformer` `results.tokens.add`, for `spatial` with classes `results.classes.add`.

    Args:
        table: the run's data if it is in memory; else it is prepared again and must be what the run was of.
        vectors: those of the table (n, k), if they are known already.

    Raises:
        DataError: when the data is gone or is no longer that of the run.
        RunError: when the trial or its checkpoint is missing or damaged.
    """
    found = package.of_run(run, number)
    table = table if table is not None else again(run)
    table = table if found.view.layout == "sparse" else table.dense()
    vectors = found.embed_table(table, device=device) if vectors is None else vectors
    adata = _turned(table, found.name) if found.turned else AnnData(obs=_rows(table, found.name), var=_genes(table))
    _add(adata, found, vectors, table.obs_names)
    x_ng = _add_series(adata, found, table, vectors) if isinstance(found.view, SeriesView) else table.x_ng
    outputs.add(adata, found, table, table.rows("train"))
    _add_control(adata, _reader(found, table, x_ng), table, vectors.shape[1], turned=found.turned)
    h5ad.write(adata, run.embeddings)
    return adata


def embed_new(
    source: str | Path | Package,
    data: str | Path | AnnData,
    out: str | Path | None,
    *,
    recon: bool = False,
    umap: bool = False,
    as_batch: Sequence[str] = (),
    key: str | None = None,
    force: bool = False,
    device: str = "cpu",
) -> AnnData:
    """Add vectors of a run's best model, a trial's, or an exported one's, to a data set; write it to `out`, if given.

    Everything that the data set has is kept. With `recon`, layers["fe_recon"] holds the model's values (n, g) in units
    of the transformed data, NaN for genes that it lacks; of counts, those expected at the median total, under the
    batches that `as_batch` chooses or the training's mix of them. With `umap`, obsm["X_fe_umap"], uns["fe"] and
    obsp["fe_*"] are what scanpy writes. With `key`, that takes the place of ``fe`` in all names. What the same trial
    had added is replaced; else a name that is taken, and a file that exists, are replaced only with `force`. An AnnData
    is changed only once all is known, in place.

    Raises:
        DataError: when the data cannot be read or lacks genes, the model gives no values (`recon`) or its rows are
            genes (`umap`), `out` exists, or names are taken: E457, all of them.
        RunError: when `source` is neither a run nor an exported model, or is damaged.
        UnsafeError: when `out` is a link.
    """
    from gxsearch.data.sources import load

    found = dataclasses.replace(package.open_package(source), key_added=adding.checked(key))
    counts = isinstance(found.view, CountsView)
    if as_batch and not (recon and counts):
        what = "a batch is chosen for the values of --recon, by a model of counts"
        raise DataError.one("E451", "--as-batch", what, "leave it out")
    if counts:
        count_outputs.chosen(found.view, found.model.mix, as_batch)  # a wrong name is told before the data are read
    if recon and not isinstance(found.model, Decodes):
        raise DataError.one("E451", "--recon", f"{found.name} gives no expression values", "leave out --recon")
    if umap and found.turned:
        raise DataError.one("E451", "--umap", "scanpy maps rows of obs, and these are genes", "leave out --umap")
    if out is not None:
        h5ad.check_out(Path(out), force=force)
    adata = adding.whole(data) if isinstance(data, AnnData) else load(str(data))
    made = _made(adata, found, recon, as_batch, device)
    if umap:
        neighborhood.add(made, found.key)
    adding.add(adata, made, found.key, force=force)
    if out is not None:
        h5ad.write(adata, Path(out), keep_text=True)
    return adata


def _made(adata: AnnData, found: Package, recon: bool, as_batch: Sequence[str], device: str) -> AnnData:
    """Return all that is to be added to an AnnData, as one of the same rows and genes; `adata` is only read."""
    table = found.read(adata)
    vectors = found.embed_table(table, device=device)
    made = AnnData(obs=pd.DataFrame(index=adata.obs_names), var=pd.DataFrame(index=adata.var_names))
    _add(made, found, vectors, table.obs_names)
    outputs.add(made, found, table)
    if recon:
        made.layers[f"{found.key}_recon"] = values(made, found, table, vectors, as_batch)
    return made


def again(run: RunDir) -> Table:
    """Prepare a run's data once more.

    Raises:
        DataError: when it is gone, or is no longer the data that the run was of.
    """
    from gxsearch.data.prepare import prepare
    from gxsearch.data.table import DataConfig

    facts = run.facts()
    spec = facts["spec"]
    config, base, view = DataConfig(**spec["data"]), Path(spec["path"]).parent, registry.get(spec["model"]).View
    extra = view.columns(read_config(view.Config, config.view, spec["path"], "data.view"))
    options = {"allow_negative": facts["data"]["allow_negative"], "layout": view.layout, "extra_obs": extra}
    table = prepare(config, where=spec["path"], base=base, **options)
    before, now = facts["data"]["sha256"], table.facts["sha256"]
    if before != now:
        what = f"the data has changed since the search: sha256 {now[:12]}, was {before[:12]}"
        raise DataError.one("E452", spec["data"]["path"], what, "restore the file, or gxsearch embed RUN NEW.h5ad")
    return joined(run, table)


def provenance(found: Package) -> str:
    """Return where vectors are from, as one JSON string: `uns` keeps text as it is, and nested values not."""
    versions = {name: version(name) for name in ("torch", "anndata")}
    told = {"settings": {"model": found.job.model_config, "train": found.job.train_config}, "metrics": found.metrics}
    told |= {"data": found.facts, "split": found.data.split.model_dump(), "genes": len(found.genes)}
    date = datetime.now(UTC).isoformat(timespec="seconds")
    told |= {"embedded_with": versions, "date": date}
    return json.dumps({**found.origin, "model": found.name, **told}, indent=1)


def _add(adata: AnnData, found: Package, vectors: np.ndarray, rows: np.ndarray) -> None:
    """Put the vectors of a table's rows (n, k), their names, and provenance into an AnnData."""
    own = found.model.gene_vectors() if isinstance(found.model, EmbedsGenes) else None
    if found.turned:
        adata.varm[found.key] = placed(vectors, rows, adata.var_names)
        if own is not None:
            adata.obsm[found.key] = placed(own, found.genes, adata.obs_names)
    else:
        adata.obsm[f"X_{found.key}"] = vectors
        if own is not None:
            adata.varm[found.key] = placed(own, found.genes, adata.var_names)
    adata.uns[PROVENANCE] = {**adata.uns.get(PROVENANCE, {}), found.key: provenance(found)}


def _rows(table: Table, name: str) -> pd.DataFrame:
    columns = {column: _column(values) for column, values in table.obs.items()}
    parts = pd.Categorical.from_codes(table.part_n, categories=list(PARTS))
    return pd.DataFrame({**columns, f"{name}_split": parts}, index=_index(table.obs_names))


def _turned(table: Table, name: str) -> AnnData:
    """Return an AnnData of a table whose rows are genes, as the file is: samples are obs, genes var."""
    moments = _moments(table.x_ng.T, table.obs_names)
    columns = {column: _column(values) for column, values in table.var.items()}
    obs = pd.DataFrame(columns, index=_index(table.var_names))
    return AnnData(obs=obs, var=_rows(table, name).join(moments))


def _index(names: np.ndarray) -> pd.Index:
    return pd.Index(names.astype(object))


def _column(values: np.ndarray) -> Any:
    return pd.Categorical(values.astype(object)) if values.dtype.kind in "UO" else values


def _genes(table: Table) -> pd.DataFrame:
    train = table.rows("train")
    if not sparse.issparse(table.x_ng):
        return _moments(table.x_ng[train], table.var_names)
    moments = Moments.of(table.x_ng, train)
    columns = {"mean": moments.means(), "variance": moments.variances()}
    return pd.DataFrame(columns, index=_index(table.var_names), dtype=np.float32)


def _moments(x_ng: np.ndarray, names: np.ndarray) -> pd.DataFrame:
    known_ng = np.ma.masked_invalid(x_ng)
    moments = {"mean": known_ng.mean(0, dtype=np.float64), "variance": known_ng.var(0, dtype=np.float64)}
    return pd.DataFrame(moments, index=_index(names), dtype=np.float32)


def _add_series(adata: AnnData, found: Package, table: Table, vectors: np.ndarray) -> np.ndarray:
    """Add each gene's cluster, and what its curve was moved and divided by; return the scaled curves (n, t)."""
    curves = found.view.curves(table)
    clusters = divide(vectors, default_clusters(table.obs.get(found.data.label), vectors))
    adata.var[f"{found.name}_cluster"] = pd.Categorical(clusters.cluster_n.astype(str).astype(object))
    adata.var[f"{found.name}_shift"], adata.var[f"{found.name}_scale"] = curves.shift_n, curves.scale_n
    return curves.x_nt


def _reader(found: Package, table: Table, x_ng: Matrix) -> Callable[[np.ndarray], np.ndarray]:
    """Return what gives the dense values of rows that components are of: of counts their logs."""
    if isinstance(found.view, CountsView):
        return lambda rows: found.view.logged(table.take(rows))
    if isinstance(found.view, TokensView):
        return token_reader(found.view, table)
    return lambda rows: x_ng if len(rows) == len(x_ng) else x_ng[rows]


def _add_control(
    adata: AnnData, read: Callable[[np.ndarray], np.ndarray], table: Table, k: int, *, turned: bool
) -> None:
    """Add at least two principal components of the rows (n, k), fitted on training rows, of many on some.

    `read` gives dense values of rows; it is asked for no more of them at once than fit.
    """
    few = table.few()
    train_ng = read(few[np.isin(few, table.rows("train"))])
    pca = PCA(min(max(k, 2), *train_ng.shape), random_state=0).fit(train_ng)
    pieces = np.array_split(np.arange(table.n_obs), -(-table.n_obs // len(few)))
    scores = np.concatenate([pca.transform(read(rows)) for rows in pieces]).astype(np.float32)
    (adata.varm if turned else adata.obsm)[CONTROL] = scores
