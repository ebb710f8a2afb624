"""Listing: what the command line prints of runs and trials, as text or JSON."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from gxsearch import outcome
from gxsearch.console import short
from gxsearch.errors import RunError, SpecError
from gxsearch.events import dumps
from gxsearch.overview import aligned, figure, fitted, room
from gxsearch.results import ablations, evaluation, leaderboard, ledger
from gxsearch.results.compare_dir import CompareDir
from gxsearch.results.far import near
from gxsearch.results.run_dir import COMPARISON, RunDir, is_number
from gxsearch.results.several import several, values
from gxsearch.results.similar import Similar
from gxsearch.search.sections import seconds
from gxsearch.standing import status as status
from gxsearch.standing import trials_asked

WIDTH = 100
"""Letters of a line that tables in files and pipes keep to."""
COLUMNS = 4
"""Measures on test rows that the end of a search shows, at most."""
MATRIX = 40
"""Genes whose table is printed."""


def ending(run: RunDir) -> str:
    """Return the last lines of a search: the best trial beside the baselines, and where everything is."""
    objective = leaderboard.Objective.of(run)
    best, found = leaderboard.best(run), ledger.trials(run.ledger)
    states = Counter(trial.state for trial in found)
    counts = ", ".join(f"{n} {state}" for state, n in states.items())
    own, controls = leaderboard.scores(run), leaderboard.baselines(run)
    measures = evaluation.test_measures([own])
    tests = {name: own[name] for name in _fitting(objective.metric, measures, controls)}
    hidden = len(measures) - len(tests)
    rows = [["", objective.metric, *tests]]
    rows.append([f"trial {best.number:03d}", figure(best.best), *map(figure, tests.values())])
    controls.sort(
        key=lambda row: objective.key(row.get(objective.metric, math.inf if objective.mode == "min" else -math.inf))
    )
    rows += [
        [row["name"], *(figure(row[m]) if m in row else "" for m in (objective.metric, *tests))] for row in controls
    ]
    shown = Path(run.path)
    shown = shown.relative_to(Path.cwd()) if shown.is_relative_to(Path.cwd()) else shown
    files = [run.leaderboard, run.best, run.embeddings, run.report]
    return "\n".join(
        [
            f"done  {len(found)} trials: {counts}",
            f"best  trial {best.number:03d}, epoch {best.best_epoch}   {short(best.params)}",
            "",
            fitted(rows),
            *_front(run),
            *([f"{hidden} more measures of test rows are in the report"] if hidden else []),
            "",
            *(f"      {shown / path.relative_to(run.path)}" for path in files),
            f"next  gxsearch embed {shown} NEW.h5ad",
            f"      gxsearch board {shown}",
        ]
    )


def _front(run: RunDir) -> list[str]:
    """Return the front of several objectives as lines, and why one trial of it is the best; none of one objective."""
    found = several(run)
    if found is None:
        return []
    head, front = found.table()
    rows = [[figure(cell) for cell in row] for row in front]
    return ["", fitted([["front", *head[1:]], *rows]), found.why()]


def _fitting(metric: str, measures: list[str], controls: list[dict[str, Any]]) -> list[str]:
    """Return the measures on test rows that fit in a terminal beside names and the objective."""
    left = (
        (room() or WIDTH) - max([len("trial 000"), *(len(row["name"]) for row in controls)]) - max(len(metric), 8) - 2
    )
    most = COLUMNS
    while True:
        kept = evaluation.foremost(measures, most, controls)
        if not kept or sum(max(len(name), 8) + 2 for name in kept) <= left:
            return kept
        most -= 1


def generated(made: Any) -> str:
    """Return how many curves, or cells, were drawn."""
    if isinstance(made, pd.DataFrame):
        return f"{len(made):,} curves, of which {int(made['center'].sum())} are of centers"
    return f"{made.n_obs:,} cells x {made.n_vars:,} genes"


def genes(found: Similar) -> str:
    """Return how genes are alike: the table among those asked for, and the nearest of each, in blocks that fit."""
    asked, vectors = found.among.index.tolist(), found.vectors
    head = f"{found.measure} similarity of the gene vectors of {vectors.model}"
    lines = [f"{head}: {len(vectors.names):,} genes, {vectors.matrix.shape[1]} dimensions"]
    if 1 < len(asked) <= MATRIX:
        cells = {name: [f"{value:.3f}" for value in found.among[name]] for name in asked}
        lines += _blocks(asked, cells)
    elif len(asked) > MATRIX:
        lines += ["", f"The table of {len(asked)} genes is too wide here: --json, or -o OUT.csv"]
    told = {
        gene: [f"{other} {value:.3f}" for other, value in zip(part["other"], part["similarity"], strict=True)]
        for gene, part in found.nearest.groupby("gene", sort=False)
    }
    longest = max((len(cells) for cells in told.values()), default=0)
    return "\n".join(lines + _blocks([str(rank) for rank in range(1, longest + 1)], told, corner="nearest"))


def _blocks(names: list[str], columns: dict[str, list[str]], corner: str = "") -> list[str]:
    """Return columns of text under their titles, as many side by side as the width holds, blocks below each other."""
    lines, rest = [], list(columns.items())
    while rest:
        rows, used = [[corner, *names]], max(len(text) for text in [corner, *names])
        while rest and (len(rows) == 1 or used + 2 + _width(*rest[0]) <= (room() or WIDTH)):
            title, cells = rest.pop(0)
            used += 2 + _width(title, cells)
            rows.append([title, *cells])
        lines += ["", aligned([list(row) for row in zip(*rows, strict=True)])]
    return lines


def _width(title: str, cells: list[str]) -> int:
    return max(len(text) for text in [title, *cells])


def genes_json(found: Similar) -> str:
    """Return how genes are alike as JSON: `outcome.genes`."""
    return dumps(outcome.genes(found), indent=1)


def trials(path: str, *, top: int | None, failed: bool, as_json: bool) -> str:
    """Return the leaderboard as text or JSON; of a comparison those of its searches, by their names."""
    boards = {name: _board(run, top, failed) for name, run in runs(path).items()}
    if as_json:
        rows = {name: json.loads(frame.to_json(orient="records")) for name, frame in boards.items()}
        return dumps(rows.get("", rows), indent=1)
    return "\n\n".join(f"{name}\n{_text(frame)}" if name else _text(frame) for name, frame in boards.items())


def _board(run: RunDir, top: int | None, failed: bool) -> pd.DataFrame:
    frame = leaderboard.table(run)
    if failed:
        frame = frame[frame["state"].isin(["failed", "diverged"])]
    return frame.head(top) if top else frame


def _text(frame: pd.DataFrame) -> str:
    rows = [[figure(v) for v in row] for row in frame.astype(object).where(frame.notna(), "").itertuples(index=False)]
    return fitted([list(frame.columns), *rows])


def runs(path: str) -> dict[str, RunDir]:
    """Return the run at a path, under no name; of a comparison the runs that have been begun, by their names."""
    if not (Path(path) / COMPARISON).is_file():
        return {"": RunDir.open(path)}
    place = CompareDir.open(path)
    found = {entry["name"]: place.run(entry["name"]) for entry in place.facts()["entries"]}
    return {name: run for name, run in found.items() if run.run.is_file()}


def best(path: str, form: str) -> str:
    """Return the best trial's settings, in groups as a spec writes them; of a comparison those of its searches."""
    found = {name: leaderboard.best(run) for name, run in runs(path).items()}
    if form == "json":
        told = {
            name: {"trial": trial.number, "value": trial.best, "epoch": trial.best_epoch, "params": trial.params}
            for name, trial in found.items()
        }
        return dumps(told.get("", told))
    fronts = {name: several(run) for name, run in runs(path).items()}
    return "\n\n".join(_settings(name, trial, fronts[name]) for name, trial in found.items())


def _settings(name: str, trial: ledger.TrialRecord, front: Any) -> str:
    groups: dict[str, list[str]] = {}
    for setting, value in trial.params.items():
        group, knob = setting.split(".", 1)
        groups.setdefault(group, []).append(f"  {knob}: {json.dumps(value)}")
    head = f"# {name}: " if name else "# "
    head += f"trial {trial.number}, best at epoch {trial.best_epoch}: {trial.best:.6g}"
    head += f"\n# {values(front)}. {front.why()}" if front else ""
    return "\n".join([head, *(line for group, lines in groups.items() for line in (f"{group}:", *lines))])


def ablation(told: dict[str, Any]) -> str:
    """Return what a change did, a line a measure."""
    lines = [ablations.sentence(name, row) for name, row in told["measures"].items()]
    return "\n".join([ablations.heading(told), *(f"  {line}" for line in lines)])


def replayed(told: dict[str, Any]) -> str:
    """Return whether a trial that was trained again gives the same, the figures that do not, and why."""
    epochs, pairs = told["best_epoch"], told["measures"].items()
    rows = [[name, figure(pair["told"]), figure(pair["found"])] for name, pair in pairs]
    rows = [["", "told", "found"], ["best epoch", str(epochs["told"]), str(epochs["found"])], *rows]
    apart = max((abs(p["told"] - p["found"]) for _, p in pairs if None not in p.values()), default=0.0)
    meant = {"identical": "the same to the last bit", "rounding": f"within rounding: up to {apart:.2g} apart"}
    lines = [f"trial {told['trial']:03d}   {meant.get(told['verdict'], f'differs: up to {apart:.2g} apart')}"]
    lines += ["", aligned(rows)]
    if told["from"] is not None:
        lines += ["", f"{told['metric']} is another from epoch {told['from']} on"]
    lines += [f"  may be: {reason}" for reason in told["reasons"]]
    changed = told["changed"].items()
    return "\n".join(lines + [f"  {name}: {short_sum(p['told'])}, now {short_sum(p['now'])}" for name, p in changed])


def short_sum(value: Any) -> str:
    """Return a version or name as text; of a checksum its beginning."""
    return str(value)[:12] if len(str(value)) == 64 else str(value)


def budget_change(path: str, trials: str | None, time: str | None) -> dict[str, Any]:
    """Return the change of a budget that `resume` asks for.

    Raises:
        SpecError: when it cannot be read.
    """
    change: dict[str, Any] = {}
    if trials is not None:
        more = trials.startswith("+")
        if not is_number(trials.removeprefix("+")):
            raise SpecError.one("E303", "--trials", f"must be a whole number or +N, got '{trials}'")
        run = RunDir.open(path)
        told = ledger.events(run.ledger)
        before = trials_asked(run, told) or sum(event["event"] == "trial_created" for event in told)
        change["trials"] = int(trials) + (before if more else 0)
    if time is not None:
        change["time_s"] = seconds(time)
        if change["time_s"] is None:
            raise SpecError.one("E303", "--time", f"must be like 90s, 30m, 12h or 2d, got '{time}'")
    return change


def split_trial(path: str) -> tuple[RunDir, int | None]:
    """Return the run and the number of ``RUN/NNN``, or the run and None."""
    place = Path(near(path))
    if is_number(place.name) and not (place / "run.json").exists():
        return RunDir.open(place.parent), int(place.name)
    return RunDir.open(place), None


def trial_at(path: str) -> ledger.TrialRecord:
    """Return the trial of ``RUN/NNN``, or a run's best.

    Raises:
        RunError: when there is none.
    """
    run, number = split_trial(path)
    if number is None:
        return leaderboard.best(run)
    found = {trial.number: trial for trial in ledger.trials(run.ledger)}
    if number not in found:
        raise RunError.one("E630", str(run.path), f"no trial {number}", f"it has trials 0 to {max(found, default=-1)}")
    return found[number]
