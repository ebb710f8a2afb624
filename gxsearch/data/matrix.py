"""Matrix: the view of models that read whole rows: samples x genes, scaled on training rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from gxsearch.config import Config, knob
from gxsearch.data.batch import Batch
from gxsearch.data.entries import row_keys, scramble
from gxsearch.data.groups import Groups
from gxsearch.data.table import Table
from gxsearch.data.tensors import borrow
from gxsearch.data.view import Dims, Examples, View, ordered
from gxsearch.errors import DataError, Fault

_VALUES = 1 << 22
"""Values read at a time outside of training, and looked at when scales are fitted; bounds the memory."""


class MatrixConfig(Config):
    """How values are scaled, what is hidden in validation, and what else the model is told of the rows."""

    scale: Literal["standard", "center", "none"] = knob(
        "standard", doc="standard: (x - mean) / standard deviation of each gene over training rows; center: x - mean"
    )
    clip: float = knob(10.0, doc="scaled values beyond this are cut to it; 0 does not cut", low=0.0)
    hide: float = knob(0.15, doc="share of the values of each held-out row that validation hides", above=0, below=1)
    seed: int = knob(0, doc="seed of the values that validation hides", low=0)
    classes: str | None = knob(None, doc="obs column whose classes the model is told in training; '' is not known")
    group: str | None = knob(None, doc="obs column (donor) whose rows belong together as a mixture and its parts")
    kind: str = knob("kind", doc="obs column that tells mixtures from parts, where `group` is given")
    anchor: str = knob("pseudobulk", doc="what `kind` says of mixtures")


class MatrixView(View):
    """Rows of all genes. Gene means and standard deviations are those of training rows; a constant gene becomes 0."""

    Config = MatrixConfig

    def __init__(self, config: MatrixConfig, genes: np.ndarray, mean_g: np.ndarray, sd_g: np.ndarray, dims: Dims):
        self.config, self._genes, self._dims = config, genes, dims
        self.mean_g, self.sd_g = mean_g, sd_g

    @classmethod
    def columns(cls, config: MatrixConfig) -> tuple[str, ...]:
        """Return the columns of classes, groups and kinds that are asked for."""
        grouped = (config.group, config.kind) if config.group is not None else ()
        return tuple(name for name in (config.classes, *grouped) if name is not None)

    @classmethod
    def fit(cls, table: Table, config: MatrixConfig) -> MatrixView:
        """Learn the scales, and count classes and groups, on training rows.

        Raises:
            DataError: with fewer than two rows to train on or none to validate on, with values that are not finite,
                or when a column that the model is to be told has fewer than two classes or groups.
        """
        table, train = table.dense(), table.rows("train")
        faults = _too_small(table)
        if faults:
            raise DataError(faults)
        mean_g, sd_g, low, high = _moments(table.x_ng, train, config.scale)
        if not np.isfinite([low, high]).all():
            what = "the training rows hold values that are not finite"
            raise DataError.one("E432", "data", what, "drop or fill them")
        dims = Dims(
            len(train),
            table.n_vars,
            low,
            high,
            n_classes=len(_classes(table, config)),
            n_groups=_n_groups(table, config, train),
        )
        return cls(config, table.var_names, mean_g, sd_g, dims)

    def state(self) -> dict[str, Any]:
        """Return settings, gene names, scales and sizes as JSON values."""
        scales = {"mean": self.mean_g.tolist(), "sd": self.sd_g.tolist()}
        sizes = {name: getattr(self._dims, name) for name in ("n_rows", "low", "high", "n_classes", "n_groups")}
        return {"config": self.config.model_dump(), "genes": self._genes.tolist(), **scales, "sizes": sizes}

    @classmethod
    def load(cls, state: dict[str, Any]) -> MatrixView:
        """Rebuild the view from its `state`."""
        genes = np.array(state["genes"])
        mean_g, sd_g = (np.array(state[name], dtype=np.float32) for name in ("mean", "sd"))
        return cls(MatrixConfig(**state["config"]), genes, mean_g, sd_g, Dims(n_genes=len(genes), **state["sizes"]))

    @property
    def dims(self) -> Dims:
        """Training rows, genes, their range, and how many classes and groups the model is told."""
        return self._dims

    @property
    def genes(self) -> np.ndarray:
        """Gene names in the model's order (g,)."""
        return self._genes

    def values(self, table: Table) -> np.ndarray:
        """Return the values (n, g) of a table in the order of the view's genes, in units of the table.

        Raises:
            DataError: naming the genes that the table lacks.
        """
        return ordered(table, self._genes)

    def scaled(self, x_ng: np.ndarray) -> np.ndarray:
        """Return values (n, g) in units of the table as the model reads them."""
        scaled_ng = (x_ng - self.mean_g) / self.sd_g
        return np.clip(scaled_ng, -self.config.clip, self.config.clip) if self.config.clip else scaled_ng

    def hidden(self, obs_names: np.ndarray) -> np.ndarray:
        """Return which values (n, g) of rows are hidden, bool: round(share g) of each row, by hashes of names."""
        row_n, gene_g = row_keys(obs_names, self.config.seed), row_keys(self._genes, self.config.seed)
        times = max(1, round(self.config.hide * len(gene_g)))
        hidden_ng = np.zeros((len(row_n), len(gene_g)), dtype=bool)
        for i, key in enumerate(row_n):
            hidden_ng[i, np.argpartition(scramble(key ^ gene_g), times - 1)[:times]] = True
        return hidden_ng

    def examples(self, table: Table, device: torch.device) -> MatrixExamples:
        """Put the rows on a device; on the CPU the table itself is read, without a copy."""
        return MatrixExamples(self, table, device)

    def cut(self, table: Table, device: torch.device) -> Iterator[Batch]:
        """Yield all rows of the table in their order."""
        yield from self.masked(table, None, device)

    def masked(self, table: Table, hidden_ng: np.ndarray | None, device: torch.device) -> Iterator[Batch]:
        """Yield all rows of the table in their order, with these values (n, g) hidden."""
        x_ng, scaler = borrow(self.values(table)), Scaler(self, device)
        for rows in _slices(len(x_ng), x_ng.shape[1]):
            hidden = None if hidden_ng is None else torch.from_numpy(hidden_ng[rows]).to(device)
            yield Batch(scaler(x_ng[rows].to(device)), hidden=hidden)

    def classes(self, table: Table) -> np.ndarray | None:
        """Return the class of each row (n,), int64, -1 for one that no training row has; None if none are told."""
        if self.config.classes is None:
            return None
        place = {name: i for i, name in enumerate(_classes(table, self.config))}
        return np.array([place.get(name, -1) for name in _text(table, self.config.classes)])


class Scaler:
    """Scales rows on a device."""

    def __init__(self, view: MatrixView, device: torch.device):
        self._mean = torch.from_numpy(view.mean_g).to(device)
        self._rate = torch.from_numpy(1.0 / view.sd_g).to(device)
        self._clip = view.config.clip

    def __call__(self, x_ng: Tensor) -> Tensor:
        """Return scaled values (n, g), a new tensor."""
        x_ng = (x_ng - self._mean).mul_(self._rate)
        return x_ng.clamp_(-self._clip, self._clip) if self._clip else x_ng


class MatrixExamples(Examples):
    """Batches of whole rows, all nearly alike in size and never of one row: batch norm cannot work with one.

    Where rows come in groups, a batch holds whole groups.
    """

    def __init__(self, view: MatrixView, table: Table, device: torch.device):
        train, val = table.rows("train"), table.rows("val")
        x_ng = view.values(table)
        on_cpu = device.type == "cpu"
        self._x = borrow(x_ng) if on_cpu else torch.from_numpy(x_ng[train]).to(device)
        self._place = torch.from_numpy(train if on_cpu else np.arange(len(train))).to(device)
        self._val_x, self._val = borrow(x_ng), torch.from_numpy(val)
        self._hidden = torch.from_numpy(view.hidden(table.obs_names[val])).to(device)
        self._scaler, self._device = Scaler(view, device), device
        classes_n = view.classes(table)
        self._class = None if classes_n is None else torch.from_numpy(classes_n[train]).to(device)
        self._val_class = None if classes_n is None else torch.from_numpy(classes_n[val]).to(device)
        grouped = view.config.group is not None
        self._groups = Groups.of(table, view.config, train) if grouped else None
        self._val_groups = Groups.of(table, view.config, val) if grouped else None
        self.n_values = len(train) * x_ng.shape[1]

    def steps(self, batch_size: int) -> int:
        """Return the number of batches in one epoch."""
        n = len(self._place)
        if self._groups is not None:
            return max(1, min(-(-n // batch_size), len(self._groups) // 2))
        return max(1, min(-(-n // batch_size), n // 2))

    def train(
        self, batch_size: int, generator: torch.Generator, *, rank: int = 0, world_size: int = 1
    ) -> Iterator[Batch]:
        """Yield one epoch: x (n, g), scaled; class, group and anchor where they are told."""
        steps = self.steps(batch_size)
        if self._groups is None:
            parts = torch.randperm(len(self._place), generator=generator).tensor_split(steps)
        else:
            parts = self._groups.shuffled(generator, steps)
        for part in parts:
            mine = part[rank::world_size]
            total = torch.tensor(len(part) / world_size, device=self._device)
            place = mine.to(self._device)
            yield Batch(self._scaler(self._x[self._place[place]]), total=total, **self._told(mine, place))

    def validation(self) -> Iterator[Batch]:
        """Yield the held-out rows, with the values that are hidden; rows of one group may not be cut apart."""
        whole = [slice(0, len(self._val))]
        for rows in whole if self._val_groups is not None else _slices(len(self._val), self._val_x.shape[1]):
            told = {} if self._val_class is None else {"label": self._val_class[rows]}
            if self._val_groups is not None:
                told |= self._val_groups.of_rows(torch.arange(len(self._val)), self._device)
            x = self._scaler(self._val_x[self._val[rows]].to(self._device))
            yield Batch(x, hidden=self._hidden[rows], **told)

    def _told(self, rows: Tensor, place: Tensor) -> dict[str, Tensor]:
        told = {} if self._class is None else {"label": self._class[place]}
        return told if self._groups is None else told | self._groups.of_rows(rows, self._device)


def _too_small(table: Table) -> list[Fault]:
    n_train, n_val = len(table.rows("train")), len(table.rows("val"))
    faults = []
    if n_train < 2:
        faults.append(Fault("E430", "data", f"{n_train} training rows; 2 or more are needed"))
    if n_val < 1:
        faults.append(Fault("E430", "data.split.val", "no rows to validate on", "raise the share, or give more rows"))
    return faults


def _moments(x_ng: np.ndarray, rows: np.ndarray, scale: str) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Return what is taken off and divided by (g,), float32, and the range; a constant gene is divided by 1."""
    n_genes = x_ng.shape[1]
    mean_g, sd_g, low_g, high_g = np.zeros(n_genes), np.ones(n_genes), np.empty(n_genes), np.empty(n_genes)
    for genes in _slices(n_genes, len(rows)):
        block = x_ng[:, genes][rows].astype(np.float64)
        low_g[genes], high_g[genes] = block.min(0), block.max(0)
        mean_g[genes] = 0.0 if scale == "none" else block.mean(0)
        sd_g[genes] = block.std(0) if scale == "standard" else 1.0
    sd_g[low_g == high_g] = 1.0
    return mean_g.astype(np.float32), sd_g.astype(np.float32), float(low_g.min()), float(high_g.max())


def _slices(n: int, width: int) -> list[slice]:
    """Cut n rows of this width into pieces that bound the memory, of at least 32 rows."""
    size = max(32, _VALUES // width)
    return [slice(start, start + size) for start in range(0, n, size)]


def _classes(table: Table, config: MatrixConfig) -> list[str]:
    """Return the classes of training rows, ascending.

    Raises:
        DataError: when there are fewer than two.
    """
    if config.classes is None:
        return []
    found = sorted(set(_text(table, config.classes)[table.rows("train")].tolist()) - {""})
    if len(found) < 2:
        what = f"training rows have {len(found)} classes of '{config.classes}'; 2 or more are needed"
        raise DataError.one("E435", "data.view.classes", what, "choose another column")
    return found


def _n_groups(table: Table, config: MatrixConfig, train: np.ndarray) -> int:
    """Return the groups of training rows that have a mixture and parts.

    Raises:
        DataError: when there are fewer than two.
    """
    if config.group is None:
        return 0
    found = len(Groups.of(table, config, train).whole())
    if found < 2:
        kinds = sorted(set(_text(table, config.kind)[train].tolist()))[:5]
        what = f"{found} groups of '{config.group}' have rows that are '{config.anchor}' and others, in '{config.kind}'"
        raise DataError.one("E436", "data.view.group", what, f"'{config.kind}' has {kinds}: set kind and anchor")
    return found


def _text(table: Table, column: str) -> np.ndarray:
    return table.obs[column].astype(str)
