"""Refit: one training over several workers under Ray's TorchTrainer, with Ray Train's own controller and retries."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray.train
from ray.train.torch import TorchTrainer

from gxsearch.data.table import Table
from gxsearch.errors import TrialError
from gxsearch.results.run_dir import RunDir
from gxsearch.results.shelf import Shelf
from gxsearch.search.draw import draw_config, ending
from gxsearch.search.launch import connected
from gxsearch.search.rank import Place, train_rank
from gxsearch.search.referee import Referee
from gxsearch.search.spec import Spec
from gxsearch.training.session import Bench, Job

RETRIES = 2
_POLL_S = 0.2


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
                for metrics in refit(config, shared, _place(spec), f"{run.path.name}-{trial.number:03d}"):
                    referee.result(trial.number, metrics)
                    tick()
            except TrialError as error:
                referee.ended(trial.number, *ending(error))


def refit(config: dict[str, Any], shared: Any, place: Place, name: str) -> Iterator[dict[str, float]]:
    """Train a job under a TorchTrainer; yield each epoch's metrics as rank 0 writes them.

    Args:
        config: job and folder, as `draw_config` gives them. shared: reference to the table in the object store.
        place: CPUs and GPUs of a worker, and the number of workers.

    Raises:
        TrialError: E701 when a loss is not finite, E703 when a batch does not fit, E702 when the training failed more
            often than it is tried again.
    """
    history = Path(config["folder"]) / "history.ndjson"
    scratch = tempfile.mkdtemp(prefix="gxsearch-")  # Train's own state, which nothing of ours reads
    given = {"config": config, "table": [shared], "place": place, "history": str(history)}
    failure: list[BaseException] = []
    thread = threading.Thread(target=_fit, args=(_trainer(given, name, scratch), failure), daemon=True)
    thread.start()
    try:
        for line in _follow(history, thread):
            if "ended" in line:
                raise TrialError.one(*line["ended"])
            yield line
    finally:
        thread.join()
        shutil.rmtree(scratch, ignore_errors=True)
    if failure:
        raise TrialError.one("E702", name, f"{type(failure[0]).__name__}: {str(failure[0]).partition(chr(10))[0]}")


def _trainer(given: dict[str, Any], name: str, scratch: str) -> TorchTrainer:
    place = given["place"]
    return TorchTrainer(
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


def _follow(history: Path, thread: threading.Thread) -> Iterator[dict[str, Any]]:
    """Yield the lines of a file as another process writes them, until the thread has ended."""
    told, running = 0, True
    while running:
        running = thread.is_alive()
        lines = history.read_text().split("\n")[:-1] if history.exists() else []  # the last may be half written
        yield from (json.loads(line) for line in lines[told:])
        told = len(lines)
        time.sleep(_POLL_S if running else 0)


def _fit(trainer: TorchTrainer, failure: list[BaseException]) -> None:
    try:
        trainer.fit()
    except Exception as error:  # noqa: BLE001 - handed to the thread that reads the history
        failure.append(error)


def _train_rank(given: dict[str, Any]) -> None:
    """Train as one rank of a Ray Train worker group."""
    place, config = given["place"], given["config"]
    bench = Bench(ray.get(given["table"][0]), place.device)

    def write(line: dict[str, Any]) -> bool:
        with open(given["history"], "a") as file:
            file.write(json.dumps(line) + "\n")
        return True

    try:
        train_rank(Job(**config["job"]), bench, place, Path(config["folder"]), write, Shelf.read(config))
    except TrialError as error:  # the same on every rank; Train would only try it again
        if ray.train.get_context().get_world_rank() == 0:
            write({"ended": [error.faults[0].code, given["config"]["folder"], error.faults[0].what]})


def _place(spec: Spec) -> Place:
    return Place(cpus=spec.resources.cpus, gpus=spec.resources.gpus, world_size=spec.resources.workers)
