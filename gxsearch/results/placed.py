"""Placed: values of a model's genes, in the order of an AnnData's names."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gxsearch.data.ensembl import partners


def placed(vectors: np.ndarray, names: np.ndarray, wanted: pd.Index) -> np.ndarray:
    """Return the named vectors (g, k) in the order of an AnnData's names; NaN where the model has none."""
    place = np.array(partners(wanted.astype(str).tolist(), names.tolist()))
    placed = vectors[place].astype(np.float32)
    placed[place < 0] = np.nan
    return placed
