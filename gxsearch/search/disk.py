"""Disk: a search stops in time, with all that it has, when its disk fills up or its folder is taken away."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from gxsearch.errors import ResourceError, RunFailed
from gxsearch.results import mirror
from gxsearch.results.run_dir import RunDir

LEAST_BYTES = 32 * 2**20
"""What must be free at any time, for the ledger and the results."""
_TIMES = 3
"""Checkpoints that each slot may have on the disk at once: the best, the newest, the one being written."""
_EVERY_S = 2.0
_AT_ONCE = 20
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FAILS = (errno.EIO, errno.EROFS, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT)
"""After these nothing is written any more; those of them that pass were tried again (`gxsearch.again`)."""


def is_out(error: BaseException) -> bool:
    """Tell whether an error says that there is no room on the disk, or that it fails."""
    return isinstance(error, OSError) and error.errno in (*_FULL, *_FAILS)


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


def out(run: RunDir, number: int = errno.ENOSPC) -> RunFailed:
    """Return what to say of a search that stopped because the disk is full, or fails; `number` is the system's."""
    far = mirror.of(run.path)
    if far is not None and number in _FAILS:
        return far.lost()
    if number in _FAILS:
        what = f"the disk of the run folder fails ({os.strerror(number)}): all that the search has is kept"
        return RunFailed.one("E714", str(run.path), what, f"when it is back: gxsearch resume {run.path}")
    what = f"the disk is full ({_size(shutil.disk_usage(run.path).free)} are free): all that the search has is kept"
    return RunFailed.one("E711", str(run.path), what, f"free some, then: gxsearch resume {run.path}")


def is_gone(error: BaseException, run: RunDir) -> bool:
    """Tell whether an error comes of a run folder that is where it was no more."""
    if not isinstance(error, FileNotFoundError) or error.filename is None:
        return False
    missing = Path(os.fsdecode(error.filename))
    return missing == run.ledger or missing.is_relative_to(run.path) and not run.ledger.exists()


def gone(run: RunDir) -> RunFailed:
    """Return what to say of a search whose folder was taken away."""
    what = "the run folder was deleted or moved while the search ran, which has ended"
    return RunFailed.one("E713", str(run.path), what, "if it was moved: gxsearch resume NEW_PLACE; else search again")


@contextmanager
def told_when_full(run: RunDir) -> Iterator[None]:
    """Tell of a disk that is full or fails, or of a folder that was taken away, in one line.

    Raises:
        RunFailed: E711, E713 or E714 in place of an OSError that says so.
    """
    try:
        yield
    except OSError as error:
        if is_out(error):
            raise out(run, error.errno) from error
        if is_gone(error, run):
            raise gone(run) from error
        raise


class Room:
    """Looks at the disk now and then, while a search runs."""

    def __init__(self, run: RunDir, slots: int, running: Callable[[], Collection[int]]):
        """Look at the disk of a run; `running` tells which trials run."""
        self._run, self._slots, self._running, self._looked = run, slots, running, 0.0
        self._sizes: dict[int, int] = {}
        self.number, self.gone = 0, False
        """The system's number for what is wrong with the disk, 0 if nothing; whether the folder is gone."""

    def look(self) -> bool:
        """Return whether the folder is gone, or the disk full, or too full for the checkpoints to come."""
        if not self.lost and time.monotonic() - self._looked > _EVERY_S:
            self._looked = time.monotonic()
            far = mirror.of(self._run.path)
            if far is not None and far.failure:
                self.number = errno.EIO
            with self.noted():
                self.gone = not self._run.ledger.exists()
                if not self.gone and shutil.disk_usage(self._run.path).free < self._low_water():
                    self.number = errno.ENOSPC
        return self.lost

    @property
    def lost(self) -> bool:
        """Whether nothing can be written any more."""
        return bool(self.number) or self.gone

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Take note of a disk that gives out, or a folder that is gone, instead of raising; raise other errors."""
        try:
            yield
        except OSError as error:
            self.number = error.errno if is_out(error) else self.number
            self.gone |= is_gone(error, self._run)
            if not self.lost:
                raise

    def check(self) -> None:
        """Raise what was noted.

        Raises:
            RunFailed: E711, E713 or E714.
        """
        if self.lost:
            raise gone(self._run) if self.gone else out(self._run, self.number)

    def _low_water(self) -> int:
        """Return what must be free, by the largest checkpoint found so far.

        A few trials are measured each time, those first that were not yet: many would hold a large search up.
        """
        found = self._running()
        newest = ((number, self._newest(number)) for number in found if number not in self._sizes)
        some = itertools.islice((pair for pair in newest if pair[1] is not None), _AT_ONCE)
        self._sizes |= {number: sum(file.stat().st_size for file in _files(folder)) for number, folder in some}
        return LEAST_BYTES + _TIMES * self._slots * max(self._sizes.values(), default=0)

    def _newest(self, number: int) -> Path | None:
        return max(self._run.checkpoints(number).glob("[0-9]*"), default=None)


def _files(folder: Path) -> list[Path]:
    """Return the files of a checkpoint; none if it was deleted meanwhile."""
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []


def _size(n: int) -> str:
    return f"{n / 2**20:,.0f} MiB" if n < 10 * 2**30 else f"{n / 2**30:,.0f} GiB"
