"""Claim: that one process alone runs a search on object storage, which has no locks."""

from __future__ import annotations

import json
import os
import time
import uuid

from gxsearch.errors import RunError
from gxsearch.results.bucket import Bucket

FOLDER = ".claims"
BEAT_S = 20.0
"""How often a process that runs a search says so."""
STALE_S = 120.0
"""A claim that was not renewed for so long, by the storage's clock, is nobody's any more."""

_HELD: set[str] = set()
"""The claims that this process holds; others that name it are of searches that lost their storage."""


class Taken(Exception):
    """Another process runs the search."""


class Claim:
    """An object of this process in the run's folder, written again and again.

    Whoever wants to run the search writes a claim and then lists all of them. Listings see all that was written
    before, so of two that begin at once the one that listed later has seen the other: both may give way, but never
    do both go on. Ages are differences of the storage's own times, whatever the clocks of machines say.
    """

    def __init__(self, run: Bucket):
        self._folder, self._name, self._uri = run / FOLDER, f"{uuid.uuid4().hex}.json", run.uri
        self._at = 0.0

    def take(self) -> None:
        """Claim the run.

        Raises:
            RunError: E605 when another process runs it. StorageError: when the storage fails.
        """
        self._write()
        _HELD.add(self._name)
        try:
            self._look()
        except Taken as taken:
            self.release()
            raise RunError.one("E605", self._uri, f"another process is running this search ({taken})") from None

    def hold(self) -> None:
        """Renew the claim where that is due.

        Raises:
            Taken: when it was nobody's for a while, and another process took over. StorageError: when it cannot be.
        """
        silent = time.monotonic() - self._at
        if silent < BEAT_S:
            return
        if silent > STALE_S / 2 and self._folder.read(self._name) is None:
            raise Taken("another process took it over while this one was not heard of")
        self._write()
        self._look()

    def release(self) -> None:
        """Give the run free."""
        _HELD.discard(self._name)
        self._folder.remove([self._name])

    def give_up(self) -> None:
        """Leave the run where the storage fails: the claim stays there, and is nobody's."""
        _HELD.discard(self._name)

    def _write(self) -> None:
        self._folder.put(self._name, json.dumps(_self()).encode())
        self._at = time.monotonic()

    def _look(self) -> None:
        """Raise where there is another claim of a living process; delete those of dead ones."""
        found = self._folder.objects()
        now = found[self._name].mtime if self._name in found else max((o.mtime for o in found.values()), default=0.0)
        stale = []
        for name, claim in found.items():
            if name == self._name:
                continue
            holder = _parsed(self._folder.read(name))
            if now - claim.mtime <= STALE_S and not _is_dead(holder, name):
                raise Taken(f"on {holder.get('host', 'another machine')}, process {holder.get('pid', 'unknown')}")
            stale.append(name)
        self._folder.remove(stale)


def _self() -> dict[str, object]:
    """Return which process this is, so that those of the same machine can see whether it lives."""
    return {"host": os.uname().nodename, "boot": _boot(), "pid": os.getpid()}


def _boot() -> str:
    """Return what names this start of the machine and this namespace of processes; empty where nothing does."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _parsed(data: bytes | None) -> dict[str, object]:
    try:
        found = json.loads(data or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _is_dead(holder: dict[str, object], name: str) -> bool:
    """Say whether a process of this very machine has ended, or given up; of others only the age of a claim tells."""
    pid = holder.get("pid")
    if not _boot() or holder.get("boot") != _boot() or type(pid) is not int or pid <= 0:
        return False
    if pid == os.getpid():
        return name not in _HELD
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
