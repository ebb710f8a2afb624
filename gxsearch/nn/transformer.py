"""A stack of pre-norm transformer blocks over sets of tokens: no positions, padding is never attended to.

    h <- h + W_o Attention(LN(h)),    h <- h + W_2 GELU(W_1 LN(h));    last a LayerNorm

Vaswani et al. 2017, with the norm before each part (Xiong et al. 2020).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

_START = 0.02
"""Standard deviation of first weights (Devlin et al. 2018)."""


class Block(nn.Module):
    """Attention and a feed-forward layer, each beside the path that skips it.

    Args:
        width: length of a token's vector d.
        heads: heads of attention; they share d.
        inner: units of the feed-forward layer.
        dropout, attention_dropout: shares dropped in training of what a part adds and of attention.
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
        n, length, width = h_nld.shape
        qkv = self.qkv(self.norm_1(h_nld)).view(n, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        share = self.attention_dropout if self.training else 0.0
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, dropout_p=share)
        h_nld = h_nld + self.dropout(self.out(found.transpose(1, 2).reshape(n, length, width)))
        return h_nld + self.dropout(self.down(F.gelu(self.up(self.norm_2(h_nld)))))


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
                nn.init.normal_(weight, std=_START / math.sqrt(2 * layers) if added else _START)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)

    def forward(self, h_nld: Tensor, length_n: Tensor | None = None) -> Tensor:
        """Return the tokens' vectors (n, l, d); tokens from `length_n` (n,) on are padding.

        Without `length_n` no mask is made, so that CUDA takes its flash kernel.
        """
        seen = None
        if length_n is not None:
            seen = (torch.arange(h_nld.shape[1], device=h_nld.device) < length_n.unsqueeze(1))[:, None, None]
        for block in self.blocks:
            if self.recompute and self.training:
                h_nld = checkpoint(block, h_nld, seen, use_reentrant=False)
            else:
                h_nld = block(h_nld, seen)
        return self.norm(h_nld)


def table(size: int, width: int) -> nn.Embedding:
    """Return `size` vectors of length `width`, started like the encoder's weights."""
    made = nn.Embedding(size, width)
    nn.init.normal_(made.weight, std=_START)
    return made


def head(n_in: int, n_out: int) -> nn.Linear:
    """Return a linear layer started like the encoder's, with a bias of zeros."""
    made = nn.Linear(n_in, n_out)
    nn.init.normal_(made.weight, std=_START)
    nn.init.zeros_(made.bias)
    return made
