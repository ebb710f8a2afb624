"""Batch: what a model's forward reads, and the legend of the axis suffixes.

Axes, one lower-case letter each, in the order of the dimensions:

    n rows or examples    g genes            k latent        t times        f features
    l tokens              v vocabulary       p patch points  d space        c classes
    b batches             h hidden units     m tiles         i row in tile  j gene in tile
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Examples on a device. A view fills the fields that its models read and leaves the others None.

    Attributes:
        x: values that are read or predicted, float.
        row: index of each example among the rows that get a vector, int64.
        gene: index of each value's gene, int64, where values come as (row, gene) entries.
        weight: weight of each value in the loss, same shape as `x`; None means one.
        total: what the weighted sum of losses is divided by; None means the sum of `weight`. With several
            workers it is the mean over the ranks, so that averaged gradients equal those of one worker.
        hidden: which values of held-out rows are to be found from the others, bool, same shape as `x`.
        label: class of each example, int64, where the model is told classes; -1 where it is not known.
        group: index of the group (donor) of each example within the batch, int64, where examples come in groups.
        anchor: whether an example is an anchor of its group (a mixture) or one of its parts, bool.
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
