"""Stopped: what is said of a search that a signal stopped, or that lost its Ray, and how it is gone on with."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gxsearch.errors import AGAIN, Fault, GxError, RunError, RunFailed
from gxsearch.results.run_dir import RunDir
from gxsearch.search.disk import gone, is_gone


class Interrupted(RunError):
    """A signal stopped the search; everything that was trained is kept, and `resume` goes on.

    The exit code is 128 + the signal; for SIGUSR1, by which batch systems warn before they take a machine away, 75:
    to be started again.
    """

    def __init__(self, run: RunDir, signal_number: int):
        kept = [path for below in ("trials", "*/trials") for path in run.path.glob(f"{below}/*")]  # also a comparison's
        what = f"stopped; {len(kept)} trials are kept in {run.path}"
        super().__init__([Fault("E690", "", what, f"go on with: gxsearch resume {run.path}")])
        self.signal, self.exit_code = signal_number, AGAIN if signal_number == signal.SIGUSR1 else 128 + signal_number

    def __str__(self) -> str:
        return " - ".join((self.faults[0].what, self.faults[0].fix))


@contextmanager
def told(folder: Path) -> Iterator[None]:
    """Say how to go on with a search that a signal stopped at any time after its folder was made.

    What nobody foresaw is written to its log.

    Raises:
        Interrupted: in place of a KeyboardInterrupt. RunFailed: E713 when the folder is gone.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        if not RunDir(folder).run.is_file():
            raise
        raise Interrupted(RunDir(folder), getattr(stop, "signal", signal.SIGINT)) from None
    except GxError:
        raise
    except Exception as error:
        if is_gone(error, RunDir(folder)):
            raise gone(RunDir(folder)) from error
        if folder.is_dir():
            with open(RunDir(folder).log, "a") as file:
                file.write(traceback.format_exc())
        raise


def lost(run: RunDir, signal_number: int | None) -> Interrupted | RunFailed:
    """Return what to say of a search whose Ray is gone, or which a signal told to end and which does not."""
    run = RunDir(run.outermost)  # of a part of a search, what is gone on with is the whole
    if signal_number is not None:
        return Interrupted(run, signal_number)
    what = "Ray's own processes were ended: all that the search has is kept"
    return RunFailed.one("E712", str(run.path), what, f"go on with: gxsearch resume {run.path}")
