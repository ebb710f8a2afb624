"""Memory: a batch that does not fit is worked on in parts; what the optimizer sees is as of the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from gxsearch.data.batch import Batch
from gxsearch.errors import TrialError
from gxsearch.models.base import GeneModel, Losses

MOST = 16
"""Parts that a batch is cut into at most: four halvings."""


class Parts:
    """Into how many parts batches are cut; twice as many each time that the memory did not suffice.

    Several workers would have to agree in the middle of a step, and a loss that compares the examples of a batch with
    one another is not the sum of its parts: there a lack of memory ends the trial.
    """

    def __init__(self, model: GeneModel, workers: int):
        self.number = 1
        self._whole = "its loss compares the rows of a batch" if not model.adds_up else ""
        self._whole = self._whole or ("several workers train it" if workers > 1 else "")

    def fitting(self, work: Callable[[], list[Losses]], undo: Callable[[], None] = lambda: None) -> list[Losses]:
        """Return what `work` gives, done again in smaller parts after `undo` as often as the memory does not suffice.

        Raises:
            TrialError: E703 when even the smallest parts do not fit, or batches cannot be cut.
        """
        while True:
            try:
                return work()
            except torch.OutOfMemoryError as error:
                told = error
            undo()  # outside of the handler, whose traceback holds on to what did not fit
            self._halve(told)

    def of(self, batch: Batch) -> list[Batch]:
        """Return a batch in its parts."""
        return parts(batch, self.number) if self.number > 1 else [batch]

    def _halve(self, error: torch.OutOfMemoryError) -> None:
        if self._whole or self.number >= MOST:
            why = f"and {self._whole}" if self._whole else f"not even in {self.number} parts"
            what = f"a batch does not fit into the memory, {why} ({str(error).splitlines()[0][:80]})"
            raise TrialError.one("E703", "", what, "search smaller train.batch_size or models")
        self.number *= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


_OF_ROWS = ("x", "row", "gene", "weight", "hidden", "label", "group", "anchor", "library", "constant", "covariate")
_OF_ROWS += ("chance", "balance", "length", "phenotype")


def parts(batch: Batch, number: int) -> list[Batch]:
    """Return a batch cut into so many parts by its rows; each divides its sums by the total of the whole."""
    n = len(batch.x)
    total = batch.total
    if total is None:
        total = torch.tensor(float(batch.x.numel())) if batch.weight is None else batch.weight.sum()
    return [_cut(batch, first, last, n, total) for first, last in _ranges(n, number)]


def _ranges(n: int, number: int) -> Iterator[tuple[int, int]]:
    ends = torch.linspace(0, n, min(number, n) + 1).round().long().tolist()
    return zip(ends[:-1], ends[1:], strict=True)


def _cut(batch: Batch, first: int, last: int, n: int, total: Tensor) -> Batch:
    """Return rows `first` to `last`; what all rows share stays."""
    values = {name: getattr(batch, name) for name in _OF_ROWS}
    cut = {name: v[first:last] for name, v in values.items() if v is not None and len(v) == n}
    if batch.nonzero is not None:
        row = batch.nonzero[0]
        cut["nonzero"] = batch.nonzero[:, (row >= first) & (row < last)] - torch.tensor([[first], [0]]).to(row.device)
    return replace(batch, total=total.to(batch.x.device), **cut)


def loss_of(losses: Losses, part: Batch, rows: int) -> Tensor:
    """Return what a part adds to the loss of a batch of so many rows; means of their own count by their rows."""
    share = len(part.x) / rows
    weighted = {name: losses.weights[name] * term for name, term in losses.terms.items()}
    return sum(term * (share if name in losses.sizes else 1.0) for name, term in weighted.items())


def joined(found: list[Losses]) -> Losses:
    """Return the losses of a batch from those of its parts, without gradients."""
    if len(found) == 1:
        return found[0]
    sizes = {name: sum(part.sizes[name] for part in found) for name in found[0].sizes}
    terms = {}
    for name in found[0].terms:
        shares = [part.sizes[name] / max(sizes[name], 1e-9) if name in sizes else 1.0 for part in found]
        terms[name] = sum(part.terms[name].detach() * share for part, share in zip(found, shares, strict=True))
    whole = {
        name: _together([getattr(p, name) for p in found]) for name in ("prediction", "target", "weight", "latent")
    }
    return replace(found[0], terms=terms, sizes=sizes, **whole)


def _together(values: list[Tensor | None]) -> Tensor | None:
    return None if values[0] is None else torch.cat([value.detach() for value in values])
