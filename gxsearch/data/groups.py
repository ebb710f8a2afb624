"""Groups: rows that belong together: mixtures (anchors) of a donor and the parts that they are mixed from."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from gxsearch.data.table import Table


class Columns(Protocol):
    """The settings that name the columns."""

    group: str
    kind: str
    anchor: str


class Groups:
    """The groups of n rows; rows without a group's name are groups of their own, without a partner."""

    def __init__(self, group_n: np.ndarray, anchor_n: np.ndarray):
        order = np.argsort(group_n, kind="stable")
        self._rows = torch.from_numpy(order)
        self._start = np.append(np.flatnonzero(np.diff(group_n[order], prepend=-1)), len(order))
        self._group, self._anchor = torch.from_numpy(group_n), torch.from_numpy(anchor_n)

    @classmethod
    def of(cls, table: Table, config: Columns, rows: np.ndarray) -> Groups:
        """Read the groups of these rows."""
        name_n, kind_n = table.obs[config.group].astype(str)[rows], table.obs[config.kind].astype(str)[rows]
        name_n = np.where(name_n == "", np.char.add("\0", np.arange(len(rows)).astype(str)), name_n)
        return cls(np.unique(name_n, return_inverse=True)[1], kind_n == config.anchor)

    def __len__(self) -> int:
        return len(self._start) - 1

    def whole(self) -> np.ndarray:
        """Return the groups that have both an anchor and a part."""
        n = len(self)
        anchors = np.bincount(self._group[self._anchor].numpy(), minlength=n)
        parts = np.bincount(self._group[~self._anchor].numpy(), minlength=n)
        return np.flatnonzero((anchors > 0) & (parts > 0))

    def shuffled(self, generator: torch.Generator, steps: int) -> list[Tensor]:
        """Return the rows cut into batches of whole groups, in random order."""
        order = torch.randperm(len(self), generator=generator)
        rows = [self._rows[self._start[g] : self._start[g + 1]] for g in order.tolist()]
        cuts = torch.arange(len(rows)).tensor_split(steps)
        return [torch.cat(rows[int(cut[0]) : int(cut[-1]) + 1]) for cut in cuts]

    def of_rows(self, rows: Tensor, device: torch.device) -> dict[str, Tensor]:
        """Return the fields of a batch of these rows: group, numbered within the batch, and anchor."""
        group = torch.unique(self._group[rows], return_inverse=True)[1]
        return {"group": group.to(device), "anchor": self._anchor[rows].to(device)}
