"""Orientation: whether the rows that are split and get vectors are the samples of a file or its genes."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from anndata import AnnData

from gxsearch.data.findings import Findings
from gxsearch.data.table import DataConfig, Split
from gxsearch.data.values import Matrix


def turned(config: DataConfig) -> bool:
    """Tell whether genes are the rows and samples the features."""
    return config.orientation == "genes"


def row_axis(config: DataConfig) -> Literal["obs", "var"]:
    """Return which part of an AnnData describes the rows."""
    return "var" if turned(config) else "obs"


def row_frame(adata: AnnData, config: DataConfig) -> pd.DataFrame:
    """Return the frame whose columns the spec names: obs, or var where genes are the rows."""
    return adata.var if turned(config) else adata.obs


def transposed(x_ng: Matrix) -> Matrix:
    """Return the transpose (g, n), dense or CSR as it was."""
    return x_ng.T if isinstance(x_ng, np.ndarray) else x_ng.T.tocsr()


def feature_noun(config: DataConfig) -> str:
    """Return what the columns of a table are, for messages."""
    return "samples" if turned(config) else "genes"


def of_rows(config: DataConfig) -> DataConfig:
    """Return the settings with those columns only that describe the rows."""
    return config.model_copy(update={"batch": [], "time": None}) if turned(config) else config


def of_features(config: DataConfig) -> DataConfig:
    """Return the settings with those columns only that describe the features: of samples, time and batch."""
    kept = {} if turned(config) else {"batch": [], "time": None}
    return config.model_copy(update={"label": None, "split": Split(), **kept})


def check_orientation(config: DataConfig, found: Findings) -> DataConfig:
    """Note settings that describe samples and mean nothing where genes are the rows (E426); return the others."""
    if turned(config) and config.spatial:
        what = "data.spatial: describes samples, and with data.orientation: genes the rows are genes"
        found.setting("E426", what, "leave one of them out")
        return config.model_copy(update={"spatial": None})
    return config
