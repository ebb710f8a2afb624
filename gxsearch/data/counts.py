"""Counts: the view of models of single cells: whole rows of counts, with totals, nuisance covariates and classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy import sparse
from scipy.special import gammaln
from torch import Tensor

from gxsearch.config import Config, knob
from gxsearch.data.batch import Batch
from gxsearch.data.blocks import batches
from gxsearch.data.chances import chances, class_names
from gxsearch.data.csr import SparseRows
from gxsearch.data.table import Table
from gxsearch.data.values import number_blocks, row_blocks, row_totals
from gxsearch.data.view import Dims, Examples, View, align
from gxsearch.errors import DataError, Fault

_VALUES = 1 << 21
"""Values read at a time outside of training; bounds the memory."""


class CountsConfig(Config):
    """What the model is told of the rows besides their counts and the covariates of `data.batch`."""

    classes: str | None = knob(None, doc="obs column whose classes the model learns to tell; '' is not known")
    unlabeled: str | None = knob(None, doc="the class in `classes` that stands for not known, such as unknown")
    probabilities: str | None = knob(
        None, doc="instead of `classes`: prefix of obs columns, or key of obsm, with the probability of each class"
    )
    total: str | None = knob(
        None, doc="obs column of each row's total count over all genes, for a file that has only some of them"
    )


class CountsView(View):
    """Rows of counts. What is learnt from training rows: median total, categories of covariates, classes."""

    Config = CountsConfig
    layout = "sparse"

    def __init__(
        self, config: CountsConfig, genes: np.ndarray, categories: dict[str, list[str]], classes: list[str], dims: Dims
    ):
        self.config, self._genes, self._dims = config, genes, dims
        self.categories, self.classes = categories, classes

    @classmethod
    def columns(cls, config: CountsConfig) -> tuple[str, ...]:
        """Return the columns of classes, probabilities (``prefix*``) and totals that are asked for."""
        several = None if config.probabilities is None else f"{config.probabilities}*"
        return tuple(name for name in (config.classes, several, config.total) if name is not None)

    @classmethod
    def fit(cls, table: Table, config: CountsConfig) -> CountsView:
        """Learn categories, classes and the median total from training rows.

        Raises:
            DataError: with all that keeps the table from being read as counts: too few rows, a transform, values that
                are no counts, totals that are none, fewer than two classes.
        """
        faults = _too_small(table) + not_counts(table) + _wrong_totals(table, config)
        if config.classes is not None and config.probabilities is not None:
            faults.append(Fault("E484", "data.view", "classes and probabilities are both given", "leave one out"))
        classes = class_names(table, config, faults)
        if faults:
            raise DataError(faults)
        train = table.rows("train")
        batch = [name for name in table.facts.get("batch", []) if name in table.obs]
        categories = {name: sorted(set(table.obs[name][train].astype(str).tolist())) for name in batch}
        rest = max(table.facts.get("n_genes_before", table.n_vars) - table.n_vars, int(config.total is not None))
        dims = Dims(
            len(train),
            table.n_vars,
            0.0,
            float(np.median(totals(table, config)[train])),
            n_classes=len(classes),
            covariates=tuple(len(names) for names in categories.values()),
            n_rest=rest,
        )
        return cls(config, table.var_names, categories, classes, dims)

    def state(self) -> dict[str, Any]:
        """Return settings, gene names, categories, classes and sizes as JSON values."""
        sizes = {name: getattr(self._dims, name) for name in ("n_rows", "high", "n_rest")}
        told = {"categories": self.categories, "classes": self.classes}
        return {"config": self.config.model_dump(), "genes": self._genes.tolist(), **told, "sizes": sizes}

    @classmethod
    def load(cls, state: dict[str, Any]) -> CountsView:
        """Rebuild the view from its `state`."""
        genes, categories, classes = np.array(state["genes"]), state["categories"], state["classes"]
        covariates = tuple(len(names) for names in categories.values())
        dims = Dims(n_genes=len(genes), n_classes=len(classes), covariates=covariates, **state["sizes"])
        return cls(CountsConfig(**state["config"]), genes, categories, classes, dims)

    @property
    def dims(self) -> Dims:
        """Training rows, genes, classes, categories of covariates; `high` is the median total of training rows."""
        return self._dims

    @property
    def genes(self) -> np.ndarray:
        """Gene names in the model's order (g,)."""
        return self._genes

    def values(self, table: Table) -> sparse.csr_matrix:
        """Return the counts (n, g) of a table in the order of the view's genes.

        Raises:
            DataError: naming the genes that the table lacks, or values that are no counts.
        """
        faults = not_counts(table)
        if faults:
            raise DataError(faults)
        x_ng = sparse.csr_matrix(table.x_ng)
        if np.array_equal(table.var_names, self._genes):
            return x_ng
        return align(x_ng, table.var_names, self._genes, table.facts.get("source", "table"))

    def totals(self, table: Table) -> np.ndarray:
        """Return the total counts of each row (n,), float32, at least 1."""
        return np.maximum(totals(table, self.config), 1.0).astype(np.float32)

    def logged(self, table: Table) -> np.ndarray:
        """Return log1p of counts brought to the median total (n, g), dense: what classical methods get to read."""
        x_ng = self.values(table).toarray()
        x_ng *= (self._dims.high / self.totals(table))[:, None].astype(np.float32)
        return np.log1p(x_ng, out=x_ng)

    def codes(self, table: Table) -> np.ndarray:
        """Return the category of each covariate of the rows (n, covariates), int64; -1 for what training had not."""
        codes = np.full((table.n_obs, len(self.categories)), -1, dtype=np.int64)
        for i, (column, names) in enumerate(self.categories.items()):
            if column in table.obs:
                place = {name: j for j, name in enumerate(names)}
                codes[:, i] = [place.get(name, -1) for name in table.obs[column].astype(str).tolist()]
        return codes

    def chances(self, table: Table) -> np.ndarray | None:
        """Return the probability of each class (n, c), float32, zeros where it is not known; None without classes."""
        return chances(table, self.config, self.classes) if self.classes else None

    def examples(self, table: Table, device: torch.device) -> CountsExamples:
        """Put the rows on a device."""
        return CountsExamples(self, table, device)

    def cut(self, table: Table, device: torch.device, *, told: bool = False) -> Iterator[Batch]:
        """Yield all rows of the table in their order; classes are `told` only to be judged by."""
        rows, order = _Rows(self, table, device, told=told), torch.arange(table.n_obs)
        known = rows.known(order)
        for part in rows.pieces(order):
            yield rows.batch(part, torch.tensor(float(len(part)), device=device), known)


class CountsExamples(Examples):
    """Batches of whole rows, all nearly alike in size and never of one row: batch norm cannot work with one."""

    def __init__(self, view: CountsView, table: Table, device: torch.device):
        self._x_ng, self._rows = table.x_ng, _Rows(view, table, device, told=True)
        self._train, self._val = (torch.from_numpy(table.rows(part)) for part in ("train", "val"))
        self._known, self._val_known = (self._rows.known(rows) for rows in (self._train, self._val))
        self._device = device
        self.n_values = len(self._train) * table.n_vars

    def steps(self, batch_size: int) -> int:
        """Return the number of batches in one epoch."""
        n = len(self._train)
        return max(1, min(-(-n // batch_size), n // 2))

    def train(
        self, batch_size: int, generator: torch.Generator, *, rank: int = 0, world_size: int = 1
    ) -> Iterator[Batch]:
        """Yield one epoch."""
        ranks = {"rank": rank, "world_size": world_size}
        for rows, size in batches(self._x_ng, self._train, self.steps(batch_size), generator, **ranks):
            yield self._rows.batch(rows, torch.tensor(size, device=self._device), self._known)

    def validation(self) -> Iterator[Batch]:
        """Yield the held-out rows."""
        for part in self._rows.pieces(self._val):
            yield self._rows.batch(part, torch.tensor(float(len(part)), device=self._device), self._val_known)


class _Rows:
    """All rows of a table on a device, with what else is told of them."""

    def __init__(self, view: CountsView, table: Table, device: torch.device, *, told: bool):
        x_ng = view.values(table)
        self._device, self._g = device, x_ng.shape[1]
        self._x = SparseRows(x_ng, device)
        given = {"library": view.totals(table), "constant": _log_factorials(x_ng)}
        given |= {"covariate": view.codes(table)} if view.categories else {}
        chance_nc = view.chances(table) if told else None
        given |= {} if chance_nc is None else {"chance": chance_nc}
        self._given = {name: torch.from_numpy(values).to(device) for name, values in given.items()}

    def batch(self, rows: Tensor, total: Tensor | None = None, known: float = 1.0) -> Batch:
        rows = rows.to(self._device)
        x_ng, nonzero = self._x(rows)
        told = {name: values.index_select(0, rows) for name, values in self._given.items()}
        return Batch(x_ng, nonzero=nonzero, total=total, known=known, **told)

    def known(self, rows: Tensor) -> float:
        """Return the share of rows whose class is known; 1 without classes, or where none is."""
        chance = self._given.get("chance")
        share = 1.0 if chance is None else float((chance[rows.to(self._device)].sum(1) > 0).double().mean())
        return share if share > 0 else 1.0

    def pieces(self, rows: Tensor) -> tuple[Tensor, ...]:
        return rows.split(max(32, _VALUES // self._g))


def totals(table: Table, config: CountsConfig) -> np.ndarray:
    """Return the total count of each row (n,), float64: over all genes of the file, or as a column says."""
    if config.total is not None and config.total in table.obs:
        return table.obs[config.total]
    return row_totals(table.x_ng) if table.total_n is None else table.total_n


def not_counts(table: Table) -> list[Fault]:
    """Return why the values of a table are no counts, in one fault at most."""
    source, steps = table.facts.get("source", "table"), table.facts.get("transform", [])
    if steps:
        what = f"counts are needed, and the transform [{', '.join(steps)}] makes other values of them"
        return [Fault("E480", "data.transform", what, "set data.transform: []")]
    if table.facts.get("orientation") == "genes":
        return [Fault("E480", "data.orientation", "counts are read by samples, not by genes", "leave it out")]
    odd = [value[(value != np.round(value)) | (value < 0)] for value in number_blocks(table.x_ng)]
    odd = np.concatenate([np.ravel(values) for values in odd]) if odd else np.zeros(0)
    if not len(odd):
        return []
    what = f"{len(odd):,} values are no counts (the first is {odd[0]:.6g}); a likelihood of counts needs whole numbers"
    return [Fault("E481", source, what, "set data.layer to the layer of raw counts, such as counts")]


def _log_factorials(x_ng: sparse.csr_matrix) -> np.ndarray:
    """Return sum_g log x! of each row (n,), float32."""
    found_n = np.empty(x_ng.shape[0], dtype=np.float32)
    for start, block in row_blocks(x_ng):
        row, weight = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr)), gammaln(block.data + 1.0)
        found_n[start : start + block.shape[0]] = np.bincount(row, weights=weight, minlength=block.shape[0])
    return found_n


def _too_small(table: Table) -> list[Fault]:
    n_train, n_val, faults = len(table.rows("train")), len(table.rows("val")), []
    if n_train < 2:
        faults.append(Fault("E430", "data", f"{n_train} training rows; 2 or more are needed"))
    if n_val < 1:
        faults.append(Fault("E430", "data.split.val", "no rows to validate on", "raise the share, or give more rows"))
    return faults


def _wrong_totals(table: Table, config: CountsConfig) -> list[Fault]:
    if config.total is None:
        return []
    total_n, where = table.obs[config.total], "data.view.total"
    if total_n.dtype.kind != "f" or not np.isfinite(total_n).all():
        return [Fault("E485", where, f"obs/{config.total} has values that are no numbers", "fill them in")]
    short = int((total_n < row_totals(table.x_ng) - 0.5).sum())
    what = f"obs/{config.total} is less than the sum of the counts in {short:,} rows"
    return [Fault("E485", where, what, "name the column of totals over all genes")] if short else []
