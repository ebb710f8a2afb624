"""Batches of rows in random order: of a matrix in memory any rows, of one on disk rows of a few blocks at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from gxsearch.data.cache import MappedCSR
from gxsearch.data.values import Matrix

BLOCK = 1024
"""Rows that are read one after another."""
POOL = 32
"""Blocks whose rows are shuffled together."""


def batches(
    x_ng: Matrix, rows: Tensor, steps: int, generator: torch.Generator, *, rank: int = 0, world_size: int = 1
) -> Iterator[tuple[Tensor, float]]:
    """Yield for each of `steps` batches of an epoch this rank's rows, and the mean number of rows of all ranks.

    Every one of `rows` (n,), which ascend, comes once, on one rank. Of a matrix in memory a batch is any rows, the same
    ones for any number of ranks; of a `MappedCSR` see `shuffled`. All ranks need generators in the same state.
    """
    if isinstance(x_ng, MappedCSR):
        yield from shuffled(rows, steps, generator, expect=x_ng.expect, rank=rank, world_size=world_size)
        return
    order = rows[torch.randperm(len(rows), generator=generator)]
    for part in order.tensor_split(steps):
        yield part[rank::world_size], len(part) / world_size


def in_order(x_ng: Matrix, rows: Tensor, generator: torch.Generator) -> Tensor:
    """Return the rows (n,), which ascend, in random order; of a `MappedCSR` one that reads a few blocks at a time."""
    if not isinstance(x_ng, MappedCSR):
        return rows[torch.randperm(len(rows), generator=generator)]
    return torch.cat([part for part, _ in shuffled(rows, 1, generator)])


def shuffled(
    rows: Tensor,
    steps: int,
    generator: torch.Generator,
    *,
    expect: Callable[[int, int], None] = lambda first, last: None,
    block: int = BLOCK,
    pool: int = POOL,
    rank: int = 0,
    world_size: int = 1,
) -> Iterator[tuple[Tensor, float]]:
    """Yield as `batches` does, so that a disk is read in long stretches and each rank reads its own.

    Rows are cut into blocks of neighbors. The blocks are put in random order, dealt to the ranks, and taken `pool` at a
    time; the rows of such a pool are shuffled. `expect` is told the first row and the end of each block of a pool while
    rows of the pool before are used.
    """
    blocks = rows.split(block)
    order = torch.cat([blocks[i] for i in torch.randperm(len(blocks), generator=generator).tolist()])
    own = torch.Generator().manual_seed(int(torch.randint(1 << 62, (1,), generator=generator)) + rank)
    dealt = order.tensor_split(world_size)
    sizes = sum(torch.tensor([float(len(part)) for part in share.tensor_split(steps)]) for share in dealt)
    pools = dealt[rank].split(block * pool)
    drawn = torch.cat([part[torch.randperm(len(part), generator=own)] for part in pools])
    done, told = 0, 0
    for part, size in zip(drawn.tensor_split(steps), sizes.tolist(), strict=True):
        done += len(part)
        while told < len(pools) and told * block * pool < done + block * pool:
            for stretch in pools[told].split(block):
                expect(int(stretch.min()), int(stretch.max()) + 1)
            told += 1
        yield part, size / world_size
