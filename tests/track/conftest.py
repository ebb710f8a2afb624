"""Searches of the toy in this process, without Ray, that are sent to stand-ins of the trackers' libraries."""

import json
import os
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from gxsearch.results import leaderboard
from gxsearch.results.run_dir import RunDir, write_atomic
from gxsearch.search.local import search_here
from gxsearch.search.opening import begin, reopen
from gxsearch.search.sections import Track
from gxsearch.search.tracking import Trackers

FAKE = Path(__file__).parent / "fake"


@pytest.fixture
def fakes(monkeypatch, tmp_path):
    """Put the stand-ins before all else that followers import; return a function that reads the calls."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FAKE), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("FAKE_TRACKER_CALLS", str(tmp_path / "calls"))
    read = lambda: [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]  # noqa: E731
    return SimpleNamespace(calls=read, fault=lambda text: monkeypatch.setenv("FAKE_TRACKER_FAULT", text))


@pytest.fixture
def search(toy_spec, toy_table, tmp_path):
    """Return a function that searches the toy, or goes on with it, and returns the run and what was said."""

    def run(name="run", *, trials=3, track=None, stop_after=None):
        said: list[str] = []
        spec = toy_spec("budget.epochs=2", "stop=none", f"budget.trials={trials}")
        spec = replace(spec, track=Track(**track) if track else Track())
        folder = RunDir(tmp_path / name)
        ticks = iter(range(1_000_000))

        def tick():
            if next(ticks) == stop_after:
                raise KeyboardInterrupt

        with Trackers(said.append) as trackers:
            again = {"trials": trials} if folder.run.is_file() else None
            with reopen(folder, again) if again else begin(spec, toy_table, 1, folder.path) as opened:
                trackers.follow(opened.run, opened.spec.track)
                search_here(opened.spec, opened.run, opened.table, opened.referee, tick)
                opened.close("done")
            write_atomic(folder.scores, json.dumps({"test/knn": 0.5}).encode())
            leaderboard.write(folder)
        return folder, [text for text in said if not text.startswith("sent to ")]

    return run


@pytest.fixture(autouse=True)
def _nothing_is_left():
    """No follower outlives its search."""
    yield
    assert not [thread for thread in threading.enumerate() if "_hear" in repr(thread)]
    assert not [pid for pid in filter(str.isdigit, os.listdir("/proc")) if _is_follower(int(pid))]


def _is_follower(pid: int) -> bool:
    try:
        told = Path(f"/proc/{pid}/cmdline").read_bytes(), Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return b"gxsearch.search.follow" in told[0] and told[1].rpartition(")")[2].split()[1] == str(os.getpid())
