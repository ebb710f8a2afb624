"""Disk: a search stops in time, with all that it has, when the disk that holds its folder fills up."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gxsearch.errors import ResourceError, RunFailed
from gxsearch.results.run_dir import RunDir

LEAST_BYTES = 32 * 2**20
"""What must be free at any time, for the ledger and the results."""
_TIMES = 3
"""Checkpoints that each slot may have on the disk at once: the best, the newest, the one being written."""
_EVERY_S = 2.0
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_full(error: BaseException) -> bool:
    """Tell whether an error says that there is no room on the disk."""
    return isinstance(error, OSError) and error.errno in _FULL


def check_room(folder: Path, checkpoint_bytes: int, slots: int) -> None:
    """Refuse to begin where the checkpoints of the largest model of a space will not fit.

    Raises:
        ResourceError: E506, saying how much is needed and free.
    """
    above = next(place for place in (folder, *folder.resolve().parents) if place.exists())
    need, free = LEAST_BYTES + _TIMES * checkpoint_bytes * slots, shutil.disk_usage(above).free
    if free < need:
        what = f"{_size(free)} are free on the disk of {above}, and the search may need {_size(need)}"
        raise ResourceError.one("E506", str(folder), what, "free some, or write to another disk with --out")


def full(run: RunDir) -> RunFailed:
    """Return what to say of a search that stopped because the disk is full."""
    what = f"the disk is full ({_size(shutil.disk_usage(run.path).free)} are free): all that the search has is kept"
    return RunFailed.one("E711", str(run.path), what, f"free some, then: gxsearch resume {run.path}")


@contextmanager
def told_when_full(run: RunDir) -> Iterator[None]:
    """Tell of a full disk in one line.

    Raises:
        RunFailed: E711 in place of an OSError that says so.
    """
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        raise full(run) from error


class Room:
    """Looks at the disk now and then, while a search runs."""

    def __init__(self, run: RunDir, slots: int):
        self._run, self._slots, self._looked = run, slots, 0.0
        self.full = False

    def look(self) -> bool:
        """Return whether the disk is full, or too full for the checkpoints to come."""
        if not self.full and time.monotonic() - self._looked > _EVERY_S:
            self._looked = time.monotonic()
            self.full = shutil.disk_usage(self._run.path).free < self._low_water()
        return self.full

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Take note of a disk that is full instead of raising; other errors are raised."""
        try:
            yield
        except OSError as error:
            if not is_full(error):
                raise
            self.full = True

    def _low_water(self) -> int:
        newest = (max(trial.glob("[0-9]*"), default=None) for trial in self._run.path.glob("trials/*/checkpoints"))
        sizes = [sum(file.stat().st_size for file in _files(folder)) for folder in newest if folder is not None]
        return LEAST_BYTES + _TIMES * self._slots * max(sizes, default=0)


def _files(folder: Path) -> list[Path]:
    """Return the files of a checkpoint; none if it was deleted meanwhile."""
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []


def _size(n: int) -> str:
    return f"{n / 2**20:,.0f} MiB" if n < 10 * 2**30 else f"{n / 2**30:,.0f} GiB"
