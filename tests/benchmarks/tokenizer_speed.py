"""How many times faster a table becomes tokens than by a loop over its rows; both must give the same.

    python tests/benchmarks/tokenizer_speed.py [--rows 1000] [--genes 2500]

Values are log1p of counts normalized per cell. ``row loop`` tokenizes a row at a time with NumPy, as through AnnData's
rows: dense, np.digitize, the expressed genes; ``scalar`` a value at a time on 50 rows, scaled up.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from anndata import AnnData
from scipy import sparse

from gxsearch.data.tokenizer import Binning, Tokenizer, Tokens, fit_edges, occupancy

SCALAR_ROWS = 50
BINNINGS = {
    "binary": {},
    "uniform, 10 bins": {"binning": "uniform", "n_bins": 10},
    "quantile, 10 bins": {"binning": "quantile", "n_bins": 10},
    "quantile, 10 bins per gene": {"binning": "quantile", "n_bins": 10, "per_gene": True},
}


def cells(n: int, g: int) -> sparse.csr_matrix:
    """Return values (n, g) of which about a fifth are other than zero."""
    rng = np.random.default_rng(0)
    count_ng = rng.poisson(rng.gamma(0.3, 1.0, g) * rng.gamma(4, 0.25, (n, 1))).astype(np.float32)
    count_ng *= 1e4 / np.maximum(count_ng.sum(1, keepdims=True), 1)
    return sparse.csr_matrix(np.log1p(count_ng))


def by_rows(adata: AnnData, edges: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return bins and genes of each row, a row at a time."""
    found = []
    for i in range(adata.n_obs):
        value_g = adata[i].X.toarray().ravel()
        bin_g = np.digitize(value_g, edges) if edges.ndim == 1 else (value_g[:, None] >= edges).sum(1)
        bin_g[value_g == 0] = 0
        gene = np.flatnonzero(bin_g)
        found.append((bin_g[gene], gene))
    return found


def by_values(x_ng: sparse.csr_matrix, edges: np.ndarray) -> list[list[tuple[int, int]]]:
    """Return bins and genes of each row, a value at a time."""
    edges_g = np.broadcast_to(edges, (x_ng.shape[1], edges.shape[-1])).tolist()
    found = []
    for start, end in zip(x_ng.indptr[:-1], x_ng.indptr[1:], strict=True):
        pairs = zip(x_ng.indices[start:end].tolist(), x_ng.data[start:end].tolist(), strict=True)
        row = [(sum(value >= edge for edge in edges_g[gene]), gene) for gene, value in pairs]
        found.append([(b, gene) for b, gene in row if b])
    return found


def seconds(call: Callable[[], object], times: int) -> float:
    """Return the median time of a call."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def same(tokens: Tokens, rows: list[tuple[np.ndarray, np.ndarray]]) -> bool:
    """Tell whether both ways gave the same tokens."""
    bins, genes = (np.concatenate(part) for part in zip(*rows, strict=True))
    lengths = [len(gene) for _, gene in rows]
    return (
        np.array_equal(tokens.bin, bins)
        and np.array_equal(tokens.gene, genes)
        and np.array_equal(np.diff(tokens.indptr), lengths)
    )


def main() -> None:
    """Print a line for each way of binning."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--genes", type=int, default=2500)
    args = parser.parse_args()
    x_ng = cells(args.rows, args.genes)
    adata, few = AnnData(x_ng), x_ng[:SCALAR_ROWS]
    print(f"{args.rows:,} x {args.genes:,}, {x_ng.nnz / x_ng.shape[0]:.0f} values other than zero per row; ms per row")
    print(f"{'':28}{'tokenizer':>10}{'row loop':>10}{'ratio':>8}{'scalar':>10}{'ratio':>8}")
    for name, settings in BINNINGS.items():
        edges = fit_edges(x_ng, Binning(**settings))
        made = Tokenizer(adata.var_names.to_numpy(str), edges, occupancy([x_ng], edges)[1], [])
        if not same(made.encode(x_ng), by_rows(adata, edges)):
            raise SystemExit(f"{name}: the tokens differ")
        ours = 1e3 * seconds(lambda made=made: made.encode(x_ng), 15) / args.rows
        rows = 1e3 * seconds(lambda edges=edges: by_rows(adata, edges), 1) / args.rows
        scalar = 1e3 * seconds(lambda edges=edges: by_values(few, edges), 1) / few.shape[0]
        print(f"{name:28}{ours:10.4f}{rows:10.3f}{rows / ours:8.0f}{scalar:10.3f}{scalar / ours:8.0f}")


if __name__ == "__main__":
    main()
