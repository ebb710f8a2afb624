"""A stand-in of MLflow, as far as gxsearch uses it."""

import uuid
from types import SimpleNamespace

from fake_tracker import called

from mlflow.exceptions import MlflowException

_ERRORS = {"refuse": MlflowException("the param is too long", 400), "unauthorized": MlflowException("who is it?", 401)}


class MlflowClient:
    def __init__(self, tracking_uri):
        self._call("init", tracking_uri)

    def get_experiment_by_name(self, name):
        self._call("get_experiment_by_name", name)

    def create_experiment(self, name, artifact_location):
        self._call("create_experiment", name, artifact_location)
        return "1"

    def create_run(self, experiment, start_time=None, tags=None, run_name=None):
        run = uuid.uuid4().hex
        self._call("create_run", run, run_name, tags)
        return SimpleNamespace(info=SimpleNamespace(run_id=run))

    def update_run(self, run, status):
        self._call("update_run", run, status)

    def log_batch(self, run, metrics=(), params=(), tags=()):
        for kind, items in (("metric", metrics), ("param", params), ("tag", tags)):
            for item in items:
                self._call("log_batch", run, kind, *item)

    def set_terminated(self, run, status, end_time=None):
        self._call("set_terminated", run, status)

    def log_artifacts(self, run, folder, name):
        self._call("log_artifacts", run, name)

    def log_artifact(self, run, path):
        self._call("log_artifact", run, path)

    def _call(self, name, *told):
        called(name, *told, errors=_ERRORS)
