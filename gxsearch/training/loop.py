"""The training loop: a generator of epochs, written once and driven by a plain loop, a trial or Ray Train."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from gxsearch.data.view import Examples
from gxsearch.errors import TrialError
from gxsearch.models.base import GeneModel, Losses, Measures, TrainConfig
from gxsearch.nn.schedules import decay
from gxsearch.training.checkpoint import State
from gxsearch.training.runtime import Runtime

Metrics = dict[str, float]


def epochs(
    runtime: Runtime,
    model: GeneModel,
    examples: Examples,
    config: TrainConfig,
    *,
    length: int,
    seed: int,
    resume: State | None = None,
) -> Iterator[tuple[Metrics, Callable[[], State]]]:
    """Train a model, one item an epoch: its metrics, and a function that gives the state to go on from.

    Every epoch draws from generators seeded by (seed, epoch), so training that is resumed equals training that
    was never stopped, bit for bit on a CPU.

    Raises:
        TrialError: at the first epoch whose loss or validation measure is not finite.
    """
    torch.manual_seed(derive(seed, "model"))
    if resume is not None:
        model.load_state_dict(resume.model)
    module = runtime.prepare(model)
    optimizer = torch.optim.Adam(model.parameter_groups(config), lr=config.lr, fused=True)
    rates = [group["lr"] for group in optimizer.param_groups]
    if resume is not None:
        optimizer.load_state_dict(resume.optimizer)
    done = resume.record["epoch"] if resume is not None else 0
    for epoch in range(done + 1, length + 1):
        begun = time.perf_counter()
        torch.manual_seed(derive(seed, "noise", epoch, runtime.rank))
        metrics = _train(runtime, module, optimizer, examples, config, rates, epoch, length, seed)
        trained = time.perf_counter()
        metrics |= _validate(runtime, model, examples)
        metrics |= {"epoch": epoch, "lr": optimizer.param_groups[0]["lr"]}
        metrics |= {f"model/{k}": v for k, v in model.measures().items()} if isinstance(model, Measures) else {}
        metrics["time/epoch_s"] = time.perf_counter() - begun
        metrics["data/values_per_s"] = examples.n_values / (trained - begun)
        _check(metrics)
        yield metrics, lambda epoch=epoch: State(model.state_dict(), optimizer.state_dict(), {"epoch": epoch})


def derive(seed: int, *parts: Any) -> int:
    """Return a seed of 63 bits that depends on `seed` and `parts` only."""
    digest = hashlib.blake2b(repr((seed, *parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def _train(
    runtime: Runtime,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    examples: Examples,
    config: TrainConfig,
    rates: list[float],
    epoch: int,
    length: int,
    seed: int,
) -> Metrics:
    module.train()
    generator = torch.Generator().manual_seed(derive(seed, "batches", epoch))
    batches = examples.train(config.batch_size, generator, rank=runtime.rank, world_size=runtime.world_size)
    sums = Sums()
    steps = examples.steps(config.batch_size)
    for step, batch in enumerate(batches):
        progress = (epoch - 1 + step / steps) / length
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * decay(config.schedule, progress)
        losses = module(batch, progress)
        optimizer.zero_grad(set_to_none=True)
        losses.total.backward()
        if config.grad_clip:
            nn.utils.clip_grad_norm_(module.parameters(), config.grad_clip)
        optimizer.step()
        sums.add(losses, batch.total)
    return sums.metrics("train", runtime)


@torch.no_grad()
def _validate(runtime: Runtime, model: GeneModel, examples: Examples) -> Metrics:
    """Measure held-out examples at progress 1, with the same noise in every epoch and trial."""
    model.eval()
    with torch.random.fork_rng(devices=_cuda_devices(runtime)):
        torch.manual_seed(0)
        sums = Sums()
        for batch in examples.validation():
            sums.add(model(batch, 1.0))
    return sums.metrics("val", None)


def _cuda_devices(runtime: Runtime) -> list[torch.device]:
    return [runtime.device] if runtime.device.type == "cuda" else []


def _check(metrics: Metrics) -> None:
    bad = [name for name, value in metrics.items() if not math.isfinite(value)]
    if bad:
        raise TrialError.one("E701", "", f"{bad[0]} became {metrics[bad[0]]} in epoch {metrics['epoch']}")


@dataclass
class Sums:
    """Sums over batches, kept on the device; a number is read once an epoch."""

    weight: Tensor | float = 0.0
    terms: dict[str, Tensor] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    moments: Tensor | None = None

    def add(self, losses: Losses, total: Tensor | None = None) -> None:
        """Add a batch; terms are means, weighted by what they were divided by: `total`, or the values behind them."""
        size = _size(losses) if total is None else total.double()
        self.weight = self.weight + size
        for name, term in losses.terms.items():
            self.terms[name] = self.terms.get(name, 0.0) + term.detach().double() * size
        self.weights = losses.weights
        if losses.prediction is not None:
            moments = _moments(losses)
            self.moments = moments if self.moments is None else self.moments + moments

    def metrics(self, part: str, runtime: Runtime | None) -> Metrics:
        """Return ``part/<term>``, ``part/<term>_weight``, ``part/loss`` and, with predictions, r2 and pearson.

        With a runtime the sums are added over its workers.
        """
        names = list(self.terms)
        stacked = torch.stack([torch.as_tensor(self.weight).double().cpu(), *(t.cpu() for t in self.terms.values())])
        if self.moments is not None:
            stacked = torch.cat([stacked, self.moments.cpu()])
        values = (runtime.sum(stacked) if runtime is not None else stacked).tolist()
        means = {name: value / values[0] for name, value in zip(names, values[1:], strict=False)}
        found = {f"{part}/{name}": value for name, value in means.items()}
        found |= {f"{part}/{name}_weight": weight for name, weight in self.weights.items()}
        found[f"{part}/loss"] = sum(self.weights[name] * value for name, value in means.items())
        return found | (_fit(part, values[1 + len(names) :]) if self.moments is not None else {})


def _size(losses: Losses) -> Tensor | float:
    if losses.weight is not None:
        return losses.weight.sum().double()
    return float(losses.target.numel()) if losses.target is not None else 1.0


def _moments(losses: Losses) -> Tensor:
    y, x = losses.prediction.detach().double(), losses.target.double()
    w = losses.weight.double() if losses.weight is not None else torch.ones_like(x)
    parts = [w, w * x, w * y, w * x * x, w * y * y, w * x * y]
    return torch.stack([part.sum() for part in parts])


def _fit(part: str, moments: list[float]) -> Metrics:
    n, x, y, xx, yy, xy = moments
    var_x, var_y, cov = xx - x * x / n, yy - y * y / n, xy - x * y / n
    residual = xx - 2 * xy + yy
    spread = math.sqrt(max(var_x * var_y, 0.0))
    r2 = 1 - residual / var_x if var_x > 0 else 0.0
    return {f"{part}/r2": r2, f"{part}/pearson": cov / spread if spread > 0 else 0.0}
