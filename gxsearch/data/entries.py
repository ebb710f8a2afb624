"""Entries: the view of factorized models, whose examples are single (row, gene) values cut into square tiles."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gxsearch.config import Config, knob
from gxsearch.data.batch import Batch
from gxsearch.data.table import Table
from gxsearch.data.tensors import borrow
from gxsearch.data.view import Dims, Examples, View, ordered
from gxsearch.errors import DataError, Fault

_ROWS = 1024
"""Rows hashed or scanned at a time; bounds the memory of temporaries."""
_PAIRS = 1 << 16
"""Held-out pairs in one batch of validation."""


class EntriesConfig(Config):
    """Which entries are held out, and how the rest is cut into batches."""

    holdout: float = knob(0.1, doc="share of the entries of training rows held out for validation", above=0, below=1)
    tile: int = knob(16, doc="largest edge of the tiles (rows x genes) that make up a batch", low=1, high=1024)
    seed: int = knob(0, doc="seed of the held-out entries", low=0)


class EntriesView(View):
    """Entries of the training rows. Rows of val and test get no vector here: their vectors are fitted later.

    An entry is held out by a hash of (row name, gene name, seed), so it is the same for every trial, whatever the
    order of rows and genes, and the held-out entries of a row or a gene are binomial.
    """

    Config = EntriesConfig

    def __init__(self, config: EntriesConfig, genes: np.ndarray, obs_names: np.ndarray, sums: list[str], dims: Dims):
        self.config, self._genes, self.obs_names, self._dims = config, genes, obs_names, dims
        self._place = {name: (i, digest) for i, (name, digest) in enumerate(zip(obs_names.tolist(), sums, strict=True))}

    @classmethod
    def fit(cls, table: Table, config: EntriesConfig) -> EntriesView:
        """Note the training rows and genes, and the range of the entries that are not held out.

        Raises:
            DataError: with fewer than two training rows or genes, values that are not finite or all the same, or a
                share that holds out no entry or every one.
        """
        table, rows = table.dense(), table.rows("train")
        names = table.obs_names[rows]
        faults = _too_small(len(rows), table.n_vars)
        if not faults:
            held_ng = heldout(names, table.var_names, config.holdout, config.seed)
            low, high = _range(table.x_ng, rows, held_ng)
            faults = _unfit(low, high, held_ng, config)
        if faults:
            raise DataError(faults)
        dims = Dims(len(rows), table.n_vars, low, high)
        return cls(config, table.var_names, names, _digests(table.x_ng, rows), dims)

    def state(self) -> dict[str, Any]:
        """Return the settings, the names of genes and training rows in order, and the range, as JSON values."""
        return {
            "config": self.config.model_dump(),
            "genes": self._genes.tolist(),
            "obs_names": self.obs_names.tolist(),
            "digests": [digest for _, digest in self._place.values()],
            "range": [self._dims.low, self._dims.high],
        }

    @classmethod
    def load(cls, state: dict[str, Any]) -> EntriesView:
        """Rebuild the view from its `state`."""
        names, genes = np.array(state["obs_names"]), np.array(state["genes"])
        dims = Dims(len(names), len(genes), *state["range"])
        return cls(EntriesConfig(**state["config"]), genes, names, state["digests"], dims)

    @property
    def dims(self) -> Dims:
        """Training rows, genes, and the range of the entries that are not held out."""
        return self._dims

    @property
    def genes(self) -> np.ndarray:
        """Gene names in the model's order (g,)."""
        return self._genes

    def examples(self, table: Table, device: torch.device) -> EntriesExamples:
        """Put the training rows on a device; on the CPU the table itself is read, without a copy."""
        x_ng, rows = self.values(table), self.training(table)
        if device.type != "cpu":
            x_ng, rows = x_ng[rows], np.arange(len(rows))
        return EntriesExamples(borrow(x_ng).to(device), borrow(rows), borrow(self.heldout()), self.config.tile)

    def values(self, table: Table) -> np.ndarray:
        """Return the dense values (n, g) of a table in the order of the view's genes; no copy where none is needed.

        Raises:
            DataError: naming the genes that the table lacks.
        """
        return ordered(table, self._genes)

    def heldout(self) -> np.ndarray:
        """Return which entries of the training rows are held out (n, g), bool."""
        return heldout(self.obs_names, self._genes, self.config.holdout, self.config.seed)

    def known(self, table: Table) -> np.ndarray:
        """Return each table row's place among the training rows, -1 for a new row (n,), int64.

        A row is known by its name and its values; a name alone may be that of another data set's row.
        """
        x_ng, found = self.values(table), np.full(table.n_obs, -1)
        named = np.flatnonzero([name in self._place for name in table.obs_names.tolist()])
        for row, digest in zip(named, _digests(x_ng, named), strict=True):
            place, seen = self._place[str(table.obs_names[row])]
            found[row] = place if digest == seen else -1
        return found

    def training(self, table: Table) -> np.ndarray:
        """Return the table row of every training row (n,), in the view's order.

        Raises:
            DataError: when some of them are not in the table, or have other values there.
        """
        known = self.known(table)
        rows = np.full(len(self.obs_names), -1)
        rows[known[known >= 0]] = np.flatnonzero(known >= 0)
        lost = self.obs_names[rows < 0].tolist()
        if lost:
            what = f"{len(lost)} of {len(rows)} training rows are missing or changed: {', '.join(lost[:5])}"
            raise DataError.one("E421", table.facts.get("source", "table"), what, "give the data it was trained on")
        return rows


class EntriesExamples(Examples):
    """Tiles of known entries to train on, and the list of held-out entries.

    A pass permutes rows and genes, cuts the matrix into tiles and shuffles these: every pair at most once, nearly
    independent pairs (one large block would learn worse), and the first layer of a factorized model is shared
    within a tile.
    """

    def __init__(self, x_ng: Tensor, table_row_n: Tensor, held_ng: Tensor, tile: int):
        self._device = x_ng.device
        self._x, self._offset_n = x_ng.reshape(-1), table_row_n.to(self._device) * x_ng.shape[1]
        self._held_ng = held_ng
        self._known = (~held_ng).reshape(-1).to(self._device)
        self.n_rows, self.n_genes = held_ng.shape
        self.edges = (_edge(self.n_rows, tile), _edge(self.n_genes, tile))
        self._tiles = (self.n_rows // self.edges[0], self.n_genes // self.edges[1])
        self.n_values = self._tiles[0] * self._tiles[1] * self.edges[0] * self.edges[1]

    def steps(self, batch_size: int) -> int:
        """Return the number of batches in one pass; `batch_size` counts pairs, at least one tile."""
        per_step = max(1, batch_size // (self.edges[0] * self.edges[1]))
        return -(-self._tiles[0] * self._tiles[1] // per_step)

    def train(
        self, batch_size: int, generator: torch.Generator, *, rank: int = 0, world_size: int = 1
    ) -> Iterator[Batch]:
        """Yield one pass of tiles: row (m, i), gene (m, j), x and weight (m, i, j); all batches alike in size."""
        row_mi = _cut(self.n_rows, self.edges[0], generator).to(self._device)
        gene_mj = _cut(self.n_genes, self.edges[1], generator).to(self._device)
        order = torch.randperm(self._tiles[0] * self._tiles[1], generator=generator).to(self._device)
        for tile_m in order.tensor_split(self.steps(batch_size)):
            row, gene = row_mi[tile_m // self._tiles[1]], gene_mj[tile_m % self._tiles[1]]
            if world_size == 1:
                yield self._batch(row, gene, None)
            else:
                total = self._weight(row, gene).sum() / world_size
                yield self._batch(row[rank::world_size], gene[rank::world_size], total)

    def validation(self) -> Iterator[Batch]:
        """Yield the held-out pairs in the order of rows and genes: row, gene and x (n,)."""
        for start in range(0, self.n_rows, _ROWS):
            pairs = self._held_ng[start : start + _ROWS].nonzero()
            for row, gene in (pair.T.to(self._device) for pair in pairs.split(_PAIRS)):
                yield Batch(self._x[self._offset_n[row + start] + gene], row=row + start, gene=gene)

    def _batch(self, row: Tensor, gene: Tensor, total: Tensor | None) -> Batch:
        x_mij = self._x[self._offset_n[row][:, :, None] + gene[:, None, :]]
        return Batch(x_mij, row=row, gene=gene, weight=self._weight(row, gene), total=total)

    def _weight(self, row: Tensor, gene: Tensor) -> Tensor:
        return self._known[(row * self.n_genes)[:, :, None] + gene[:, None, :]].to(self._x.dtype)


def heldout(obs_names: np.ndarray, genes: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Return which entries (n, g) are held out: a 64-bit mix of the hashed names falls below `share`."""
    row_n, gene_g = row_keys(obs_names, seed), row_keys(genes, seed)
    limit, held_ng = np.uint64(share * 2.0**64), np.empty((len(row_n), len(gene_g)), dtype=bool)
    for start in range(0, len(row_n), _ROWS):
        held_ng[start : start + _ROWS] = scramble(row_n[start : start + _ROWS, None] ^ gene_g) < limit
    return held_ng


def row_keys(names: np.ndarray, seed: int) -> np.ndarray:
    """Return 64 random-looking bits per name, the same on every machine (uint64)."""
    salt = seed.to_bytes(8, "little")
    digests = [hashlib.blake2b(name.encode(), digest_size=8, salt=salt).digest() for name in names.tolist()]
    return np.frombuffer(b"".join(digests), dtype="<u8")


def scramble(key: np.ndarray) -> np.ndarray:
    """Scramble 64-bit keys in place (the finalizer of splitmix64: Steele, Lea, Flood, OOPSLA 2014)."""
    key ^= key >> np.uint64(30)
    key *= np.uint64(0xBF58476D1CE4E5B9)
    key ^= key >> np.uint64(27)
    key *= np.uint64(0x94D049BB133111EB)
    key ^= key >> np.uint64(31)
    return key


def _edge(n: int, largest: int) -> int:
    """Return the edge, at most `largest` and over half of it, that leaves the fewest of `n` out of a pass."""
    largest = min(n, largest)
    return max(range(largest // 2 + 1, largest + 1), key=lambda edge: (n // edge * edge, edge))


def _cut(n: int, edge: int, generator: torch.Generator) -> Tensor:
    return torch.randperm(n, generator=generator)[: n // edge * edge].view(-1, edge)


def _range(x_ng: np.ndarray, rows: np.ndarray, held_ng: np.ndarray) -> tuple[float, float]:
    lows, highs = [], []
    for start in range(0, len(rows), _ROWS):
        x, known = x_ng[rows[start : start + _ROWS]], ~held_ng[start : start + _ROWS]
        lows.append(x.min(where=known, initial=np.inf))
        highs.append(x.max(where=known, initial=-np.inf))
    return float(np.min(lows)), float(np.max(highs))


def _digests(x_ng: np.ndarray, rows: np.ndarray) -> list[str]:
    return [hashlib.blake2b(np.ascontiguousarray(x_ng[row]), digest_size=8).hexdigest() for row in rows]


def _too_small(n_rows: int, n_genes: int) -> list[Fault]:
    found = [("training rows", n_rows), ("genes", n_genes)]
    return [Fault("E430", "data", f"{n} {what}; a factorized model needs 2 or more") for what, n in found if n < 2]


def _unfit(low: float, high: float, held_ng: np.ndarray, config: EntriesConfig) -> list[Fault]:
    faults = []
    if held_ng.all() or not held_ng.any():
        what = f"holdout {config.holdout:g} holds out {held_ng.sum()} of {held_ng.size} entries"
        faults.append(Fault("E431", "data.view.holdout", what, "change the share, or give more rows or genes"))
    elif not np.isfinite([low, high]).all():
        faults.append(Fault("E432", "data", "the training rows hold values that are not finite", "drop or fill them"))
    elif low == high:
        faults.append(Fault("E433", "data", f"all values of the training rows are {low:g}", "choose another layer"))
    return faults
