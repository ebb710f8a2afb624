"""Tokens: the view of transformers over genes: bins of values, and phenotypes as categories beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np
import torch
from scipy import sparse

from gxsearch.config import knob
from gxsearch.data.batch import Batch
from gxsearch.data.entries import row_keys, scramble
from gxsearch.data.table import PARTS, Table
from gxsearch.data.token_cache import kept
from gxsearch.data.token_checks import table_faults, token_faults, vocabulary
from gxsearch.data.token_examples import TokenExamples, TokenRows
from gxsearch.data.token_pretrained import read_pretrained
from gxsearch.data.token_values import TokenValues
from gxsearch.data.tokenizer import Binning, Tokenizer, Tokens, fit_edges, occupancy
from gxsearch.data.view import Dims, View
from gxsearch.errors import DataError

_VALUES = 1 << 20
"""Keys made at a time for the tokens that are hidden; bounds the memory."""
_SAMPLE = 1 << 26
"""Values that quantiles are taken of at most; bounds the memory."""
_ABSENT = 1 << 32
"""Added to the seed of hidden tokens for that of absent genes, so that the two have nothing to do with each other."""


class TokensConfig(Binning):
    """What is a token, what else the model is told of the rows, and what validation hides."""

    layout: Literal["dense", "expressed"] = knob(
        "dense",
        doc="dense: a token for every gene, most variable first; expressed: for the expressed genes of each row only",
    )
    max_length: int = knob(
        1024, doc="expressed genes that are read of a row, the most variable ones (layout: expressed)", low=1
    )
    absent: float = knob(
        0.15,
        doc="genes not expressed that are appended and always hidden, as a share of the expressed ones "
        "(layout: expressed)",
        low=0.0,
        high=4.0,
    )
    phenotypes: list[str] = knob([], doc="obs columns that are told as tokens or found: cell type, tissue, sex, age")
    phenotype_bins: int = knob(
        4,
        doc="ranges that numbers of more different values are cut into, of as many training rows each",
        low=2,
        high=50,
    )
    unspecified: list[str] = knob(
        ["", "unknown", "nan", "unspecified", "not specified"],
        doc="names of categories that mean not specified, in upper or lower case",
    )
    hidden_share: float = knob(
        0.15, doc="share of the genes of each held-out row that validation hides", above=0, below=1
    )
    seed: int = knob(0, doc="seed of the tokens that validation hides", low=0)
    pretrained: str | None = knob(
        None,
        doc="folder of an exported model (RUN/results/best) whose genes, bins and categories are taken; its "
        "genes.txt is for data.genes.file",
    )


class TokensView(View):
    """Rows of tokens. Genes stand in the order of decreasing variance over training rows; ties by name.

    Attributes:
        tokenizer: genes, edges, levels and the categories of phenotypes.
        times_gb: training rows in each gene's bins (g, n_bins), int64.
        times_c: training rows of each category of each phenotype (c,), by its name.
    """

    Config = TokensConfig
    layout = "sparse"

    def __init__(
        self,
        config: TokensConfig,
        tokenizer: Tokenizer,
        times_gb: np.ndarray,
        times_c: dict[str, list[int]],
        high: float,
    ):
        self.config, self.tokenizer = config, tokenizer
        self.times_gb, self.times_c, self._high = times_gb, times_c, high

    @classmethod
    def columns(cls, config: TokensConfig) -> tuple[str, ...]:
        """Return the columns of phenotypes."""
        return tuple(dict.fromkeys(config.phenotypes))

    @classmethod
    def fit(cls, table: Table, config: TokensConfig) -> TokensView:
        """Learn gene order, edges, levels and categories from training rows, or take them from a pretrained model.

        Raises:
            DataError: with all that keeps the table from being read as tokens (`token_checks`); E420 and E490-E492
                where it does not suit the pretrained model.
            RunError: when the pretrained model is missing or damaged.
        """
        faults = table_faults(table, config)
        if faults:
            raise DataError(faults)
        train_n = table.part_n == PARTS.index("train")
        known = None if config.pretrained is None else read_pretrained(table, config)
        values = TokenValues(table, table.var_names)
        genes = _by_variance(values.blocks(train_n), table.var_names) if known is None else known.genes
        values = TokenValues(table, genes)
        phenotypes = vocabulary(table, config, [] if known is None else known.vocabulary, faults)
        edges = fit_edges(_sample(values, train_n, config), config) if known is None else known.edges
        times_gb, level_gb = occupancy(values.blocks(train_n), edges)
        faults += token_faults(times_gb, config)
        if faults:
            raise DataError(faults)
        tokenizer = Tokenizer(genes, edges, level_gb if known is None else known.levels, phenotypes)
        high = max(float(block.data.max(initial=0.0)) for block in values.blocks(train_n))
        view, codes = cls(config, tokenizer, times_gb, {}, high), tokenizer.codes(table)[train_n]
        for p, phenotype in enumerate(phenotypes):
            told = codes[codes[:, p] >= 0, p]
            view.times_c[phenotype.name] = np.bincount(told, minlength=len(phenotype.categories)).tolist()
        return view

    def state(self) -> dict[str, Any]:
        """Return settings, tokenizer and what was counted of training rows as JSON values."""
        counted = {"times": self.times_gb.tolist(), "phenotype_times": self.times_c, "high": self._high}
        return {"config": self.config.model_dump(), "tokenizer": self.tokenizer.state(), **counted}

    @classmethod
    def load(cls, state: dict[str, Any]) -> TokensView:
        """Rebuild the view from its `state`."""
        times_gb = np.array(state["times"], dtype=np.int64)
        tokenizer = Tokenizer.load(state["tokenizer"])
        return cls(TokensConfig(**state["config"]), tokenizer, times_gb, state["phenotype_times"], state["high"])

    @property
    def dims(self) -> Dims:
        """Training rows, genes, bins and categories; `high` is the largest training value."""
        sizes = {name: len(names) for name, names in self.tokenizer.phenotypes.items()}
        n_rows, bins = int(self.times_gb[0].sum()), self.tokenizer.n_bins
        more = {"n_bins": bins, "phenotypes": sizes, "pretrained": self.config.pretrained or ""}
        return Dims(n_rows, len(self.genes), 0.0, self._high, **more)

    @property
    def genes(self) -> np.ndarray:
        """Gene names in the order of tokens (g,)."""
        return self.tokenizer.genes

    @property
    def levels(self) -> np.ndarray:
        """Mean value of training rows in each gene's bins (g, n_bins), float32."""
        return self.tokenizer.levels

    @property
    def frequency(self) -> np.ndarray:
        """Share of training rows in each gene's bins (g, n_bins), with half a row added to each bin."""
        return (self.times_gb + 0.5) / (self.times_gb + 0.5).sum(1, keepdims=True)

    @property
    def phenotype_share(self) -> dict[str, np.ndarray]:
        """Share of each category among training rows with it known (c,), with half a row added to each."""
        times = {name: np.array(times_c) + 0.5 for name, times_c in self.times_c.items()}
        return {name: times_c / times_c.sum() for name, times_c in times.items()}

    def values(self, table: Table) -> sparse.csr_matrix:
        """Return the values (n, g) of a table in the order of the view's genes.

        Raises:
            DataError: naming the genes that the table lacks; E486 with values below zero.
        """
        return self._values(table)()

    def tokens(self, table: Table) -> Tokens:
        """Return the tokens of all rows of a table; many are kept in a file and mapped from it (`token_cache`)."""
        return kept(self.tokenizer, self._values(table))

    def bins(self, table: Table) -> np.ndarray:
        """Return the bins of all genes (n, g), uint8."""
        return self.tokens(table).dense()

    def codes(self, table: Table) -> np.ndarray:
        """Return the category of each phenotype of the rows (n, phenotypes), int64.

        It is -1 where the table has no such column, where it is not specified and where training had no such
        category; `unseen` counts these last.
        """
        return self.tokenizer.codes(table)

    def unseen(self, table: Table) -> dict[str, int]:
        """Return how many rows of a table have a category that training had not, for each phenotype that it has."""
        there = [phenotype for phenotype in self.tokenizer.vocabulary if phenotype.name in table.obs]
        return {p.name: p.unseen(table.obs[p.name], self.config.unspecified) for p in there}

    def hidden(self, obs_names: np.ndarray) -> np.ndarray:
        """Return which genes (n, g) of rows are hidden, bool: round(share g) of each row, by hashes of names."""
        times = max(1, round(self.config.hidden_share * len(self.genes)))
        hidden_ng = np.empty((len(obs_names), len(self.genes)), dtype=bool)
        for start, key_ng in self._keys(obs_names, self.config.seed):
            last_n = np.partition(key_ng, times - 1, axis=1)[:, times - 1]
            hidden_ng[start : start + len(key_ng)] = key_ng <= last_n[:, None]
        return hidden_ng

    def race(self, obs_names: np.ndarray) -> np.ndarray:
        """Return an exponential variable (n, g) of mean 1 for each gene of rows, by hashes of names, float32.

        Divided by chances, the smallest are a draw without replacement: of the absent genes that validation appends.
        """
        drawn_ng = np.empty((len(obs_names), len(self.genes)), dtype=np.float32)
        for start, key_ng in self._keys(obs_names, self.config.seed + _ABSENT):
            drawn_ng[start : start + len(key_ng)] = -np.log((key_ng + 0.5) * 2.0**-64)
        return drawn_ng

    def examples(self, table: Table, device: torch.device) -> TokenExamples:
        """Put the tokens on a device, or map them from a file."""
        return TokenExamples(self, table, device)

    def cut(
        self, table: Table, device: torch.device, *, told: tuple[str, ...] | None = None, hidden: bool = False
    ) -> Iterator[Batch]:
        """Yield all rows of the table in their order.

        Args:
            told: names of the phenotypes that are given, where the table has them; None for all. Others are -1.
            hidden: hide tokens, and append absent genes, as in validation.
        """
        rows = TokenRows(self, table, device, told=told)
        yield from rows.in_order(np.arange(table.n_obs), hidden=hidden)

    def _values(self, table: Table) -> TokenValues:
        faults = table_faults(table, self.config, fitting=False)
        if faults:
            raise DataError(faults)
        return TokenValues(table, self.genes)

    def _keys(self, obs_names: np.ndarray, seed: int) -> Iterator[tuple[int, np.ndarray]]:
        row_n, gene_g = row_keys(obs_names, seed), row_keys(self.genes, seed)
        size = max(1, _VALUES // len(gene_g))
        for start in range(0, len(row_n), size):
            yield start, scramble(row_n[start : start + size, None] ^ gene_g)


def _by_variance(blocks: Iterable[sparse.csr_matrix], names: np.ndarray) -> np.ndarray:
    """Return the names in the order of decreasing variance."""
    n, sum_g, square_g = 0, np.zeros(len(names)), np.zeros(len(names))
    for x_ng in blocks:
        n, value_m = n + x_ng.shape[0], x_ng.data.astype(np.float64)
        sum_g += np.bincount(x_ng.indices, weights=value_m, minlength=len(names))
        square_g += np.bincount(x_ng.indices, weights=value_m**2, minlength=len(names))
    return names[np.lexsort([names, -np.round(square_g / n - (sum_g / n) ** 2, 12)])]


def _sample(values: TokenValues, train_n: np.ndarray, config: TokensConfig) -> sparse.csr_matrix:
    """Return the training rows (n, g) whose quantiles are taken: all, or evenly spaced ones of many."""
    rows = np.flatnonzero(train_n)
    if config.binning != "quantile":
        return sparse.csr_matrix((0, len(values)), dtype=np.float32)
    every = max(1, -(-values.matrix.nnz // _SAMPLE))
    wanted_n = np.zeros_like(train_n)
    wanted_n[rows[::every]] = True
    return sparse.vstack(list(values.blocks(wanted_n)), "csr")
