"""A stack of pre-norm transformer blocks over sets of tokens: no positions, padding is never attended to.

    h <- h + W_o Attention(LN(h)),    h <- h + W_2 GELU(W_1 LN(h));    last a LayerNorm

Vaswani et al. 2017, with the norm before each part (Xiong et al. 2020).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

_START, _TABLE = 0.55, 0.8
"""Standard deviations of first weights and of first vectors, times the root of the width. Of a width of 768 they are
BERT's 0.02 (Devlin et al. 2018) and 0.03; with 0.02 narrow models are slow to begin."""


class Block(nn.Module):
    """Attention and a feed-forward layer, each beside the path that skips it.

    Args:
        width: length of a token's vector d.
        heads: heads of attention; they share d.
        inner: units of the feed-forward layer.
        dropout: share dropped in training of what a part adds.
        attention_dropout: share of the tokens that a head does not see in training, drawn for each row and head;
            what is left is scaled up by the softmax (DropAttention by columns, Zehui et al. 2019). Other than
            dropping single weights it needs no matrix (l, l).
    """

    def __init__(self, width: int, heads: int, inner: int, dropout: float, attention_dropout: float):
        super().__init__()
        self.heads, self.attention_dropout = heads, attention_dropout
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h_nld: Tensor, seen: Tensor | None) -> Tensor:
        """Return the tokens' vectors (n, l, d); `seen` (n, 1, 1, l), bool, says which may be attended to."""
        q, k, v = (self._split(part) for part in self.qkv(self.norm_1(h_nld)).chunk(3, 2))
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=self._dropped(seen, k))
        return self._added(h_nld, found.transpose(1, 2).reshape(h_nld.shape))

    def some(self, h_nld: Tensor, seen: Tensor | None, asked_nl: Tensor) -> Tensor:
        """Return what `forward` does of the tokens asked for alone (m, d), row by row.

        Only their queries are made and only they go through the feed-forward layer.
        """
        n, length, width = h_nld.shape
        at, place_nl = asked_nl.nonzero(as_tuple=True), asked_nl.cumsum(1) - 1
        slot = (at[0], place_nl[at])
        normed = self.norm_1(h_nld)
        weight, bias = self.qkv.weight.split([width, 2 * width]), self.qkv.bias.split([width, 2 * width])
        asked_m = F.linear(normed[at], weight[0], bias[0])
        q_nkd = asked_m.new_zeros(n, int(place_nl.max()) + 1, width).index_put(slot, asked_m)
        k, v = (self._split(part) for part in F.linear(normed, weight[1], bias[1]).chunk(2, 2))
        found = F.scaled_dot_product_attention(self._split(q_nkd), k, v, attn_mask=self._dropped(seen, k))
        return self._added(h_nld[at], found.transpose(1, 2).reshape(q_nkd.shape)[slot])

    def _split(self, part_nld: Tensor) -> Tensor:
        """Return (n, heads, l, d / heads)."""
        n, length, width = part_nld.shape
        return part_nld.view(n, length, self.heads, width // self.heads).transpose(1, 2)

    def _dropped(self, seen: Tensor | None, k: Tensor) -> Tensor | None:
        if not self.training or self.attention_dropout == 0:
            return seen
        kept = torch.rand(*k.shape[:2], 1, k.shape[2], device=k.device) >= self.attention_dropout
        kept[..., 0] = True  # CLS is always seen: a softmax over nothing has no value
        return kept if seen is None else kept & seen

    def _added(self, h: Tensor, found: Tensor) -> Tensor:
        h = h + self.dropout(self.out(found))
        return h + self.dropout(self.down(F.gelu(self.up(self.norm_2(h)))))


class Encoder(nn.Module):
    """Blocks and a last LayerNorm.

    With `recompute` only the input of each block is kept for the backward pass, in which the rest is computed again:
    less memory, a third more time (Chen et al. 2016).
    """

    def __init__(self, width: int, layers: int, heads: int, inner: int, *, dropout: float, attention_dropout: float):
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads, inner, dropout, attention_dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.recompute = False
        for name, weight in self.named_parameters():
            if weight.dim() == 2:  # what is added to the sum of 2 layers parts starts smaller (Radford et al. 2019)
                added = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(weight, std=_START / math.sqrt(width * (2 * layers if added else 1)))
            elif name.endswith("bias"):
                nn.init.zeros_(weight)

    def forward(self, h_nld: Tensor, length_n: Tensor | None = None, asked_nl: Tensor | None = None) -> Tensor:
        """Return the tokens' vectors (n, l, d), or those of the tokens asked for (m, d), row by row.

        Tokens from `length_n` (n,) on are padding. Without `length_n` no mask is made, so that CUDA takes its flash
        kernel. With `asked_nl`, bool, the last block computes only what is asked for.
        """
        seen = None
        if length_n is not None:
            seen = (torch.arange(h_nld.shape[1], device=h_nld.device) < length_n.unsqueeze(1))[:, None, None]
        *blocks, last = self.blocks
        for block in blocks:
            h_nld = self._run(block, h_nld, seen)
        last_part = (last, h_nld, seen) if asked_nl is None else (last.some, h_nld, seen, asked_nl)
        return self.norm(self._run(*last_part))

    def _run(self, part: Callable[..., Tensor], *args: Tensor | None) -> Tensor:
        if self.recompute and self.training:
            return checkpoint(part, *args, use_reentrant=False)
        return part(*args)


def table(size: int, width: int) -> nn.Embedding:
    """Return `size` vectors of length `width`, drawn from a normal distribution."""
    made = nn.Embedding(size, width)
    nn.init.normal_(made.weight, std=_TABLE / math.sqrt(width))
    return made


def head(n_in: int, n_out: int, *, bias: bool = True) -> nn.Linear:
    """Return a linear layer started like the encoder's, with a bias of zeros or none."""
    made = nn.Linear(n_in, n_out, bias=bias)
    nn.init.normal_(made.weight, std=_START / math.sqrt(n_in))
    if bias:
        nn.init.zeros_(made.bias)
    return made
