"""Tiles against the plain module: time of a forward and backward pass per pair, side by side, and equal outputs.

    python tests/benchmarks/fe_kernel.py [--pairs 20480] [--repeats 15] [--threads 1]

To hold: at least 1.8 times as fast at the package's sizes, 5 times at 1,000 gene dimensions.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from gxsearch.data.view import Dims
from gxsearch.models.fe import FactorizedEmbeddings, FEConfig

ROWS, GENES = 2000, 5000
CASES = [
    # sample_dim, gene_dim, hidden, tile edge, least ratio
    (2, 100, [100, 50, 50], 16, 1.8),
    (2, 1000, [100, 50, 50], 32, 5.0),
    (64, 100, [100, 50, 50], 16, None),
    (2, 50, [25], 16, None),
    (2, 2, [250, 75, 50, 25, 10], 16, None),
]


def naive(model: FactorizedEmbeddings, row: Tensor, gene: Tensor) -> Tensor:
    """Run the plain module on pairs (n,): concatenate, then a stack of layers."""
    h = torch.cat([model.samples(row), model.genes(gene)], dim=1)
    for layer in model.layers[:-1]:
        h = nn.functional.relu(layer(h))
    return model.layers[-1](h).squeeze(1)


def once(model: nn.Module, values: Callable[[], Tensor], x: Tensor) -> float:
    """Return the seconds of one forward and backward pass."""
    begun = time.perf_counter()
    model.zero_grad(set_to_none=True)
    (values() - x).square().mean().backward()
    return time.perf_counter() - begun


def compare(model: FactorizedEmbeddings, pairs: int, edge: int, repeats: int) -> tuple[float, float, float]:
    """Return the least seconds of the plain module and of tiles, and the largest difference of outputs."""
    row = torch.randint(ROWS, (pairs // edge**2, edge))
    gene = torch.randint(GENES, (pairs // edge**2, edge))
    shape = (*row.shape, edge)
    row_n, gene_n = row[:, :, None].expand(shape).flatten(), gene[:, None, :].expand(shape).flatten()
    ways = (lambda: naive(model, row_n, gene_n), lambda: model.predict(row, gene).flatten())
    plain, tiled = (way().detach() for way in ways)
    times = [[once(model, way, torch.zeros_like(plain)) for way in ways] for _ in range(repeats + 1)][1:]
    least = torch.tensor(times).amin(0).tolist()
    return *least, (plain - tiled).abs().max().item()


def main() -> None:
    """Print one line a case; exit 1 where a ratio is too small."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for option, default in (("pairs", 20480), ("repeats", 15), ("threads", 1)):
        parser.add_argument(f"--{option}", type=int, default=default)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    missed = 0
    print("sample_dim gene_dim hidden                  plain ms  tiles ms  ratio  wanted  largest difference")
    for k, d, hidden, edge, least in CASES:
        model = FactorizedEmbeddings(FEConfig(sample_dim=k, gene_dim=d, hidden=hidden), Dims(ROWS, GENES))
        plain, tiled, difference = compare(model, args.pairs, edge, args.repeats)
        ratio = plain / tiled
        missed += (least is not None and ratio < least) or difference > 1e-4
        wanted = f">= {least}" if least else ""
        print(
            f"{k:10d} {d:8d} {hidden!s:22s} {1e3 * plain:9.1f} {1e3 * tiled:9.1f} {ratio:6.2f}  {wanted:6s}"
            f"  {difference:.1e}"
        )
    raise SystemExit(1 if missed else 0)


if __name__ == "__main__":
    main()
