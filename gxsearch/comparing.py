"""Comparing: the verb `compare`, from the files to the verdict; and how a comparison that was stopped goes on."""

from __future__ import annotations

import fcntl
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gxsearch
from gxsearch.config import read as read_config
from gxsearch.data.table import Table
from gxsearch.errors import RunError
from gxsearch.results.compare_dir import CompareDir
from gxsearch.results.run_dir import RunDir, fresh_name, named, refuse_existing, sealed, write_atomic
from gxsearch.search.comparing import Entry, Plan, check_rows, entries, from_json, to_json
from gxsearch.search.sections import Resources
from gxsearch.search.spec import Spec
from gxsearch.search.stopped import Interrupted
from gxsearch.search.track import check_installed
from gxsearch.search.tracking import Trackers
from gxsearch.steps import concluded, run_confirm, run_first, run_search, serving

Say = Callable[[str], None]


def compare(
    specs: Sequence[str | Path | Spec],
    *,
    data: str | None = None,
    sets: Sequence[str] = (),
    out: str | Path = "runs",
    name: str | None = None,
    address: str = "local",
    quiet: bool = False,
    say: Say = lambda text: None,
    **plan: Any,
) -> CompareDir:
    """Compare architectures on one data set, on one split, with an equal budget; return the folder of the comparison.

    Every search goes by its own objective; the measure of the comparison, taken of vectors of validation rows,
    chooses among its best trials. These are trained again over paired seeds, and judged on test rows.

    Args:
        data: the data set, instead of those that the files name. sets: ``path=value``, or ``model:path=value`` for
            the files of one model.
        out, name, address, quiet, say: as in `tune`.
        plan: settings of `search.comparing.Plan`: minutes, trials, by, top, seeds, splits.

    Raises:
        SpecError, DataError, ResourceError: before anything was started.
        Interrupted: a signal came; `resume` goes on.
    """
    asked = read_config(Plan, {key: value for key, value in plan.items() if value is not None}, "")
    given = entries(specs, asked, data=data, sets=sets)
    folder = named(out, name or fresh_name("compare"))
    refuse_existing(folder)
    tables, found = _checked(given, asked, address, say)
    folder.mkdir(parents=True)
    facts = {
        "id": uuid.uuid4().hex,
        "name": folder.name,
        "gxsearch": gxsearch.__version__,
        "command": " ".join(["gxsearch", *sys.argv[1:]]),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "plan": asked.model_dump(),
        "entries": [to_json(entry) for entry in given],
    }
    place = CompareDir(folder)
    write_atomic(place.facts_file, sealed(facts))
    return _run(place, given, tables, asked, address, quiet, say, found)


def go_on(folder: Path, *, address: str = "local", quiet: bool = False, say: Say = lambda text: None) -> CompareDir:
    """Go on with a comparison that was stopped; what is finished stays.

    Raises:
        RunError: when there is none, or it is running.
    """
    place = CompareDir.open(folder)
    facts = place.facts()
    given, asked = [from_json(told) for told in facts["entries"]], read_config(Plan, facts["plan"], "")
    tables, found = _checked(given, asked, address, say)
    return _run(place, given, tables, asked, address, quiet, say, found)


def _checked(given: Sequence[Entry], asked: Plan, address: str, say: Say) -> tuple[list[Table], dict[str, Resources]]:
    """Return the data of every entry and its resources by name, once nothing speaks against any."""
    from gxsearch.results.comparison import measure
    from gxsearch.search import confirm
    from gxsearch.search.intake import dims, read_table
    from gxsearch.search.launch import local_resources, slots
    from gxsearch.search.memory import check_memory
    from gxsearch.search.packing import check_address, settled

    here = {}
    for entry in given:
        check_installed(entry.spec.track)
        check_address(entry.spec.resources, address)
        entry.spec.check_corners()
        confirm.check(entry.spec, asked.confirm)
        if address == "local":
            fit = slots(entry.spec.resources, *local_resources())
            here[entry.name] = fit if entry.spec.resources.gpus != "auto" else 1  # until it is settled
    tables = [read_table(entry.spec) for entry in given]
    for entry, table in zip(given, tables, strict=True):
        check_memory(table, here.get(entry.name, 0))
        dims(entry.spec, table)
    check_rows(given, tables)
    measure(tables[0], asked.by)
    pairs = zip(given, tables, strict=True)
    return tables, {entry.name: settled(entry.spec, table, say) for entry, table in pairs}


def _run(
    place: CompareDir,
    given: Sequence[Entry],
    tables: list[Table],
    asked: Plan,
    address: str,
    quiet: bool,
    say: Say,
    found: dict[str, Resources],
) -> CompareDir:
    from gxsearch.results import comparison
    from gxsearch.search.launch import connected, fitting

    with _alone(place):
        say(f"{place.path}   {', '.join(entry.name for entry in given)}   {tables[0].n_obs:,} rows")
        try:
            with connected(address, found[given[0].name]), serving() as fleet:
                for i, entry in enumerate(given):
                    say(f"{entry.name}: search {i + 1} of {len(given)}")
                    settled = found[entry.name] if entry.spec.resources.gpus == "auto" else None
                    fit = fitting(found[entry.name])
                    tables[i] = _searched(place, entry, tables[i], asked, fit, quiet, say, settled, fleet)
        except Interrupted as stopped:
            raise Interrupted(RunDir(place.path), stopped.signal) from None
        say("comparison")
        comparison.write(place, {entry.name: table for entry, table in zip(given, tables, strict=True)})
    return place


def _searched(
    place: CompareDir,
    entry: Entry,
    table: Table,
    asked: Plan,
    slots: int,
    quiet: bool,
    say: Say,
    settled: Resources | None,
    fleet: Any,
) -> Table:
    """Search an architecture, make its results, and train its best settings again, as far as that is left to do."""
    from gxsearch.results.comparison import champion
    from gxsearch.search import confirm
    from gxsearch.search.opening import begin, reopen

    run = place.run(entry.name)
    with Trackers(say) as trackers:
        with reopen(run, {}) if run.run.is_file() else begin(entry.spec, table, slots, run.path) as opened:
            opened.take(settled or opened.spec.resources)
            trackers.follow(run, opened.spec.track)
            run_first(opened, lambda stage: run_search(stage, quiet, fleet), say)
            if confirm.done(run):
                opened.close("done")
            else:
                run_search(opened, quiet, fleet)
        if not run.report.exists():
            concluded(run, opened.table, say, brief=True)  # `gxsearch report` draws the rest of one that is looked at
    picked = champion(run, opened.table, asked.top, asked.by)
    run_confirm(opened, asked.confirm, slots, quiet, say, fleet, [picked.number])
    return opened.table


@contextmanager
def _alone(place: CompareDir) -> Iterator[None]:
    """Hold the comparison for this process.

    Raises:
        RunError: E605 when another one runs it.
    """
    with open(place.path / "lock", "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunError.one("E605", str(place.path), "another process is running this comparison") from None
        yield
