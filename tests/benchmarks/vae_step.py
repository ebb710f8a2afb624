"""What a training step costs beside the same step written as a bare PyTorch loop; and the memory of the reference.

    python tests/benchmarks/vae_step.py                    # ratio of CPU seconds, epochs by turns
    python tests/benchmarks/vae_step.py --reference        # one step of the 184,575,957-parameter model; peak memory

The bare loop has the same model, batches, masks, noise, annealing, clipping and optimizer, and nothing else: no
measures, no checkpoints, no generators of batches.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import statistics
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from gxsearch.data.matrix import MatrixConfig, MatrixView
from gxsearch.data.table import Table
from gxsearch.data.view import Examples
from gxsearch.models.vae import VAE, VAEConfig, VAETrain
from gxsearch.training.loop import epochs
from gxsearch.training.runtime import LocalRuntime

REFERENCE = (7_862, 19_797)


def synthetic(n: int, g: int) -> Table:
    """Return rows of which a tenth validates."""
    x_ng = np.random.default_rng(0).standard_normal((n, g), dtype=np.float32)
    names = (np.array([f"{kind}{i}" for i in range(m)]) for kind, m in (("r", n), ("g", g)))
    return Table(x_ng, *names, (np.arange(n) % 10 == 0).astype(np.int8))


class Few(Examples):
    """The first batches of an epoch only, and no validation worth mentioning."""

    def __init__(self, examples: Examples, steps: int):
        self._examples, self._steps, self.n_values = examples, steps, 1

    def steps(self, batch_size: int) -> int:
        """Return the number of batches."""
        return self._steps

    def train(self, *args, **share):
        """Yield the batches."""
        return itertools.islice(self._examples.train(*args, **share), self._steps)

    def validation(self):
        """Yield one small batch."""
        batch = next(iter(self._examples.validation()))
        yield type(batch)(batch.x[:2], hidden=batch.hidden[:2])


def bare(model: VAE, x_ng: torch.Tensor, optimizer: torch.optim.Optimizer, size: int, steps: int) -> None:
    """Train some steps."""
    model.train()
    kl_weight = 2.0 / x_ng.shape[1]
    for rows in torch.randperm(len(x_ng))[: size * steps].split(size):
        x = x_ng[rows]
        kept = torch.rand_like(x) >= 0.05 + 0.2 * torch.rand(len(x), 1)
        seen = x * kept / (kept.sum(1, keepdim=True) / x.shape[1])
        mu, log_var = model.encode(seen)
        y = model.decode_scaled(mu + torch.exp(0.5 * log_var) * torch.randn_like(mu))
        kl = -0.5 * (1 + log_var - mu.square() - log_var.exp()).sum(1).mean()
        loss = F.mse_loss(y, x) + kl_weight * kl
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def compare(n: int, g: int, steps: int, rounds: int) -> None:
    """Print the median ratio of CPU seconds of an epoch of ours to one of the bare loop."""
    table, train = synthetic(n, g), VAETrain()
    view = MatrixView.fit(table, MatrixConfig())
    examples = Few(view.examples(table, torch.device("cpu")), steps)
    ours, theirs = VAE(VAEConfig(), view.dims), VAE(VAEConfig(), view.dims)
    running = epochs(LocalRuntime(threads=1), ours, examples, train, length=rounds + 2, seed=0)
    optimizer = torch.optim.Adam(theirs.parameters(), lr=train.lr, weight_decay=train.weight_decay, fused=True)
    x_ng = torch.from_numpy(view.scaled(table.x_ng[table.rows("train")]))
    ratios = []
    for turn in range(rounds + 1):
        begun = time.process_time()
        next(running)
        middle = time.process_time()
        bare(theirs, x_ng, optimizer, train.batch_size, steps)
        bare_s = time.process_time() - middle
        if turn:  # the first round warms up
            ratios.append((middle - begun) / bare_s)
    each = 1000 * bare_s / steps
    low, high = min(ratios), max(ratios)
    print(
        f"{n} x {g}: {statistics.median(ratios):.3f}x  ({low:.3f} to {high:.3f}; a bare step {each:.0f} ms)", flush=True
    )


def reference() -> None:
    """Print the peak memory of a step of the reference on data of its size."""
    table = synthetic(*REFERENCE)
    view = MatrixView.fit(table, MatrixConfig())
    examples = Few(view.examples(table, torch.device("cpu")), 2)
    model = VAE(VAEConfig(hidden=[4096, 2048, 1024, 512, 256]), view.dims)
    count = sum(p.numel() for p in model.parameters())
    begun = time.perf_counter()
    next(epochs(LocalRuntime(), model, examples, VAETrain(), length=1, seed=0))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{count:,} parameters: two steps in {time.perf_counter() - begun:.1f} s, peak {peak:.2f} GiB")


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference", action="store_true")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.reference:
        reference()
        return
    compare(2000, 2000, 12, given.rounds)
    compare(1000, 765, 6, given.rounds)
    compare(1000, 19_797, 4, given.rounds)


if __name__ == "__main__":
    main()
