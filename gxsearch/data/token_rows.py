"""The two layouts of tokens: a fixed panel of genes, and expressed genes with absent ones appended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from gxsearch.data.tensors import borrow
from gxsearch.data.tokenizer import Tokens

if TYPE_CHECKING:
    from gxsearch.data.tokens import TokensView

_SHARE = 0.25
"""Share of a GPU's free memory that all tokens may take; else they stay beside the CPU."""


class Panel:
    """Layout `dense`: the bins of all genes (n, g), uint8; every row has the same genes."""

    def __init__(self, view: TokensView, tokens: Tokens, device: torch.device):
        self._view = view
        self._home = home(device, (len(tokens.indptr) - 1) * tokens.n_genes)
        self._bin = torch.from_numpy(tokens.dense()).to(self._home)
        self._gene = torch.arange(tokens.n_genes, device=device)[None]

    def length(self, rows: np.ndarray) -> np.ndarray:
        """Return the tokens of rows (n,)."""
        return np.full(len(rows), self._gene.shape[1])

    def seed(self, seed: int) -> None:
        """Nothing is drawn here."""

    def plain(self, rows: np.ndarray) -> dict[str, Tensor]:
        """Return bins (n, g) and genes (1, g)."""
        x = self._bin.index_select(0, torch.from_numpy(rows).to(self._home))
        return {"x": x.to(self._gene.device).long(), "gene": self._gene}

    def drawn(self, rows: np.ndarray, mine: slice) -> dict[str, Tensor]:
        """Return the rows for training: the model draws what it hides."""
        return self.plain(rows[mine])

    def hidden(self, rows: np.ndarray, names: np.ndarray) -> dict[str, Tensor]:
        """Return the rows with the tokens that are hidden (n, g), bool."""
        return self.plain(rows) | {"hidden": torch.from_numpy(self._view.hidden(names))}


class Expressed:
    """Layout `expressed`: tokens as CSR, in the order of the genes' variance."""

    def __init__(self, view: TokensView, tokens: Tokens, device: torch.device):
        raise NotImplementedError


def home(device: torch.device, size: int) -> torch.device:
    """Return where `size` bytes of tokens are kept: on the device, unless they are too many for a GPU."""
    if device.type == "cuda" and size > _SHARE * torch.cuda.mem_get_info(device)[0]:
        return torch.device("cpu")
    return device
