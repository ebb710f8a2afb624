"""Searching: the verbs that train, as Python has them: they take files, specs and runs, and return a `Run`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from gxsearch import api
from gxsearch.changes import Changes, as_sets
from gxsearch.errors import GxError, SpecError
from gxsearch.results.run_dir import RunDir
from gxsearch.run import Run, located
from gxsearch.screen import hush, sayer
from gxsearch.search.spec import Spec, from_mapping

if TYPE_CHECKING:
    from gxsearch.compared import Comparison

Source = str | os.PathLike[str]
"""The path of something; a `Run` and a `Trial` are paths too."""
Given = Source | Mapping[str, Any] | Spec
"""A search space: its file, what its file would hold, or one that is read already."""
Say = Callable[[str], None]


class Running(TypedDict, total=False):
    """Where a run is made, and what is said meanwhile, as `tune` describes."""

    out: Source
    name: str
    address: str
    quiet: bool
    say: Say


class Place(TypedDict, total=False):
    """What a training runs on, and who is told.

    These are `trainer`, Ray's TorchTrainer also for one worker; `address`, of the Ray for it; `track`, {"mlflow": URI}.
    """

    trainer: bool
    address: str
    track: Mapping[str, str]


def load_spec(given: Given, *sets: str) -> Spec:
    """Read and check a search space: a file, or what one would hold; `sets` are ``path=value``, as with ``--set``.

    Raises:
        SpecError: with all faults.
    """
    if isinstance(given, Spec):
        return given.changed(*sets)
    if isinstance(given, Mapping):
        return from_mapping(given, sets)
    return api.load_spec(located(given), *sets)


def tune(
    spec: Given,
    *,
    sets: Sequence[str] = (),
    out: Source | None = None,
    name: str | None = None,
    address: str = api.LOCAL,
    warm: Sequence[Source] = (),
    top: int = 3,
    quiet: bool = False,
    say: Say | None = None,
    **changes: Unpack[Changes],
) -> Run:
    """Search a space of settings and make the results.

    A kernel's interrupt (Ctrl-C in a terminal) stops the search, keeps all that was trained and raises `Interrupted`;
    `resume` goes on.

    Args:
        spec: a search space file, a mapping that could be one, or a `Spec`.
        sets: changes of the file, ``path=value``.
        out: the folder that holds runs, or an address of object storage; by default GXSEARCH_RUNS, or runs.
        name: of the run's folder; by default the spec's with the time.
        address: ``local`` starts a Ray of its own on this machine; else that of a cluster.
        warm: older runs whose `top` best settings each are tried first.
        quiet: show no progress. say: is told what is being done, instead of printing it.
        changes: trials, epochs, time ("30m"), concurrent, gpus, seed, and track ({"mlflow": URI}), instead of those of
            the file.

    Raises:
        SpecError, DataError, ResourceError: before anything was started.
        RunFailed: no trial succeeded, or object storage failed. Interrupted: a signal came.
    """
    say = say or sayer(quiet)
    with in_python():
        loaded = load_spec(spec, *sets, *as_sets(changes))
        loaded = api.warmed(loaded, [located(run) for run in warm], top=top) if warm else loaded
        for note in loaded.notes:
            say(f"note: {note}")
        out = runs(out)
        return _at(api.tune(loaded, out=out, name=name, address=address, quiet=quiet, say=say), out)


def resume(
    run: Source,
    *,
    trials: int | str | None = None,
    time: str | None = None,
    track: Mapping[str, str] | None = None,
    address: str = api.LOCAL,
    quiet: bool = False,
    say: Say | None = None,
) -> Run | Comparison:
    """Go on with a search that was stopped; finished trials stay, running ones go on from their last checkpoint.

    Args:
        run: a run, or a comparison, whose budget is that which it was begun with.
        trials: a new number of them, or "+4" for so many more. time: a new time of the whole search, "30m".
        track: trackers beside those that it was begun with, {"mlflow": URI}.
        address, quiet, say: as in `tune`.

    Raises:
        RunError: when there is no run, it is running, or its ledger is damaged. Interrupted: a signal came.
        SpecError: E346 a comparison's budget is to be another.
    """
    from gxsearch import compared, listing
    from gxsearch.verdicts import is_comparison

    with in_python():
        if is_comparison(located(run)):
            odd = next((name for name, given in (("trials", trials), ("time", time), ("track", track)) if given), None)
            if odd:
                what = "budget and trackers of a comparison are those which it was begun with"
                raise SpecError.one("E346", odd, what, "leave it out")
            return compared.resumed(run, address=address, quiet=quiet, say=say or sayer(quiet))
        budget = listing.budget_change(located(run), None if trials is None else str(trials), time)
        options = {"address": address, "quiet": quiet, "say": say or sayer(quiet)}
        options |= {"track": [f"{name}={target}" for name, target in (track or {}).items()]}
        api.resume(located(run), budget=budget, **options)
        return Run(located(run))


def train(
    spec: Given,
    *,
    sets: Sequence[str] = (),
    trial: Source | dict[str, Any] | None = None,
    workers: int = 1,
    out: Source | None = None,
    name: str | None = None,
    quiet: bool = False,
    say: Say | None = None,
    **more: Unpack[Place],
) -> Run:
    """Train once, without a search; the run is that of a search of one trial.

    Searched settings take the values of `trial`, else of the first start point, else the model's defaults.

    Args:
        trial: a `Trial`, its path (RUN/017), a run for its best, or settings by their paths.
        workers: processes that train together. more: as `Place` says.
        spec, sets, out, name, quiet, say: as in `tune`.
    """
    from gxsearch import listing

    with in_python():
        loaded = load_spec(spec, *sets, *as_sets({"track": more.pop("track", None)}))
        params = trial if trial is None or isinstance(trial, dict) else listing.trial_at(located(trial)).params
        options = {"workers": workers, "quiet": quiet, "say": say or sayer(quiet), **more}
        out = runs(out)
        return _at(api.train(loaded, trial=params, out=out, name=name, **options), out)


def refit(
    run: Source,
    number: int | None = None,
    *,
    epochs: int | None = None,
    seed: int | None = None,
    workers: int | None = None,
    **running: Unpack[Running],
) -> Run:
    """Train the best settings of a run, or those of a trial, once more under Ray's TorchTrainer.

    Args:
        run: a run, or a `Trial` or its path (RUN/017). number: a trial of the run.
        epochs, seed, workers: by default those of the search. running: out, name, address, quiet, say, as in `tune`.

    Raises:
        RunFailed: when no trial may win. RunError: E630 when there is no such trial.
    """
    from gxsearch import listing

    with in_python():
        folder, found = listing.split_trial(located(run))
        out = runs(running.pop("out", None))
        running["say"] = running.get("say") or sayer(running.get("quiet", False))
        asked = {"epochs": epochs, "seed": seed, "workers": workers, **running}
        return _at(api.refit(folder.path, found if number is None else number, out=out, **asked), out)


@contextmanager
def in_python() -> Iterator[None]:
    """Have errors tell how to go on in the words of Python, and a notebook be spared what libraries say."""
    hush()
    try:
        yield
    except GxError as error:
        error.faults = tuple(replace(fault, fix=_pythonic(fault.fix)) for fault in error.faults)
        raise


def runs(out: Source | None) -> str:
    """Return where runs are made: the folder or address that was asked for, GXSEARCH_RUNS, or runs."""
    return os.environ.get("GXSEARCH_RUNS", "runs") if out is None else os.fspath(out)


def _pythonic(fix: str) -> str:
    return re.sub(r"gxsearch resume (.+?)(?=, or |$)", lambda found: f"gxsearch.resume({found[1]!r})", fix)


def _at(made: RunDir, out: str) -> Run:
    """Return a run that was made in `out`; of one on object storage what is here is a copy."""
    return Run(f"{out.rstrip('/')}/{made.path.name}" if "://" in out else made.path)
