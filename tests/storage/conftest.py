"""A bucket to keep runs in, machines with caches of their own, and searches without Ray that can be cut short."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cut_short import RUNS, run_on
from s3_server import Server, Store

from gxsearch import again
from gxsearch.results.far import begun, reopened
from gxsearch.results.run_dir import RunDir
from gxsearch.search.opening import begin, reopen


@pytest.fixture
def store(monkeypatch, tmp_path) -> Iterator[Store]:
    """The bucket behind RUNS; waits between attempts take no time."""
    server = Server()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    own = {"AWS_ENDPOINT_URL": server.endpoint, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "very-secret-word"}
    for name, value in {**own, "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GXSEARCH_CACHE", str(tmp_path / "machine-a"))
    monkeypatch.setattr(again, "WAITS_S", (0.0, 0.0, 0.0))
    from gxsearch.results import shelf

    shelf._bucket.cache_clear()  # each test has a server of its own
    yield server.store
    server.stop()


@pytest.fixture
def machine(monkeypatch, tmp_path) -> Callable[[str], None]:
    """Return a function that goes on as another machine: with a cache of its own."""
    return lambda name: monkeypatch.setenv("GXSEARCH_CACHE", str(tmp_path / name))


@pytest.fixture
def search(store, toy_spec, toy_table) -> Callable[..., RunDir]:
    """Return a function that runs a search of the toy model, by default in the bucket."""

    def run(name: str = "run", out: str | Path = RUNS, epochs: int | None = None, sets: tuple[str, ...] = ()) -> RunDir:
        spec = toy_spec("budget.trials=4", "budget.epochs=4", *sets)
        with begun(out, name, lambda text: None) as folder:
            return run_on(begin(spec, toy_table, 1, folder), epochs)

    return run


@pytest.fixture
def resume(store) -> Callable[..., RunDir]:
    """Return a function that goes on with a search in the bucket."""

    def run(name: str = "run", epochs: int | None = None) -> RunDir:
        with reopened(f"{RUNS}/{name}", lambda text: None) as folder:
            return run_on(reopen(RunDir.open(folder), {}), epochs)

    return run
