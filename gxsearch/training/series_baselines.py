"""Classical methods on the genes that a model of series is judged by: flat lines, the mean curve, PCA over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gxsearch.data.series import SeriesView
from gxsearch.data.table import Table
from gxsearch.models.base import GeneModel, Losses
from gxsearch.training.baselines import Rows, Scores
from gxsearch.training.probing import probed
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.sums import Sums

_DROPPED = ("/loss", "_weight", "/recon", "/kl_paid")
"""Ends of names of what only training has a use for."""


def series_baselines(view: SeriesView, table: Table, label: str | None, k: int, metric: str = "") -> dict[str, Scores]:
    """Return the ``val/`` and ``test/`` measures, in units of the view, of three methods by name.

    ``flat``: each gene at its own mean, which the view's scaling tells a model for nothing; ``mean curve``: that of the
    training genes; ``pca-<k>``: PCA over the times, fitted to training genes, gaps filled as the view does. With test
    genes and a label also the accuracies of PCA's scores; and the objective where it is a probe. PCA's ``elbo``
    is the negative log likelihood itself, of PCA as a Gaussian model (Tipping and Bishop 1999); there is none where
    values are missing.
    """
    found: dict[str, Scores] = {"flat": {}, "mean curve": {}, f"pca-{k}": {}}
    train_nt = view.curves(table.take(table.rows("train"))).x_nt
    for part in ("val", "test"):
        if not len(table.rows(part)):
            continue
        data = _Part.of(view, table, part, train_nt)
        pca = data.rows.pca(k)
        flat_n1 = np.average(data.rows.x_ng, axis=1, weights=data.rows.known_ng)[:, None]
        guesses = (np.broadcast_to(flat_n1, data.rows.x_ng.shape), data.rows.mean(), data.rows.through(pca))
        for name, guess in zip(found, guesses, strict=True):
            found[name] |= data.measured(guess, part)
        if data.weight is None and pca.noise_variance_ > 0:
            found[f"pca-{k}"][f"{part}/elbo"] = -float(pca.score_samples(data.rows.x_ng.astype(np.float64)).mean())
        z_train, z = pca.transform(train_nt), pca.transform(data.rows.x_ng)
        if part == "test":
            found[f"pca-{k}"] |= data.rows.accuracies(table, label, z_train, z)
        else:
            found[f"pca-{k}"] |= probed(metric, table, (data.rows.train, z_train), (data.rows.rows, z))
    return found


@torch.no_grad()
def series_scores(model: GeneModel, view: SeriesView, table: Table, label: str | None, z_nk: np.ndarray) -> Scores:
    """Return the ``test/`` measures of a trained model: those of its own forward pass, and with a label accuracies.

    `z_nk` are the vectors of all genes of the table. Without test genes there are no measures.
    """
    rows = table.rows("test")
    if not len(rows):
        return {}
    sums, device = Sums(thorough=True), next(model.parameters()).device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for batch in view.cut(table.take(rows), device):
            sums.add(model.eval()(batch, 1.0), batch.total)
    found = {name: value for name, value in sums.metrics("test", LocalRuntime()).items() if not name.endswith(_DROPPED)}
    data = _Part.of(view, table, "test", view.curves(table.take(table.rows("train"))).x_nt)
    return found | data.rows.accuracies(table, label, z_nk[data.rows.train], z_nk[rows])


@dataclass(frozen=True)
class _Part:
    """The curves of training genes and of those of a part."""

    rows: Rows
    weight: Tensor | None

    @classmethod
    def of(cls, view: SeriesView, table: Table, part: str, train_nt: np.ndarray) -> _Part:
        genes = table.rows(part)
        found = view.curves(table.take(genes))
        known_nt = np.ones(found.x_nt.shape, dtype=bool) if found.weight_nt is None else found.weight_nt > 0
        weight = None if found.weight_nt is None else torch.from_numpy(found.weight_nt)
        return cls(Rows(view, table.rows("train"), genes, train_nt, found.x_nt, known_nt), weight)

    def measured(self, y_nt: np.ndarray, part: str) -> Scores:
        """Return what the training loop would measure of a method's curves, by its own code."""
        x, y = (torch.from_numpy(np.array(values, dtype=np.float32)) for values in (self.rows.x_ng, y_nt))
        error_nt = np.square(y_nt - self.rows.x_ng)
        mse = np.average(error_nt, axis=1, weights=self.rows.known_ng).mean()
        sums = Sums(thorough=True)
        sums.add(Losses({"mse": torch.tensor(mse)}, {"mse": 1.0}, y, x, self.weight), torch.tensor(float(len(x))))
        found = sums.metrics(part, LocalRuntime())
        return {name: value for name, value in found.items() if not name.endswith(_DROPPED)}
