"""Large sets of tokens, kept in files that are mapped."""

from __future__ import annotations

from scipy import sparse

from gxsearch.data.tokenizer import Tokenizer, Tokens


def kept(tokenizer: Tokenizer, x_ng: sparse.csr_matrix) -> Tokens:
    """Return the tokens of values (n, g)."""
    return tokenizer.encode(x_ng)
