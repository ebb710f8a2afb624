"""A search that was cut short, ways to damage what it left behind, and what must hold of it afterwards."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from gxsearch.errors import GxError
from gxsearch.results.ledger import trials
from gxsearch.results.run_dir import RunDir
from gxsearch.search.local import search_here
from gxsearch.search.opening import Opened, begin, reopen
from gxsearch.search.spec import Spec


class Cut(BaseException):
    """Thrown in the middle of a search, as a machine that goes down."""


def go_on(opened: Opened, epochs: int | None = None) -> None:
    """Run a search to its end, or for so many epochs."""
    left = [epochs]

    def tick() -> None:
        if left[0] is not None:
            left[0] -= 1
            if left[0] < 0:
                raise Cut

    try:
        with opened:
            search_here(opened.spec, opened.run, opened.table, opened.referee, tick)
            opened.close("done")
    except Cut:
        return


def cut_short(spec: Spec, table, folder: Path, epochs: int) -> RunDir:
    """Return the run of a search that went down after so many epochs."""
    opened = begin(spec, table, 1, folder)
    go_on(opened, epochs)
    return opened.run


def told(run: RunDir) -> list[tuple]:
    """Return what a search has found, but for times."""
    return [(t.number, t.params, t.state, t.best, t.best_epoch, len(t.history)) for t in trials(run.ledger)]


def files(run: RunDir) -> list[Path]:
    """Return all files of a run, by name."""
    return sorted(path for path in run.path.rglob("*") if path.is_file())


def damage(path: Path, rng: random.Random) -> str:
    """Cut a file short or turn some of its bits; return what was done."""
    data = bytearray(path.read_bytes())
    if not data or rng.random() < 1 / 3:
        at = rng.randrange(len(data) + 1)
        path.write_bytes(data[:at])
        return f"{path.name} cut at {at} of {len(data)}"
    at = [rng.randrange(len(data)) for _ in range(rng.choice([1, 1, 8]))]
    for place in at:
        data[place] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    return f"{path.name} turned at {at} of {len(data)}"


def survives(run: RunDir, whole: list[tuple], folder: Path) -> tuple[str, RunDir]:
    """Resume a copy of a damaged run; return how it ended: the same as one left alone, or refused in a line.

    Whatever else happens is an error: another end, a traceback, a trial that is lost.
    """
    copy = RunDir(shutil.copytree(run.path, folder))
    try:
        go_on(reopen(RunDir.open(copy.path), {}))
    except GxError as error:
        assert str(error).startswith("error[E"), error
        return "refused", copy
    assert told(copy) == whole, "it went on, and ended otherwise"
    return "the same", copy
