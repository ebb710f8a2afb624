"""Tuner: a search on Ray Tune; Tune starts, feeds and stops the trials, the referee decides."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gxsearch.data.table import Table
from gxsearch.results.run_dir import RunDir
from gxsearch.search.deadline import Deadline
from gxsearch.search.disk import Room
from gxsearch.search.draw import draw_config
from gxsearch.search.fleet import Fleet
from gxsearch.search.liaison import Stage
from gxsearch.search.orphans import Orphans
from gxsearch.search.referee import Referee
from gxsearch.search.refit import place_of
from gxsearch.search.spec import Spec


def search(
    spec: Spec,
    run: RunDir,
    table: Table,
    referee: Referee,
    *,
    slots: int,
    deadline: Deadline,
    tick: Callable[[], None],
    fleet: Fleet | None = None,
) -> int | None:
    """Run a search until the referee has seen every trial end, or a signal stops it.

    Needs a connected Ray. `tick` is called several times a second. A `fleet` that has served another search serves
    this one too. Returns the number of the signal that stopped the search, or None when it is done.

    Raises:
        RunFailed: E711 when the disk is full, E714 when it fails, E713 when the run folder is gone.
    """
    if fleet is None:
        with Fleet() as own:
            return search(spec, run, table, referee, slots=slots, deadline=deadline, tick=tick, fleet=own)
    deadline.start()
    room = Room(run, slots, lambda: list(referee.order.running))
    given = fleet.given(table, place_of(spec))
    draw = lambda trial: draw_config(spec, run, trial, referee.told(trial.number)) | {"given": given}  # noqa: E731
    stage, orphans = Stage(referee, room, draw, deadline.start_late), Orphans()
    with _stopped_by_signals() as caught, _logged_to(run.log):

        def going() -> bool:
            if deadline.over() and not referee.done:
                referee.cut("time budget")
            if stage.trainer:
                orphans.look()
            tick()
            return not (referee.done or caught or room.look())

        try:
            fleet.serve(stage, slots, going)
        except KeyboardInterrupt:
            if not caught:
                raise
    if not referee.done:
        room.check()
    return caught[0] if not referee.done else None


@contextmanager
def _stopped_by_signals() -> Iterator[list[int]]:
    """Take note of SIGINT, SIGTERM and SIGUSR1, which end a search; yields the list of those that came.

    In a thread other than the main one, which Python tells of none, the list stays empty.
    """
    caught: list[int] = []

    def on_signal(number: int, frame: Any) -> None:
        if caught:
            raise KeyboardInterrupt  # the second time: at once
        caught.append(number)

    able = threading.current_thread() is threading.main_thread()
    heard = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1) if able else ()
    before = {number: signal.signal(number, on_signal) for number in heard}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _logged_to(path: Path) -> Iterator[None]:
    """Send what Ray logs in this process to a file instead of the terminal."""
    logger, handler = logging.getLogger("ray"), logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    before, logger.handlers, logger.propagate = logger.handlers, [handler], False
    try:
        yield
    finally:
        logger.handlers = before
        handler.close()
