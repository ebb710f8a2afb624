"""Probes: measures of an embedding that any encoder allows; a search may optimize them."""

from __future__ import annotations

import numpy as np
import torch

from gxsearch.data.table import Table
from gxsearch.data.view import ReadsNeighbors, View
from gxsearch.models.base import GeneModel
from gxsearch.training.embedding import embed_table
from gxsearch.training.objectives import PROBES

NEIGHBORS = 15
MOST = 2000
"""Training rows, and held-out rows, that a probe reads at most; the same ones each time."""


class Probe:
    """A measure of the embedding of held-out rows, judged by that of training rows; the encoder is in eval mode."""

    def __init__(self, metric: str, table: Table):
        self.metric = metric
        self._label = table.facts["label"]
        train, val = (_some(table.rows(part)) for part in ("train", "val"))
        self._rows, self._n_train = np.concatenate([train, val]), len(train)
        self._whole, self._table = table, table.take(self._rows)

    @classmethod
    def of(cls, metric: str, table: Table) -> Probe | None:
        """Return the probe that an objective names; None where it names a measure of the model's own."""
        return cls(metric, table) if metric.removeprefix("val/") in PROBES else None

    def __call__(self, model: GeneModel, view: View, device: torch.device) -> dict[str, float]:
        """Return the measure by its name."""
        if isinstance(view, ReadsNeighbors):  # a row's vector is right only with its neighbors in the table
            z_nk = embed_table(model, view, self._whole, device)[self._rows]
        else:
            z_nk = embed_table(model, view, self._table, device)
        labels_n = self._table.obs[self._label]
        cut = self._n_train
        return {self.metric: knn_accuracy(z_nk[:cut], labels_n[:cut], z_nk[cut:], labels_n[cut:])}


def knn_accuracy(train_nk: np.ndarray, known_n: np.ndarray, test_nk: np.ndarray, true_n: np.ndarray) -> float:
    """Return the balanced accuracy of a vote among the 15 nearest training rows."""
    from sklearn.metrics import recall_score  # a second that reading a spec need not pay
    from sklearn.neighbors import KNeighborsClassifier

    vote = KNeighborsClassifier(min(NEIGHBORS, len(train_nk))).fit(train_nk, known_n)
    return float(recall_score(true_n, vote.predict(test_nk), labels=np.unique(true_n), average="macro"))


def _some(rows: np.ndarray) -> np.ndarray:
    return rows if len(rows) <= MOST else np.sort(np.random.default_rng(0).choice(rows, MOST, replace=False))
