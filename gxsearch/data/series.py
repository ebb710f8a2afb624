"""Series: the view of models that read genes over time; rows are genes, columns the samples of a time course."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from gxsearch.config import Config, knob
from gxsearch.data.batch import Batch
from gxsearch.data.curves import Curves, Scaling, curves
from gxsearch.data.findings import counted, shown
from gxsearch.data.table import Table
from gxsearch.data.timeline import Timeline
from gxsearch.data.view import Dims, Examples, View
from gxsearch.errors import DataError, Fault

_ROWS = 512
"""Genes read at a time outside of training; bounds the memory."""


class SeriesConfig(Config):
    """How samples become times, and how genes are scaled."""

    scaling: Scaling = knob(
        "zscore",
        doc="of each gene over its own times: zscore: (x - mean) / standard deviation; minmax: to [0, 1]; log1p, none",
    )
    replicates: Literal["average", "keep"] = knob(
        "average", doc="samples of the same time are averaged, or each is a point of its own"
    )
    windows: int = knob(0, doc="average the samples in this many windows of pseudotime; 0 does not", low=0)
    batch: Literal["center", "given", "none"] = knob(
        "center",
        doc="of data.batch: every gene gets the same mean in all; or they keep times of their own, and the model is "
        "given the batch of each; or they are ignored",
    )
    missing: Literal["error", "mask"] = knob(
        "error", doc="NaN is a fault; or a value that was not measured, which the loss leaves out"
    )


class SeriesView(View):
    """Genes over time. A gene is scaled by its own values, so nothing leaks from held-out genes; they are split."""

    Config = SeriesConfig
    axis = "var"

    def __init__(self, config: SeriesConfig, time: str, batch: list[str], timeline: Timeline, dims: Dims):
        self.config, self.timeline, self._dims = config, timeline, dims
        self._time, self._batch = time, batch

    @classmethod
    def fit(cls, table: Table, config: SeriesConfig) -> SeriesView:
        """Learn the times of the samples, and the range of the training genes' scaled values.

        Raises:
            DataError: when no time of the samples is given, there are fewer than two times, too few genes, genes
                without values, or values that the scaling or the batches do not allow.
        """
        time, batch = table.facts.get("time"), list(table.facts.get("batch", []))
        if time is None or table.facts.get("orientation") != "genes":
            what = "a series needs the time of each sample, and genes as rows"
            raise DataError.one("E470", "data.time", what, "set data.time to the obs column of times")
        given_s = _names(table, batch) if config.batch == "given" and batch else None
        timeline = Timeline.of(
            table.var[time], windows=config.windows, keep=config.replicates == "keep", batch_s=given_s
        )
        train = table.rows("train")
        view = cls(config, time, batch, timeline, _dims(timeline, n_rows=len(train)))
        faults = _faults(table, view)
        if faults:
            raise DataError(faults)
        x_nt = view.curves(table.take(train)).x_nt
        view._dims = _dims(timeline, n_rows=len(train), low=float(x_nt.min()), high=float(x_nt.max()))
        return view

    def state(self) -> dict[str, Any]:
        """Return settings, names of columns, times and sizes as JSON values."""
        sizes = {name: getattr(self._dims, name) for name in ("n_rows", "low", "high")}
        columns = {"time_column": self._time, "batch_columns": self._batch}
        return {"config": self.config.model_dump(), **columns, "timeline": self.timeline.state(), "sizes": sizes}

    @classmethod
    def load(cls, state: dict[str, Any]) -> SeriesView:
        """Rebuild the view from its `state`."""
        timeline = Timeline.load(state["timeline"])
        dims = _dims(timeline, **state["sizes"])
        config = SeriesConfig(**state["config"])
        return cls(config, state["time_column"], state["batch_columns"], timeline, dims)

    @property
    def dims(self) -> Dims:
        """Training genes as rows, and times where other views have genes."""
        return self._dims

    @property
    def genes(self) -> np.ndarray:
        """Names of the times (t,), ascending: what the model reads of a row."""
        times, batch_t = [f"{time:.10g}" for time in self.timeline.time_t], self.timeline.batch_t
        if batch_t is None:
            return np.array(times)
        return np.array([f"{time} of {batch}" for time, batch in zip(times, batch_t, strict=True)])

    @property
    def time_t(self) -> np.ndarray:
        """Times (t,), ascending, in units of the data; where the model is given batches, once for each that has it."""
        return self.timeline.time_t

    def curves(self, table: Table) -> Curves:
        """Return the genes of a table over the times of the training.

        A table may hold other samples than the training, of some of its times; the others count as not measured.

        Raises:
            DataError: naming times that are none of the training's, or genes without values at two of its times.
        """
        batch_s = self._batches(table) if self.config.batch == "center" else None
        batches = {"batch_s": batch_s, "batch_t": self.timeline.batch_t}
        found = curves(table.dense().x_ng, self.places(table), self.time_t, self.config.scaling, **batches)
        if found.weight_nt is not None and (found.weight_nt.sum(1) < 2).any():
            bad = table.obs_names[found.weight_nt.sum(1) < 2]
            what = f"{counted(len(bad), 'gene')} measured at fewer than 2 times: {shown(bad)}"
            raise DataError.one("E472", _source(table), what, "drop these genes")
        return found

    def places(self, table: Table) -> np.ndarray:
        """Return which of the times each sample of a table belongs to (s,), int64.

        Raises:
            DataError: as `curves`, of times; naming batches that the model was not trained on, where it is given them.
        """
        given = self._batch if self.timeline.batches else []
        lacks = [name for name in (self._time, *given) if name not in table.var]
        if lacks:
            fix = "add the obs column of " + ("times" if not given else "times, or of batches")
            raise DataError.one("E470", _source(table), f"the samples have no {shown(lacks)}", fix)
        time_s, batch_s = table.var[self._time], _names(table, given)
        place_s = self.timeline.place(time_s, table.var_names, batch_s)
        faults = _unknown(self.timeline, time_s[place_s < 0], None if batch_s is None else batch_s[place_s < 0])
        if faults:
            raise DataError([Fault("E471", _source(table), *words) for words in faults])
        return place_s

    def examples(self, table: Table, device: torch.device) -> SeriesExamples:
        """Put the curves of all genes on a device."""
        return SeriesExamples(self, table, device)

    def cut(self, table: Table, device: torch.device) -> Iterator[Batch]:
        """Yield all genes of the table in their order."""
        yield from _Part(self.curves(table), device).in_order()

    def _batches(self, table: Table) -> np.ndarray | None:
        """Return the batch of each sample (s,); None where there is but one."""
        name_s = _names(table, [name for name in self._batch if name in table.var])
        if name_s is None:
            return None
        batch_s = np.unique(name_s, return_inverse=True)[1]
        return batch_s if batch_s.max() else None


class SeriesExamples(Examples):
    """Batches of genes, all nearly alike in size; none is ever left out."""

    def __init__(self, view: SeriesView, table: Table, device: torch.device):
        self._train, self._val = (_Part(view.curves(table.take(table.rows(p))), device) for p in ("train", "val"))
        self._device = device
        self.n_values = self._train.x.numel()

    def steps(self, batch_size: int) -> int:
        """Return the number of batches in one epoch."""
        return -(-len(self._train.x) // batch_size)

    def train(
        self, batch_size: int, generator: torch.Generator, *, rank: int = 0, world_size: int = 1
    ) -> Iterator[Batch]:
        """Yield one epoch: x (n, t), scaled; weight where values are missing."""
        order = torch.randperm(len(self._train.x), generator=generator)
        for part in order.tensor_split(self.steps(batch_size)):
            mine = part[rank::world_size].to(self._device)
            yield self._train.batch(mine, torch.tensor(len(part) / world_size, device=self._device))

    def validation(self) -> Iterator[Batch]:
        """Yield the held-out genes."""
        yield from self._val.in_order()


class _Part:
    """Curves of some genes on a device."""

    def __init__(self, found: Curves, device: torch.device):
        self.x = torch.from_numpy(found.x_nt).to(device)
        self._weight = None if found.weight_nt is None else torch.from_numpy(found.weight_nt).to(device)

    def batch(self, genes: Tensor | slice, total: Tensor) -> Batch:
        return Batch(self.x[genes], weight=None if self._weight is None else self._weight[genes], total=total)

    def in_order(self) -> Iterator[Batch]:
        for start in range(0, len(self.x), _ROWS):
            genes = slice(start, start + _ROWS)
            yield self.batch(genes, torch.tensor(float(len(self.x[genes])), device=self.x.device))


def _source(table: Table) -> str:
    return table.facts.get("source", "table")


def _dims(timeline: Timeline, **sizes: Any) -> Dims:
    batches = len(timeline.batches)
    return Dims(n_genes=len(timeline.time_t), covariates=(batches,) if batches else (), **sizes)


def _names(table: Table, columns: list[str]) -> np.ndarray | None:
    """Return the name of each sample's batch (s,), which of several columns is ``lab=a, run=3``; None without any."""
    if len(columns) < 2:
        return table.var[columns[0]].astype(str) if columns else None
    parts = [[f"{name}={value}" for value in table.var[name]] for name in columns]
    return np.array([", ".join(part) for part in zip(*parts, strict=True)])


def _unknown(timeline: Timeline, time_s: np.ndarray, batch_s: np.ndarray | None) -> list[tuple[str, str]]:
    """Return what is wrong with samples that have no place among the times, and what to do."""
    found, of = [], "" if batch_s is None else " in their batch"
    if batch_s is not None:
        new_s = ~np.isin(batch_s, timeline.batches)
        names, time_s = np.unique(batch_s[new_s]), time_s[~new_s]
        if len(names):
            what = f"batches that the model was not trained on: {shown(names)}"
            found.append((what, f"it knows {shown(timeline.batches)}; leave the others out"))
    if len(time_s):
        times = np.unique(time_s)
        what = f"{counted(len(times), 'time')} that the model was not trained on{of}: {shown(times)}"
        found.append((what, "leave these samples out"))
    return found


def _faults(table: Table, view: SeriesView) -> list[Fault]:
    """Return all that keeps a table from being read as a series."""
    faults, config, time_s = [], view.config, table.var[view._time]
    n_train, n_val = len(table.rows("train")), len(table.rows("val"))
    if n_train < 2 or n_val < 1:
        what = f"{counted(n_train, 'gene')} to train on and {n_val} to validate on; 2 and 1 are needed"
        faults.append(Fault("E430", "data.split", what))
    if len(np.unique(view.time_t)) < 2:
        faults.append(Fault("E473", "data.time", f"{len(np.unique(time_s))} times; a series needs 2 or more"))
    if config.windows and config.replicates == "keep":
        faults.append(Fault("E474", "data.view", "replicates: keep, and windows average them", "leave one out"))
    if config.scaling == "log1p" and np.nanmin(table.dense().x_ng) < 0:
        what = "scaling: log1p takes no values below 0"
        faults.append(Fault("E474", "data.view.scaling", what, "zscore, minmax or none"))
    if config.batch == "given" and len(view.timeline.batches) < 2:
        what = "batch: given needs a data.batch of two batches or more"
        faults.append(Fault("E475", "data.view.batch", what, "batch: none"))
    batch_s = view._batches(table) if config.batch != "none" else None
    if batch_s is not None and all(len(np.unique(time_s[batch_s == b])) < 2 for b in np.unique(batch_s)):
        what = "every batch has one time only: what is taken for a batch's would be the course of time"
        faults.append(Fault("E475", "data.view.batch", what, "batch: none"))
    return faults
