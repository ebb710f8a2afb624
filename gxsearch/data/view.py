"""View: how a table becomes examples on a device; one subclass per kind of model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import torch

from gxsearch.config import Config
from gxsearch.data.batch import Batch
from gxsearch.data.ensembl import partners
from gxsearch.data.table import Table
from gxsearch.errors import DataError, did_you_mean


@dataclass(frozen=True)
class Dims:
    """Sizes that a model takes from the data; kept beside its weights.

    Attributes:
        n_rows: rows that get a vector in training.
        n_genes: genes.
        low, high: smallest and largest training value, in units of the table.
        n_classes: classes that the view tells the model; 0 where it tells none.
        n_groups: groups of training rows that have both an anchor and parts; 0 where rows come one by one.
        covariates: categories of each nuisance covariate, in the order of the view.
        n_rest: genes whose counts are in the rows' totals and that the model does not see.
        n_features: features of a point of a graph; 0 where there is none.
        n_hops: steps between neighbors that a batch holds all points for.
        n_bins: bins that tokens divide values into; 0 where values are no tokens.
        phenotypes: categories of each phenotype, by its name.
        pretrained: folder of the exported model whose weights the training starts from; empty for none.
    """

    n_rows: int
    n_genes: int
    low: float = 0.0
    high: float = 1.0
    n_classes: int = 0
    n_groups: int = 0
    covariates: tuple[int, ...] = ()
    n_rest: int = 0
    n_features: int = 0
    n_hops: int = 0
    n_bins: int = 0
    phenotypes: dict[str, int] = field(default_factory=dict)
    pretrained: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "covariates", tuple(self.covariates))  # JSON gives a list


class Examples(ABC):
    """A data set on a device, cut into batches; index tensors in, no DataLoader."""

    n_values: int
    """Values read in one epoch of training, for the throughput."""

    @abstractmethod
    def steps(self, batch_size: int) -> int:
        """Return the number of batches in one epoch of training."""

    @abstractmethod
    def train(
        self, batch_size: int, generator: torch.Generator, *, rank: int = 0, world_size: int = 1
    ) -> Iterator[Batch]:
        """Yield one epoch of batches, drawn by `generator`; of every batch, this rank's share."""

    @abstractmethod
    def validation(self) -> Iterator[Batch]:
        """Yield the held-out examples: the same ones, in the same order, for every trial and epoch."""


class View(ABC):
    """How a table becomes examples. Scales, bins and vocabularies are learnt from training rows by `fit`."""

    Config: ClassVar[type[Config]]
    axis: ClassVar[Literal["obs", "var"]] = "obs"
    """Which rows get a vector: observations (obsm) or, with tables whose rows are genes, genes (varm)."""
    layout: ClassVar[Literal["dense", "sparse"]] = "dense"
    """What the view wants to find in shared memory; the driver converts once."""

    @classmethod
    def columns(cls, config: Config) -> tuple[str, ...]:
        """Return the obs columns that the view reads besides those that the `data` section names."""
        return ()

    @classmethod
    @abstractmethod
    def fit(cls, table: Table, config: Config) -> View:
        """Learn what the view needs from the training rows of `table`.

        Raises:
            DataError: when the table cannot serve this kind of model.
        """

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return what `load` needs, as plain JSON values."""

    @classmethod
    @abstractmethod
    def load(cls, state: dict[str, Any]) -> View:
        """Rebuild a fitted view from its `state`."""

    @property
    @abstractmethod
    def dims(self) -> Dims:
        """Sizes for the model."""

    @property
    @abstractmethod
    def genes(self) -> np.ndarray:
        """Gene names in the model's order (g,)."""

    @abstractmethod
    def examples(self, table: Table, device: torch.device) -> Examples:
        """Put the table on a device."""


@runtime_checkable
class KnowsRows(Protocol):
    """A view whose models keep a vector per training row and have no encoder."""

    def known(self, table: Table) -> np.ndarray:
        """Return each table row's place among the training rows, -1 for a new row (n,)."""

    def values(self, table: Table) -> np.ndarray:
        """Return the values (n, g) of a table in the order of the view's genes."""


@runtime_checkable
class CutsTables(Protocol):
    """A view whose models have an encoder: any table can be read in order."""

    def cut(self, table: Table, device: torch.device) -> Iterator[Batch]:
        """Yield all rows of the table in their order, whatever their part."""


@runtime_checkable
class Hides(Protocol):
    """A view of whose rows some values can be hidden, so that a model is judged by how it finds them."""

    def hidden(self, obs_names: np.ndarray) -> np.ndarray:
        """Return which values (n, g) of rows of these names are hidden: the same ones for every trial, bool."""

    def masked(self, table: Table, hidden_ng: np.ndarray | None, device: torch.device) -> Iterator[Batch]:
        """Yield all rows of the table in their order, with `Batch.hidden` set."""


@runtime_checkable
class ReadsNeighbors(Protocol):
    """A view that shows a row together with others: its vector is right only where these are in the table."""

    def sections(self, table: Table) -> np.ndarray:
        """Return which rows read one another, as names (n,); rows of two names never do."""


@runtime_checkable
class Scales(Protocol):
    """A view whose models read and predict values in units of their own; methods are compared in these units."""

    def scaled(self, x_ng: np.ndarray) -> np.ndarray:
        """Return values (n, g) in units of the table, genes in the view's order, as the model reads them."""


def ordered(table: Table, genes: np.ndarray) -> np.ndarray:
    """Return the dense values (n, g) of a table in the order of `genes`; no copy where none is needed.

    Raises:
        DataError: naming the genes that the table lacks.
    """
    table = table.dense()
    if np.array_equal(table.var_names, genes):
        return table.x_ng
    return align(table.x_ng, table.var_names, genes, table.facts.get("source", "table"))


def align(x_ng: np.ndarray, have: np.ndarray, want: np.ndarray, where: str, *, noun: str = "genes") -> np.ndarray:
    """Return the columns of `x_ng` (n, g_have) in the order of the genes `want`: (n, g_want).

    A gene that is not there by name is found by its Ensembl id without a version, where only one gene has it.

    Raises:
        DataError: naming how many genes (or whatever `noun` the columns are) are missing and the first five of them.
    """
    place_g = np.array(partners(want.tolist(), have.tolist()), dtype=np.int64)
    missing = want[place_g < 0].tolist()
    if missing:
        shown = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        hint = did_you_mean(missing[0], have.tolist()[:5000])
        raise DataError.one("E420", where, f"{len(missing)} of {len(want)} {noun} are missing: {shown}", hint)
    return x_ng[:, place_g]
