"""From the `data` section of a spec to a Table: load, check, split, transform, choose genes; also for new rows."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from anndata import AnnData
from scipy import sparse

from gxsearch.data.cache import MappedCSR
from gxsearch.data.checks import check, check_described, check_new, check_size, check_split
from gxsearch.data.columns import check_coordinates, check_time, described, read_columns
from gxsearch.data.corpus import open_corpus
from gxsearch.data.findings import Findings, Named, counted, shown
from gxsearch.data.genes import choose_genes
from gxsearch.data.mapped import values_of
from gxsearch.data.orient import feature_noun, of_features, of_rows, row_frame, transposed, turned
from gxsearch.data.remote import public
from gxsearch.data.shard import Shard, find_shards
from gxsearch.data.sources import load
from gxsearch.data.split import split, tiled
from gxsearch.data.table import PARTS, DataConfig, Split, Table
from gxsearch.data.transform import median_total, transform
from gxsearch.data.values import Matrix, are_whole, fingerprint, largest, row_keys, row_totals
from gxsearch.data.view import align
from gxsearch.errors import ResourceError

Layout = Literal["dense", "sparse"]


def prepare(
    config: DataConfig,
    *,
    where: str,
    base: Path | None = None,
    layout: Layout = "dense",
    allow_negative: bool = False,
    extra_obs: Iterable[str] = (),
) -> Table:
    """Prepare a data set, a file or shards, once for all trials.

    What is learnt (the target of normalize, the choice of genes) is learnt from training rows. With
    `data.orientation: genes` the rows are genes, and both are learnt from all samples, none of which is held out; then
    the matrix is turned and the genes are split. `facts` of the table: source, layer, orientation, n_obs, n_vars,
    n_genes_before, sha256 (of the stored values and names), transform, normalize_target, allow_negative, largest and
    whole (of the stored values), split (rows per part), split_sha256, classes (rows per class of the label), groups
    (if any: number per part), warnings.

    Args:
        where: the place of the `data` section, for messages (``spec.yaml``).
        base: the folder of the spec; relative paths are looked up there, then in the working folder.
        layout: dense float32, or CSR; of shards a `MappedCSR`.
        allow_negative: negative values are no fault; with a transform they are always one.
        extra_obs: columns of the rows that the model reads besides those that the spec names.

    Raises:
        DataError: all faults at once (codes E4xx). UnsafeError: E80x. ResourceError: E510 too large for the memory,
            E511 the values of shards cannot be cached.
    """
    extra_obs = tuple(extra_obs)
    found = Findings(where, public(config.path))
    shards = find_shards(config.path, base=base)
    if shards is not None:
        return _of_corpus(shards, config, found, base, layout, allow_negative, extra_obs)
    adata = load(config.path, base=base)
    x_ng = check(adata, config, found, base=base, allow_negative=allow_negative, extra_obs=extra_obs)
    found.stop_if_faulty()
    rows, var_names = _described(adata, config, extra_obs), np.array(adata.var_names, dtype=str)
    names, columns, part_n = rows.names, rows.columns, rows.part_n
    train = np.flatnonzero(part_n == PARTS.index("train"))
    target = median_total(x_ng[train]) if "normalize" in config.transform else None
    total_n = None if turned(config) else row_totals(x_ng)
    facts = _facts(x_ng, adata, config, found) | {"allow_negative": allow_negative, "normalize_target": target}
    x_ng = transform(x_ng, config.transform, target)
    keep = choose_genes(config.genes, x_ng, train, var_names, where=where, base=base)
    x_ng, var_names = x_ng if len(keep) == len(var_names) else x_ng[:, keep], var_names[keep]
    if turned(config):
        check_split(adata.var.iloc[keep], config.split, found, part="var")
        found.stop_if_faulty()
        x_ng, names, var_names = transposed(x_ng), var_names, names
        columns = {name: values[keep] for name, values in columns.items()}
        rows = dataclasses.replace(rows, split=config.split, grouped=columns)
        part_n = split(names, config.split, columns)
    facts |= _split_facts(names, part_n, rows.grouped, config.model_copy(update={"split": rows.split}), found)
    return Table(
        x_ng=_laid_out(x_ng, layout, where),
        obs_names=names,
        var_names=var_names,
        part_n=part_n,
        obs=columns,
        obsm=rows.coordinates,
        var=read_columns(adata.obs, of_features(config)),
        facts=facts | {"n_obs": len(names), "n_vars": len(var_names), "warnings": found.warnings},
        total_n=total_n,
    )


def _of_corpus(
    shards: tuple[Shard, ...],
    config: DataConfig,
    found: Findings,
    base: Path | None,
    layout: Layout,
    allow_negative: bool,
    extra_obs: tuple[str, ...],
) -> Table:
    """Prepare shards as `prepare` does a file that holds them under one another; values stay on disk if sparse."""
    corpus = open_corpus(shards, config, extra_obs, found)
    adata = corpus.adata
    check_described(adata, config, found, base=base, extra_obs=extra_obs)
    check_size(adata, found)
    found.stop_if_faulty()
    rows = _described(adata, config, extra_obs)
    train = np.flatnonzero(rows.part_n == PARTS.index("train"))
    values = values_of(corpus, config, train, found, base=base, allow_negative=allow_negative)
    stored = {name: getattr(values.summary, name) for name in ("sha256", "largest", "whole")}
    facts = _told(stored, values.summary.copies, adata, config, found)
    facts |= {"allow_negative": allow_negative, "normalize_target": values.target}
    split_by = config.model_copy(update={"split": rows.split})
    facts |= _split_facts(rows.names, rows.part_n, rows.grouped, split_by, found)
    var_names = np.array(adata.var_names, dtype=str)[values.keep]
    return Table(
        x_ng=_laid_out(values.x_ng, layout, found.where),
        obs_names=rows.names,
        var_names=var_names,
        part_n=rows.part_n,
        obs=rows.columns,
        obsm=rows.coordinates,
        facts=facts | {"n_obs": len(rows.names), "n_vars": len(var_names), "warnings": found.warnings},
        total_n=values.total_n,
    )


def like(
    config: DataConfig,
    facts: dict[str, Any],
    data: str | Path | AnnData,
    genes: np.ndarray | None,
    *,
    where: str,
    base: Path | None = None,
    layout: Layout = "dense",
    extra_obs: Iterable[str] = (),
) -> Table:
    """Prepare new rows as the training rows of a run were: same steps, same target, given genes in their order.

    All rows are of part 'test'; columns that the new data lacks are left out. With `data.orientation: genes` the rows
    are all genes of the new data, which must have the samples of the training, unless `genes` is None.

    Args:
        facts: those of the training table.
        data: a name, path or URI, or an AnnData.
        genes: names of the model's genes (g,); of its samples, where genes are the rows; None takes those that the
            new data has, for a model that knows what it reads by more than names.

    Raises:
        DataError: E420 genes (or samples) are missing; and as `prepare` for names and values.
    """
    source = where if isinstance(data, AnnData) else public(str(data))
    found = Findings(where, source)
    adata = data if isinstance(data, AnnData) else load(str(data), base=base)
    x_ng = check_new(adata, config, found, allow_negative=facts["allow_negative"])
    if config.spatial is not None:
        check_coordinates(adata, config.spatial, found)
    if config.time in adata.obs:
        check_time(adata.obs[config.time], found)
    found.stop_if_faulty()
    obs_names, var_names = _names(adata)
    frame, extra_obs = described(row_frame(adata, config), adata, extra_obs)
    if ("normalize" in config.transform or layout == "sparse") and len(var_names) != facts["n_genes_before"]:
        what = f"row totals are over {counted(len(var_names), 'gene')}, in training over {facts['n_genes_before']:,}"
        found.warn(what)
    new_facts = _facts(x_ng, adata, config, found) | {"normalize_target": facts["normalize_target"]}
    total_n = None if turned(config) else row_totals(x_ng)
    x_ng = transform(x_ng, config.transform, facts["normalize_target"])
    if turned(config):
        x_ng, obs_names, var_names = transposed(x_ng), var_names, obs_names
    genes = var_names if genes is None else genes
    x_ng = align(x_ng, var_names, genes, source, noun=feature_noun(config))
    return Table(
        x_ng=_laid_out(x_ng, layout, where),
        obs_names=obs_names,
        var_names=np.array(genes, dtype=str),
        part_n=np.full(len(obs_names), PARTS.index("test"), dtype=np.int8),
        obs=read_columns(frame, of_rows(config), extra_obs),
        obsm=_coordinates(adata, config) | _first_vectors(adata, facts),
        var=read_columns(adata.obs, of_features(config)),
        facts=new_facts | {"n_obs": len(obs_names), "n_vars": len(genes), "warnings": found.warnings},
        total_n=total_n,
    )


def _names(adata: AnnData) -> tuple[np.ndarray, np.ndarray]:
    return np.array(adata.obs_names, dtype=str), np.array(adata.var_names, dtype=str)


@dataclass(frozen=True)
class _Rows:
    """Names, columns, coordinates and parts of the rows; `split` as it was done by the columns `grouped`."""

    names: np.ndarray
    columns: dict[str, np.ndarray]
    coordinates: dict[str, np.ndarray]
    part_n: np.ndarray
    split: Split
    grouped: dict[str, np.ndarray]


def _described(adata: AnnData, config: DataConfig, extra_obs: tuple[str, ...]) -> _Rows:
    frame, extra_obs = described(row_frame(adata, config), adata, extra_obs)
    columns, coordinates = read_columns(frame, of_rows(config), extra_obs), _coordinates(adata, config)
    names = np.array(adata.obs_names, dtype=str)
    how, grouped = tiled(config.split, columns, coordinates.get(config.spatial))
    part_n = np.zeros(len(names), dtype=np.int8) if turned(config) else split(names, how, grouped)
    return _Rows(names, columns, coordinates, part_n, how, grouped)


def _facts(x_ng: Matrix, adata: AnnData, config: DataConfig, found: Findings) -> dict[str, Any]:
    """Describe values in memory."""
    keys = row_keys(x_ng)
    names = adata.var_names if turned(config) else adata.obs_names
    first, row_key_n = {}, row_keys(transposed(x_ng)) if turned(config) else keys
    copied = [bool(key) and first.setdefault(key, i) != i for i, key in enumerate(row_key_n)]
    values = {"sha256": fingerprint(keys, *_names(adata)), "largest": largest(x_ng), "whole": are_whole(x_ng)}
    return _told(values, Named.of(names, np.array(copied)), adata, config, found)


def _told(values: dict[str, Any], copies: Named, adata: AnnData, config: DataConfig, found: Findings) -> dict[str, Any]:
    """Return the facts of stored values; warn of rows that are exact copies, which leak between parts."""
    if copies.total:
        found.warn(f"{counted(copies.total, 'row')} with exactly the values of an earlier row: {shown(copies.first)}")
    return {
        "source": found.source,
        "layer": config.layer,
        "orientation": config.orientation,
        "time": config.time,
        "batch": list(config.batch),
        "n_genes_before": adata.n_vars,
        "transform": list(config.transform),
        **values,
    }


def _split_facts(
    obs_names: np.ndarray, part_n: np.ndarray, columns: dict[str, np.ndarray], config: DataConfig, found: Findings
) -> dict[str, Any]:
    lines = sorted(f"{name}\0{part}" for name, part in zip(obs_names.tolist(), part_n.tolist(), strict=True))
    facts: dict[str, Any] = {
        "split": {part: int((part_n == i).sum()) for i, part in enumerate(PARTS)},
        "split_sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
    }
    if config.split.group is not None:
        group_n = columns[config.split.group]
        facts["groups"] = {part: len(np.unique(group_n[part_n == i])) for i, part in enumerate(PARTS)}
    if config.label is not None:
        facts["label"] = config.label
        names, times = np.unique(columns[config.label].astype(str), return_counts=True)
        facts["classes"] = dict(zip(names.tolist(), times.tolist(), strict=True))
        for i, part in enumerate(PARTS):
            missing = np.setdiff1d(names, columns[config.label][part_n == i].astype(str))
            if facts["split"][part] and len(missing):
                found.warn(
                    f"{counted(len(missing), 'class')} of '{config.label}' without {part} rows: {shown(missing)}"
                )
    return facts


def _laid_out(x_ng: Matrix, layout: Layout, where: str) -> Matrix:
    if layout == "sparse":
        return x_ng if isinstance(x_ng, MappedCSR) else sparse.csr_matrix(x_ng)
    if isinstance(x_ng, np.ndarray):
        return np.ascontiguousarray(x_ng)
    need, have = x_ng.shape[0] * x_ng.shape[1] * 4, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if need > have / 2:
        what = f"{x_ng.shape[0]:,} x {x_ng.shape[1]:,} dense values need {need / 2**30:.1f} GiB of {have / 2**30:.1f}"
        raise ResourceError.one("E510", where, what, "keep fewer genes with data.genes.top_variable")
    return np.ascontiguousarray(x_ng.toarray())


def _first_vectors(adata: AnnData, facts: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return the vectors that the model of an earlier search gave new rows, where the training read such."""
    key = f"X_{facts.get('first')}"
    return {"first": np.asarray(adata.obsm[key], dtype=np.float32)} if key in adata.obsm else {}


def _coordinates(adata: AnnData, config: DataConfig) -> dict[str, np.ndarray]:
    if config.spatial is None or config.spatial not in adata.obsm:
        return {}
    return {config.spatial: np.asarray(adata.obsm[config.spatial], dtype=np.float64)}
