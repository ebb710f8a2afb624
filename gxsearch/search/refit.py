"""Refit: a training under Ray's TorchTrainer, with Ray Train's own controller, worker group and retries."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray
import ray.train
import ray.train.torch
from ray.train.torch import TorchTrainer

from gxsearch.data.table import Table
from gxsearch.errors import TrialError
from gxsearch.results.run_dir import RunDir, write_atomic
from gxsearch.results.shelf import Shelf
from gxsearch.search.disk import is_out
from gxsearch.search.draw import draw_config, ending
from gxsearch.search.launch import connected
from gxsearch.search.rank import Place, train_rank
from gxsearch.search.referee import Referee
from gxsearch.search.relay import Relay
from gxsearch.search.spec import Spec
from gxsearch.search.watchdog import Watch, Watchdog
from gxsearch.training.session import Bench, Job

RETRIES = 2
_POLL_S = 0.02


def search_under_trainer(
    spec: Spec, run: RunDir, table: Table, referee: Referee, tick: Callable[[], None], address: str = "local"
) -> None:
    """Run a referee's trials, each in turn under a TorchTrainer with the spec's number of workers."""
    with connected(address, spec.resources):
        shared = ray.put(table)
        while (trial := referee.create()) is not None:
            referee.advance()
            config = draw_config(spec, run, trial)
            try:
                for metrics in refit(config, shared, place_of(spec), f"{run.path.name}-{trial.number:03d}"):
                    referee.result(trial.number, metrics)
                    tick()
            except TrialError as error:
                referee.ended(trial.number, *ending(error))


def refit(config: dict[str, Any], shared: Any, place: Place, name: str) -> Iterator[dict[str, float]]:
    """Train a job under a TorchTrainer; yield each epoch's metrics as rank 0 tells them.

    Args:
        config: job and folder, as `draw_config` gives them. shared: reference to the table in the object store.
        place: CPUs and GPUs of a worker, and the number of workers.

    Raises:
        TrialError: E701 when a loss is not finite, E703 when a batch does not fit, E702 when the training failed more
            often than it is tried again.
    """
    training = Following(config, shared, place, name)
    try:
        while (metrics := training.next()) is not None:
            yield metrics
    finally:
        training.stop()


class Following:
    """A training under a TorchTrainer that stops after each epoch until it is told to go on: a `Stepper`, elsewhere."""

    def __init__(self, config: dict[str, Any], shared: Any, place: Place, name: str):
        self._folder, self._name = Path(config["folder"]), name
        key = uuid.uuid4().hex[:8]  # ranks of a training that was killed may still tell something
        self._relay, self._told = Relay(self._folder, key), 0
        self._relay.clear()
        self._scratch = tempfile.mkdtemp(prefix="gxsearch-")  # Train's own state, which nothing of ours reads
        self._failure: list[BaseException] = []
        trainer = _trainer({"config": config, "table": [shared], "place": place, "relay": key}, name, self._scratch)
        self._thread = threading.Thread(target=self._fit, args=(trainer,), daemon=True)
        self._thread.start()

    def next(self) -> dict[str, Any] | None:
        """Return the next epoch's metrics, or None when the training has ended.

        Raises:
            TrialError: as `refit`. OSError: when the disk is full, or fails.
        """
        if self._told:
            self._relay.answer(self._told, True)
        while True:
            running = self._thread.is_alive()
            if lines := self._relay.lines(self._told):
                self._told += 1
                return self._read(lines[0])
            if not running:
                return self._over()
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """End the training after the epoch it is in, and free what its workers have."""
        if self._thread.is_alive():
            self._relay.answer(self._told, False)
            self._thread.join()
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._relay.clear()

    def _read(self, line: dict[str, Any]) -> dict[str, Any]:
        if "disk" in line:
            raise OSError(line["disk"], "on a worker", str(self._folder))
        if "ended" in line:
            raise TrialError.one(line["ended"][0], str(self._folder), line["ended"][1])
        return line

    def _over(self) -> None:
        if self._failure:
            error = self._failure[0]
            what = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            raise TrialError.one("E702", self._name, what)

    def _fit(self, trainer: TorchTrainer) -> None:
        try:
            trainer.fit()
        except Exception as error:  # noqa: BLE001 - handed to the thread that asks for the next epoch
            self._failure.append(error)


class _Trainer(TorchTrainer):
    """A TorchTrainer without Ray's cleaner of placement groups, a process for each training.

    It asks a dashboard, without which it never ends (Ray 2.60); `gxsearch.search.orphans` does what it is for.
    """

    def _create_default_callbacks(self) -> list[Any]:
        made = super()._create_default_callbacks()
        return [callback for callback in made if type(callback).__name__ != "PlacementGroupCleanerCallback"]


def _trainer(given: dict[str, Any], name: str, scratch: str) -> TorchTrainer:
    place = given["place"]
    return _Trainer(
        _train_rank,
        train_loop_config=given,
        scaling_config=ray.train.ScalingConfig(
            num_workers=place.world_size,
            use_gpu=place.gpus > 0,
            resources_per_worker={"CPU": place.cpus, **({"GPU": place.gpus} if place.gpus else {})},
        ),
        run_config=ray.train.RunConfig(
            name=name,
            storage_path=scratch,
            failure_config=ray.train.FailureConfig(max_failures=RETRIES, controller_failure_limit=RETRIES),
        ),
    )


def _train_rank(given: dict[str, Any]) -> None:
    """Train as one rank of a Ray Train worker group."""
    place, config = given["place"], given["config"]
    folder, context = Path(config["folder"]), ray.train.get_context()
    bench, relay = Bench(ray.get(given["table"][0]), ray.train.torch.get_device()), Relay(folder, given["relay"])
    first = context.get_world_rank() == 0
    if first:
        relay.begin()
    watch = Watch(Watchdog(folder, place.stall_s), bench) if first else None

    def report(metrics: dict[str, Any]) -> bool:
        with watch.paused():
            return relay.tell(metrics)

    try:
        train_rank(Job(**config["job"]), bench, place, folder, report, Shelf.read(config))
    except Exception as error:
        told = _told(error, folder, alone=context.get_world_size() == 1)
        if told is None:
            raise
        if first:
            relay.tell_last(told)
    finally:
        if watch is not None:
            watch.end()


def _told(error: Exception, folder: Path, *, alone: bool) -> dict[str, Any] | None:
    """Return what is said of an error that would come again; None of one that may be that of a rank that was lost."""
    if isinstance(error, TrialError):  # the same on every rank
        return {"ended": [error.faults[0].code, error.faults[0].what]}
    if is_out(error):
        return {"disk": error.errno}
    if alone:
        write_atomic(folder / "error.txt", traceback.format_exc().encode())
        return {"ended": ["E702", f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"]}
    return None


def place_of(spec: Spec) -> Place:
    """Return what each worker of a trial gets."""
    given = spec.resources
    return Place(cpus=given.cpus, gpus=given.gpus, stall_s=given.stall_s, world_size=given.workers)
