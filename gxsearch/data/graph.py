"""Graph: the view of models that read a spot together with its neighbors in a section of tissue.

Features of all spots may be seen by their neighbors, those of held-out rows too (`neighbors: all`), and are centered
over their whole section; labels and counts to be found are those of the part alone. Where a whole section is held out
(`data.split.group`) nothing of it is seen in training. `neighbors: part` keeps parts apart altogether.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from gxsearch.config import Config, knob
from gxsearch.data.batch import Batch
from gxsearch.data.entries import row_keys
from gxsearch.data.features import Features
from gxsearch.data.neighbors import Neighbors, patches
from gxsearch.data.table import PARTS, Table
from gxsearch.data.tensors import borrow
from gxsearch.data.view import Dims, Examples, View, ordered
from gxsearch.errors import DataError, Fault

FIRST = "first"
"""Name in `Table.obsm` of the vectors of a search that came before."""
_VALUES = 1 << 22
"""Values read at a time outside of training; bounds the memory."""


class GraphConfig(Config):
    """Which spots are neighbors, what they show of themselves, and what else the model is told."""

    section: str | None = knob(None, doc="obs column of sections; spots of two sections are no neighbors")
    neighbors: Literal["all", "part"] = knob(
        "all", doc="all: held-out spots are seen, without label, by their neighbors; part: parts are kept apart"
    )
    k: int = knob(6, doc="nearest neighbors of a spot, with all that are as near as the last", low=1, high=100)
    radius: float | None = knob(
        None, doc="instead of k: all within this distance, in medians of the distance to the nearest", above=0.0
    )
    features: Literal["pca", "counts", "first"] = knob(
        "pca", doc="what a spot shows: principal components of log shares, log shares, or vectors of the first search"
    )
    components: int = knob(30, doc="number of principal components", low=1, high=1000)
    center: Literal["section", "all"] = knob("section", doc="what mean is taken off the features: each section's own")
    classes: str | None = knob(None, doc="obs column whose classes the model is told in training; '' is not known")
    unlabeled: str | None = knob(None, doc="the class in `classes` that stands for not known, such as unknown")
    hide: float = knob(0.2, doc="share of the held-out spots that validation hides at a time", above=0.0, high=1.0)
    hops: int = knob(3, doc="steps between neighbors that batches reach; the most rounds a model may have", low=1)
    patch: int = knob(64, doc="most spots of a patch; spots of one patch lie side by side and share a batch", low=1)


class GraphView(View):
    """Spots with their neighbors. Features are fitted to training rows, but for the mean of each section."""

    Config = GraphConfig

    def __init__(self, config: GraphConfig, genes: np.ndarray, features: Features, names: list[str], n_rows: int):
        self.config, self._genes, self.features = config, genes, features
        self.names, self._n_rows = names, n_rows

    @classmethod
    def columns(cls, config: GraphConfig) -> tuple[str, ...]:
        """Return the columns of sections and classes that are asked for."""
        return tuple(name for name in (config.section, config.classes) if name is not None)

    @classmethod
    def fit(cls, table: Table, config: GraphConfig) -> GraphView:
        """Learn the features and the classes of training rows.

        Raises:
            DataError: without coordinates, counts, rows to train and to validate on, or two classes to be told.
        """
        table, train = table.dense(), table.rows("train")
        faults = _faults(table, config)
        if faults:
            raise DataError(faults)
        given_ng = table.obsm[FIRST] if config.features == FIRST else table.x_ng
        settings = {"k": config.components, "by_section": config.center == "section"}
        features = Features.fit(config.features, given_ng, train, _sections(table, config), **settings)
        Neighbors.of(_places(table), _sections(table, config), config.k)  # says whether places are places
        return cls(config, table.var_names, features, _classes(table, config, train), len(train))

    def state(self) -> dict[str, Any]:
        """Return settings, gene names, features and classes as JSON values."""
        parts = {"features": self.features.state(), "names": self.names, "n_rows": self._n_rows}
        return {"config": self.config.model_dump(), "genes": self._genes.tolist(), **parts}

    @classmethod
    def load(cls, state: dict[str, Any]) -> GraphView:
        """Rebuild the view from its `state`."""
        config, features = GraphConfig(**state["config"]), Features.load(state["features"])
        return cls(config, np.array(state["genes"]), features, state["names"], state["n_rows"])

    @property
    def dims(self) -> Dims:
        """Training rows, genes, features, classes that are told, and how far batches reach."""
        more = {"n_features": self.features.size, "n_hops": self.config.hops}
        return Dims(self._n_rows, len(self._genes), n_classes=len(self.names), **more)

    @property
    def genes(self) -> np.ndarray:
        """Gene names in the model's order (g,)."""
        return self._genes

    def values(self, table: Table) -> np.ndarray:
        """Return the counts (n, g) of a table in the order of the view's genes.

        Raises:
            DataError: naming the genes that the table lacks.
        """
        return ordered(table, self._genes)

    def sections(self, table: Table) -> np.ndarray:
        """Return the section of each row (n,); with `neighbors: part`, the part of a section."""
        return _sections(table, self.config)

    def neighbors(self, table: Table) -> Neighbors:
        """Join the spots of a table."""
        return Neighbors.of(_places(table), self.sections(table), self.config.k, self.config.radius)

    def points(self, table: Table) -> np.ndarray:
        """Return the features (n, f) of all spots of a table.

        Raises:
            DataError: E439, when the vectors of the first search are asked for and the table has none.
        """
        if self.config.features != FIRST:
            return self.features(self.values(table), self.sections(table))
        if FIRST not in table.obsm:
            what = "the model reads vectors of the search that came first, and these data have none"
            raise DataError.one("E439", table.facts.get("source", "table"), what, "gxsearch embed RUN/first DATA first")
        return self.features(table.obsm[FIRST], self.sections(table))

    def labels(self, table: Table) -> np.ndarray:
        """Return the class of each row (n,), int64; -1 where it is not known or the table does not tell."""
        if self.config.classes not in table.obs:
            return np.full(table.n_obs, -1)
        place = {name: i for i, name in enumerate(self.names)}
        return np.array([place.get(name, -1) for name in table.obs[self.config.classes].astype(str)])

    def examples(self, table: Table, device: torch.device) -> GraphExamples:
        """Put features and, beside a CPU, counts on a device."""
        return GraphExamples(self, table, device)

    def cut(self, table: Table, device: torch.device) -> Iterator[Batch]:
        """Yield all rows of the table in their order, each with the neighbors that it has in the table."""
        cutter = Cutter(self, table, device)
        for rows in _pieces(np.arange(table.n_obs), len(self._genes)):
            yield cutter.batch(rows)

    def heldout(self, table: Table, part: str, device: torch.device) -> Iterator[Batch]:
        """Yield the rows of a part, in folds by hashes of names; the model hides a fold and looks at the others."""
        cutter, rows = Cutter(self, table, device), table.rows(part)
        yield from _folds(self, cutter, table, rows)


class Cutter:
    """Cuts batches of rows and all that is within reach of them out of a table on a device."""

    def __init__(self, view: GraphView, table: Table, device: torch.device):
        on_cpu, x_ng = device.type == "cpu", view.values(table)
        self.device, self._hops, self._on_cpu = device, view.config.hops, on_cpu
        self._x = borrow(x_ng) if on_cpu else torch.from_numpy(np.ascontiguousarray(x_ng)).to(device)
        self.graph = view.neighbors(table)
        self._node = torch.from_numpy(view.points(table)).to(device)
        self._at = torch.from_numpy(self.graph.at_nd).to(device)
        self._label_n, self._told = view.labels(table), view.config.classes is not None

    def batch(self, rows: np.ndarray, balance_n: np.ndarray | None = None, total: float | None = None) -> Batch:
        """Return the batch of these rows; `balance_n` weighs the classes of all rows of the table."""
        node_p = self.graph.within(rows, self._hops)
        edge, center = self._put(self.graph.edges(node_p)), self._put(np.searchsorted(node_p, rows))
        told = {}
        if self._told and balance_n is not None:
            told = {"label": self._put(self._label_n[rows]), "balance": self._put(balance_n[rows])}
        total = torch.tensor(float(len(rows) if total is None else total), device=self.device)
        place = self._put(node_p)
        x = self._x[self._put(rows)]
        return Batch(x, total=total, node=self._node[place], at=self._at[place], edge=edge, center=center, **told)

    def balance(self, rows: np.ndarray) -> np.ndarray:
        """Return weights (n,), nothing outside `rows`, that make a mean over these a mean over their classes."""
        weight_n, label_n = np.zeros(len(self._label_n), dtype=np.float32), self._label_n[rows]
        size_c = np.bincount(label_n[label_n >= 0], minlength=1)
        known = rows[label_n >= 0]
        weight_n[known] = len(rows) / (np.count_nonzero(size_c) * size_c[self._label_n[known]])
        return weight_n

    def _put(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)


class GraphExamples(Examples):
    """Batches of whole patches, cut where a batch is full; validation in folds that are hidden one after another."""

    def __init__(self, view: GraphView, table: Table, device: torch.device):
        self._view, self._table, self._cutter = view, table, Cutter(view, table, device)
        self._rows, self._val = table.rows("train"), table.rows("val")
        cut = patches(self._cutter.graph.at_nd, view.sections(table), self._rows, view.config.patch)
        self._patch, self._row = (
            torch.from_numpy(np.concatenate(parts))
            for parts in ([np.full(len(rows), i) for i, rows in enumerate(cut)], cut)
        )
        self._balance = self._cutter.balance(self._rows)
        self.n_values = len(self._rows) * len(view.genes)

    def steps(self, batch_size: int) -> int:
        """Return the number of batches in one epoch."""
        return max(1, min(-(-len(self._rows) // batch_size), len(self._rows) // 2))

    def train(
        self, batch_size: int, generator: torch.Generator, *, rank: int = 0, world_size: int = 1
    ) -> Iterator[Batch]:
        """Yield one epoch: counts of the examples (n, g), and the graph that they lie in."""
        rank_m = torch.randperm(int(self._patch.max()) + 1, generator=generator)
        mixed = torch.randperm(len(self._row), generator=generator)
        order = mixed[torch.argsort(rank_m[self._patch[mixed]], stable=True)]
        for part in self._row[order].tensor_split(self.steps(batch_size)):
            mine = part.tensor_split(world_size)[rank].numpy()
            yield self._cutter.batch(mine, self._balance, len(part) / world_size)

    def validation(self) -> Iterator[Batch]:
        """Yield the held-out rows in folds."""
        yield from _folds(self._view, self._cutter, self._table, self._val)


def _folds(view: GraphView, cutter: Cutter, table: Table, rows: np.ndarray) -> Iterator[Batch]:
    balance_n = cutter.balance(rows)
    order = rows[np.argsort(row_keys(table.obs_names[rows], 0), kind="stable")]
    for fold in np.array_split(order, min(len(rows), max(1, round(1 / view.config.hide)))):
        for piece in _pieces(np.sort(fold), len(view.genes)):
            yield cutter.batch(piece, balance_n)


def _pieces(rows: np.ndarray, width: int) -> list[np.ndarray]:
    size = max(32, _VALUES // width)
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _sections(table: Table, config: GraphConfig) -> np.ndarray:
    given = config.section is not None and config.section in table.obs
    section_n = table.obs[config.section].astype(str) if given else np.full(table.n_obs, "all")
    if config.neighbors == "all":
        return section_n
    return np.array([f"{section} {PARTS[part]}" for section, part in zip(section_n, table.part_n, strict=True)])


def _places(table: Table) -> np.ndarray:
    """Return the coordinates (n, d).

    Raises:
        DataError: E425, when there are none.
    """
    found = [value for key, value in table.obsm.items() if key != FIRST]
    if not found:
        source = table.facts.get("source", "table")
        raise DataError.one("E425", source, "the model reads coordinates", "set data.spatial: KEY of obsm")
    return found[0]


def _classes(table: Table, config: GraphConfig, train: np.ndarray) -> list[str]:
    if config.classes is None:
        return []
    return sorted(set(table.obs[config.classes].astype(str)[train].tolist()) - {"", config.unlabeled})


def _faults(table: Table, config: GraphConfig) -> list[Fault]:
    _places(table)
    faults, train = [], table.rows("train")
    if len(train) < 2:
        faults.append(Fault("E430", "data", f"{len(train)} training rows; 2 or more are needed"))
    if not len(table.rows("val")):
        faults.append(Fault("E430", "data.split.val", "no rows to validate on", "raise the share, or give more rows"))
    if (table.x_ng < 0).any() or (table.x_ng != np.round(table.x_ng)).any():
        what = "the model reads counts, and the values are no whole numbers"
        faults.append(Fault("E437", "data", what, "set data.layer to that of counts, and leave data.transform out"))
    if config.features == FIRST and FIRST not in table.obsm:
        what = "data.view.features: first needs a search that comes first"
        faults.append(Fault("E439", "data.view.features", what, "add first: nbvae.yaml to the file"))
    if config.classes is not None and len(found := _classes(table, config, train)) < 2:
        what = f"training rows have {len(found)} classes of '{config.classes}'; 2 or more are needed"
        faults.append(Fault("E435", "data.view.classes", what, "choose another column"))
    return faults
