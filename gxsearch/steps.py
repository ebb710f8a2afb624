"""Steps: what a search goes through, shared by the verbs: the first search, the search, confirmation, the results."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from gxsearch.errors import GxError, RunFailed
from gxsearch.results import mirror
from gxsearch.results.far import readdress
from gxsearch.results.run_dir import RunDir
from gxsearch.search.sections import Confirm
from gxsearch.search.spec import Spec
from gxsearch.search.stopped import Interrupted, lost


def run_first(
    opened: Any,
    search: Callable[[Any], None],
    say: Callable[[str], None],
    narrow: Callable[[Spec], Spec] = lambda spec: spec,
) -> None:
    """Run the search that the spec's `first` names, if it names one and that has not ended yet."""
    if opened.spec.first is None:
        return
    from gxsearch.search import stages

    try:
        stages.run_first(opened, search, lambda run, table: concluded(run, table, say), narrow)
    except Interrupted as stopped:
        opened.close("interrupted")
        raise Interrupted(opened.run, stopped.signal) from None


@contextmanager
def serving() -> Iterator[Any]:
    """Yield what serves the searches that follow one another on the Ray that is connected."""
    from gxsearch.search.fleet import Fleet  # imports Ray, which heeds what is set when it is connected

    with Fleet() as fleet:
        yield fleet


def run_search(opened: Any, quiet: bool, fleet: Any) -> None:
    """Run an opened search to its end on the Ray that is connected, and close it; `fleet` is of `serving`.

    Raises:
        Interrupted: a signal came.
    """
    from gxsearch.console import Progress
    from gxsearch.search.deadline import Deadline
    from gxsearch.search.lifeline import Lifeline
    from gxsearch.search.tuner import search

    deadline = Deadline(opened.spec.budget.time_s, opened.spent_s)
    with Progress(opened.referee, deadline, quiet=quiet) as progress, Lifeline(lambda number: _lost(opened, number)):
        stopped_by = search(
            opened.spec,
            opened.run,
            opened.table,
            opened.referee,
            slots=opened.slots,
            deadline=deadline,
            tick=progress.tick,
            fleet=fleet,
        )
    opened.close("interrupted" if stopped_by is not None else "done")
    if stopped_by is not None:
        raise Interrupted(opened.run, stopped_by)


def run_confirm(
    opened: Any,
    asked: Confirm,
    slots: int,
    quiet: bool,
    say: Callable[[str], None],
    fleet: Any,
    trials: Sequence[int] | None = None,
) -> None:
    """Train the best trials of a search that has ended again, or those of `trials`, as far as that is left to do.

    Raises:
        Interrupted: a signal came.
    """
    from gxsearch.search import confirm

    run = opened.run
    trials = confirm.picked(run, asked.top) if trials is None else trials
    if not trials or not confirm.unfinished(run, opened.spec, asked, trials):
        return
    say(f"{len(trials)} trials again over {asked.seeds} seeds" + (f", {asked.splits} splits" * (asked.splits > 1)))
    search = lambda stage: run_search(stage, quiet, fleet)  # noqa: E731
    try:
        confirm.confirm(run, opened.spec, opened.table, slots, asked, trials, search)
    except Interrupted as stopped:
        raise Interrupted(run, stopped.signal) from None


def _lost(opened: Any, signal_number: int | None) -> GxError:
    opened.close("failed" if signal_number is None else "interrupted")
    error, far = lost(opened.run, signal_number), mirror.of(opened.run.path)
    if far is None:
        return error
    readdress(error, far)
    return far.settle(mirror.SOON_S) or error


def concluded(run: RunDir, table: Any, say: Callable[[str], None], *, brief: bool = False) -> RunDir:
    """Make the results of a run; `brief`: as of `results.report.write`.

    Raises:
        RunFailed: E710 when no trial has a result.
    """
    from gxsearch.results.conclude import conclude
    from gxsearch.results.ledger import trials
    from gxsearch.search.disk import told_when_full

    found = trials(run.ledger)
    if not any(t.ranked and math.isfinite(t.best) for t in found):
        reasons: Sequence[str] = sorted({t.reason for t in found if t.reason})
        what = f"none of {len(found)} trials has a result; {'; '.join(reasons[:3])}"
        told = any(t.state == "failed" for t in found)
        raise RunFailed.one("E710", str(run.path), what, f"read {run.path}/trials/*/error.txt" if told else "")
    with told_when_full(run):
        conclude(run, table, say=say, brief=brief)
    return run
