"""Storage that fails for a moment, near and far; and storage that fails for good (F32)."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest
from damage import go_on, told
from shell import ROOT, TOY, refused

from gxsearch import again
from gxsearch.errors import RunFailed
from gxsearch.results.ledger import events, trials
from gxsearch.search.opening import begin, reopen
from gxsearch.search.spec import load

SPEC = ("budget.trials=4", "budget.epochs=5")
pytestmark = pytest.mark.fault("F32")


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    """Wait no seconds between attempts."""
    monkeypatch.setattr(again, "WAITS_S", (0.0, 0.0, 0.0))


class Shaky(SimpleHTTPRequestHandler):
    """A server whose first so many answers to each file fail: by a status, or by ending in the middle."""

    failing, how = 2, 503
    asked: Counter[tuple[str, str]]

    def do_GET(self) -> None:
        if not self._failed():
            super().do_GET()

    def do_HEAD(self) -> None:
        if not self._failed():
            super().do_HEAD()

    def log_message(self, *_: object) -> None:
        """Keep the test's output empty."""

    def _failed(self) -> bool:
        key = (self.command, urlsplit(self.path).path)
        self.asked[key] += 1
        if self.asked[key] > self.failing:
            return False
        if self.how == "cut" and self.command == "GET":
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(b"half")
            self.close_connection = True
        else:
            self.send_error(503 if self.how == "cut" else self.how)
        return True


@pytest.fixture
def serve(folder, monkeypatch) -> Iterator[partial]:
    """Return a function that serves the working folder in a shaky way; it gives the address and what was asked for."""
    pytest.importorskip("aiohttp")
    monkeypatch.setenv("GXSEARCH_CACHE", str(folder / "cache"))
    (folder / "cells.csv").write_text("id," + ",".join(f"g{j}" for j in range(12)) + "\n")
    with open(folder / "cells.csv", "a") as file:
        file.writelines(f"r{i}," + ",".join(str((i * j) % 7 + 0.5) for j in range(12)) + "\n" for i in range(40))
    servers = []

    def started(failing: int, how: int | str) -> tuple[str, Counter]:
        asked: Counter = Counter()
        handler = type("Handler", (Shaky,), {"failing": failing, "how": how, "asked": asked})
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder))))
        Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/cells.csv", asked

    yield started
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("how", [503, 429, "cut"])
def test_data_behind_an_address_that_fails_twice_are_fetched(folder, serve, call, how):
    address, asked = serve(2, how)

    assert call("check", "toy.yaml", "-s", f"data.path={address}", "-s", "data.label=null")[0] == 0
    assert max(asked.values()) >= 3


def test_an_address_that_always_fails_is_told_in_a_line_after_four_attempts(folder, serve, call):
    address, asked = serve(10**6, 503)

    line = refused(call("check", "toy.yaml", "-s", f"data.path={address}"), "E404")

    assert "also when tried 3 times more" in line and not (folder / "runs").exists()
    assert 4 <= asked["GET", "/cells.csv"] + asked["HEAD", "/cells.csv"] <= 16


@pytest.mark.parametrize("status", [401, 403, 404])
def test_an_answer_that_is_settled_is_not_asked_for_again(folder, serve, call, status):
    address, asked = serve(10**6, status)

    assert "tried" not in refused(call("check", "toy.yaml", "-s", f"data.path={address}"), "E404")
    assert max(asked.values()) <= 2


def failing(monkeypatch, name: str, every: int, number: int) -> Counter:
    """Have a function of `os` fail at every so-and-so-many-th call for a file of the run."""
    real, called = getattr(os, name), Counter()

    def shaky(*args, **settings):
        place = os.readlink(f"/proc/self/fd/{args[0]}") if isinstance(args[0], int) else str(args[0])
        if "/run/" not in place or "study.journal" in place:  # that is written by Optuna, in its own way
            return real(*args, **settings)
        called["all"] += 1
        if called["all"] % every == 0:
            called["failed"] += 1
            raise OSError(number, os.strerror(number))
        return real(*args, **settings)

    monkeypatch.setattr(os, name, shaky)
    return called


@pytest.fixture(scope="module")
def whole(toy_table, tmp_path_factory) -> list[tuple]:
    spec = load(ROOT / "tests" / "toy" / "toy.yaml", SPEC)
    opened = begin(spec, toy_table, 1, tmp_path_factory.mktemp("whole") / "run")
    go_on(opened)
    return told(opened.run)


@pytest.mark.parametrize(
    ("name", "number"),
    [("fsync", errno.EIO), ("rename", errno.ESTALE), ("replace", errno.EBUSY), ("write", errno.ETIMEDOUT)],
)
def test_a_disk_that_fails_for_a_moment_costs_nothing(toy_spec, toy_table, tmp_path, monkeypatch, whole, name, number):
    called = failing(monkeypatch, name, 3 if name == "replace" else 7, number)

    opened = begin(toy_spec(*SPEC), toy_table, 1, tmp_path / "run")
    go_on(opened)
    monkeypatch.undo()

    assert called["failed"]
    assert told(opened.run) == whole
    assert [e["seq"] for e in events(opened.run.ledger)] == list(range(len(events(opened.run.ledger))))
    assert not list(opened.run.path.rglob("*.tmp")) and not list(opened.run.path.rglob("*.old"))


def test_a_disk_that_fails_for_good_ends_the_search_in_a_line_with_all_that_it_has(
    toy_spec, toy_table, tmp_path, monkeypatch, whole
):
    opened = begin(toy_spec(*SPEC), toy_table, 1, tmp_path / "run")
    failing(monkeypatch, "fsync", 1, errno.EIO)

    with pytest.raises(RunFailed, match=r"E714.*the disk of the run folder fails.*gxsearch resume"):
        go_on(opened)
    monkeypatch.undo()

    assert "failed" not in {t.state for t in trials(opened.run.ledger)}
    go_on(reopen(opened.run, {}))
    assert told(opened.run) == whole


def test_a_run_folder_at_an_address_that_cannot_keep_one_is_refused(folder, call):
    assert "ftp" in refused(call("train", "toy.yaml", "-o", "ftp://bucket/runs", "--name", "run"), "E303")
    (folder / "other.yaml").write_text(TOY.replace("name: toy", "name: other"))
    assert "--out" in refused(call("compare", "toy.yaml", "other.yaml", "-o", "s3://bucket/runs", "-n", "2"), "E303")
    assert not Path("ftp:").exists() and not Path("s3:").exists()
