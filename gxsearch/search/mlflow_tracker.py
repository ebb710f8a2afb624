"""MLflow: a run for the search, and below it one for each trial; only the functions of its client are used."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from gxsearch.search.notes import Notes
from gxsearch.search.tracker import Piece, Refused, Results, name_of, told

_STATUS = {"complete": "FINISHED", "stopped": "FINISHED", "interrupted": "KILLED", "done": "FINISHED"}
_LATER = (401, 403, 408, 425, 429)
"""Answers of 400 to 499 that do not say that what was sent is wrong."""
_METRICS, _PARAMS = 1000, 100
"""The most of each that MLflow takes at once."""
_LONGEST = 6000


class MlflowTracker:
    """Sends to the MLflow at an address; the experiment is called as the search is, unless MLflow is told otherwise."""

    def __init__(self, uri: str, facts: Mapping[str, Any], notes: Notes):
        self._client = mlflow.MlflowClient(tracking_uri=uri)
        self._uri, self._facts, self._notes = uri, facts, notes
        self._experiment = ""
        self._running: set[int] = set()

    def open(self) -> None:
        """Begin the search's run, or go on with it."""
        self._experiment = self._named(os.environ.get("MLFLOW_EXPERIMENT_NAME") or self._facts["spec"]["name"])
        if self._notes["search"] is not None:
            self._client.update_run(self._notes["search"], status="RUNNING")
            return
        spec = self._facts["spec"]
        tags = {"run": self._facts["id"], "version": self._facts["gxsearch"], "model": spec["model"]}
        tags |= {"data": spec["data"]["path"], "objective": spec["objective"]["metric"]}
        tags = {f"gxsearch.{name}": str(value) for name, value in tags.items()}
        begun = self._client.create_run(self._experiment, run_name=self._facts["name"], tags=tags)
        self._notes.add(search=begun.info.run_id)
        self._log(begun.info.run_id, params=spec["space"].get("fixed", {}))

    def send(self, piece: Piece) -> None:
        """Send news of a trial, a request or two for each reading of the ledger.

        Raises:
            Refused: MLflow says that this is wrong, as where a trial was deleted there.
        """
        _told_apart(lambda: self._send(piece))

    def results(self, results: Results) -> None:
        """Send measures to the search's run and to that of the best trial, files to the former.

        Raises:
            Refused: as `send`.
        """
        _told_apart(lambda: self._results(results))

    def close(self, state: str) -> None:
        """End the search's run, and those of trials that had not ended."""
        for number in sorted(self._running):
            self._client.set_terminated(self._notes.trials[number], _STATUS["interrupted"])
            self._running.discard(number)
        self._client.set_terminated(self._notes["search"], _STATUS.get(state, "FAILED"))

    def _send(self, piece: Piece) -> None:
        if piece.number not in self._notes.trials:
            self._create(piece)
        elif piece.number not in self._running:  # an earlier start of the search left it
            self._client.update_run(self._notes.trials[piece.number], status="RUNNING")
        self._running.add(piece.number)
        trial = self._notes.trials[piece.number]
        metrics = [
            Metric(name, value, int(1000 * at), epoch)
            for epoch, values, at in piece.epochs
            for name, value in told(values)
        ]
        self._log(trial, metrics, piece.created[0] if piece.created else {})
        if piece.ended is not None:
            event, at = piece.ended
            self._log(trial, tags={key: str(event[key]) for key in ("state", "reason", "epochs", "best_epoch")})
            self._client.set_terminated(trial, _STATUS.get(event["state"], "FAILED"), int(1000 * at))
            self._running.discard(piece.number)

    def _create(self, piece: Piece) -> None:
        _, seed, at = piece.created or ({}, "", time.time())
        tags = {"mlflow.parentRunId": self._notes["search"], "gxsearch.trial": str(piece.number)}
        tags |= {"gxsearch.seed": str(seed)}
        name = name_of(piece.number)
        begun = self._client.create_run(self._experiment, start_time=int(1000 * at), tags=tags, run_name=name)
        self._notes.add(trial=piece.number, id=begun.info.run_id)

    def _results(self, results: Results) -> None:
        search, now = self._notes["search"], int(1000 * time.time())
        metrics = [Metric(name, value, now, 0) for name, value in told(results.measures)]
        best = {"best_trial": str(results.trial), **{name: str(value) for name, value in results.params.items()}}
        self._log(search, metrics, tags=best)
        if results.trial in self._notes.trials:
            tests = [metric for metric in metrics if metric.key.startswith("test/")]
            self._log(self._notes.trials[results.trial], tests)
        for name, folder in results.folders.items():
            self._client.log_artifacts(search, str(folder), name)
        for file in results.files:
            self._client.log_artifact(search, str(file))

    def _log(
        self,
        run: str,
        metrics: Sequence[Metric] = (),
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log it, in as many parts as MLflow takes."""
        given = [Param(name, str(value)[:_LONGEST]) for name, value in (params or {}).items()]
        named = [RunTag(f"gxsearch.{name}", value[:_LONGEST]) for name, value in (tags or {}).items()]
        for some in _parts(given, _PARAMS):
            self._client.log_batch(run, params=some)
        for some in _parts(named, _PARAMS):
            self._client.log_batch(run, tags=some)
        for some in _parts(metrics, _METRICS):
            self._client.log_batch(run, metrics=some)

    def _named(self, name: str) -> str:
        """Return the id of an experiment, which is made where there is none; another search may make it meanwhile."""
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return self._client.create_experiment(name, artifact_location=_artifacts(self._uri))
            except MlflowException:
                found = self._client.get_experiment_by_name(name)
                if found is None:
                    raise
        return found.experiment_id


def _artifacts(uri: str) -> str | None:
    """Return where files go: beside a database of this machine, for MLflow would put them where we were started."""
    _, slashes, path = uri.partition("sqlite:///")
    return (Path(path).parent / "mlartifacts").as_uri() if slashes else None


def _parts(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def _told_apart(send: Callable[[], None]) -> None:
    """Raise `Refused` for what MLflow would refuse again."""
    try:
        send()
    except MlflowException as error:
        status = error.get_http_status_code()
        if 400 <= status < 500 and status not in _LATER:
            raise Refused(str(error)) from error
        raise
