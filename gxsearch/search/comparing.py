"""Comparing: several search space files made one comparison: the same rows and split, an equal budget for each."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gxsearch.config import Config, knob
from gxsearch.data.table import Table
from gxsearch.errors import Fault, SpecError
from gxsearch.search.sections import Confirm
from gxsearch.search.spec import Spec, load

SEARCH_SHARE = 0.4
"""Share of the time that is for the searches; the rest trains the best settings again and makes the results."""


class Plan(Config):
    """How architectures are compared."""

    minutes: float | None = knob(None, doc="time of the whole comparison, of which each search gets the same", above=0)
    trials: int | None = knob(None, doc="trials of each search, instead of time or beside it", low=1)
    by: str | None = knob(None, doc="measure of vectors that decides; by default knn, or expression_r2 without labels")
    top: int = knob(3, doc="best trials of each search among which the measure chooses", low=1, high=100)
    seeds: int = knob(3, doc="trainings of each architecture's best settings, over the same seeds", low=2, high=100)
    splits: int = knob(1, doc="divisions of the rows that are not test rows, each with all seeds", low=1, high=100)

    @property
    def confirm(self) -> Confirm:
        """How the best settings are trained again: for no longer than the search had time for, which is equal."""
        return Confirm(top=1, seeds=self.seeds, splits=self.splits, length="reached")


@dataclass(frozen=True)
class Entry:
    """One architecture of a comparison: its name there, which is that of its run folder, and its search."""

    name: str
    spec: Spec


def entries(
    paths: Sequence[str | Path | Spec], plan: Plan, *, data: str | None = None, sets: Sequence[str] = ()
) -> list[Entry]:
    """Read the files, each with the same budget.

    Args:
        paths: files, or specs that are read already.
        data: the data set of all of them, instead of those that they name.
        sets: ``path=value`` for all files, ``model:path=value`` for those of one model.

    Raises:
        SpecError: with the faults of all files.
    """
    found, faults = [], []
    common = [] if data is None else [f"data.path={data}"]
    plain = [text for text in sets if not _of_model(text)]
    for path in paths:
        try:
            own = [rest for text in sets if (rest := _of_model(text, _model(path)))]
            changes = [*common, *plain, *own]
            found.append(path.changed(*changes) if isinstance(path, Spec) else load(path, changes))
        except SpecError as error:
            faults += error.faults
    faults += _alien(sets, [spec.model for spec in found]) if not faults else []
    if faults:
        raise SpecError(faults)
    return [Entry(name, _budgeted(spec, plan, len(found))) for name, spec in zip(_names(found), found, strict=True)]


def check_rows(given: Sequence[Entry], tables: Sequence[Table]) -> None:
    """Refuse files whose rows, or whose held-out rows, are not the same.

    Raises:
        SpecError: E329.
    """
    first = tables[0]
    for entry, table in zip(given[1:], tables[1:], strict=True):
        what = _unlike(first, table)
        if what:
            fix = "give all files one data set with --data, and the same data.split"
            raise SpecError.one("E329", entry.spec.path, f"{what} of {given[0].spec.path}", fix)


def _unlike(one: Table, other: Table) -> str:
    if one.facts.get("orientation") != other.facts.get("orientation"):
        return "its rows are genes, or samples, unlike those"
    if not np.array_equal(one.obs_names, other.obs_names):
        return f"its {other.n_obs:,} rows are not, or not in the order of, the {one.n_obs:,}"
    if not np.array_equal(one.part_n, other.part_n):
        return "its held-out rows are not those"
    return ""


def _budgeted(spec: Spec, plan: Plan, n: int) -> Spec:
    """Give a search its share of the time, and the trials of the plan; its own where the plan has neither."""
    time_s = None if plan.minutes is None else 60 * plan.minutes * SEARCH_SHARE / n
    trials = plan.trials if plan.trials is not None else (spec.budget.trials if time_s is None else None)
    budget = spec.budget.model_copy(update={"trials": trials, "time_s": time_s})
    resources = spec.resources.model_copy(update={"keep": max(spec.resources.keep, 10 * plan.top)})  # some draws repeat
    return dataclasses.replace(spec, budget=budget, resources=resources, confirm=Confirm())


def _names(specs: Sequence[Spec]) -> list[str]:
    """Return names that differ: the model's, or where there are several of it, the file's."""
    count = Counter(spec.model for spec in specs)
    names = [spec.model if count[spec.model] == 1 else spec.name for spec in specs]
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice:
        spec = next(spec for spec, name in zip(specs, names, strict=True) if name in twice)
        what = f"two files of the model {spec.model} have the name {twice[0]}"
        raise SpecError.one("E329", spec.path, what, "give them different names")
    return names


def _model(path: str | Path | Spec) -> str:
    """Return the model of a file that may have faults, which `load` tells of, or of one that is read."""
    if isinstance(path, Spec):
        return path.model
    from gxsearch.search.yaml_file import parse, read_bytes

    return str(parse(read_bytes(path), str(path)).get(("model",)))


def _of_model(text: str, model: str | None = None) -> str:
    """Return what follows ``model:`` in front of a path; nothing where there is none, or it is another."""
    name, colon, rest = text.partition(":")
    return rest if colon and "=" not in name and (model is None or name == model) else ""


def _alien(sets: Sequence[str], models: Sequence[str]) -> list[Fault]:
    named = [(text, text.partition(":")[0]) for text in sets if _of_model(text)]
    return [
        Fault("E324", f"--set {text}", f"no file of the model '{name}' is compared", f"those are {', '.join(models)}")
        for text, name in named
        if name not in models
    ]


def to_json(entry: Entry) -> dict[str, Any]:
    """Return an entry as JSON values."""
    return {"name": entry.name, "spec": entry.spec.to_json()}


def from_json(told: dict[str, Any]) -> Entry:
    """Rebuild an entry from `to_json`."""
    return Entry(told["name"], Spec.from_json(told["spec"]))
