"""The training loop: a generator of epochs, written once and driven by a plain loop, a trial or Ray Train."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import nn

from gxsearch.data.batch import Batch
from gxsearch.data.view import Examples
from gxsearch.errors import TrialError
from gxsearch.models.base import GeneModel, Losses, Measures, Precision, TrainConfig
from gxsearch.nn.schedules import rate
from gxsearch.training.adam import Adam
from gxsearch.training.checkpoint import State
from gxsearch.training.memory import Parts, joined, loss_of
from gxsearch.training.precision import Steps, one_norm, precise, set_tf32, without_subnormals
from gxsearch.training.runtime import Runtime
from gxsearch.training.sums import Metrics, Sums


def epochs(
    runtime: Runtime,
    model: GeneModel,
    examples: Examples,
    config: TrainConfig,
    *,
    length: int,
    seed: int,
    resume: State | None = None,
    factor: Callable[[], float] = lambda: 1.0,
) -> Iterator[tuple[Metrics, Callable[[], State]]]:
    """Train a model, one item an epoch: its metrics, and a function that gives the state to go on from.

    Every epoch draws from generators seeded by (seed, epoch), so training that is resumed equals training that
    was never stopped, bit for bit on a CPU. `factor` is asked before every epoch what to multiply the learning rate
    by, beside the schedule.

    Raises:
        TrialError: at the first epoch whose loss or validation measure is not finite.
    """
    torch.manual_seed(derive(seed, "model"))
    if resume is not None:
        model.load_state_dict(resume.model)
    set_tf32(config.precision)
    module = runtime.prepare(one_norm(model, config, runtime))
    optimizer = Adam(model.parameter_groups(config), lr=config.lr, fused=True)
    steps = Steps(optimizer, runtime.device, config)
    rates, cut = [group["lr"] for group in optimizer.param_groups], Parts(model, runtime.world_size)
    if resume is not None:
        optimizer.load_state_dict(resume.optimizer)
        steps.load(resume.record.get("scale", {}))
    done = resume.record["epoch"] if resume is not None else 0
    for epoch in range(done + 1, length + 1):
        begun = time.perf_counter()
        torch.manual_seed(derive(seed, "noise", epoch, runtime.rank))
        now = [rate * factor() for rate in rates]
        metrics = _train(runtime, module, steps, examples, config, cut, now, (epoch, length, seed))
        trained = time.perf_counter()
        metrics |= _validate(runtime, model, examples, config.precision, cut)
        metrics |= {"data/parts": float(cut.number)} if cut.number > 1 else {}
        metrics |= {"epoch": epoch, "lr": optimizer.param_groups[0]["lr"]}
        metrics |= {f"model/{k}": v for k, v in model.measures().items()} if isinstance(model, Measures) else {}
        metrics["time/epoch_s"] = time.perf_counter() - begun
        metrics["data/values_per_s"] = examples.n_values / (trained - begun)
        _check(metrics)
        yield (
            metrics,
            lambda epoch=epoch: State(
                model.state_dict(), optimizer.state_dict(), {"epoch": epoch, "scale": steps.state()}
            ),
        )


def derive(seed: int, *parts: Any) -> int:
    """Return a seed of 63 bits that depends on `seed` and `parts` only."""
    digest = hashlib.blake2b(repr((seed, *parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@without_subnormals()
def _train(
    runtime: Runtime,
    module: nn.Module,
    steps: Steps,
    examples: Examples,
    config: TrainConfig,
    cut: Parts,
    rates: list[float],
    when: tuple[int, int, int],
) -> Metrics:
    module.train()
    epoch, length, seed = when
    generator = torch.Generator().manual_seed(derive(seed, "batches", epoch))
    batches = examples.train(config.batch_size, generator, rank=runtime.rank, world_size=runtime.world_size)
    sums, n_steps = Sums(), examples.steps(config.batch_size)
    backward = Backward(runtime.device, module, config.precision, cut, steps)
    for number, together in enumerate(_batched(batches, config.accumulate)):
        first = number * config.accumulate
        progress = [(epoch - 1 + (first + i) / n_steps) / length for i in range(len(together))]
        steps.clear()
        found = cut.fitting(partial(backward, together, progress), undo=steps.clear)
        for group, full in zip(steps.optimizer.param_groups, rates, strict=True):
            group["lr"] = full * rate(config.schedule, progress[-1], config.warmup)
        steps.step(module)
        for losses, batch in zip(found, together, strict=True):
            sums.add(losses, batch.total)
    return sums.metrics("train", runtime)


def _batched(batches: Iterable[Batch], n: int) -> Iterator[list[Batch]]:
    """Yield the batches whose gradients one step of the optimizer takes."""
    batches = iter(batches)
    while together := list(islice(batches, n)):
        yield together


@dataclass(frozen=True)
class Backward:
    """Works on the batches of one optimizer step, in the parts that fit; leaves the mean of their gradients."""

    device: torch.device
    module: nn.Module
    precision: Precision
    cut: Parts
    steps: Steps

    def __call__(self, together: list[Batch], progress: list[float]) -> list[Losses]:
        """Return the losses of the batches."""
        found = []
        for i, batch in enumerate(together):
            pieces = self.cut.of(batch)
            synced = i == len(together) - 1 or not hasattr(self.module, "no_sync")
            with nullcontext() if synced else self.module.no_sync():
                found.append(joined([self._piece(piece, batch, progress[i], len(together)) for piece in pieces]))
        return found

    def _piece(self, piece: Batch, batch: Batch, progress: float, n: int) -> Losses:
        with precise(self.device, self.precision):
            losses = self.module(piece, progress)
        loss = losses.total if piece is batch else loss_of(losses, piece, len(batch.x))
        self.steps.backward(loss / n if n > 1 else loss)
        return losses


@without_subnormals()
@torch.no_grad()
def _validate(runtime: Runtime, model: GeneModel, examples: Examples, precision: Precision, cut: Parts) -> Metrics:
    """Measure held-out examples at progress 1, with the same noise in every epoch and trial.

    All workers take the first one's measures: where theirs differ by rounding or by running means, they could not
    agree on which epoch is the best, or the last.
    """
    model.eval()
    with torch.random.fork_rng(devices=_cuda_devices(runtime)):
        torch.manual_seed(0)
        sums = Sums(thorough=True)
        for batch in examples.validation():
            with precise(runtime.device, precision):
                found = cut.fitting(lambda batch=batch: [model(part, 1.0) for part in cut.of(batch)])
            sums.add(joined(found), batch.total)
    return sums.metrics("val", runtime, of_first=True)


def _cuda_devices(runtime: Runtime) -> list[torch.device]:
    return [runtime.device] if runtime.device.type == "cuda" else []


def _check(metrics: Metrics) -> None:
    odd = [name for name, value in metrics.items() if not isinstance(value, int | float)]
    if odd:
        raise TypeError(f"{odd[0]} must be a number, got {metrics[odd[0]]!r}")
    bad = [name for name, value in metrics.items() if not math.isfinite(value)]
    if bad:
        raise TrialError.one("E701", "", f"{bad[0]} became {metrics[bad[0]]} in epoch {metrics['epoch']}")
