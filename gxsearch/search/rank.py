"""Rank: one worker of a trial; the training loop in a thread, under Ray Train's in-process mode."""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import ray.train
import ray.train.torch
import torch
import torch.distributed as dist
from ray.train.torch import TorchTrainer
from torch import Tensor, nn

from gxsearch.results.shelf import Shelf
from gxsearch.training.board import Board, show
from gxsearch.training.session import Bench, Job, session

_TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Place:
    """What a worker was given: CPUs, GPUs, its place among the workers of its trial, and its patience."""

    cpus: float
    gpus: float
    stall_s: float = 300.0
    rank: int = 0
    world_size: int = 1
    address: str = ""
    port: int = 0

    @property
    def device(self) -> torch.device:
        """The device that was asked for; Ray shows a worker its own GPUs only, so it is the first."""
        return torch.device("cuda:0" if self.gpus > 0 else "cpu")

    def environment(self) -> dict[str, str]:
        """Return torchrun's variables, by which Ray Train's in-process mode finds the other ranks."""
        values = (self.rank, 0, self.world_size, 1, self.address, self.port)
        return dict(zip(_TORCHRUN, map(str, values), strict=True)) if self.world_size > 1 else {}


class TrainRuntime:
    """The loop's view of Ray Train: device, ranks, DDP. Built inside a Train session."""

    def __init__(self, device: torch.device):
        context = ray.train.get_context()
        self.rank, self.world_size, self.device = context.get_world_rank(), context.get_world_size(), device

    def prepare(self, model: nn.Module) -> nn.Module:
        """Move a model to the device; with several workers, wrap it in DDP."""
        return ray.train.torch.prepare_model(model.to(self.device), move_to_device=False)

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of `values` over the workers, on the CPU."""
        if self.world_size == 1:
            return values
        total = values.to(self.device)
        dist.all_reduce(total)
        return total.cpu()

    def agree(self, value: bool) -> bool:
        """Return rank 0's `value` on every rank, so that none is left waiting inside a collective."""
        if self.world_size == 1:
            return value
        flag = torch.tensor([float(value)], device=self.device)
        dist.broadcast(flag, src=0)
        return bool(flag.item())


def train_here(
    job: Job, bench: Bench, place: Place, folder: Path, report: Callable[[dict], bool], shelf: Shelf | None = None
) -> None:
    """Train a job in this thread as one rank under Ray Train's in-process mode.

    `report` is called on rank 0 with each epoch's metrics and says whether to go on.
    """
    logging.getLogger("ray.train").setLevel(logging.WARNING)  # it announces its local mode for every trial
    for name in _TORCHRUN:
        os.environ.pop(name, None)
    os.environ.update(place.environment())
    trainer = TorchTrainer(
        lambda: train_rank(job, bench, place, folder, report, shelf),
        scaling_config=ray.train.ScalingConfig(num_workers=0),
    )
    try:
        trainer.fit()
    finally:
        if dist.is_initialized():  # Ray's local controller leaves the group behind when the loop raises
            dist.destroy_process_group()


def train_rank(
    job: Job, bench: Bench, place: Place, folder: Path, report: Callable[[dict], bool], shelf: Shelf | None = None
) -> None:
    """Train a job as the rank that Ray Train's session says; rank 0 reports, and the others heed what it hears."""
    torch.set_num_threads(max(1, int(place.cpus)))
    runtime = TrainRuntime(bench.device)
    if shelf is not None:
        _fetch(shelf, runtime)
    board = Board(folder) if runtime.rank == 0 else None
    steps = session(job, bench, runtime, folder / "checkpoints")
    try:
        for metrics, model in shelf.keeping(steps) if shelf is not None and board is not None else steps:
            if board is not None:
                show(board, metrics, model, bench.table)
            if not runtime.agree(report(metrics) if runtime.rank == 0 else True):
                break
    finally:
        if board is not None:
            board.close()
        if board is not None and shelf is not None:
            shelf.leave()


def _fetch(shelf: Shelf, runtime: TrainRuntime) -> None:
    """Have every rank go on from the same checkpoint: the first one settles which there are."""
    if runtime.rank == 0:
        shelf.fetch()
    runtime.agree(True)
    if runtime.rank > 0:
        shelf.fetch()


class Stepper:
    """A training in a thread that stops after each epoch until it is told to go on."""

    def __init__(self, target: Callable[[Callable[[dict], bool]], None]):
        self._items: queue.Queue[dict[str, Any] | BaseException | None] = queue.Queue(1)
        self._go: queue.Queue[bool] = queue.Queue(1)
        self._thread = threading.Thread(target=self._run, args=(target,), daemon=True)
        self._waiting = False
        self._thread.start()

    def next(self, watch: Callable[[], None] = lambda: None) -> dict[str, Any] | None:
        """Return the next epoch's metrics, or None when the training has ended; raise what it raised.

        Meanwhile `watch` is called every second.
        """
        if self._waiting:
            self._go.put(True)
        while True:
            try:
                item = self._items.get(timeout=1.0)
                break
            except queue.Empty:
                watch()
        self._waiting = isinstance(item, dict)
        if isinstance(item, BaseException):
            raise item
        return item

    def stop(self) -> None:
        """End the training after the epoch it is in."""
        self._go.put(False)  # taken now if it waits, else when its epoch is done
        self._thread.join()

    def _run(self, target: Callable[[Callable[[dict], bool]], None]) -> None:
        try:
            target(self._report)
            self._items.put(None)
        except BaseException as error:  # noqa: BLE001 - handed to the caller of next()
            self._items.put(error)

    def _report(self, metrics: dict[str, Any]) -> bool:
        self._items.put(metrics)
        return self._go.get()
