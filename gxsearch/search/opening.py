"""Opening: a search from its spec, or from the run folder of one that was stopped; all that needs no Ray."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import shutil
import sys
import uuid
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gxsearch
from gxsearch.config import read as read_config
from gxsearch.data.table import Table
from gxsearch.data.view import Dims
from gxsearch.errors import RunError
from gxsearch.models import registry
from gxsearch.results import mirror, shelf
from gxsearch.results.ledger import Ledger, events
from gxsearch.results.run_dir import RunDir, refuse_existing, sealed, write_atomic
from gxsearch.search.disk import check_room, is_gone, is_out, told_when_full
from gxsearch.search.edited import changes
from gxsearch.search.intake import checkpoint_bytes, dims, read_table
from gxsearch.search.lock import locked
from gxsearch.search.referee import Referee, replay
from gxsearch.search.scribe import Scribe, plain_domains
from gxsearch.search.sections import Budget, Resources, Track
from gxsearch.search.spec import Spec


@dataclass
class Opened:
    """A search that is ready to run: its folder is locked, its data checked, its past replayed."""

    spec: Spec
    run: RunDir
    table: Table
    referee: Referee
    ledger: Ledger
    slots: int
    spent_s: float
    lock: Any

    def __post_init__(self) -> None:
        self.referee.record(self.ledger)
        self.referee.watchers.append(Scribe(self.spec, self.run).watch)

    def take(self, resources: Resources) -> None:
        """Give trials these resources from here on; what `gpus: auto` was found to be is told the ledger."""
        if self.spec.resources.gpus == "auto" and not self.lock.closed:
            self.ledger.append("gpus_found", gpus=resources.gpus)
        self.spec = dataclasses.replace(self.spec, resources=resources)

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        if not self.lock.closed:  # an error left it open; who tries again in this process must not be locked out
            self.close("interrupted" if kind is not None and issubclass(kind, KeyboardInterrupt) else "failed")

    def close(self, state: str, reason: str = "") -> None:
        """Write how this start of the search ended, where that can be, and let go of the folder."""
        try:
            with closing(self.ledger):
                self.referee.study.flush()
                self.ledger.append("run_ended", durable=True, state=state, reason=reason)
        except OSError as error:
            if not (is_out(error) or is_gone(error, self.run)):
                raise
        finally:
            self.lock.close()


def begin(spec: Spec, table: Table, slots: int, folder: Path) -> Opened:
    """Make the run folder of a new search.

    Raises:
        RunError: when the folder exists, or cannot be made. ResourceError: E506 when the disk is too full.
    """
    run, spec = RunDir(folder), dataclasses.replace(spec, path=str(Path(spec.path).resolve()))
    sizes = dims(spec, table)
    estimate = cost(spec, sizes)
    refuse_existing(folder)
    check_room(folder, checkpoint_bytes(spec, sizes), slots)
    far = mirror.of(run.path)
    if far is not None and run.path != far.folder:
        far.clear(run.path)  # another search of this one was there, and its checkpoints are none of this one's
    lock = _make(run, {run.spec: spec.text, run.run: sealed(_facts(spec, table, folder.name, slots))})
    with told_when_full(run):
        referee, ledger = Referee(spec, run, slots, estimate), Ledger(run.ledger)
        ledger.append("run_started", durable=True, trials=referee.limit, concurrent=slots)
        return Opened(spec, run, table, referee, ledger, slots, 0.0, lock)


def reopen(run: RunDir, budget: dict[str, Any]) -> Opened:
    """Open a stopped search where its ledger ends; `budget` replaces entries of the spec's.

    So do `budget`, `resources` and `track` of its spec.yaml where the user has edited it.

    Raises:
        RunError: when it is running or damaged, its data have changed, or it has more trials than asked for.
        SpecError: E327 when anything else of its spec.yaml was edited.
    """
    facts = run.facts()
    with ExitStack() as undo:
        lock = undo.enter_context(_lock(run))
        past = _told(run)
        spec = Spec.from_json(facts["spec"])
        edited = changes(run, spec.text)
        if edited != _last_edit(past):  # else it is known, and a later resume may have changed the budget again
            budget = edited.get("budget", {}) | budget
        spec = _with_budgets(spec, past, budget, str(run.path))
        spec = dataclasses.replace(
            spec,
            resources=Resources(**edited.get("resources", spec.resources.model_dump())),
            track=Track(**edited.get("track", spec.track.model_dump())),
        )
        table = read_table(spec)
        if table.facts["sha256"] != facts["data"]["sha256"]:
            what = f"the data are not those that the search was begun with ({spec.data.path})"
            raise RunError.one("E604", str(run.path), what, "put the old data back, or begin a new search")
        _set_aside(run.journal)
        _drop_halves(run)
        referee = Referee(spec, run, facts["slots"], cost(spec, dims(spec, table)))
        replay(referee, past)
        _drop_ahead(referee)
        ledger = Ledger(run.ledger)
        ledger.append("run_resumed", durable=True, budget=budget, edited=edited)
        undo.pop_all()  # the lock is held from here on until the search is closed
    return Opened(spec, run, table, referee, ledger, facts["slots"], _spent(past), lock)


def _make(run: RunDir, files: dict[Path, bytes]) -> Any:
    """Make a run's folder with these files, all or nothing; return its lock.

    Raises:
        RunError: when it exists, or cannot be made.
    """
    try:
        run.path.mkdir(parents=True)
    except FileExistsError:
        refuse_existing(run.path)  # another process was quicker
        raise
    except OSError as error:
        raise _not_made(run, error) from None
    try:
        lock = _lock(run)
        for path, data in files.items():
            write_atomic(path, data)
    except OSError as error:
        shutil.rmtree(run.path)
        raise _not_made(run, error) from None
    return lock


def _not_made(run: RunDir, error: OSError) -> RunError:
    return RunError.one("E607", str(run.path), f"the run folder cannot be made ({error.strerror})")


def cost(spec: Spec, sizes: Dims) -> Callable[[dict[str, Any]], float]:
    """Return the function that estimates how long an epoch of a draw takes, in any unit."""
    kind = registry.get(spec.model)

    def estimate(params: dict[str, Any]) -> float:
        configs = spec.space.configs(params)
        return kind.cost(kind.Config(**configs["model"]), kind.Train(**configs["train"]), sizes)

    return estimate


def _with_budgets(spec: Spec, past: list[dict[str, Any]], budget: dict[str, Any], where: str) -> Spec:
    """Apply the changes of the budget that resumes asked for, this one last."""
    changes = [event["budget"] for event in past if event["event"] == "run_resumed"]
    values = spec.budget.model_dump()
    for change in [*changes, budget]:
        values |= change
    asked, created = read_config(Budget, values, where, "budget"), sum(e["event"] == "trial_created" for e in past)
    if asked.trials is not None and asked.trials < created:
        what = f"{asked.trials} trials were asked for, and the search has {created} trials already"
        raise RunError.one("E606", where, what, f"ask for {created} or more")
    return dataclasses.replace(spec, budget=asked)


def _last_edit(past: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the last resume found edited in the spec.yaml of the run."""
    return next((event.get("edited", {}) for event in reversed(past) if event["event"] == "run_resumed"), {})


def _facts(spec: Spec, table: Table, name: str, slots: int) -> dict[str, Any]:
    return {
        "id": uuid.uuid4().hex,
        "name": name,
        "gxsearch": gxsearch.__version__,
        "command": " ".join(["gxsearch", *sys.argv[1:]]),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "spec": spec.to_json(),
        "space_domains": plain_domains(spec),
        "data": table.facts,
        "slots": slots,
        "seed": spec.search.seed,
        **locked(spec, table),
    }


def _lock(run: RunDir) -> Any:
    """Lock the folder for this process; the lock goes with the process, however that ends.

    Raises:
        RunError: when another process holds it.
    """
    file = open(run.lock, "a+")  # noqa: SIM115 - held for the whole search
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise RunError.one("E605", str(run.path), "another process is running this search") from None
    file.truncate(0)
    file.write(f"{os.uname().nodename} {os.getpid()}\n")
    file.flush()
    return file


def _set_aside(journal: Path) -> None:
    """Move the journal away: the study is built again from the ledger, which is the truth.

    A lock that a killed process left on it goes too; it is a link to the journal, which must not be followed.
    """
    for path in journal.parent.glob(f"{journal.name}.lock*"):
        path.unlink()
    if journal.exists():
        journal.replace(journal.with_name(journal.name + ".old"))


def _told(run: RunDir) -> list[dict[str, Any]]:
    """Read the ledger; one without events is that of a search that was killed before it began.

    Raises:
        RunError: when it is damaged, or has no events although there are trials.
    """
    found = events(run.ledger)
    if not found and any(run.path.glob("trials/*/checkpoints/*")):
        raise RunError.one("E613", str(run.ledger), "the ledger is empty, and there are trials", "restore it")
    return found


def _drop_ahead(referee: Referee) -> None:
    """Delete checkpoints beyond the epoch that the ledger has to hear of next.

    Checkpoints are on disk at once and lines of the ledger within a second, so a machine that goes down may leave
    such ones; a training that went on from there would never tell the epochs between. So would one of a trial that
    the ledger does not know of, which is set aside.
    """
    for folder in referee.run.path.glob("trials/[0-9]*"):
        if folder.name.isdigit() and int(folder.name) >= len(referee.trials):
            aside = referee.run.path / "set_aside" / uuid.uuid4().hex[:8]
            aside.mkdir(parents=True)
            folder.rename(aside / folder.name)
    far = mirror.of(referee.run.path)
    for number in far.trials(referee.run.path) if far else []:
        if number >= len(referee.trials):
            far.clear(referee.run.trial(number))
    for trial in referee.unfinished:
        for epoch in shelf.saved(referee.run, trial.number):
            if epoch > referee.told(trial.number) + 1:
                shelf.drop(referee.run, trial.number, epoch, at_once=True)  # a trial would begin from it


def _drop_halves(run: RunDir) -> None:
    """Delete what a process that was killed had half written; nobody else writes there, for the folder is locked."""
    for path in run.path.glob("trials/*/checkpoints/.*.*"):
        shutil.rmtree(path)
    for path in run.path.glob("trials/*/.*.tmp"):
        path.unlink()


def _spent(past: list[dict[str, Any]]) -> float:
    """Return the seconds that earlier starts of the search ran."""
    spent, before = 0.0, None
    for event in past:
        at = datetime.fromisoformat(event["time"])
        if before is not None and event["event"] != "run_resumed":
            spent += (at - before).total_seconds()
        before = at
    return spent
