"""Vectors of a table's rows from a trained model, and values from vectors, whatever the architecture."""

from __future__ import annotations

import numpy as np
import torch

from gxsearch.data.table import Table
from gxsearch.data.view import CutsTables, Hides, KnowsRows, View
from gxsearch.models.base import Decodes, FitsNewRows, GeneModel, KeepsRowVectors
from gxsearch.training.precision import without_subnormals

_ROWS = 512
"""Rows decoded at a time."""


@without_subnormals()
def embed_table(model: GeneModel, view: View, table: Table, device: torch.device) -> np.ndarray:
    """Return a vector per row of the table (n, k).

    A model without an encoder gives the rows of its training, known by name and values, their trained vectors, and
    fits one to every other row; a model with an encoder reads the table as its view cuts it. The model is left on
    the device, in eval mode.

    Raises:
        DataError: naming the model's genes that the table lacks.
    """
    model = model.to(device).eval()
    if isinstance(view, KnowsRows):
        known_n = view.known(table)
        out_nk = trained_vectors(model, known_n)
        new = np.flatnonzero(known_n < 0)
        if len(new):
            out_nk[new] = fit_vectors(model, view.values(table)[new])
        return out_nk
    assert isinstance(view, CutsTables), f"{type(view).__name__} neither knows rows nor cuts tables"
    with torch.no_grad():
        return torch.cat([model.embed(batch) for batch in view.cut(table, device)]).cpu().numpy()


@without_subnormals()
@torch.no_grad()
def embed_known(model: GeneModel, view: Hides, table: Table, hidden_ng: np.ndarray) -> np.ndarray:
    """Return a vector per row of the table (n, k) from those of its values that are not hidden."""
    batches = view.masked(table, hidden_ng, _device(model))
    return torch.cat([model.eval().embed(batch) for batch in batches]).cpu().numpy()


def trained_vectors(model: GeneModel, place_n: np.ndarray) -> np.ndarray:
    """Return a new array with the vectors (n, k) of training rows, by their place; at place -1 it means nothing."""
    assert isinstance(model, KeepsRowVectors), f"{type(model).__name__} keeps no vectors of rows"
    return model.row_vectors()[place_n]


@without_subnormals()
def fit_vectors(model: GeneModel, x_ng: np.ndarray, known_ng: np.ndarray | None = None) -> np.ndarray:
    """Return fitted vectors (n, k) of new rows, genes in the model's order; only known entries are read."""
    assert isinstance(model, FitsNewRows), f"{type(model).__name__} fits no new rows"
    x = torch.from_numpy(np.ascontiguousarray(x_ng, dtype=np.float32)).to(_device(model))
    known = None if known_ng is None else torch.from_numpy(known_ng).to(x.device)
    return model.fit_rows(x, known).cpu().numpy()


@without_subnormals()
@torch.no_grad()
def reconstruct(model: GeneModel, z_nk: np.ndarray) -> np.ndarray:
    """Return the values (n, g) that a model gives for vectors, in units of the table."""
    assert isinstance(model, Decodes), f"{type(model).__name__} does not decode"
    z = torch.from_numpy(np.ascontiguousarray(z_nk, dtype=np.float32)).to(_device(model))
    return torch.cat([model.decode(rows).cpu() for rows in z.split(_ROWS)]).numpy()


def _device(model: GeneModel) -> torch.device:
    return next(model.parameters()).device
