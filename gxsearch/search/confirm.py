"""Confirm: the best trials of a search, trained again over paired seeds, and over other splits where asked.

Each split is a search of its own, whose draws are known: what a search can do (side by side, killed and resumed)
so can this. Test rows are the same in all of them; what else is held out differs.
"""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Callable, Iterator, Sequence

from gxsearch.data.table import DataConfig, Table
from gxsearch.errors import SpecError
from gxsearch.results import leaderboard
from gxsearch.results.first import joined
from gxsearch.results.ledger import events
from gxsearch.results.run_dir import RunDir
from gxsearch.search.intake import read_table
from gxsearch.search.opening import Opened, begin, reopen
from gxsearch.search.sections import Confirm, SearchConfig, Stop
from gxsearch.search.spec import Spec
from gxsearch.training.loop import derive


def check(spec: Spec, asked: Confirm) -> None:
    """Refuse what cannot be confirmed.

    Raises:
        SpecError: E328 when other splits are asked for where vectors of a first search are read: it saw those rows.
    """
    if spec.first is not None and asked.splits > 1:
        what = "the search that comes first was trained on one split, and other splits would hold out what it saw"
        raise SpecError.one("E328", spec.path, what, "set confirm.splits: 1")


def picked(run: RunDir, top: int) -> list[int]:
    """Return the numbers of the best trials, best first; of trials with the same settings the first."""
    found: dict[str, int] = {}
    for trial in leaderboard.ranked(run):
        found.setdefault(json.dumps(trial.params, sort_keys=True), trial.number)
    return list(found.values())[:top]


def stages(run: RunDir, spec: Spec, asked: Confirm, trials: Sequence[int]) -> Iterator[tuple[RunDir, Spec]]:
    """Yield the folder and the spec of each split: every trial of `trials` under every seed."""
    found = [leaderboard.find(run, number) for number in trials]
    start = [trial.params for trial in found]
    until = [len(trial.history) for trial in found] if asked.length == "reached" else []
    for split in range(asked.splits):
        drawn = SearchConfig(sampler="random", seed=_seed(spec, split), start=start, repeats=asked.seeds, until=until)
        yield (
            RunDir(run.confirming / f"{split:02d}"),
            dataclasses.replace(
                spec,
                data=spec.data if not split else _divided(spec, split),
                search=drawn,
                stop=Stop(kind="none"),
                budget=spec.budget.model_copy(update={"trials": len(start) * asked.seeds, "time_s": None}),
                confirm=Confirm(),
            ),
        )


def unfinished(run: RunDir, spec: Spec, asked: Confirm, trials: Sequence[int]) -> bool:
    """Say whether there is something left to train; what was begun for other trials is moved out of the way."""
    planned = list(stages(run, spec, asked, trials))
    if any(folder.run.is_file() and not _same(folder, stage) for folder, stage in planned):
        aside = run.path / "set_aside" / uuid.uuid4().hex[:8]
        aside.mkdir(parents=True)
        run.confirming.rename(aside / run.confirming.name)
    return any(not done(folder) for folder, _ in planned)


def confirm(
    run: RunDir,
    spec: Spec,
    table: Table,
    slots: int,
    asked: Confirm,
    trials: Sequence[int],
    search: Callable[[Opened], None],
) -> None:
    """Train everything that is left to train; `search` runs an opened search to its end and closes it."""
    for folder, stage in stages(run, spec, asked, trials):
        if done(folder):
            continue
        folder.path.parent.mkdir(exist_ok=True)
        given = table if stage.data == spec.data else joined(run, read_table(stage))
        with reopen(folder, {}) if folder.run.is_file() else begin(stage, given, slots, folder.path) as opened:
            opened.table = given
            opened.take(spec.resources)
            if opened.referee.done:
                opened.close("done")
            else:
                search(opened)


def done(folder: RunDir) -> bool:
    """Say whether a search has come to its end."""
    if not folder.run.is_file():
        return False
    return any(event["event"] == "run_ended" and event["state"] == "done" for event in events(folder.ledger))


def _same(folder: RunDir, stage: Spec) -> bool:
    begun = Spec.from_json(folder.facts()["spec"])
    return begun.sha256 == stage.sha256 and begun.budget.epochs == stage.budget.epochs


def _divided(spec: Spec, split: int) -> DataConfig:
    seed = derive(spec.data.split.seed, "confirm", split) % 2**31
    return spec.data.model_copy(update={"split": spec.data.split.model_copy(update={"val_seed": seed})})


def _seed(spec: Spec, split: int) -> int:
    return derive(spec.search.seed, "confirm", split) % 2**31
