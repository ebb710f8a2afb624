"""Footprint: the memory that this process has of its own, now and at most; files that it maps are not counted."""

from __future__ import annotations

import ctypes
import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_MACHINE = Path("/proc/meminfo")


def own() -> int:
    """Return the bytes that this process has written to and holds, those that it shares with what it is a fork of too.

    Where the system does not tell (not Linux): the most that it has ever held.
    """
    told = _status()
    return told["RssAnon"] if "RssAnon" in told else _most()


def peak() -> int:
    """Return the most that `own` has been since the process began, or a little less.

    The system tells the peak of all pages; those of files and libraries are taken off as they are now. They only
    become more, so that what was read after the peak is missing from it.
    """
    told = _status()
    if not {"VmHWM", "RssAnon"} <= set(told):
        return _most()
    return max(told["RssAnon"], told["VmHWM"] - told.get("RssFile", 0) - told.get("RssShmem", 0))


def give_back() -> None:
    """Give memory that is free within this process back to the system, so that what is taken later is seen."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc; others have no such thing
        if trim is not None:
            trim(0)


def available() -> int:
    """Return the bytes of memory that the machine has free, or would free; more than any has where it does not tell."""
    told = _pairs(_MACHINE) if _MACHINE.is_file() else {}
    return told.get("MemAvailable", 1 << 62)


def bound(room: int) -> None:
    """Refuse this process more than so many bytes beyond what it has: what asks for more is told, and nobody killed."""
    told = _status()
    if "VmData" not in told:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = told["VmData"] + room
    resource.setrlimit(resource.RLIMIT_DATA, (most if soft == resource.RLIM_INFINITY else min(most, soft), hard))


def _status() -> dict[str, int]:
    return _pairs(_STATUS) if _STATUS.is_file() else {}


def _pairs(path: Path) -> dict[str, int]:
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return {name: int(value.split()[0]) * 1024 for name, _, value in lines if value.endswith(" kB")}


def _most() -> int:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
