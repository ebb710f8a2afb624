"""Data sets, drawn by hypothesis: values, names, columns and layouts, sound and odd, checked with a search space."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from hypothesis import strategies as st
from scipy import sparse

VALUES = st.sampled_from([0, 1, 2, 7, 1.5, -1, 1e-30, 1e38, 1e39, 2**24 + 1, np.nan, np.inf, -np.inf])
WORDS = st.sampled_from(["a", "b", "", " ", "nan", "NA", "=1", "<b>", "\u202e", "é", "1", "a" * 200]) | st.text(
    max_size=5
)
MODELS = {
    "fe": {},
    "vae": {},
    "nbvae": {},
    "rvagene": {"time": "age"},
    "spatial": {"spatial": "spatial"},
    "transformer": {},
}


@st.composite
def adatas(draw: st.DrawFn) -> AnnData:
    """Draw an AnnData of few rows and genes."""
    n, g = draw(st.integers(0, 30)), draw(st.integers(0, 12))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x_ng = rng.poisson(3.0, (n, g)).astype(draw(st.sampled_from(["f4", "f8", "i4", "i8", "u1"])))
    if n and g:
        for _ in range(draw(st.integers(0, 2))):
            value = draw(VALUES)
            x_ng = x_ng if 0 <= value <= 100 and value == int(value) else x_ng.astype("f8")
            x_ng[rng.integers(n), rng.integers(g)] = value
    make = draw(st.sampled_from([np.asarray, sparse.csr_matrix, sparse.csc_matrix, np.asfortranarray]))
    adata = AnnData(make(x_ng) if n and g else x_ng)
    adata.obs_names = [f"cell{i}" for i in range(n)]
    adata.var_names = [f"gene{i}" for i in range(g)]
    adata.obs["kind"] = [draw(WORDS) if i < 4 else "abc"[i % 3] for i in range(n)]
    adata.obs["age"] = pd.Series(np.linspace(20, 80, n), index=adata.obs_names)
    if n and draw(st.booleans()):
        adata.obs["age"] = pd.Categorical(adata.obs["kind"])
    if n and draw(st.integers(0, 3)) == 0:
        adata.obs_names = [draw(WORDS) for _ in range(n)]
    if g and draw(st.integers(0, 3)) == 0:
        adata.var_names = [draw(WORDS) for _ in range(g)]
    if n:
        adata.obsm["spatial"] = rng.normal(size=(n, draw(st.integers(1, 4))))
    return adata


@st.composite
def data_sections(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """Draw a model and the data section of its search space."""
    model = draw(st.sampled_from(sorted(MODELS)))
    data: dict[str, Any] = {"path": "cells.h5ad", **MODELS[model]}
    data |= draw(st.sampled_from([{}, {"label": "kind"}, {"batch": ["kind"]}, {"label": "age"}, {"layer": "x"}]))
    data |= draw(
        st.sampled_from(
            [{}, {"transform": ["normalize", "log1p"]}, {"transform": ["log2p1"]}, {"allow_negative": True}]
        )
    )
    data |= draw(
        st.sampled_from(
            [{}, {"split": {"group": "kind"}}, {"split": {"stratify": "kind"}}, {"split": {"val": 0.4, "test": 0.0}}]
        )
    )
    data |= draw(
        st.sampled_from([{}, {"genes": {"top_variable": 5}}, {"genes": {"min_cells": 3}}, {"orientation": "genes"}])
    )
    return model, data
