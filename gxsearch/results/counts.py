"""Counts: what a model of counts adds to an AnnData besides vectors: totals, dispersions, classes, expression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from anndata import AnnData

from gxsearch.data.counts import CountsView
from gxsearch.data.table import Table
from gxsearch.errors import SpecError, did_you_mean
from gxsearch.results import classes
from gxsearch.results.package import Package
from gxsearch.results.placed import placed
from gxsearch.training.count_baselines import expressions


def add(adata: AnnData, found: Package, table: Table) -> None:
    """Add what the model `nbvae` tells of the rows and genes of a table.

    obs["nbvae_library"], the totals; var["nbvae_dispersion"], theta of each gene, NaN for those that it lacks; and with
    a classifier obs["nbvae_prediction"], obsm["nbvae_probabilities"] and their classes, uns["nbvae_classes"].
    """
    name, view, model = found.key, found.view, found.model
    adata.obs[f"{name}_library"] = view.totals(table)
    adata.var[f"{name}_dispersion"] = placed(model.dispersion(), found.genes, adata.var_names)
    classes.add(adata, found, table, view.classes)


def recon(adata: AnnData, found: Package, vectors: np.ndarray, as_batch: Sequence[str] = ()) -> np.ndarray:
    """Return the expression of all rows (n, genes of `adata`) at the median total, NaN for genes the model lacks.

    It is that under the chosen batches, or under the mix of the training rows, and so without the rows' own.

    Raises:
        SpecError: when a batch is none of the training's.
    """
    codes = chosen(found.view, found.model.mix, as_batch)
    return np.ascontiguousarray(placed(expressions(found.model, vectors, codes).T, found.genes, adata.var_names).T)


def chosen(view: CountsView, mix_c: torch.Tensor, names: Sequence[str]) -> torch.Tensor | None:
    """Return the share of each category (c,): one-hot for the covariates that `names` choose, else those of `mix_c`.

    A name is a category, or ``column=category`` where several covariates have one of that name.

    Raises:
        SpecError: E304 when no covariate has the category, or several have it.
    """
    if not view.categories and not names:
        return None
    parts = dict(zip(view.categories, mix_c.split(list(view.dims.covariates)), strict=True))
    for name in names:
        fits = [(c, k) for c, known in view.categories.items() for k in known if name in (k, f"{c}={k}")]
        if len(fits) != 1:
            known = [f"{c}={k}" if fits else k for c, ks in view.categories.items() for k in ks]
            what = f"'{name}' is a category of {len(fits)} covariates of the training"
            raise SpecError.one("E304", "--as-batch", what, did_you_mean(name, known))
        column, category = fits[0]
        parts[column] = torch.zeros_like(parts[column])
        parts[column][view.categories[column].index(category)] = 1.0
    return torch.cat(list(parts.values()))
