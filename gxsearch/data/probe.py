"""Probe: tries in a forked copy of this process what may crash it or never end."""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import resource
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

from gxsearch.errors import Fault, UnsafeError

ROOM = 512 * 2**20
"""Bytes of memory that a trial may take beyond those of this process, and beyond `PER_BYTE` of the file."""
PER_BYTE = 8
SECONDS = 5.0
"""Time that a trial may take, and a second more for every so many bytes of the file."""
PER_SECOND = 20 * 2**20


def probed(look: Callable[[], list[Fault]], source: str, size: int, *, library: str = "HDF5") -> list[Fault]:
    """Return what `look` finds wrong with a file of `size` bytes; it runs in a fork, whose memory and time are bounded.

    `library` is that which reads it. A fork takes milliseconds, and imports nothing. The copy calls `look` and nothing
    else: other threads are not in it, and what they held is never waited for (h5py releases its own lock in a fork,
    zarr begins a new thread).

    Raises:
        OSError: whatever `look` raises, as text.
        UnsafeError: E804 when the copy dies of a signal or does not end.
    """
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks beside threads; see above
        child = os.fork()
    if child == 0:
        _look(look, source, writing, size)
    os.close(writing)
    try:
        told = heard(reading, _seconds(size))
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if not told:
        how = "comes to no end with" if told is None else "crashes on"
        fix = "it is damaged, or made to do harm: get or write it again"
        raise UnsafeError.one("E804", source, f"the {library} library {how} this file", fix)
    found = json.loads(told)
    if isinstance(found, str):
        raise OSError(found)
    return [Fault(*words) for words in found]


def _look(look: Callable[[], list[Fault]], source: str, writing: int, size: int) -> None:
    """Be the copy: tell the faults, or what was raised as text, and end at once."""
    try:
        _bind(size)
        try:
            told: Any = [[fault.code, fault.where, fault.what, fault.fix] for fault in look()]
        except MemoryError:
            told = [["E802", source, f"asks for far more memory than its {size:,} bytes", "get or write it again"]]
        except Exception as error:  # told by the parent, as what kept the file from being read
            told = " ".join(str(error).split()) or type(error).__name__
        with open(writing, "wb") as file:
            file.write(json.dumps(told).encode())
    finally:
        os._exit(0)  # nothing of the parent's is to be cleaned up here


def _seconds(size: int) -> float:
    return SECONDS + size / PER_SECOND


def _bind(size: int) -> None:
    """Bound the memory of this process, and keep what kills it quiet: no dump, no trace on the terminal."""
    gc.disable()
    faulthandler.disable()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(int(_seconds(size)) + 2)  # should the parent be killed while it waits
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with open("/proc/self/statm") as file:
            now = int(file.read().split()[0]) * resource.getpagesize()
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = now + ROOM + PER_BYTE * size
        resource.setrlimit(resource.RLIMIT_AS, (most if soft == resource.RLIM_INFINITY else min(most, soft), hard))


def heard(reading: int, seconds: float) -> bytes | None:
    """Return all that a process says into a pipe until it ends; None when it takes longer than so many seconds."""
    told, deadline = b"", time.monotonic() + seconds
    while select.select([reading], [], [], max(0.0, deadline - time.monotonic()))[0]:
        piece = os.read(reading, 1 << 16)
        if not piece:
            return told
        told += piece
    return None
