"""Imputation: how well a model finds hidden values of held-out rows, on one scale and mask for all architectures."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from gxsearch.data.entries import heldout
from gxsearch.data.series import SeriesView
from gxsearch.data.table import Table
from gxsearch.data.tokens import TokensView
from gxsearch.data.view import Hides, KnowsRows, View, align
from gxsearch.models.base import Decodes, FitsNewRows, GeneModel
from gxsearch.models.transformer import Transformer
from gxsearch.training.embedding import embed_known, fit_vectors, reconstruct
from gxsearch.training.log_scale import LogScale
from gxsearch.training.votes import some

HIDDEN = 0.2
"""Share of the entries of held-out rows that have to be found: by hashes of names, so the same for every model."""
_SEED = 1


class Hidden:
    """The held-out rows of a table in a view's order of genes, and which of their values are hidden."""

    def __init__(self, view: View, table: Table, part: str):
        self.scale, self._table, self._genes = LogScale(table), table, view.genes
        self.train, self.rows = (some(table.rows(name)) for name in ("train", part))
        self.hidden_rg = heldout(table.obs_names[self.rows], view.genes, HIDDEN, _SEED)
        self._mean_g = self.values(self.train).mean(0, dtype=np.float64)

    def values(self, rows: np.ndarray) -> np.ndarray:
        """Return the values (r, g) of rows on the log scale."""
        found = self.scale[rows]
        found = found if isinstance(found, np.ndarray) else found.toarray()
        return align(found, self._table.var_names, self._genes, self._table.facts.get("source", "table"))

    def read(self) -> np.ndarray:
        """Return the values (r, g) of the held-out rows in units of the table."""
        table = self._table.take(self.rows).dense()
        return align(table.x_ng, table.var_names, self._genes, table.facts.get("source", "table"))

    def r2(self, y_rg: np.ndarray) -> float | None:
        """Return R2 of values (r, g) on the log scale against the training means, over hidden entries.

        What cannot be below zero is cut there, for every method. None where the hidden entries do not vary.
        """
        x_rg, y_rg = self.values(self.rows), np.maximum(y_rg, 0.0) if self.scale.positive else y_rg
        spread = np.square(x_rg - self._mean_g, dtype=np.float64).sum(where=self.hidden_rg)
        error = np.square(x_rg - y_rg, dtype=np.float64).sum(where=self.hidden_rg)
        return float(1 - error / spread) if spread > 0 else None


def imputation(model: GeneModel, view: View, table: Table, part: str = "val") -> float | None:
    """Return R2 of a fifth of the entries of at most 2,000 held-out rows, found from the others.

    The scale is `LogScale`, the mask a hash of row and gene names: the same for all that read the same genes.
    Factorized embeddings fit a vector to what is known; a VAE of whole profiles encodes it; a transformer of dense
    tokens is told all other genes and no phenotype, and each bin stands for the mean that its gene has in it among
    training rows. Its tokens round what it is told and what it says, which is a part of what it is.

    None for models that cannot be compared so: those of counts (nbvae) and of neighbors (spatial) read whole rows and
    their totals, and were never trained to do without a value; series give back whole curves; of tokens of expressed
    genes alone those that are there tell what is zero; and a transformer that was trained to classify finds no genes.
    """
    if not can_impute(model, view) or not len(table.rows(part)):
        return None
    data = Hidden(view, table, part)
    if isinstance(model, Transformer):
        return data.r2(_by_tokens(model, view, table, data))
    if isinstance(view, KnowsRows):
        y_rg = reconstruct(model, fit_vectors(model, data.read(), ~data.hidden_rg))
    else:
        y_rg = reconstruct(model, embed_known(model, view, table.take(data.rows), data.hidden_rg))
    return data.r2(data.scale.of(y_rg, data.rows))


def can_impute(model: GeneModel, view: View) -> bool:
    """Tell whether a model finds hidden values from others in a way that others can be compared with."""
    if isinstance(model, Transformer):
        return isinstance(view, TokensView) and model.config.task == "masked" and view.config.layout == "dense"
    if isinstance(view, SeriesView) or not isinstance(model, Decodes):
        return False
    return isinstance(model, FitsNewRows) if isinstance(view, KnowsRows) else isinstance(view, Hides)


@torch.no_grad()
def _by_tokens(model: Transformer, view: TokensView, table: Table, data: Hidden) -> np.ndarray:
    """Return the values (r, g) that hidden tokens are expected to have, on the log scale; others are zero."""
    levels_gb = _levels(view, table, data)
    y_rg, start = np.zeros(data.hidden_rg.shape, dtype=np.float32), 0
    device = next(model.parameters()).device
    for batch in view.cut(table.take(data.rows), device, told=()):
        rows = slice(start, start + len(batch.x))
        gene_nl = batch.gene.expand_as(batch.x).cpu().numpy()
        hidden_nl = np.take_along_axis(data.hidden_rg[rows], gene_nl, 1)
        hidden = torch.from_numpy(hidden_nl).to(device)
        chance_mb = model.eval().gene_chances(dataclasses.replace(batch, hidden=hidden)).cpu().numpy()
        place_m, gene_m = np.nonzero(hidden_nl)[0] + start, gene_nl[hidden_nl]
        y_rg[place_m, gene_m] = (chance_mb * levels_gb[gene_m]).sum(1)
        start = rows.stop
    return y_rg


def _levels(view: TokensView, table: Table, data: Hidden) -> np.ndarray:
    """Return the mean on the log scale of training rows in each gene's bins (g, bins); of an empty bin the gene's."""
    x_ng, bin_ng = data.values(data.train), view.bins(table.take(data.train))
    mean_g = x_ng.mean(0)
    levels_gb = np.repeat(mean_g[:, None], view.dims.n_bins, 1)
    for b in range(view.dims.n_bins):
        of_ng = bin_ng == b
        times_g = of_ng.sum(0)
        levels_gb[:, b] = np.where(times_g > 0, x_ng.sum(0, where=of_ng) / np.maximum(times_g, 1), mean_g)
    return levels_gb
