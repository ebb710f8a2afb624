"""Searches without Ray in the bucket of the tests, which can be cut short as by a machine that goes down."""

from __future__ import annotations

from s3_server import BUCKET

from gxsearch.results.run_dir import RunDir
from gxsearch.search.local import search_here

RUNS = f"s3://{BUCKET}/runs"


class Cut(BaseException):
    """Thrown in the middle of a search, as a machine that goes down."""


def run_on(opened, epochs: int | None = None) -> RunDir:
    """Run an opened search in this process; cut it short after so many epochs."""
    left = [epochs]

    def tick() -> None:
        if left[0] is not None:
            left[0] -= 1
            if left[0] < 0:
                raise Cut

    with opened:
        search_here(opened.spec, opened.run, opened.table, opened.referee, tick)
        opened.close("done")
    return opened.run


def crash(monkeypatch) -> None:
    """Have a search that is cut short leave things as a machine does that goes down: nothing more is put anywhere."""
    from gxsearch.results import mirror

    def die(self: mirror.Mirror, patience_s: float) -> None:
        self._ending.set()
        self._wake.set()
        self._thread.join()
        mirror._OPEN.pop(self.folder, None)

    monkeypatch.setattr(mirror.Mirror, "settle", die)
    monkeypatch.setattr("gxsearch.results.claim._is_dead", lambda holder, name: True)
