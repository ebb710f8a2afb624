"""Tokens of genes and phenotypes to vectors, and vectors back to chances of bins."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gxsearch.nn.phenotypes import key
from gxsearch.nn.transformer import head, table

_MASKED = 0.3
"""First scale of a hidden gene: what it is, is told, and not so loudly as its bin would be."""


class TokenEmbedding(nn.Module):
    """The sequence [CLS] [phenotypes] [genes] as vectors of length d.

    A gene token is E_gene[gene] * S[bin] + E_value[bin] with scales S that start at -1 for bin 0 to 1 for the last, so
    that which genes are on can be told from the first step on (with all scales alike at the start, cell types of small
    sets are learnt several times later); a phenotype token is its category's vector. Beside bins and categories there
    are vectors for `hidden` (MASK) and, of a phenotype, for `not specified`.

    Every token is also told how deep its row was read: W [share of each bin among the genes shown, log of their
    number]. Attention alone learns this late, as it must first overlook what is hidden, and then cells that are drawn
    differ too little in how many genes they express.

    Args:
        n_genes, n_bins, width: sizes g, b, d.
        phenotypes: number of categories of each phenotype, by its name.
    """

    def __init__(self, n_genes: int, n_bins: int, phenotypes: dict[str, int], width: int):
        super().__init__()
        self.hidden = n_bins
        self.gene, self.value = table(n_genes, width), table(n_bins + 1, width)
        steps = torch.cat([torch.linspace(-1.0, 1.0, n_bins), torch.tensor([_MASKED])])
        self.scale = nn.Parameter(steps.unsqueeze(1).repeat(1, width))
        self.cls, self.depth = table(1, width), nn.Linear(n_bins + 1, width, bias=False)
        self.phenotypes = nn.ModuleDict({key(name): table(size + 2, width) for name, size in phenotypes.items()})

    def forward(self, bin_nl: Tensor, gene_nl: Tensor, told_np: Tensor, real_nl: Tensor) -> Tensor:
        """Return the vectors (n, 1 + P + l, d).

        Args:
            bin_nl: bins, or `hidden`.
            gene_nl: genes (n, l), or (1, l) where all rows have the same.
            told_np: categories of the phenotypes; -1 is not specified, -2 hidden.
            real_nl: which gene tokens are no padding (n, l) or (1, l), bool.
        """
        parts = [self.cls.weight.expand(len(bin_nl), 1, -1)]
        for told_n, made in zip(told_np.unbind(1), self.phenotypes.values(), strict=True):
            parts.append(made((told_n + 2).unsqueeze(1)))
        parts.append(self.gene(gene_nl) * F.embedding(bin_nl, self.scale) + self.value(bin_nl))
        return torch.cat(parts, 1) + self.depth(self._shown(bin_nl, real_nl)).unsqueeze(1)

    def _shown(self, bin_nl: Tensor, real_nl: Tensor) -> Tensor:
        """Return the share of each bin among gene tokens shown, and a tenth of the log of their number (n, b + 1)."""
        times_nb = torch.stack([((bin_nl == b) & real_nl).sum(1) for b in range(self.hidden)], 1).float()
        total_n1 = times_nb.sum(1, keepdim=True)
        return torch.cat([times_nb / total_n1.clamp_min(1.0), 0.1 * total_n1.log1p()], 1)


class GeneHead(nn.Module):
    """Logits of the bins of single tokens: <A_b t, E_gene> + c_gene,b with t = LN(GELU(W h)).

    Of two bins there is one logit, that of the second. The constants start at how often training rows are in each
    bin, so that the first prediction is each gene's frequency.
    """

    def __init__(self, n_genes: int, n_bins: int, width: int):
        super().__init__()
        self.outputs = 1 if n_bins == 2 else n_bins
        self.dense, self.norm = head(width, width), nn.LayerNorm(width)
        self.towards = head(width, self.outputs * width, bias=False)
        self.bias = nn.Parameter(torch.zeros(n_genes, self.outputs))

    def forward(self, h_md: Tensor, gene_m: Tensor, gene_gd: Tensor) -> Tensor:
        """Return the logits (m, 1 or b) of tokens of these genes; `gene_gd` are the genes' vectors."""
        t_md = self.norm(F.gelu(self.dense(h_md)))
        towards = self.towards(t_md).view(len(t_md), self.outputs, t_md.shape[1])
        logits = torch.einsum("mbd,md->mb", towards, F.embedding(gene_m, gene_gd))
        return logits.float() + F.embedding(gene_m, self.bias)

    @torch.no_grad()
    def start(self, frequency_gb: Tensor) -> None:
        """Set the constants to the logits of these frequencies (g, b)."""
        log_gb = frequency_gb.log()
        self.bias.copy_(log_gb[:, 1:] - log_gb[:, :1] if self.outputs == 1 else log_gb)


class ClassHead(nn.Module):
    """Logits of a row's class: dense, GELU, dropout, linear."""

    def __init__(self, width: int, classes: int, dropout: float):
        super().__init__()
        self.dense, self.out, self.dropout = head(width, width), head(width, classes), nn.Dropout(dropout)

    def forward(self, h_nd: Tensor) -> Tensor:
        """Return the logits (n, c)."""
        return self.out(self.dropout(F.gelu(self.dense(h_nd))))
