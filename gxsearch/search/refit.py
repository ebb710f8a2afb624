"""Refit: one training over several workers under Ray's TorchTrainer, with Ray Train's own controller and retries."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray.train
from ray.train.torch import TorchTrainer

from gxsearch.data.table import Table
from gxsearch.errors import TrialError
from gxsearch.results.run_dir import RunDir
from gxsearch.search.draw import draw_config
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
                referee.ended(trial.number, "failed", error.faults[0].what)


def refit(config: dict[str, Any], shared: Any, place: Place, name: str) -> Any:
    """Train a job under a TorchTrainer; yield each epoch's metrics as rank 0 writes them.

    Args:
        config: job and folder, as `draw_config` gives them. shared: reference to the table in the object store.
        place: CPUs and GPUs of a worker, and the number of workers.

    Raises:
        TrialError: when the training failed more often than it is tried again.
    """
    history = Path(config["folder"]) / "history.ndjson"
    scratch = tempfile.mkdtemp(prefix="gxsearch-")  # Train's own state, which nothing of ours reads
    trainer = TorchTrainer(
        _train_rank,
        train_loop_config={"config": config, "table": [shared], "place": place, "history": str(history)},
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
    failure: list[BaseException] = []
    thread = threading.Thread(target=_fit, args=(trainer, failure), daemon=True)
    thread.start()
    told = 0
    try:
        while True:
            running = thread.is_alive()
            lines = history.read_text().split("\n")[:-1] if history.exists() else []  # the last may be half written
            yield from (json.loads(line) for line in lines[told:])
            told = len(lines)
            if not running:
                break
            time.sleep(_POLL_S)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if failure:
        raise TrialError.one("E702", name, f"{type(failure[0]).__name__}: {str(failure[0]).partition(chr(10))[0]}")


def _fit(trainer: TorchTrainer, failure: list[BaseException]) -> None:
    try:
        trainer.fit()
    except Exception as error:  # noqa: BLE001 - handed to the thread that reads the history
        failure.append(error)


def _train_rank(given: dict[str, Any]) -> None:
    """Train as one rank of a Ray Train worker group."""
    place, config = given["place"], given["config"]
    bench = Bench(ray.get(given["table"][0]).dense(), place.device)

    def report(metrics: dict[str, float]) -> bool:
        with open(given["history"], "a") as file:
            file.write(json.dumps(metrics) + "\n")
        return True

    train_rank(Job(**config["job"]), bench, place, Path(config["folder"]), report)


def _place(spec: Spec) -> Place:
    return Place(cpus=spec.resources.cpus, gpus=spec.resources.gpus, world_size=spec.resources.workers)
