"""Measure: what a training takes, from a few steps of it: weights, memory, seconds per epoch.

The steps are those of a trial: `session` trains the job, with checkpoints and TensorBoard, on the view's examples. Only
these are cut short, and the batches timed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from gxsearch.data.batch import Batch
from gxsearch.data.table import Table
from gxsearch.data.view import Examples
from gxsearch.errors import TrialError
from gxsearch.models import registry
from gxsearch.training import footprint
from gxsearch.training.board import Board, show
from gxsearch.training.runtime import Runtime
from gxsearch.training.session import Bench, Job, session

SECONDS = 1.0
"""Time that the training steps of a job are timed for, at most; validation half as long, at least a batch of each."""
WARM_S = 0.3
WARM = 2
"""Steps of the optimizer before: the second one has gradients and the moments of Adam in memory at once."""
COUNTING_S = 5.0
"""Time that the held-out batches are counted for, where they are too many to be timed."""


@dataclass
class Clock:
    """What was timed, summed over epochs, in seconds.

    Attributes:
        epochs, whole_s: epochs begun and ended, and their time, whatever was left out of them.
        steps, train_s: batches trained on, and their time.
        batches, val_s: batches validated on, and theirs.
        idle_s: time that no training would take: counting.
    """

    epochs: int = 0
    whole_s: float = 0.0
    steps: int = 0
    train_s: float = 0.0
    batches: int = 0
    val_s: float = 0.0
    idle_s: float = 0.0

    def epoch_s(self, steps: int, batches: int) -> float:
        """Return the time of a whole epoch of so many training and validation batches."""
        rest = max(0.0, self.whole_s - self.train_s - self.val_s - self.idle_s) / max(1, self.epochs)
        return rest + steps * self.train_s / max(1, self.steps) + batches * self.val_s / max(1, self.batches)


@dataclass(frozen=True)
class Measured:
    """What a training takes.

    Attributes:
        parameters: weights of the model.
        memory: most bytes of the process above its data, those of the view's own copy of them included.
        card: most bytes that PyTorch held on the GPU; card_total: the bytes of the GPU. Both 0 on a CPU.
        start_s: seconds before the first batch; epoch_s: seconds per epoch, with validation.
        diverged: the loss became not finite.
    """

    parameters: int
    memory: int
    card: int
    card_total: int
    start_s: float
    epoch_s: float
    diverged: bool


class Gauge:
    """A bench whose epochs are cut short; used for one job after another, each in a copy of the process or not.

    `held` is the memory that the process had before the bench put the data in the form that the model reads.
    """

    def __init__(self, table: Table, device: torch.device):
        self.held = footprint.own()
        self.bench = Bench(table, device, self._cut)

    def sample(self, job: Job) -> Sample:
        """Return the examples of a job, cut short."""
        self.bench.view(job)
        return self._sample

    def _cut(self, examples: Examples) -> Examples:
        self._sample = Sample(examples, self.bench.device, len(self.bench.table.rows("val")))
        return self._sample


class Sample(Examples):
    """As many batches of each epoch as fit in the time, timed. `rows`: rows that are held out for validation."""

    def __init__(self, examples: Examples, device: torch.device, rows: int):
        self._examples, self._device, self._rows = examples, device, rows
        self.n_values, self.clock, self.begun, self.validations = examples.n_values, Clock(), 0.0, 0
        self._least, self._seconds, self._multiple = 1, SECONDS, 1

    def limit(self, least: int, seconds: float, multiple: int) -> None:
        """Begin anew: epochs of at least so many batches, a multiple of `multiple`, and about so many seconds."""
        self.clock, self.begun = Clock(), 0.0
        self._least, self._seconds, self._multiple = least, seconds, multiple

    def steps(self, batch_size: int) -> int:
        """Return the number of batches of a whole epoch."""
        return self._examples.steps(batch_size)

    def train(
        self, batch_size: int, generator: torch.Generator, *, rank: int = 0, world_size: int = 1
    ) -> Iterator[Batch]:
        """Yield the first batches of an epoch. The time before the first one is none of a step."""
        self.begun = self.begun or self._now()
        begun = None
        for i, batch in enumerate(self._examples.train(batch_size, generator, rank=rank, world_size=world_size)):
            begun = self._now() if begun is None else begun
            if i >= self._least and i % self._multiple == 0 and time.perf_counter() - begun > self._seconds:
                break
            self.clock.steps += 1
            yield batch
        self.clock.train_s += self._now() - (begun or self._now())

    def validation(self) -> Iterator[Batch]:
        """Yield the first batches that are held out."""
        begun, number = self._now(), 0
        for batch in self._examples.validation():
            if number and time.perf_counter() - begun > self._seconds / 2:
                break
            number += 1
            yield batch
        else:
            self.validations = number
        self.clock.batches += number
        self.clock.val_s += self._now() - begun
        self.count()

    def count(self) -> None:
        """Count the held-out batches once; where that takes too long, take them to be of as many rows each."""
        begun, rows, number = time.perf_counter(), 0, 0
        batches = self._examples.validation() if not self.validations else iter(())
        for batch in batches:
            number, rows = number + 1, rows + len(batch.x)
            if time.perf_counter() - begun > COUNTING_S:
                number = max(number, math.ceil(self._rows * number / max(1, rows)))
                break
        self.validations = self.validations or number
        self.clock.idle_s += time.perf_counter() - begun

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


def measure(job: Job, gauge: Gauge, runtime: Runtime, folder: Path) -> Measured:
    """Train a job for a few steps to warm up, then from the start for about a second; `folder` takes its checkpoints.

    Raises:
        TrialError: E703 when it does not fit, E705 when it has no such objective. Whatever else its training raises.
    """
    kind = registry.get(job.model)
    config = kind.Train(**job.train_config)
    sample = gauge.sample(job)
    on_card = runtime.device.type == "cuda"
    if on_card:
        torch.cuda.reset_peak_memory_stats(runtime.device)
    sample.limit(WARM * config.accumulate, WARM_S, config.accumulate)
    parameters, diverged = _train(job, gauge, runtime, folder / "warm", epochs=1)
    begun = time.perf_counter()
    if not diverged:
        sample.limit(config.accumulate, SECONDS, config.accumulate)
        parameters, diverged = _train(job, gauge, runtime, folder / "timed", epochs=job.epochs)
    clock = sample.clock
    return Measured(
        parameters=parameters,
        memory=max(0, footprint.peak() - gauge.held),
        card=torch.cuda.max_memory_reserved(runtime.device) if on_card else 0,
        card_total=torch.cuda.get_device_properties(runtime.device).total_memory if on_card else 0,
        start_s=max(0.0, sample.begun - begun),
        epoch_s=clock.epoch_s(sample.steps(config.batch_size), sample.validations),
        diverged=diverged,
    )


def _train(job: Job, gauge: Gauge, runtime: Runtime, folder: Path, *, epochs: int) -> tuple[int, bool]:
    """Train for so many epochs, or about `SECONDS`; return the model's weights and whether its loss became not finite.

    The weights of a model that has told no epoch are 0.
    """
    clock, sample, parameters, board = gauge.sample(job).clock, gauge.sample(job), 0, Board(folder)
    told = session(job, gauge.bench, runtime, folder / "checkpoints")
    try:
        for metrics, model in told:
            show(board, metrics, model, gauge.bench.table)
            parameters = sum(p.numel() for p in model.parameters())
            clock.epochs += 1
            clock.whole_s = time.perf_counter() - sample.begun
            if clock.epochs == epochs or clock.whole_s - clock.idle_s > SECONDS:
                break
    except TrialError as error:
        if error.faults[0].code != "E701":
            raise
        return parameters, True
    finally:
        told.close()
        board.close()
    return parameters, False
