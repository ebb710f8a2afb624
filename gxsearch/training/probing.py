"""Probing: the measure of vectors that an objective names, taken of a model while it is trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import sparse

from gxsearch.data.table import Table
from gxsearch.data.values import are_whole, number_blocks, row_totals
from gxsearch.data.view import ReadsNeighbors, View
from gxsearch.models.base import GeneModel
from gxsearch.training.embedding import embed_table
from gxsearch.training.objectives import PROBES
from gxsearch.training.probes import Yardstick


class Probe:
    """Measures of the vectors of held-out rows, judged by those of training rows; the encoder is in eval mode."""

    def __init__(self, metric: str, table: Table):
        """Choose the rows.

        Raises:
            DataError: E470 where the data do not allow the measure.
        """
        self.metric, self._whole = metric, table
        self._yardstick = yardstick(table, expression=metric == "val/expression_r2")
        self._yardstick.check("val", [metric.removeprefix("val/")])
        self._rows = np.concatenate([self._yardstick.rows(part) for part in ("train", "val")])
        self._table = table.take(self._rows)

    @classmethod
    def of(cls, metric: str, table: Table) -> Probe | None:
        """Return the probe that an objective names; None where it names a measure of the model's own."""
        return cls(metric, table) if metric.removeprefix("val/") in PROBES else None

    def __call__(self, model: GeneModel, view: View, device: torch.device) -> dict[str, float]:
        """Return the measure by its name."""
        if isinstance(view, ReadsNeighbors):  # a row's vector is right only with its neighbors in the table
            z_nk = embed_table(model, view, self._whole, device)
        else:
            z_rk = embed_table(model, view, self._table, device)
            z_nk = np.zeros((self._whole.n_obs, z_rk.shape[1]), dtype=z_rk.dtype)
            z_nk[self._rows] = z_rk  # no other rows are read
        name = self.metric.removeprefix("val/")
        return {self.metric: self._yardstick(z_nk, "val", [name])[name]}


def yardstick(table: Table, *, expression: bool = True) -> Yardstick:
    """Return the measures that a table allows: of the classes of `data.label`, and the batches of `data.batch`."""
    label = table.facts.get("label")
    return Yardstick(
        table.part_n,
        label_n=table.obs[label] if label is not None else None,
        batch_n=batches(table),
        x_ng=LogExpression(table) if expression else None,
    )


def batches(table: Table) -> np.ndarray | None:
    """Return each row's batch (n,): the columns of `data.batch` together; None where there are none."""
    names = [name for name in table.facts.get("batch", []) if name in table.obs]
    if not names:
        return None
    columns = [table.obs[name].astype(str) for name in names]
    return np.array([" | ".join(row) for row in zip(*columns, strict=True)])


class LogExpression:
    """The values that `expression_r2` asks vectors for, the same for all models of a table; rows are made when asked.

    Counts that were not transformed are brought to the median total of training rows and log1p is taken; where rows
    are genes, log1p alone. All other values are taken as they are.
    """

    def __init__(self, table: Table):
        self._x_ng, self._scale_n = table.x_ng, None
        counts = not table.facts.get("transform") and are_whole(table.x_ng) and not _negative(table.x_ng)
        self._logs = counts
        if counts and table.facts.get("orientation") != "genes":
            total_n = np.maximum(row_totals(table.x_ng) if table.total_n is None else table.total_n, 1.0)
            self._scale_n = (np.median(total_n[table.rows("train")]) / total_n).astype(np.float32)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray | sparse.spmatrix:
        """Return the values (r, g) of rows."""
        x_rg = self._x_ng[rows]
        if not self._logs:
            return x_rg
        if self._scale_n is not None:
            scale_n1 = self._scale_n[rows][:, None]
            x_rg = x_rg.multiply(scale_n1).tocsr() if sparse.issparse(x_rg) else x_rg * scale_n1
        return x_rg.log1p() if sparse.issparse(x_rg) else np.log1p(x_rg)


def _negative(x_ng: Any) -> bool:
    return any(bool((values < 0).any()) for values in number_blocks(x_ng))
