"""What a masked model may read in training: drawn anew for every batch, by torch's global generator."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from gxsearch.data.batch import Batch

UNSPECIFIED, HIDDEN = -1, -2
"""What stands in place of a phenotype's category that is not specified, or is to be found."""


def crop(batch: Batch, size: int) -> Batch:
    """Return the batch with `size` of its places, the same for all rows; tokens of other places are not there."""
    length = batch.x.shape[1]
    if not 0 < size < length:
        return batch
    place_l = torch.randperm(length, device=batch.x.device)[:size].sort().values
    kept = {"x": batch.x[:, place_l], "gene": batch.gene[:, place_l]}
    if batch.hidden is not None:
        kept["hidden"] = batch.hidden[:, place_l]
    if batch.length is not None:
        kept["length"] = (place_l < batch.length.unsqueeze(1)).sum(1)
    return dataclasses.replace(batch, **kept)


def there(batch: Batch) -> Tensor:
    """Return which tokens are no padding (n, l), or (1, l) where none is, bool."""
    if batch.length is None:
        return torch.ones_like(batch.x[:1], dtype=torch.bool)
    return torch.arange(batch.x.shape[1], device=batch.x.device) < batch.length.unsqueeze(1)


def hide(batch: Batch, low: float, width: float) -> Tensor:
    """Return which tokens (n, l) are to be found, bool: of each row a share drawn from [low, low + width], 1 at most.

    Tokens that the batch hides already are among them; padding is not.
    """
    share_n1 = low + min(width, 1.0 - low) * torch.rand(len(batch.x), 1, device=batch.x.device)
    asked_nl = torch.rand(batch.x.shape, device=batch.x.device) < share_n1
    if batch.hidden is not None:
        asked_nl = asked_nl | batch.hidden
    return asked_nl & there(batch)


def read(bin_nl: Tensor, asked_nl: Tensor, n_bins: int, *, random: float = 0.0, keep: float = 0.0) -> Tensor:
    """Return the bins that are read, `n_bins` in place of those to be found.

    Of these a share `random` shows any bin instead, and a share `keep` its own (Devlin et al. 2018).
    """
    if random + keep == 0.0:
        return bin_nl.masked_fill(asked_nl, n_bins)
    draw_nl = torch.rand(bin_nl.shape, device=bin_nl.device)
    shown_nl = bin_nl.masked_fill(asked_nl & (draw_nl >= keep), n_bins)
    swapped_nl = asked_nl & (draw_nl >= keep) & (draw_nl < keep + random)
    return torch.where(swapped_nl, torch.randint_like(bin_nl, n_bins), shown_nl)


def given(batch: Batch, read_p: list[bool]) -> Tensor:
    """Return what is told of the phenotypes (n, P) where some are given and all others hidden.

    A batch without phenotypes has none specified.
    """
    if batch.phenotype is None:
        known_np = torch.full((len(batch.x), len(read_p)), UNSPECIFIED, device=batch.x.device)
    else:
        known_np = batch.phenotype
    return torch.where(torch.tensor(read_p, dtype=torch.bool, device=batch.x.device), known_np, HIDDEN)


def tell(phenotype_np: Tensor, mask: float, drop: float) -> tuple[Tensor, Tensor]:
    """Return what is told of the phenotypes (n, P), and which are to be found (n, P), bool.

    A share `drop` is shown as not specified and a share `mask` of the rest is hidden; those that are known are found.
    """
    draw_np = torch.rand(2, *phenotype_np.shape, device=phenotype_np.device)
    told_np = phenotype_np.masked_fill(draw_np[0] < drop, UNSPECIFIED)
    hidden_np = (draw_np[1] < mask) & (draw_np[0] >= drop)
    return told_np.masked_fill(hidden_np, HIDDEN), hidden_np & (phenotype_np >= 0)
