"""A stand-in of Weights & Biases, as far as gxsearch uses it."""

from fake_tracker import called


def init(**given):
    called("init", given["id"], given["job_type"], given["group"], given["project"], given["config"])
    return _Run(given["id"])


def teardown():
    called("teardown")


class Settings:
    def __init__(self, **given):
        pass


class Artifact:
    def __init__(self, name, type):
        called("artifact", name)

    def add_dir(self, folder, name):
        called("add_dir", name)

    def add_file(self, path):
        called("add_file", path)


class _Run:
    def __init__(self, name):
        self._name = name
        self.config = self.summary = self

    def update(self, values, **how):
        called("update", self._name, values)

    def log(self, metrics, step):
        called("log", self._name, metrics, step)

    def log_artifact(self, artifact):
        called("log_artifact", self._name)

    def finish(self, exit_code):
        called("finish", self._name, exit_code)
