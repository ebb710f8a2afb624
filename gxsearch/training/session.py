"""One job from its settings to its best epoch: built, trained, checkpointed, resumed; the same for all drivers."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from gxsearch.config import read as read_config
from gxsearch.data.batch import Batch
from gxsearch.data.table import Table
from gxsearch.data.view import Dims, Examples, View
from gxsearch.errors import TrialError, did_you_mean
from gxsearch.models import registry
from gxsearch.models.base import GeneModel, StartsFromData, TrainConfig
from gxsearch.training import checkpoint
from gxsearch.training.checkpoint import State
from gxsearch.training.course import Course, is_last
from gxsearch.training.loop import Metrics, derive, epochs
from gxsearch.training.probing import Probe
from gxsearch.training.runtime import Runtime

SAVE_EVERY_S = 10.0


@dataclass(frozen=True)
class Job:
    """All that decides what a training gives, as JSON values; the table it reads apart.

    `metric` tells the best epoch; `also` names further objectives, which every epoch tells too.
    """

    model: str
    model_config: dict[str, Any]
    train_config: dict[str, Any]
    view_config: dict[str, Any]
    epochs: int
    seed: int
    metric: str
    mode: Literal["min", "max"]
    also: list[str] = field(default_factory=list)


class Bench:
    """A table on a device and the view fitted to it, kept from one trial to the next.

    `pulse` counts the batches that were cut, so that another thread can tell a long epoch from one that hangs.
    `shown` makes of the view's examples those that are trained on.
    """

    def __init__(
        self, table: Table, device: torch.device, shown: Callable[[Examples], Examples] = lambda examples: examples
    ):
        self.table, self.device, self.pulse, self._shown = table, device, 0, shown
        self._fitted: tuple[Any, View, Examples] | None = None

    def view(self, job: Job) -> tuple[View, Examples]:
        """Return the view that a job asks for, fitted, and its examples."""
        key = (registry.get(job.model).View, job.view_config)
        if self._fitted is None or self._fitted[0] != key:
            kind = key[0]
            view = kind.fit(self.table, read_config(kind.Config, job.view_config, "", "data.view"))
            self._fitted = (key, view, _Counted(self._shown(view.examples(self.table, self.device)), self))
        return self._fitted[1:]


class _Counted(Examples):
    """Examples whose batches a bench counts."""

    def __init__(self, examples: Examples, bench: Bench):
        self._examples, self._bench, self.n_values = examples, bench, examples.n_values

    def steps(self, batch_size: int) -> int:
        return self._examples.steps(batch_size)

    def train(
        self, batch_size: int, generator: torch.Generator, *, rank: int = 0, world_size: int = 1
    ) -> Iterator[Batch]:
        return self._counted(self._examples.train(batch_size, generator, rank=rank, world_size=world_size))

    def validation(self) -> Iterator[Batch]:
        return self._counted(self._examples.validation())

    def _counted(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        for batch in batches:
            self._bench.pulse += 1
            yield batch


def session(
    job: Job, bench: Bench, runtime: Runtime, folder: Path | None = None
) -> Iterator[tuple[Metrics, GeneModel]]:
    """Train a job from where `folder` stands; yield each epoch's metrics and the model.

    The metrics gain ``best`` (the objective at the best epoch so far), ``best_epoch``, ``last`` (1 at the epoch that
    ends the training: its epochs are up, its patience is, or the target is reached) and ``saved`` (1 where a
    checkpoint was written to ``folder/<epoch>``: at every better epoch, at the last, and at least every ten
    seconds). Only rank 0 writes. A training that is resumed first tells the epoch of its checkpoint again: whoever
    listened may have been lost between the checkpoint and the telling.
    """
    view, examples = bench.view(job)
    resume = checkpoint.newest(folder) if folder is not None else None
    model, config = build(job, view, bench.table, started=resume is not None)
    warmup = model.rhythm(model.config).warmup_epochs(job.epochs)
    probe = Probe.of([job.metric, *job.also], bench.table)
    course, saved_at = Course(config, job.mode, job.epochs, warmup), time.monotonic()
    if resume is not None:
        course.resume(resume.record)
        model.load_state_dict(resume.model)
        yield resume.record["metrics"], model.to(runtime.device)
        if is_last(resume.record["metrics"], job.epochs):
            return
    settings = {"length": job.epochs, "seed": job.seed, "resume": resume, "factor": lambda: course.factor}
    for metrics, state in epochs(runtime, model, examples, config, **settings):
        metrics |= _probed(probe, runtime, model, view) if probe is not None else {}
        for metric in (job.metric, *job.also):
            _check_told(metric, metrics)
        epoch, better = metrics["epoch"], course.see(metrics["epoch"], metrics[job.metric])
        last = course.ending is not None
        due = better or last or time.monotonic() - saved_at > SAVE_EVERY_S
        metrics |= {"best": course.best, "best_epoch": course.best_epoch, "last": float(last)}
        metrics["saved"] = float(due and folder is not None)
        if metrics["saved"] and runtime.rank == 0:
            record = {"best": course.best, "best_epoch": course.best_epoch, "course": course.state()}
            checkpoint.write(
                folder / f"{epoch:06d}", with_record(state(), {**record, "metrics": metrics, **describe(job, view)})
            )
            saved_at = time.monotonic()
        yield metrics, model
        if last:
            return


def _check_told(metric: str, metrics: Metrics) -> None:
    """Refuse an objective that this model has only under other settings."""
    if metric not in metrics:
        told = [name for name in metrics if name.startswith("val/") and not name.endswith("_weight")]
        what = f"these settings give no measure '{metric}'"
        raise TrialError.one("E705", "objective.metric", what, did_you_mean(metric, told))


def _probed(probe: Probe, runtime: Runtime, model: GeneModel, view: View) -> Metrics:
    """Return the first worker's measure, on all workers: their running statistics may differ by a step."""
    found = probe(model, view, runtime.device) if runtime.rank == 0 else dict.fromkeys(probe.metrics, 0.0)
    return {name: runtime.sum(torch.tensor([value], dtype=torch.float64)).item() for name, value in found.items()}


def build(job: Job, view: View, table: Table, *, started: bool) -> tuple[GeneModel, TrainConfig]:
    """Build a job's model with first weights drawn from its seed; `started` leaves out the start from data."""
    kind = registry.get(job.model)
    config = read_config(kind.Train, job.train_config, "", "train")
    torch.manual_seed(derive(job.seed, "init"))
    model = kind(read_config(kind.Config, job.model_config, "", "model"), view.dims)
    model.adopt(config)
    if isinstance(model, StartsFromData) and not started:
        model.start(table, view)
    return model, config


def describe(job: Job, view: View) -> dict[str, Any]:
    """Return what `revive` needs beside the weights, as JSON values."""
    return {"job": dataclasses.asdict(job), "dims": dataclasses.asdict(view.dims), "view": view.state()}


def with_record(state: State, record: dict[str, Any]) -> State:
    """Return the state with more in its record."""
    return dataclasses.replace(state, record={**state.record, **record})


def revive(weights: dict[str, torch.Tensor], record: dict[str, Any]) -> tuple[GeneModel, View, Job]:
    """Rebuild a trained model, in eval mode, with its view and job, from weights and what `describe` gave.

    Weights that only training needs may be absent; they stay as drawn.
    """
    job = Job(**record["job"])
    kind = registry.get(job.model)
    model = kind(read_config(kind.Config, job.model_config, "", "model"), Dims(**record["dims"]))
    drawn = {name: value for name, value in model.state_dict().items() if name.startswith(kind.training_only)}
    model.load_state_dict(drawn | weights)
    return model.eval(), kind.View.load(record["view"]), job


def exported_weights(kind: type[GeneModel], weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the weights without those that only training needs."""
    return {name: value for name, value in weights.items() if not name.startswith(kind.training_only)}
