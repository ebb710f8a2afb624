"""Tokens: what a model of tokens adds to an AnnData besides vectors, and how it confuses phenotypes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from anndata import AnnData

from gxsearch.data.ensembl import partners
from gxsearch.data.table import Table
from gxsearch.data.tokens import TokensView
from gxsearch.results import leaderboard
from gxsearch.results.package import Package
from gxsearch.results.run_dir import RunDir, write_atomic
from gxsearch.training.token_baselines import chances_of_phenotypes

CONTEXTUAL = "contextual"
_ROWS = 20_000
"""Rows that contextual gene vectors are a mean over, at most."""


def add(adata: AnnData, found: Package, table: Table, rows: np.ndarray | None = None) -> None:
    """Add what the model `transformer` tells of the rows and genes of a table.

    For each phenotype obs["transformer_<phenotype>"], what is predicted from all genes and no phenotype,
    obsm["transformer_<phenotype>_probabilities"] and uns["transformer_<phenotype>_classes"]; and
    varm["transformer_contextual"], the mean over `rows` (by default all; 20,000 of them at most) of the last hidden
    state of each gene, NaN for genes that the model or those rows lack.
    """
    add_chances(adata, found, chances_of_phenotypes(found.model, found.view, table, []))
    rows = np.arange(table.n_obs) if rows is None else rows
    if len(rows) > _ROWS:
        rows = np.sort(np.random.default_rng(0).choice(rows, _ROWS, replace=False))
    vectors = contextual(found, table.take(rows))
    place = np.array(partners(adata.var_names.astype(str).tolist(), found.genes.tolist()))
    placed = vectors[place]
    placed[place < 0] = np.nan
    adata.varm[f"{found.key}_{CONTEXTUAL}"] = placed


def add_chances(adata: AnnData, found: Package, chances: dict[str, np.ndarray]) -> None:
    """Add predictions, their probabilities (n, c) and their classes, for each phenotype of `chances`."""
    for phenotype, chance_nc in chances.items():
        key, classes = f"{found.key}_{phenotype}", classes_of(found.view, phenotype)
        adata.obs[key] = pd.Categorical(classes[chance_nc.argmax(1)], categories=classes)
        adata.obsm[f"{key}_probabilities"] = chance_nc
        adata.uns[f"{key}_classes"] = classes


def classes_of(view: TokensView, phenotype: str) -> np.ndarray:
    """Return the names of a phenotype's categories (c,), in the order of their codes."""
    return np.array(view.tokenizer.phenotypes[phenotype], dtype=object)


@torch.no_grad()
def contextual(found: Package, table: Table) -> np.ndarray:
    """Return the mean over rows of each gene's last hidden state (g, d), float32; NaN where no row has the gene."""
    device = next(found.model.parameters()).device
    sums_gd, counts_g = 0.0, 0.0
    for batch in found.view.cut(table, device, told=()):
        sum_gd, count_g = found.model.eval().contextual(batch)
        sums_gd, counts_g = sums_gd + sum_gd.double().cpu(), counts_g + count_g.double().cpu()
    return (sums_gd / counts_g[:, None]).float().numpy()  # 0 / 0 is NaN


def write_confusion(run: RunDir, found: Package, table: Table) -> None:
    """Write results/confusion_<phenotype>.csv: test rows by true category (rows) and predicted one (columns).

    The corner holds the phenotype's name. Rows whose phenotype is not known do not count; without any there is no
    table.
    """
    tested = table.take(table.rows("test"))
    if not tested.n_obs:
        return
    code_nf, names = found.view.codes(tested), list(found.view.dims.phenotypes)
    for phenotype, chance_nc in chances_of_phenotypes(found.model, found.view, tested, []).items():
        true_n, classes = code_nf[:, names.index(phenotype)], classes_of(found.view, phenotype)
        known = true_n >= 0
        if not known.any():
            continue
        count_cc = np.zeros((len(classes), len(classes)), dtype=np.int64)
        np.add.at(count_cc, (true_n[known], chance_nc[known].argmax(1)), 1)
        kept = count_cc.sum(1) + count_cc.sum(0) > 0
        shown = [leaderboard.cell(name) for name in classes[kept].tolist()]
        frame = pd.DataFrame(count_cc[kept][:, kept], index=shown, columns=shown)
        frame.index.name = leaderboard.cell(phenotype)
        write_atomic(run.confusion(phenotype), frame.to_csv(lineterminator="\n").encode())
