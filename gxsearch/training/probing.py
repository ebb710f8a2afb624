"""Probing: the measures of vectors that an objective names, taken of a model while it is trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from gxsearch.data.table import Table
from gxsearch.data.view import ReadsNeighbors, View
from gxsearch.errors import TrialError
from gxsearch.models.base import GeneModel
from gxsearch.training.embedding import embed_table
from gxsearch.training.imputation import imputation
from gxsearch.training.log_scale import LogScale
from gxsearch.training.objectives import PROBES, is_probe
from gxsearch.training.probes import Yardstick

OF_VALUES = "imputation_r2"
"""The probe that is none of vectors."""


class Probe:
    """Measures of the vectors of held-out rows, judged by those of training rows; the encoder is in eval mode."""

    def __init__(self, table: Table, metrics: Sequence[str]):
        """Choose the rows.

        Args:
            metrics: names as in an objective, such as ``val/knn``.

        Raises:
            DataError: E448 where the data do not allow a measure.
        """
        self.metrics, self._whole = tuple(metrics), table
        self._names = [metric.removeprefix("val/") for metric in metrics]
        self._of_vectors = [name for name in self._names if name != OF_VALUES]
        self._yardstick = yardstick(table, expression="expression_r2" in self._of_vectors)
        self._yardstick.check("val", self._of_vectors)
        self._rows = np.concatenate([self._yardstick.rows(part) for part in ("train", "val")])
        self._table = table.take(self._rows)

    @classmethod
    def of(cls, metrics: Sequence[str], table: Table) -> Probe | None:
        """Return the probe that objectives name; None where all of them name measures of the model's own."""
        named = [metric for metric in metrics if is_probe(metric)]
        return cls(table, named) if named else None

    def __call__(self, model: GeneModel, view: View, device: torch.device) -> dict[str, float]:
        """Return the measures by their names.

        Raises:
            TrialError: E701 for vectors that are not finite, E705 for a model that finds no hidden values.
        """
        found = {}
        if self._of_vectors:
            found = self._yardstick(self._vectors(model, view, device), "val", self._of_vectors)
        if OF_VALUES in self._names:
            value = imputation(model.to(device), view, self._whole)
            if value is None:
                what = f"a model with these settings has no {OF_VALUES}: it finds no hidden values"
                raise TrialError.one("E705", "objective.metric", what, "choose another objective")
            found[OF_VALUES] = value
        return {f"val/{name}": found[name] for name in self._names}

    def _vectors(self, model: GeneModel, view: View, device: torch.device) -> np.ndarray:
        if isinstance(view, ReadsNeighbors):  # a row's vector is right only with its neighbors in the table
            return embed_table(model, view, self._whole, device)
        z_rk = embed_table(model, view, self._table, device)
        z_nk = np.zeros((self._whole.n_obs, z_rk.shape[1]), dtype=z_rk.dtype)
        z_nk[self._rows] = z_rk  # no other rows are read
        return z_nk


def probed(metric: str, table: Table, *vectors: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    """Return the probe of vectors that an objective names, of vectors of training and validation rows.

    Args:
        metric: an objective; nothing is returned for one that is no probe of vectors.
        vectors: rows of the table (r,) and their vectors (r, k).
    """
    name = metric.removeprefix("val/")
    if name not in PROBES or name == OF_VALUES:
        return {}
    z_nk = np.zeros((table.n_obs, vectors[0][1].shape[1]))
    for rows, z_rk in vectors:
        z_nk[rows] = z_rk
    return {metric: yardstick(table, expression=name == "expression_r2")(z_nk, "val", [name])[name]}


def yardstick(table: Table, *, expression: bool = True) -> Yardstick:
    """Return the measures that a table allows: of the classes of `data.label`, and the batches of `data.batch`."""
    label = table.facts.get("label")
    return Yardstick(
        table.part_n,
        label_n=table.obs[label] if label is not None else None,
        batch_n=batches(table),
        x_ng=LogScale(table) if expression else None,
    )


def batches(table: Table) -> np.ndarray | None:
    """Return each row's batch (n,): the columns of `data.batch` together; None where there are none."""
    names = [name for name in table.facts.get("batch", []) if name in table.obs]
    if not names:
        return None
    columns = [table.obs[name].astype(str) for name in names]
    return np.array([" | ".join(row) for row in zip(*columns, strict=True)])
