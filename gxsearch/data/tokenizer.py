"""Tokenizer: how values become bins and bins values; learnt from training rows, kept as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import sparse

from gxsearch.config import Config, knob
from gxsearch.data.table import Table
from gxsearch.data.token_phenotypes import Phenotype

_FEW = 32
"""Edges up to which it is faster to compare values with every edge than to search among them."""


class Binning(Config):
    """Into which bins values are divided; bin 0 is a gene that is not expressed."""

    binning: Literal["binary", "uniform", "quantile"] = knob(
        "binary",
        doc="binary: expressed or not; uniform: even steps from `low` to `high`; quantile: bins of as many values each",
    )
    threshold: float = knob(0.1, doc="least value that is expressed (binary); with 0 all values but zero are", low=0)
    low: float = knob(0.1, doc="first edge (uniform): smaller values are not expressed", low=0.0)
    high: float = knob(9.0, doc="last edge (uniform): the top bin holds all values from it on", above=0.0)
    n_bins: int = knob(10, doc="bins with that of genes not expressed (uniform, quantile)", low=2, high=256)
    per_gene: bool = knob(False, doc="each gene has quantiles of its own (quantile)")


@dataclass(frozen=True)
class Tokens:
    """The expressed genes of rows, in the order of the tokenizer's genes, as CSR.

    Attributes:
        bin: bins from 1 on (m,), uint8.
        gene: index of each token's gene (m,), int32, ascending within a row.
        indptr: where the tokens of each row begin, and the last end (n + 1,), int64.
        n_genes: genes of the tokenizer.
    """

    bin: np.ndarray
    gene: np.ndarray
    indptr: np.ndarray
    n_genes: int

    def dense(self) -> np.ndarray:
        """Return the bins of all genes (n, g), uint8."""
        length_n = np.diff(self.indptr)
        bin_ng = np.zeros((len(length_n), self.n_genes), dtype=np.uint8)
        bin_ng[np.repeat(np.arange(len(length_n)), length_n), self.gene] = self.bin
        return bin_ng

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def between(self, first: int, last: int) -> Tokens:
        """Return the tokens of the rows from `first` to before `last`, without a copy."""
        start = self.indptr[first : last + 1]
        mine = slice(start[0], start[-1])
        return Tokens(self.bin[mine], self.gene[mine], start - start[0], self.n_genes)

    def take(self, rows: np.ndarray) -> Tokens:
        """Return the tokens of these rows."""
        length = np.diff(self.indptr)[rows]
        indptr = np.append(0, np.cumsum(length))
        place = np.arange(indptr[-1]) + np.repeat(self.indptr[rows] - indptr[:-1], length)
        return Tokens(self.bin[place], self.gene[place], indptr, self.n_genes)


class Tokenizer:
    """A value's bin is the number of edges at or below it; zero is always bin 0.

    Attributes:
        genes: names (g,), in the order of tokens.
        edges: float32, ascending: (n_bins - 1,) for all genes, or (g, n_bins - 1).
        levels: mean training value in each gene's bins (g, n_bins), float32.
        vocabulary: the phenotypes with their categories.
    """

    def __init__(self, genes: np.ndarray, edges: np.ndarray, levels: np.ndarray, vocabulary: list[Phenotype]):
        self.genes, self.edges, self.levels, self.vocabulary = genes, edges, levels, vocabulary

    @property
    def n_bins(self) -> int:
        """Number of bins, that of genes not expressed among them."""
        return self.edges.shape[-1] + 1

    @property
    def phenotypes(self) -> dict[str, list[str]]:
        """Names of the categories of each phenotype, by its name."""
        return {phenotype.name: list(phenotype.categories) for phenotype in self.vocabulary}

    def encode(self, x_ng: sparse.csr_matrix) -> Tokens:
        """Return the tokens of values (n, g) >= 0 whose columns are the tokenizer's genes."""
        x_ng = x_ng if x_ng.has_sorted_indices else x_ng.sorted_indices()
        bin_m = digitize(x_ng.data, x_ng.indices, self.edges)
        kept_m = bin_m > 0
        before = np.zeros(len(kept_m) + 1, dtype=np.int64)
        np.cumsum(kept_m, out=before[1:])
        gene_m = x_ng.indices[kept_m].astype(np.int32, copy=False)
        return Tokens(bin_m[kept_m], gene_m, before[x_ng.indptr], len(self.genes))

    def codes(self, table: Table) -> np.ndarray:
        """Return the category of each phenotype of rows (n, phenotypes), int64; -1 where there is none."""
        codes = np.full((table.n_obs, len(self.vocabulary)), -1, dtype=np.int64)
        for p, phenotype in enumerate(self.vocabulary):
            if phenotype.name in table.obs:
                codes[:, p] = phenotype.codes(table.obs[phenotype.name])
        return codes

    def decode(self, bin_ng: np.ndarray) -> np.ndarray:
        """Return the values (n, g) that bins stand for: the mean of training rows, float32."""
        return self.levels[np.arange(len(self.genes)), bin_ng]

    def state(self) -> dict[str, Any]:
        """Return genes, edges, levels and phenotypes as JSON values."""
        phenotypes = [phenotype.state() for phenotype in self.vocabulary]
        numbers = {"edges": _numbers(self.edges), "levels": _numbers(self.levels)}
        return {"genes": self.genes.tolist(), **numbers, "phenotypes": phenotypes}

    @classmethod
    def load(cls, state: dict[str, Any]) -> Tokenizer:
        """Rebuild the tokenizer from its `state`."""
        edges, levels = (np.array(state[name], dtype=np.float32) for name in ("edges", "levels"))
        return cls(np.array(state["genes"]), edges, levels, [Phenotype.load(given) for given in state["phenotypes"]])

    def to_json(self) -> str:
        """Return the tokenizer as JSON text."""
        return json.dumps(self.state())

    @classmethod
    def from_json(cls, text: str) -> Tokenizer:
        """Rebuild the tokenizer from `to_json`, exactly."""
        return cls.load(json.loads(text))


def digitize(value_m: np.ndarray, gene_m: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the bins of values of genes (m,), uint8: the number of edges at or below each, and 0 for zeros."""
    if edges.ndim == 1 and len(edges) > _FEW:
        return (np.searchsorted(edges, value_m, side="right") * (value_m > 0)).astype(np.uint8)
    bin_m = np.zeros(len(value_m), dtype=np.uint8)
    for edge in edges.T:
        bin_m += value_m >= (edge if edge.ndim == 0 else edge[gene_m])
    if not edges.min() > 0:
        bin_m *= value_m > 0
    return bin_m


def fit_edges(x_ng: sparse.csr_matrix, config: Binning) -> np.ndarray:
    """Return the edges that suit training rows (n, g), float32: (n_bins - 1,), or (g, n_bins - 1) by gene.

    Quantiles are of values other than zero; the first edge is then 0. Where many values are alike there are fewer
    bins for all genes; a gene's own edges may coincide, and it then never has the bins between.
    """
    if config.binning == "binary":
        return np.array([config.threshold], dtype=np.float32)
    if config.binning == "uniform":
        return np.linspace(config.low, config.high, config.n_bins - 1).astype(np.float32)
    shares = np.arange(1, config.n_bins - 1) / (config.n_bins - 1)
    shared = _quantiles(x_ng.data, shares)
    if not config.per_gene:
        inner = np.unique(shared)
        return np.append(np.float32(0), inner[inner > x_ng.data.min(initial=np.inf, where=x_ng.data > 0)])
    by_gene = x_ng.tocsc()
    edges = np.zeros((x_ng.shape[1], config.n_bins - 1), dtype=np.float32)
    for gene, (start, end) in enumerate(zip(by_gene.indptr[:-1], by_gene.indptr[1:], strict=True)):
        values = by_gene.data[start:end]
        edges[gene, 1:] = _quantiles(values, shares) if (values > 0).any() else shared
    return edges


def occupancy(blocks: Iterable[sparse.csr_matrix], edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how many rows each gene's bins hold (g, n_bins), int64, and the mean value there, float32.

    The rows come in blocks (n, g), one at least. A bin that holds none of a gene has the mean of that bin over all
    genes or, where there is none, the middle of its edges.
    """
    n_bins, times_gb, sum_gb = edges.shape[-1] + 1, 0, 0.0
    for x_ng in blocks:
        place_m = x_ng.indices * np.int64(n_bins) + digitize(x_ng.data, x_ng.indices, edges)
        size, shape = {"minlength": x_ng.shape[1] * n_bins}, (x_ng.shape[1], n_bins)
        found_gb = np.bincount(place_m, **size).reshape(shape)
        found_gb[:, 0] += x_ng.shape[0] - found_gb.sum(1)
        times_gb = times_gb + found_gb
        sum_gb = sum_gb + np.bincount(place_m, weights=x_ng.data, **size).reshape(shape)
    times_b, sum_b = times_gb.sum(0), sum_gb.sum(0)
    bound_gb = np.concatenate([np.zeros((len(edges) if edges.ndim == 2 else 1, 1)), np.atleast_2d(edges)], 1)
    middle_gb = (bound_gb + np.concatenate([bound_gb[:, 1:], bound_gb[:, -1:]], 1)) / 2
    other_gb = np.where(times_b > 0, sum_b / np.maximum(times_b, 1), middle_gb)
    return times_gb, np.where(times_gb > 0, sum_gb / np.maximum(times_gb, 1), other_gb).astype(np.float32)


def _quantiles(values: np.ndarray, shares: np.ndarray) -> np.ndarray:
    positive = values[values > 0]
    return np.quantile(positive, shares).astype(np.float32) if len(positive) else np.zeros(len(shares), np.float32)


def _numbers(array: np.ndarray) -> list:
    """Return float32 values as the shortest numbers that give them again."""
    if array.ndim > 1:
        return [_numbers(row) for row in array]
    return [float(str(value)) for value in array]
