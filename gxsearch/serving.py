"""Serving: TensorBoard and optuna-dashboard on a run, as processes that end with ours."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gxsearch.answer import answer, leavable, sayer
from gxsearch.errors import ResourceError, RunError, RunFailed
from gxsearch.results.run_dir import COMPARISON, RunDir

TRIES = 10
"""Ports that are tried, one after the other, where none was asked for."""
UP_S = 120.0
_LOOK_S = 0.1


def board(run: str, host: str, port: int | None) -> None:
    """Run TensorBoard on a run, or on all searches of a comparison.

    Raises:
        RunError: E601 when there is none, E618 when it is not on a disk, or nothing can listen there. RunFailed: E718.
    """
    _here(run)
    folder = Path(run).resolve() if (Path(run) / COMPARISON).is_file() else RunDir.open(run).path
    port = _port(host, port, 6006)
    program = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder)]
    _serve([*program, "--host", host, "--port", str(port)], host, port, "TensorBoard")


def dash(run: str, host: str, port: int | None) -> None:
    """Run optuna-dashboard on a copy of a run's study, which follows the run: what is changed there changes nothing.

    Raises:
        ResourceError: E507 when it is not installed. RunError, RunFailed: as `board`.
    """
    if importlib.util.find_spec("optuna_dashboard") is None:
        raise ResourceError.one("E507", "gxsearch dash", "optuna-dashboard is missing", 'pip install "gxsearch[dash]"')
    _here(run)
    if (Path(run) / COMPARISON).is_file():
        raise RunError.one("E618", run, "each search of a comparison has a study of its own", f"give {run}/MODEL")
    journal = RunDir.open(run).journal
    if not journal.is_file():
        raise RunError.one("E618", str(journal), "this run has no study yet", "wait until its first trial has begun")
    port = _port(host, port, 8080)
    with tempfile.TemporaryDirectory(prefix="gxsearch-dash-") as work:
        copy = Following(journal, Path(work) / journal.name)
        copy.follow()
        program = [sys.executable, "-c", "from optuna_dashboard._cli import main; main()", str(copy.path)]
        program += ["--storage-class", "JournalFileStorage", "--host", host, "--port", str(port)]
        _serve(program, host, port, "optuna-dashboard", copy.follow)


class Following:
    """A copy of a file that only grows: what is added to the file is added to the copy."""

    def __init__(self, source: Path, path: Path):
        self.path = path
        self._source, self._read = source, 0

    def follow(self) -> None:
        """Add the whole lines that the file has gained; nothing when it is gone, or is another that is shorter."""
        if not self._source.is_file():
            return
        with open(self._source, "rb") as source, open(self.path, "ab") as copy:
            source.seek(self._read)
            added = source.read()
            whole = added[: added.rfind(b"\n") + 1]
            copy.write(whole)
            self._read += len(whole)


def _here(run: str) -> None:
    if "://" in run and not run.startswith("file://"):
        fix = "copy it to a disk first: what its trials left is not fetched"
        raise RunError.one("E618", run, "only a run on a disk can be shown", fix)


def _port(host: str, asked: int | None, first: int) -> int:
    """Return a port that is free: the one asked for, any for 0, else one from `first` on.

    Raises:
        RunError: E618 when it is taken, or there is no such host.
    """
    error: OSError | None = None
    for port in range(first, first + TRIES) if asked is None else [asked]:
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.create_server((host, port), family=family) as found:
                return found.getsockname()[1]
        except OSError as failed:
            error = failed
    where = f"{host}:{first if asked is None else asked}"
    raise RunError.one("E618", where, f"nothing can listen there ({error.strerror})", "give another --port or --host")


def _serve(words: Sequence[str], host: str, port: int, name: str, also: Callable[[], None] = lambda: None) -> None:
    """Run a server until Ctrl-C, and leave no process; `also` is called every other second.

    Raises:
        RunFailed: E718 when it ends by itself.
    """
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{'127.0.0.1' if host == '0.0.0.0' else shown}:{port}/"
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            with leavable():
                _wait(child, host, port, name, log)
                answer(lambda: url, lambda: {"url": url, "pid": child.pid})
                sayer()(f"{name} runs until Ctrl-C")
                while child.poll() is None:
                    also()
                    _nap(child, 2.0)
                raise _ended(child, name, log)
        finally:
            _end(child)


def _nap(child: subprocess.Popen, seconds: float) -> None:
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def _wait(child: subprocess.Popen, host: str, port: int, name: str, log: Any) -> None:
    """Wait until the server answers."""
    until = time.monotonic() + UP_S
    near = "127.0.0.1" if host == "0.0.0.0" else host
    while child.poll() is None and time.monotonic() < until:
        try:
            socket.create_connection((near, port), timeout=1.0).close()
            return
        except OSError:
            time.sleep(_LOOK_S)
    raise _ended(child, name, log)


def _ended(child: subprocess.Popen, name: str, log: Any) -> RunFailed:
    log.seek(0)
    lines = log.read().decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    what = f"ended with exit code {child.poll()}" if child.poll() is not None else f"does not answer after {UP_S:.0f} s"
    return RunFailed.one("E718", name, f"{what}: {last}", "try another --port")


def _end(child: subprocess.Popen) -> None:
    child.terminate()
    try:
        child.wait(5)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
