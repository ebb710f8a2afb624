"""Phenotypes of rows: their names as weights have them, how common categories weigh, how they are judged."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gxsearch.data.batch import Batch

_MOST = 10.0
"""Largest weight of a category."""


def key(phenotype: str) -> str:
    """Return the name of a phenotype's weights: torch takes no dots, and no names of its own."""
    return f"of_{phenotype.replace('.', '%2E')}"


class Weights(nn.Module):
    """A weight for each category of a phenotype: one, until told how common they are."""

    def __init__(self, size: int):
        super().__init__()
        self.register_buffer("value", torch.ones(size))

    def start(self, share_c: Tensor) -> None:
        """Set the weights to 1 / sqrt(share), 10 at most, and then to 1 on average over rows."""
        weight_c = share_c.double().clamp_min(1e-12).rsqrt().clamp_max(_MOST)
        self.value.copy_(weight_c / (weight_c * share_c).sum())


def judge(
    logits: dict[int, Tensor],
    weights: list[Tensor],
    batch: Batch,
    asked_np: Tensor,
    share_p: Tensor,
    smoothing: float,
) -> dict[str, dict[int, Tensor]]:
    """Return nll, loss (smoothed and weighted), accuracy and balanced accuracy of each phenotype, scalars.

    Args:
        logits: logits (n, c) of some phenotypes, by their column in the batch.
        weights: weight of each category (c,) of every phenotype.
        asked_np: which are to be found, bool.
        share_p: share of rows, of all of their part, of which each phenotype is known and asked for (P,).
        smoothing: share of a category's chance spread over all.

    All are sums over the batch by what is expected of `share_p`, so that the mean over batches, each with the weight
    `batch.total`, is that over the part.
    """
    rows = len(asked_np) if batch.total is None else batch.total
    found: dict[str, dict[int, Tensor]] = {"nll": {}, "loss": {}, "accuracy": {}, "balanced_accuracy": {}}
    for p, logits_nc in logits.items():
        y_n, asked_n, size = (
            batch.phenotype[:, p].clamp_min(0),
            asked_np[:, p].float(),
            rows * share_p[p].clamp_min(1e-9),
        )
        raw, smooth = logits_nc.float(), {"label_smoothing": smoothing, "reduction": "none"}
        loss_n = F.cross_entropy(raw, y_n, **smooth) * weights[p][y_n]
        right_n = (raw.argmax(1) == y_n) * asked_n
        found["nll"][p] = (F.cross_entropy(raw, y_n, reduction="none") * asked_n).sum() / size
        found["loss"][p] = (loss_n * asked_n).sum() / size
        found["accuracy"][p] = right_n.sum() / size
        balance_n = 1.0 if batch.balance is None else batch.balance[:, p]
        found["balanced_accuracy"][p] = (right_n * balance_n).sum() / size
    return found


def mean(value: dict[int, Tensor], share_p: Tensor) -> Tensor:
    """Return the mean over the phenotypes of which some rows are known, a scalar; zero where none is."""
    known_p = (share_p[list(value)] > 0).float()
    return (torch.stack(list(value.values())) * known_p).sum() / known_p.sum().clamp_min(1.0)
