"""Trials that are not trained: what lies below Ray Tune's actor manager, in this process and on a simulated clock.

Tune's controller and its actor manager stay as they are; instead of placement groups, actors and references it meets
objects that answer at once, and `wait` gives that of its references which is due next on the clock. What is left out
is Ray's own work: starting processes, moving results, waiting for them.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from ray.air.execution._internal import actor_manager, event_manager
from ray.air.execution.resources import AcquiredResources, ResourceManager, ResourceRequest
from ray.tune.execution import tune_controller

from gxsearch.models.base import TrainConfig
from gxsearch.training.course import Course

METRICS = (
    *("train/entry_mse", "train/entry_mse_weight", "train/loss", "train/r2", "train/pearson", "val/entry_mse_weight"),
    *(
        "val/loss",
        "val/r2",
        "val/pearson",
        "val/mae",
        "lr",
        "model/sample_norm",
        "model/gene_norm",
        "data/values_per_s",
    ),
)
"""What an epoch of factorized embeddings tells besides the objective and what the loop adds."""
CHECKPOINT = b"0" * 4096


class Reference:
    """In the place of ray.ObjectRef: a value, and when it is due."""

    __slots__ = ("due", "make")

    def __init__(self, due: float, make: Any):
        self.due, self.make = due, make


class Clock:
    """Time as the trials see it; `spent_s` is the real time that making up their results took."""

    def __init__(self) -> None:
        self.now, self.spent_s = 0.0, 0.0
        self._due: list[tuple[float, int, Reference]] = []
        self._ties = itertools.count()

    def later(self, seconds: float, make: Any) -> Reference:
        """Return a reference that is due so much later; `make` gives its value."""
        begun = time.perf_counter()
        reference = Reference(self.now + seconds, make)
        heapq.heappush(self._due, (reference.due, next(self._ties), reference))
        self.spent_s += time.perf_counter() - begun
        return reference

    def wait(self, references: list[Reference], *, num_returns: int, timeout: float | None) -> tuple[list, list]:
        """Return the reference that is due next, in the form of ray.wait; those nobody waits for are passed over."""
        begun, asked = time.perf_counter(), set(references)
        while self._due and self._due[0][2] not in asked:
            heapq.heappop(self._due)
        found = [heapq.heappop(self._due)[2]] if self._due else []
        self.now = max([self.now, *(reference.due for reference in found)])
        self.spent_s += time.perf_counter() - begun
        return found, []

    def get(self, reference: Reference) -> Any:
        """Return the value of a reference."""
        begun = time.perf_counter()
        value = reference.make()
        self.spent_s += time.perf_counter() - begun
        return value


class Method:
    """In the place of an actor's method."""

    def __init__(self, clock: Clock, seconds: Callable[[], float], act: Callable[..., Any]):
        self._clock, self._seconds, self._act = clock, seconds, act

    def remote(self, *args: Any, **kwargs: Any) -> Reference:
        """Return the reference of a call."""
        return self._clock.later(self._seconds(), lambda: self._act(*args, **kwargs))


class Actor:
    """In the place of GxTrial's actor: a learning curve with a floor of its own, by a power law, and noise."""

    def __init__(self, config: dict[str, Any]):
        self.reset(config)

    def reset(self, config: dict[str, Any], **_: Any) -> bool:
        """Take the next draw."""
        job = config["job"]
        self._folder, self._job, self._epoch = Path(config["folder"]), job, 0
        self._course = Course(TrainConfig(), job["mode"], job["epochs"])
        self._random = random.Random(job["seed"])
        misfit = abs(math.log10(job["train_config"]["lr"] / 5e-3))
        self._floor = 0.5 + 0.1 * misfit + 0.05 * self._random.random()
        self._seconds = self._random.lognormvariate(0.0, 0.3)
        return True

    def train(self) -> dict[str, Any]:
        """Return what Trainable.train returns of GxTrial.step."""
        self._epoch += 1
        value = self._floor + 0.5 * self._epoch**-0.7 + self._random.gauss(0.0, 0.005)
        better = self._course.see(self._epoch, value)
        last = self._epoch >= self._job["epochs"]
        metrics = {"epoch": self._epoch, self._job["metric"]: value, "time/epoch_s": self._seconds}
        metrics |= {name: self._random.random() for name in METRICS}
        metrics |= {"best": self._course.best, "best_epoch": self._course.best_epoch, "last": float(last)}
        metrics["saved"] = float(better or last)
        if metrics["saved"]:
            folder = self._folder / "checkpoints" / f"{self._epoch:06d}"
            folder.mkdir(parents=True)
            (folder / "model.safetensors").write_bytes(CHECKPOINT)
        return {"metrics": list(metrics.items()), **self._filled_in()}

    def _filled_in(self) -> dict[str, Any]:
        """Return what Tune adds to every result."""
        spent, now = self._epoch * self._seconds, int(time.time())
        told = {"done": False, "training_iteration": self._epoch, "date": "2026-01-01_00-00-00", "timestamp": now}
        told |= {"time_this_iter_s": self._seconds, "time_total_s": spent, "time_since_restore": spent}
        return told | {
            "pid": 1,
            "hostname": "simulated",
            "node_ip": "127.0.0.1",
            "iterations_since_restore": self._epoch,
        }

    def seconds(self) -> float:
        """Return how long the next epoch lasts on the clock."""
        return self._seconds * self._random.lognormvariate(0.0, 0.2)


class _Handle:
    """What the actor manager takes for an actor's handle: methods by name, each with its `remote`."""

    def __init__(self, actor: Actor, clock: Clock):
        self.train = Method(clock, actor.seconds, actor.train)
        self.reset = Method(clock, _at_once, actor.reset)
        self.get_auto_filled_metrics = _Nothing()
        self.stop = self.rest = self.__ray_ready__ = self.__ray_terminate__ = Method(clock, _at_once, lambda: True)


class _Nothing:
    """A method that Tune calls for the case that a trial never reports."""

    def remote(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return what the call would give."""
        return {}


def _at_once() -> float:
    return 0.0


class _ActorClass:
    def __init__(self, clock: Clock):
        self._clock = clock

    def remote(self, config: dict[str, Any], **_: Any) -> _Handle:
        """Start an actor."""
        return _Handle(Actor(config), self._clock)


class _Acquired(AcquiredResources):
    def __init__(self, request: ResourceRequest, clock: Clock):
        self.resource_request, self._clock = request, clock

    def annotate_remote_entities(self, entities: list[Any]) -> list[Any]:
        """Return a class of simulated actors in the place of each."""
        return [_ActorClass(self._clock) for _ in entities]


class Slots(ResourceManager):
    """In the place of Tune's placement groups: so many at once, ready at once."""

    def __init__(self, clock: Clock, slots: int):
        self._clock, self._free = clock, slots

    def request_resources(self, resource_request: ResourceRequest) -> None:
        """Take note of nothing: what is free is given to who asks first."""

    def cancel_resource_request(self, resource_request: ResourceRequest) -> None:
        """Take note of nothing."""

    def has_resources_ready(self, resource_request: ResourceRequest) -> bool:
        """Whether one is free."""
        return self._free > 0

    def acquire_resources(self, resource_request: ResourceRequest) -> AcquiredResources:
        """Take one."""
        self._free -= 1
        return _Acquired(resource_request, self._clock)

    def free_resources(self, acquired_resource: AcquiredResources) -> None:
        """Give one back."""
        self._free += 1

    def clear(self) -> None:
        """Forget nothing: there is nothing."""


@contextmanager
def simulated(slots: int) -> Iterator[Clock]:
    """Have Tune start simulated actors, up to `slots` at once, while this lasts; Ray itself has to be connected."""
    clock = Clock()
    world = mock.MagicMock(wraps=actor_manager.ray, wait=clock.wait, get=clock.get)
    world.actor, world.kill = actor_manager.ray.actor, lambda actor: None
    with (
        mock.patch.object(tune_controller, "PlacementGroupResourceManager", lambda: Slots(clock, slots)),
        mock.patch.object(actor_manager, "ray", world),
        mock.patch.object(event_manager, "ray", world),
    ):
        yield clock
