"""Hidden tokens: those that a model of tokens is judged by, and what simple methods say of their bins.

Axes: m tokens · b bins · g genes · n rows · c classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from gxsearch.data.table import Table
from gxsearch.data.tokens import TokensView

_MOST = 20_000_000
"""Training tokens that a method learns from, at most."""
_NEWTON = 25
_STILL = 1e-6
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Tokens:
    """Tokens of rows of a table.

    Attributes:
        row_m: place of each token's row in the table, int64.
        gene_m: place of its gene among the view's, int64.
        bin_m: its true bin, int64, 0 for not expressed.
    """

    row_m: np.ndarray
    gene_m: np.ndarray
    bin_m: np.ndarray


def judged(view: TokensView, table: Table, part: str) -> Tokens:
    """Return the tokens of a part that are hidden where a model is judged: the same ones for every trial."""
    return _gathered(view, table, table.rows(part), all_tokens=False)


def learned(view: TokensView, table: Table) -> Tokens:
    """Return the training tokens that methods learn from: such as are judged, and as many as there may be.

    In layout dense all tokens are alike, so that all may be read. In layout expressed the absent ones that are judged
    are a choice, and so only tokens that are hidden in the same way have the same frequencies.
    """
    train = table.rows("train")
    most = max(1000, _MOST // len(view.genes))
    if len(train) > most:
        train = np.sort(np.random.default_rng(0).choice(train, most, replace=False))
    return _gathered(view, table, train, all_tokens=view.config.layout == "dense")


def _gathered(view: TokensView, table: Table, rows: np.ndarray, *, all_tokens: bool) -> Tokens:
    parts, start = [], 0
    for batch in view.cut(table.take(rows), _CPU, told=(), hidden=not all_tokens):
        chosen = torch.ones_like(batch.x, dtype=torch.bool) if all_tokens else batch.hidden
        if batch.length is not None:
            chosen = chosen & (torch.arange(batch.x.shape[1]) < batch.length.unsqueeze(1))
        place = chosen.nonzero()[:, 0].numpy() + start
        parts.append((rows[place], batch.gene.expand_as(batch.x)[chosen].numpy(), batch.x[chosen].numpy()))
        start += len(batch.x)
    return Tokens(*(np.concatenate(values).astype(np.int64) for values in zip(*parts, strict=True)))


def values_of(view: TokensView, table: Table, tokens: Tokens) -> np.ndarray:
    """Return the values (m,) that tokens stand for, in units of the table."""
    return np.asarray(view.values(table)[tokens.row_m, tokens.gene_m]).ravel()


def measured(
    view: TokensView, tokens: Tokens, chance_mb: np.ndarray, value_m: np.ndarray | None = None
) -> dict[str, float]:
    """Return ``gene_nll``, ``gene_mae`` and ``gene_auroc`` of the probabilities of tokens' bins.

    gene_nll: nats per token. gene_mae: distance of the expected value, each bin standing for the mean that its gene
    has in it among training rows, from the true value; without `value_m` from what the true bin stands for, as in
    the training loop, which knows no values. gene_auroc: of expressed tokens from those that are not; left out where
    all tokens are one or the other.
    """
    value_m = view.levels[tokens.gene_m, tokens.bin_m] if value_m is None else value_m
    told_m = np.take_along_axis(chance_mb, tokens.bin_m[:, None], 1)[:, 0]
    expected_m = (chance_mb * view.levels[tokens.gene_m]).sum(1)
    found = {
        "gene_nll": float(-np.log(np.maximum(told_m, np.finfo(np.float32).tiny)).mean(dtype=np.float64)),
        "gene_mae": float(np.abs(expected_m - value_m).mean(dtype=np.float64)),
    }
    expressed_m = tokens.bin_m > 0
    if expressed_m.all() or not expressed_m.any():
        return found
    return found | {"gene_auroc": float(roc_auc_score(expressed_m, 1 - chance_mb[:, 0]))}


def frequency(view: TokensView, known: Tokens, asked: Tokens, class_n: np.ndarray | None = None) -> np.ndarray:
    """Return how often each token's gene is in each bin (m, b), in rows of the same class where classes are given.

    A gene begins with half a token in each bin; a class with one token, of the gene's frequencies.

    Args:
        class_n: class of each row of the table (n,), int64; -1 is a class that training does not have.
    """
    genes, bins = len(view.genes), view.dims.n_bins
    count_gb = np.bincount(known.gene_m * bins + known.bin_m, minlength=genes * bins).reshape(genes, bins) + 0.5
    share_gb = count_gb / count_gb.sum(1, keepdims=True)
    if class_n is None:
        return share_gb[asked.gene_m]
    classes = int(class_n.max()) + 1
    kept = class_n[known.row_m] >= 0
    place_m = (class_n[known.row_m] * genes + known.gene_m)[kept] * bins + known.bin_m[kept]
    count_cgb = np.bincount(place_m, minlength=classes * genes * bins).reshape(classes, genes, bins) + share_gb
    share_cgb = count_cgb / count_cgb.sum(2, keepdims=True)
    of_m = class_n[asked.row_m]
    return np.where(of_m[:, None] >= 0, share_cgb[of_m, asked.gene_m], share_gb[asked.gene_m])


def depth_aware(view: TokensView, table: Table, known: Tokens, asked: Tokens) -> np.ndarray:
    """Return the probability of each bin (m, b) given the row's total over all genes of the file.

    Each gene has a logistic regression on the standardized log of the total; with more than two bins one for every
    bin, of going beyond it once it is reached (sequential model of ordered classes, Tutz 1990).
    """
    total_n = row_totals(table)
    log_n = np.log(np.maximum(total_n, max(total_n.max(), 1.0) * 1e-9))
    train = table.rows("train")
    depth_n = (log_n - log_n[train].mean()) / max(log_n[train].std(), 1e-6)
    beyond_m, chances = np.ones(len(asked.bin_m)), []
    for step in range(view.dims.n_bins - 1):
        reached = known.bin_m >= step
        gene_m, depth_m = known.gene_m[reached], depth_n[known.row_m[reached]]
        a_g, b_g = _logistic(gene_m, depth_m, known.bin_m[reached] > step, len(view.genes))
        further_m = _sigmoid(a_g[asked.gene_m] + b_g[asked.gene_m] * depth_n[asked.row_m])
        chances.append(beyond_m * (1 - further_m))
        beyond_m = beyond_m * further_m
    return np.stack([*chances, beyond_m], 1)


def row_totals(table: Table) -> np.ndarray:
    """Return what each row's stored values sum up to over all genes of the file (n,), float64."""
    return np.asarray(table.x_ng.sum(1, dtype=np.float64)).ravel() if table.total_n is None else table.total_n


def _logistic(gene_m: np.ndarray, depth_m: np.ndarray, yes_m: np.ndarray, genes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return intercept and slope of each gene (g,), by Newton's method.

    Half a token of either kind at the mean depth, and a prior N(0, 1) of the slope, keep rare genes finite.
    """

    def by_gene(weight_m: np.ndarray) -> np.ndarray:
        return np.bincount(gene_m, weights=weight_m, minlength=genes)

    share_g = (by_gene(yes_m) + 0.5) / (by_gene(np.ones(len(gene_m))) + 1)
    a_g, b_g = np.log(share_g / (1 - share_g)), np.zeros(genes)
    for _ in range(_NEWTON):
        chance_m = _sigmoid(a_g[gene_m] + b_g[gene_m] * depth_m)
        prior_g, error_m, weight_m = _sigmoid(a_g), yes_m - chance_m, chance_m * (1 - chance_m)
        slope_a, slope_b = by_gene(error_m) + 0.5 - prior_g, by_gene(error_m * depth_m) - b_g
        aa, ab = by_gene(weight_m) + prior_g * (1 - prior_g), by_gene(weight_m * depth_m)
        bb = by_gene(weight_m * depth_m**2) + 1.0
        det = aa * bb - ab**2
        move_a, move_b = (bb * slope_a - ab * slope_b) / det, (aa * slope_b - ab * slope_a) / det
        a_g, b_g = a_g + np.clip(move_a, -2, 2), b_g + np.clip(move_b, -2, 2)
        if max(np.abs(move_a).max(), np.abs(move_b).max()) < _STILL:
            break
    return a_g, b_g


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -500, 500)))
