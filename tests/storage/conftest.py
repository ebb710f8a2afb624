"""A bucket to keep runs in, machines with caches of their own, and searches without Ray that can be cut short."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from s3_server import BUCKET, Server, Store

from gxsearch import again
from gxsearch.results.far import begun, reopened
from gxsearch.results.run_dir import RunDir
from gxsearch.search.local import search_here
from gxsearch.search.opening import begin, reopen

RUNS = f"s3://{BUCKET}/runs"


class Cut(BaseException):
    """Thrown in the middle of a search, as a machine that goes down."""


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


def run_on(opened, epochs: int | None = None) -> RunDir:
    """Run an opened search in this process; cut it short after so many epochs."""
    left = [epochs]

    def tick() -> None:
        if left[0] is not None:
            left[0] -= 1
            if left[0] < 0:
                raise Cut

    with opened:
        search_here(opened.spec, opened.run, opened.table, opened.referee, tick)
        opened.close("done")
    return opened.run


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


def crash(monkeypatch) -> None:
    """Have a search that is cut short leave things as a machine does that goes down: nothing more is put anywhere."""
    from gxsearch.results import mirror

    def die(self: mirror.Mirror, patience_s: float) -> None:
        self._ending.set()
        self._wake.set()
        self._thread.join()
        mirror._OPEN.pop(self.folder, None)

    monkeypatch.setattr(mirror.Mirror, "settle", die)
    monkeypatch.setattr("gxsearch.results.claim._is_dead", lambda holder, name: True)
