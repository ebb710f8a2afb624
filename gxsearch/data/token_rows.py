"""The two layouts of tokens: a fixed panel of genes, and expressed genes with absent ones appended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from gxsearch.data import token_cache
from gxsearch.data.tensors import borrow
from gxsearch.data.tokenizer import Tokens

if TYPE_CHECKING:
    from gxsearch.data.tokens import TokensView

_SHARE = 0.25
"""Share of a GPU's free memory that all tokens may take; else they stay beside the CPU."""


class Panel:
    """Layout `dense`: the bins of all genes (n, g), uint8; every row has the same genes.

    Many rows beside the CPU stay as they are in the file, and are made dense a batch at a time.
    """

    def __init__(self, view: TokensView, tokens: Tokens, device: torch.device):
        self._view, self._tokens = view, tokens
        size = len(tokens) * tokens.n_genes
        self._home = home(device, size)
        spread = self._home.type != "cpu" or size < token_cache.LARGE
        self._bin = _spread(tokens, self._home) if spread else None
        self._gene = torch.arange(tokens.n_genes, device=device)[None]

    def length(self, rows: np.ndarray) -> np.ndarray:
        """Return the tokens of rows (n,)."""
        return np.full(len(rows), self._gene.shape[1])

    def seed(self, seed: int) -> None:
        """Nothing is drawn here."""

    def plain(self, rows: np.ndarray) -> dict[str, Tensor]:
        """Return bins (n, g) and genes (1, g)."""
        if self._bin is None:
            x = torch.from_numpy(self._tokens.take(rows).dense())
        else:
            x = self._bin.index_select(0, torch.from_numpy(rows).to(self._home))
        return {"x": x.to(self._gene.device).long(), "gene": self._gene}

    def drawn(self, rows: np.ndarray, mine: slice) -> dict[str, Tensor]:
        """Return the rows for training: the model draws what it hides."""
        return self.plain(rows[mine])

    def hidden(self, rows: np.ndarray, names: np.ndarray) -> dict[str, Tensor]:
        """Return the rows with the tokens that are hidden (n, g), bool."""
        return self.plain(rows) | {"hidden": torch.from_numpy(self._view.hidden(names))}


class Expressed:
    """Layout `expressed`: tokens as CSR, the most variable genes first; longer rows end at `max_length`.

    Absent genes are drawn without replacement with chances in proportion to the share of training rows that express
    them: the smallest of exponential variables divided by the chances (Efraimidis and Spirakis 2006). A gene that no
    training row expresses, and one that the row expresses beyond `max_length`, is never drawn.
    """

    def __init__(self, view: TokensView, tokens: Tokens, device: torch.device):
        self._view, self._g = view, tokens.n_genes
        self._home = home(device, tokens.bin.nbytes + tokens.gene.nbytes)
        self._bin, self._gene = (borrow(values).to(self._home) for values in (tokens.bin, tokens.gene))
        self._start, self._full = tokens.indptr[:-1], np.diff(tokens.indptr)
        times_g = view.times_gb[:, 1:].sum(1)
        self._choice = int((times_g > 0).sum())
        self._chance = torch.from_numpy(times_g.astype(np.float32)).to(self._home)
        self._generator = torch.Generator(self._home)

    def length(self, rows: np.ndarray) -> np.ndarray:
        """Return the tokens of rows (n,), without absent genes."""
        return np.minimum(self._full[rows], self._view.config.max_length)

    def seed(self, seed: int) -> None:
        """Seed the absent genes of the batches to come."""
        self._generator.manual_seed(seed)

    def plain(self, rows: np.ndarray) -> dict[str, Tensor]:
        """Return bins and genes (n, l) of the expressed genes, and the length (n,)."""
        length = self.length(rows)
        return self._padded(rows, length, max(1, int(length.max(initial=0))))[0]

    def drawn(self, rows: np.ndarray, mine: slice) -> dict[str, Tensor]:
        """Return the rows that are `mine` with absent genes, which are `hidden`; those of all rows are drawn."""
        if not self._view.config.absent:
            return self.plain(rows[mine])
        race_ng = torch.empty(len(rows), self._g, device=self._home).exponential_(generator=self._generator)
        return self._appended(rows[mine], race_ng[mine])

    def hidden(self, rows: np.ndarray, names: np.ndarray) -> dict[str, Tensor]:
        """Return the rows with absent genes drawn by hashes of names; these and a share of the others are `hidden`."""
        if self._view.config.absent:
            fields = self._appended(rows, torch.from_numpy(self._view.race(names)).to(self._home))
        else:
            fields = self.plain(rows)
            fields["hidden"] = torch.zeros_like(fields["x"], dtype=torch.bool)
        hidden_ng = torch.from_numpy(self._view.hidden(names)).to(self._home)
        fields["hidden"] |= hidden_ng.gather(1, fields["gene"]) & (fields["x"] > 0)
        return fields

    def _appended(self, rows: np.ndarray, race_ng: Tensor) -> dict[str, Tensor]:
        length = self.length(rows)
        more = np.maximum(1, np.round(self._view.config.absent * length).astype(np.int64))
        more = np.minimum(more, np.maximum(0, self._choice - self._full[rows]))
        fields, row_m, gene_m = self._padded(rows, length, max(1, int((length + more).max(initial=0))))
        race_ng = (race_ng / self._chance).masked_fill_(self._chance == 0, torch.inf)
        race_ng[row_m, gene_m] = torch.inf
        absent_nk = race_ng.topk(int(more.max(initial=0)), dim=1, largest=False).indices
        length_n, more_n = (torch.from_numpy(values).to(self._home)[:, None] for values in (length, more))
        order_k = torch.arange(absent_nk.shape[1], device=self._home)
        row, column = (order_k < more_n).nonzero(as_tuple=True)
        place = (length_n + order_k)[row, column]
        fields["gene"][row, place] = absent_nk[row, column]
        fields["hidden"] = torch.zeros_like(fields["x"], dtype=torch.bool)
        fields["hidden"][row, place] = True
        fields["length"] = fields["length"] + more_n[:, 0]
        return fields

    def _padded(self, rows: np.ndarray, length: np.ndarray, width: int) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Return bins and genes (n, width), 0 beyond the length; and row and gene of all tokens of the rows (m,)."""
        full = self._full[rows]
        before = np.cumsum(full) - full
        row = np.repeat(np.arange(len(rows)), full)
        place = np.arange(len(row)) - before[row]
        row_m, place_m, from_m = (
            torch.from_numpy(values).to(self._home) for values in (row, place, place + self._start[rows][row])
        )
        gene_m = self._gene.index_select(0, from_m).long()
        kept = torch.from_numpy(place < length[row]).to(self._home)
        at = (row_m * width + place_m)[kept]
        x, gene = (torch.zeros(len(rows) * width, dtype=torch.int64, device=self._home) for _ in range(2))
        x[at] = self._bin.index_select(0, from_m[kept]).long()
        gene[at] = gene_m[kept]
        length_n = torch.from_numpy(length).to(self._home)
        fields = {"x": x.view(-1, width), "gene": gene.view(-1, width), "length": length_n}
        return fields, row_m, gene_m


def _spread(tokens: Tokens, device: torch.device) -> Tensor:
    """Return the bins of all genes (n, g), uint8, on a device; main memory may have no room for them."""
    bin_ng = torch.empty(len(tokens), tokens.n_genes, dtype=torch.uint8, device=device)
    step = max(1, token_cache.LARGE // tokens.n_genes)
    for first in range(0, len(tokens), step):
        part = tokens.between(first, min(first + step, len(tokens)))
        bin_ng[first : first + step] = torch.from_numpy(part.dense())
    return bin_ng


def home(device: torch.device, size: int) -> torch.device:
    """Return where `size` bytes of tokens are kept: on the device, unless they are too many for a GPU."""
    if device.type == "cuda" and size > _SHARE * torch.cuda.mem_get_info(device)[0]:
        return torch.device("cpu")
    return device
