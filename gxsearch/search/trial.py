"""Trial: the Tune trainable; one reused actor trains one draw after the other, with as many ranks as asked for."""

from __future__ import annotations

import gc
import socket
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from gxsearch.data.table import Table
from gxsearch.errors import TrialError
from gxsearch.results.run_dir import write_atomic
from gxsearch.results.shelf import Shelf
from gxsearch.search.disk import is_out
from gxsearch.search.draw import ending
from gxsearch.search.rank import Place, Stepper, train_here
from gxsearch.search.refit import Following
from gxsearch.search.watchdog import Watchdog
from gxsearch.training import footprint
from gxsearch.training.session import Bench, Job


@dataclass(frozen=True)
class Given:
    """What all trials of a search are given: the table, where Ray has it, and a worker's place."""

    table: Any
    place: Place

    def __deepcopy__(self, memo: dict[int, Any]) -> Given:
        return self  # Tune copies what it hands on, and Ray knows nothing of a copied reference


class GxTrial(tune.Trainable):
    """Trains a draw, one epoch a step; the actor, its data and its imports serve the next draw too.

    A hopeless draw (loss not finite) and a fault of the model end the trial without an error of Tune's, which
    would try the same again; only a lost process is tried again, from the trial's newest checkpoint.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Take the first draw; what may fail is left to the first step."""
        self.config.pop("given")  # Tune sends what is there back with each result
        self._given: Given | None = None
        self._bench: Bench | None = None
        self._stepper: Stepper | Following | None = None
        self._watchdog: Watchdog | None = None
        self._peers: list[Any] = []
        self._running: list[Any] = []
        self._take(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next draw, which may be another search's."""
        self._stop()
        self._take(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train one epoch; return its metrics, as pairs, or how the trial ended."""
        try:
            if self._stepper is None:
                self._stepper = self._start()
            metrics = self._next()
        except TrialError as error:
            return self._ended(*ending(error))
        except ray.exceptions.RayError:
            raise  # a lost rank: Tune starts the trial again
        except Exception as error:  # noqa: BLE001 - the one place: a trial's fault must not end the search
            if is_out(error):
                return {"disk": error.errno}
            self._raise_if_a_rank_is_lost()
            write_atomic(self._folder / "error.txt", traceback.format_exc().encode())
            if self._shelf:
                self._shelf.keep_rest()
            return self._ended("failed", f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
        assert metrics is not None, "a step was asked for after the last epoch"
        return {"metrics": list(metrics.items())}

    def rest(self) -> None:
        """Hold nothing until the next draw comes, whenever that is."""
        self._stop()
        self._release()
        gc.collect()
        footprint.give_back()
        torch.cuda.empty_cache()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Save nothing: checkpoints are in the run folder, written as the training goes."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Load nothing: the training goes on from the run folder's newest checkpoint."""

    def cleanup(self) -> None:
        """End the training and its ranks."""
        self._stop()
        self._release()

    def _take(self, config: dict[str, Any]) -> None:
        given = config.pop("given")
        if given != self._given:
            self._release()
        self._given, self._config = given, config

    def _release(self) -> None:
        """Let go of the data, and of the ranks, which have them too."""
        self._bench = None
        for peer in self._peers:
            ray.kill(peer)
        self._peers = []

    @property
    def _folder(self) -> Path:
        return self._shelf.folder if self._shelf else Path(self._config["folder"])

    @property
    def _shelf(self) -> Shelf | None:
        return Shelf.read(self._config)

    @property
    def _job(self) -> Job:
        return Job(**self._config["job"])

    def _raise_if_a_rank_is_lost(self) -> None:
        """Raise Ray's error when a rank's process has gone; what a living rank raised is the model's fault."""
        for reference in self._running:
            try:
                ray.get(reference, timeout=30)
            except ray.exceptions.RayTaskError:
                continue

    def _ended(self, state: str, reason: str) -> dict[str, Any]:
        return {"ended": state, "reason": reason}

    def _next(self) -> dict[str, Any] | None:
        self._watchdog.begin()
        return self._stepper.next(lambda: self._watchdog.look(self._bench.pulse))

    def _start(self) -> Stepper:
        job, folder, shelf = self._job, self._folder, self._shelf
        folder.mkdir(parents=True, exist_ok=True)
        table, place = self._given.table, self._given.place
        if self._bench is None:
            self._bench = Bench(ray.get(table), place.device)
        if place.world_size > 1:
            place = replace(place, address=ray.util.get_node_ip_address(), port=_free_port())
            self._peers = self._peers or _peers(table, place)
            self._running = [
                peer.train.remote(job, replace(place, rank=rank), str(folder), shelf)
                for rank, peer in enumerate(self._peers, 1)
            ]
        bench = self._bench
        self._watchdog = Watchdog(folder, place.stall_s)
        return Stepper(lambda report: train_here(job, bench, place, folder, report, shelf))

    def _stop(self) -> None:
        if self._stepper is not None:
            self._stepper.stop()
            self._stepper = None


class TrainerTrial(GxTrial):
    """Trains each draw under a TorchTrainer of its own; this actor only follows it, on the head."""

    def _next(self) -> dict[str, Any] | None:
        return self._stepper.next()

    def _start(self) -> Following:
        name = f"{self._folder.parent.parent.name}-{self._folder.name}"
        return Following(self._config, self._given.table, self._given.place, name)

    def _raise_if_a_rank_is_lost(self) -> None:
        """Nothing: Ray Train starts lost ranks again."""


@ray.remote
class Peer:
    """A further rank of a trial; it lives as long as the trial's actor."""

    def __init__(self, table: Table, place: Place):
        self._bench = Bench(table, place.device)

    def train(self, job: Job, place: Place, folder: str, shelf: Shelf | None) -> None:
        """Train as one rank; stops when rank 0 does."""
        path = shelf.folder if shelf else Path(folder)
        train_here(job, self._bench, place, path, report=lambda metrics: True, shelf=shelf)


def _peers(table: Any, place: Place) -> list[Any]:
    """Start the further ranks, each in its bundle of the trial's placement group."""
    group: PlacementGroup = ray.util.get_current_placement_group()
    return [
        Peer.options(
            num_cpus=place.cpus,
            num_gpus=place.gpus,
            scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank),
        ).remote(table, place)
        for rank in range(1, place.world_size)
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]
