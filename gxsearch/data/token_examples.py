"""Batches of tokens: rows of all genes, or of expressed genes in buckets of about the same length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from gxsearch.data.batch import Batch
from gxsearch.data.blocks import in_order
from gxsearch.data.table import Table
from gxsearch.data.token_phenotypes import balance
from gxsearch.data.token_rows import Expressed, Panel
from gxsearch.data.view import Examples

if TYPE_CHECKING:
    from gxsearch.data.tokens import TokensView

_TOKENS = 1 << 16
"""Tokens read at a time outside of training; bounds the memory."""
_BLOCK = 32
"""Batches among whose rows those of about the same length are brought together."""


class TokenExamples(Examples):
    """Batches of whole rows; all nearly alike in the number of rows."""

    def __init__(self, view: TokensView, table: Table, device: torch.device):
        self._source, self._rows = table.x_ng, TokenRows(view, table, device)
        self._train, self._val = table.rows("train"), table.rows("val")
        self._told, self._val_told = (self._rows.told(rows) for rows in (self._train, self._val))
        self.n_values = int(self._rows.length(self._train).sum())

    def steps(self, batch_size: int) -> int:
        """Return the number of batches in one epoch."""
        n = len(self._train)
        return max(1, min(-(-n // batch_size), n // 2))

    def train(
        self, batch_size: int, generator: torch.Generator, *, rank: int = 0, world_size: int = 1
    ) -> Iterator[Batch]:
        """Yield one epoch: bins and genes (n, l), phenotypes; absent genes of layout `expressed` are `hidden`.

        Ranks take rows of every batch in turn, and draw the absent genes of all, so that together they are one worker.
        """
        self._rows.seed(int(torch.randint(1 << 62, (1,), generator=generator)))
        for part in self._batches(self.steps(batch_size), generator):
            mine = slice(rank, None, world_size)
            yield self._rows.batch(part, self._told, len(part) / world_size, mine=mine)

    def validation(self) -> Iterator[Batch]:
        """Yield the held-out rows by their length, with the tokens that are hidden."""
        order = self._val[np.argsort(self._rows.length(self._val), kind="stable")]
        yield from self._rows.in_order(order, hidden=True, told=self._val_told)

    def _batches(self, steps: int, generator: torch.Generator) -> Iterator[np.ndarray]:
        """Yield the rows of each batch; rows of one block of batches are sorted, and its batches shuffled."""
        order = in_order(self._source, torch.from_numpy(self._train), generator).numpy()
        parts = np.array_split(order, steps)
        if not self._rows.bucketed:
            yield from parts
            return
        for first in range(0, steps, _BLOCK):
            block = parts[first : first + _BLOCK]
            rows = np.concatenate(block)
            rows = rows[np.argsort(self._rows.length(rows), kind="stable")]
            alike = np.split(rows, np.cumsum([len(part) for part in block])[:-1])
            yield from (alike[i] for i in torch.randperm(len(alike), generator=generator).tolist())


class TokenRows:
    """All rows of a table as tokens, near a device, with what is told of them."""

    def __init__(self, view: TokensView, table: Table, device: torch.device, *, told: tuple[str, ...] | None = None):
        self._view, self._names, self._device = view, table.obs_names, device
        self.bucketed = view.config.layout == "expressed"
        self._layout = (Expressed if self.bucketed else Panel)(view, view.tokens(table), device)
        self._code_np = view.codes(table)
        names = list(view.tokenizer.phenotypes)
        kept_back = [p for p, name in enumerate(names) if told is not None and name not in told]
        self._code_np[:, kept_back] = -1

    def length(self, rows: np.ndarray) -> np.ndarray:
        """Return the tokens of rows (n,), without absent genes."""
        return self._layout.length(rows)

    def seed(self, seed: int) -> None:
        """Seed what is drawn for the batches to come."""
        self._layout.seed(seed)

    def told(self, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor] | None:
        """Return codes and weights of all rows (n, phenotypes) and the share of `rows` known (phenotypes,)."""
        if not self._code_np.shape[1]:
            return None
        return tuple(torch.from_numpy(a).to(self._device) for a in (self._code_np, *balance(self._code_np, rows)))

    def batch(
        self,
        rows: np.ndarray,
        told: tuple[Tensor, Tensor, Tensor] | None,
        total: float,
        *,
        mine: slice = slice(None),
        hidden: bool = False,
    ) -> Batch:
        """Return a batch of the rows that are `mine`; with `hidden` as in validation, else for training."""
        if hidden:
            names = self._names[rows[mine]]
            fields = self._layout.hidden(rows[mine], names)
        else:
            fields = self._layout.drawn(rows, mine)
        return self._told(fields, rows[mine], told, total)

    def in_order(
        self, rows: np.ndarray, *, hidden: bool, told: tuple[Tensor, Tensor, Tensor] | None = None
    ) -> Iterator[Batch]:
        """Yield rows in their order in pieces that bound the memory; without `hidden` as they are."""
        told = self.told(rows) if told is None else told
        width = max(1, int(self.length(rows).max(initial=0)))
        for start in range(0, len(rows), size := max(1, _TOKENS // width)):
            part = rows[start : start + size]
            if hidden:
                yield self.batch(part, told, float(len(part)), hidden=True)
            else:
                yield self._told(self._layout.plain(part), part, told, float(len(part)))

    def _told(
        self,
        fields: dict[str, Tensor],
        rows: np.ndarray,
        told: tuple[Tensor, Tensor, Tensor] | None,
        total: float,
    ) -> Batch:
        on_device = {name: value.to(self._device, non_blocking=True) for name, value in fields.items()}
        on_device["total"] = torch.tensor(total, device=self._device)
        if told is not None:
            place = torch.from_numpy(rows).to(self._device)
            code_np, weight_np, known_p = told
            on_device |= {"phenotype": code_np[place], "balance": weight_np[place], "known": known_p}
        return Batch(**on_device)
