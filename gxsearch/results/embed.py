"""Embed: the vectors of a run's data, or of new data, as an AnnData that scanpy goes on with."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from sklearn.decomposition import PCA

from gxsearch.data.table import PARTS, Table
from gxsearch.errors import DataError, UnsafeError
from gxsearch.models.base import Decodes, EmbedsGenes
from gxsearch.results import package
from gxsearch.results.package import Package
from gxsearch.results.run_dir import RunDir
from gxsearch.training.embedding import reconstruct

PROVENANCE = "gxsearch"
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
    components of the training rows, as a control; varm["fe"] gene vectors, where the model has them, NaN for genes
    that it lacks; uns["gxsearch"]["fe"] one JSON string that says where all this is from.

    Args:
        table: the run's data if it is in memory; else it is prepared again and must be what the run was of.
        vectors: those of the table (n, k), if they are known already.

    Raises:
        DataError: when the data is gone or is no longer that of the run.
        RunError: when the trial or its checkpoint is missing or damaged.
    """
    found = package.of_run(run, number)
    table = (table if table is not None else again(run)).dense()
    adata = AnnData(obs=_obs(table, found.name), var=_var(table))
    _add(adata, found, found.embed_table(table, device=device) if vectors is None else vectors)
    adata.obsm[CONTROL] = _control(table, _width(adata, found))
    _write(adata, run.embeddings)
    return adata


def embed_new(
    source: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    recon: bool = False,
    force: bool = False,
    device: str = "cpu",
) -> AnnData:
    """Add vectors of a run's best model, or of an exported one, to a data set and write it to `out` (.h5ad).

    Everything that the data set has is kept. With `recon`, layers["fe_recon"] holds the model's values (n, g) in
    units of the transformed data, NaN for genes that it lacks. A file that exists is replaced only with `force`.

    Raises:
        DataError: when the data cannot be read or lacks genes, the model gives no values (`recon`), or `out` exists.
        RunError: when `source` is neither a run nor an exported model, or is damaged.
        UnsafeError: when `out` is a link.
    """
    from gxsearch.data.sources import load

    found = package.open_package(source)
    if recon and not (isinstance(found.model, Decodes) and found.view.axis == "obs"):
        raise DataError.one("E451", str(source), f"{found.name} gives no expression values", "leave out --recon")
    _check_out(Path(out), force=force)
    adata = load(str(data))
    table = found.read(adata)
    _add(adata, found, found.embed_table(table, device=device))
    if recon:
        adata.layers[f"{found.name}_recon"] = _recon(adata, found)
    _write(adata, Path(out))
    return adata


def again(run: RunDir) -> Table:
    """Prepare a run's data once more.

    Raises:
        DataError: when it is gone, or is no longer the data that the run was of.
    """
    from gxsearch.data.prepare import prepare
    from gxsearch.data.table import DataConfig

    facts = run.facts()
    spec = facts["spec"]
    config, base = DataConfig(**spec["data"]), Path(spec["path"]).parent
    table = prepare(config, where=spec["path"], base=base, allow_negative=facts["data"]["allow_negative"])
    before, now = facts["data"]["sha256"], table.facts["sha256"]
    if before != now:
        what = f"the data has changed since the search: sha256 {now[:12]}, was {before[:12]}"
        raise DataError.one("E452", spec["data"]["path"], what, "restore the file, or gxsearch embed RUN NEW.h5ad")
    return table


def provenance(found: Package) -> str:
    """Return where vectors are from, as one JSON string: `uns` keeps text as it is, and nested values not."""
    versions = {name: version(name) for name in ("torch", "anndata")}
    told = {"metrics": found.metrics, "data": found.facts, "genes": len(found.genes)}
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return json.dumps({**found.origin, "model": found.name, **told, "embedded_with": versions, "date": date})


def _add(adata: AnnData, found: Package, vectors: np.ndarray) -> None:
    """Put vectors (n, k) and their provenance into an AnnData with the rows that they are of."""
    if found.view.axis == "var":
        adata.varm[found.name] = _placed(vectors, found.genes, adata.var_names)
    else:
        adata.obsm[f"X_{found.name}"] = vectors
        if isinstance(found.model, EmbedsGenes):
            adata.varm[found.name] = _placed(found.model.gene_vectors(), found.genes, adata.var_names)
    adata.uns[PROVENANCE] = {**adata.uns.get(PROVENANCE, {}), found.name: provenance(found)}


def _obs(table: Table, name: str) -> pd.DataFrame:
    columns = {column: _column(values) for column, values in table.obs.items()}
    parts = pd.Categorical.from_codes(table.part_n, categories=list(PARTS))
    return pd.DataFrame({**columns, f"{name}_split": parts}, index=pd.Index(table.obs_names.astype(object)))


def _column(values: np.ndarray) -> Any:
    return pd.Categorical(values.astype(object)) if values.dtype.kind in "UO" else values


def _var(table: Table) -> pd.DataFrame:
    x_ng = table.x_ng[table.rows("train")]
    moments = {"mean": x_ng.mean(0, dtype=np.float64), "variance": x_ng.var(0, dtype=np.float64)}
    return pd.DataFrame(moments, index=pd.Index(table.var_names.astype(object)), dtype=np.float32)


def _width(adata: AnnData, found: Package) -> int:
    return adata.varm[found.name].shape[1] if found.view.axis == "var" else adata.obsm[f"X_{found.name}"].shape[1]


def _control(table: Table, k: int) -> np.ndarray:
    """Return at least two principal components (n, k), fitted on training rows."""
    train_ng = table.x_ng[table.rows("train")]
    pca = PCA(min(max(k, 2), *train_ng.shape), random_state=0).fit(train_ng)
    return pca.transform(table.x_ng).astype(np.float32)


def _placed(vectors: np.ndarray, genes: np.ndarray, var_names: pd.Index) -> np.ndarray:
    """Return the vectors (g, k) in the order of an AnnData's genes; NaN where the model has none."""
    rows = pd.Index(genes.astype(object)).get_indexer(var_names)
    placed = vectors[rows].astype(np.float32)
    placed[rows < 0] = np.nan
    return placed


def _recon(adata: AnnData, found: Package) -> np.ndarray:
    values_gn = reconstruct(found.model, adata.obsm[f"X_{found.name}"]).T
    return np.ascontiguousarray(_placed(values_gn, found.genes, adata.var_names).T)


def _check_out(out: Path, *, force: bool) -> None:
    if out.is_symlink():
        raise UnsafeError.one("E811", str(out), "the output file is a link", "give the file it points to")
    if out.suffix != ".h5ad":
        raise DataError.one("E453", str(out), "the output must be an .h5ad file", "-o OUT.h5ad")
    if out.exists() and not force:
        raise DataError.one("E454", str(out), "this file exists already", "give another -o, or --force to replace it")


def _write(adata: AnnData, path: Path) -> None:
    """Write the whole file or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    work = path.with_name(f".{path.stem}.{os.getpid()}.tmp.h5ad")
    try:
        adata.write_h5ad(work)
        work.replace(path)
    finally:
        work.unlink(missing_ok=True)
