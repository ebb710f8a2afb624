"""Batch: what a model's forward reads, and the legend of the axis suffixes.

Axes, one lower-case letter each, in the order of the dimensions:

    n rows or examples    g genes            k latent        t times        f features
    l tokens              v vocabulary       p patch points  d space        c classes
    b batches             h hidden units     m tiles         i row in tile  j gene in tile
    e edges or entries
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Examples on a device. A view fills the fields that its models read and leaves the others None.

    Attributes:
        x: values that are read or predicted, float; of tokens the bins (n, l), int64, 0 for not expressed.
        row: index of each example among the rows that get a vector, int64.
        gene: index of each value's gene, int64, where values come as (row, gene) entries; of tokens (n, l), or (1, l)
            where all rows have the same.
        weight: weight of each value in the loss, same shape as `x`; None means one.
        total: what the weighted sum of losses is divided by; None means the sum of `weight`. With several
            workers it is the mean over the ranks, so that averaged gradients equal those of one worker.
        hidden: which values of held-out rows are to be found from the others, bool, same shape as `x`.
        label: class of each example, int64, where the model is told classes; -1 where it is not known.
        group: index of the group (donor) of each example within the batch, int64, where examples come in groups.
        anchor: whether an example is an anchor of its group (a mixture) or one of its parts, bool.
        library: total counts of each example over all genes, those that the model does not see too (n,).
        constant: what no setting changes of each example's log-likelihood, sum_g log x! (n,).
        nonzero: row and gene of each value of `x` other than zero (2, m), int64, where it pays to know them.
        covariate: category of each nuisance covariate (n, covariates), int64; -1 for one that training did not have.
        chance: probability of each class (n, c); zeros where the class is not known.
        known: share of examples, of this and all other batches of their part, whose class is known; of tokens one
            share for each phenotype.
        balance: weight of each example so that the mean over the part counts classes alike, whatever their sizes (n,);
            of tokens (n, phenotypes), zero where the phenotype is not known.
        length: number of tokens of each example (n,), int64, those after it being padding; None where all have all.
        phenotype: category of each phenotype (n, phenotypes), int64; -1 where it is not specified.
        node: features of the points (p, f) that the examples and their neighbors are.
        at: places of the points (p, d).
        edge: senders and receivers among the points (2, e), int64.
        center: which point each example is, int64.
    """

    x: Tensor
    row: Tensor | None = None
    gene: Tensor | None = None
    weight: Tensor | None = None
    total: Tensor | None = None
    hidden: Tensor | None = None
    label: Tensor | None = None
    group: Tensor | None = None
    anchor: Tensor | None = None
    library: Tensor | None = None
    constant: Tensor | None = None
    nonzero: Tensor | None = None
    covariate: Tensor | None = None
    chance: Tensor | None = None
    known: float | Tensor = 1.0
    balance: Tensor | None = None
    length: Tensor | None = None
    phenotype: Tensor | None = None
    node: Tensor | None = None
    at: Tensor | None = None
    edge: Tensor | None = None
    center: Tensor | None = None
