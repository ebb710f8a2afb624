"""Warm: a search that begins from the best settings of older ones, of other data and other spaces too."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from gxsearch.errors import Fault, GxError, RunError, SpecError
from gxsearch.models import registry
from gxsearch.results import leaderboard
from gxsearch.results.run_dir import RunDir
from gxsearch.search.knobs import refusals
from gxsearch.search.reader import kinds_of
from gxsearch.search.space import Params, Space
from gxsearch.search.spec import Spec

TOP = 3


@dataclass
class Taken:
    """What one run gives a space: draws by trial, best first, and the values that the space does not allow."""

    run: RunDir
    metric: str
    draws: dict[int, Params] = field(default_factory=dict)
    outside: dict[str, list[Any]] = field(default_factory=dict)


def warmed(spec: Spec, runs: Sequence[str | Path], *, top: int = TOP) -> Spec:
    """Return a spec whose start draws, after its own, are the best settings of older runs of the same model.

    Of each run at most `top` distinct draws are taken, the best of all runs before the second best of any. A trial
    counts with all that it was trained with: drawn, fixed and default settings. Those that `spec` does not search are
    left out; a value outside its domain is not bent into it but drawn anew. Because the draws become part of
    `search.start`, which run.json keeps, a resumed search has the same ones; `notes` tells what was taken.

    Raises:
        RunError: E6xx, naming all the runs that are missing or damaged.
        SpecError: E340 a run is of another model or has no result, E341 a grid has no start, E342 nothing fits.
    """
    faults: list[Fault] = []
    if spec.search.sampler == "grid":
        faults.append(Fault("E341", "--from", "a grid tries every draw, in its own order", "leave it out"))
    found, broken = [], []
    for place in runs:
        try:
            found.append(_taken(spec, RunDir.open(place), top))
        except GxError as error:
            (broken if error.faults[0].code.startswith("E6") else faults).extend(error.faults)
    if broken:
        raise RunError(broken)
    if faults:
        raise SpecError(faults)
    start = list(spec.search.start)
    for ranked in zip_longest(*(list(taken.draws.items()) for taken in found)):
        for taken, draw in zip(found, ranked, strict=True):
            if draw is not None and draw[1] in start:
                del taken.draws[draw[0]]  # another run, or the spec itself, begins with the same
            elif draw is not None:
                start.append(draw[1])
    notes = [_told(spec.space, taken) for taken in found]
    search = spec.search.model_copy(update={"start": start})
    return dataclasses.replace(spec, search=search, notes=[*spec.notes, *notes, *_crowded(spec, len(start))])


def _taken(spec: Spec, run: RunDir, top: int) -> Taken:
    """Return the draws of a run.

    Raises:
        SpecError: E340 when it is of another model, or no trial of it has a result.
    """
    told = run.facts()["spec"]
    if told["model"] != spec.model:
        what = f"this run is of {told['model']}, and the search of {spec.model}"
        raise SpecError.one("E340", str(run.path), what, "give runs of the same model")
    ranked = leaderboard.ranked(run)
    if not ranked:
        raise SpecError.one("E340", str(run.path), "no trial of this run has a result", "leave it out")
    found, before = Taken(run, told["objective"]["metric"]), _standing(spec.model, told["space"])
    for trial in ranked:
        draw, outside = fitted(spec.space, {**before, **trial.params})
        if not draw or draw in found.draws.values() or _refused(spec, draw):
            continue
        found.draws[trial.number] = draw
        for name, value in outside.items():
            found.outside.setdefault(name, []).append(value)
        if len(found.draws) == top:
            break
    if not found.draws:
        what = "none of its trials has a setting that this search draws, with a value that it allows"
        raise SpecError.one("E342", str(run.path), what, "widen the ranges, or leave the run out")
    return found


def _standing(model: str, space: dict[str, Any]) -> Params:
    """Return what all trials of a run have unless they draw otherwise: defaults of the model, and fixed settings."""
    kind = registry.get(model)
    kinds = {"model": kind.Config, "train": kind.Train}
    defaults = {
        f"{group}.{name}": knob.get_default(call_default_factory=True)
        for group, config in kinds.items()
        for name, knob in config.model_fields.items()
        if not knob.is_required()
    }
    resting = {name: entry["default"] for name, entry in space["parameters"].items() if "default" in entry}
    return defaults | space["fixed"] | resting


def fitted(space: Space, before: Params) -> tuple[Params, Params]:
    """Return those of older settings that a space can draw, and those that it searches but does not allow.

    A setting whose condition does not hold is none of them, nor is one whose parent is to be drawn anew.
    """
    draw: Params = {}
    outside: Params = {}
    for parameter in space.order:
        if parameter.name in before and space.active(parameter, draw):
            value = before[parameter.name]
            (draw if parameter.domain.contains(value) else outside)[parameter.name] = value
    return draw, outside


def _refused(spec: Spec, draw: Params) -> bool:
    """Say whether the model refuses a draw as a whole; one that leaves settings to be drawn is not asked about."""
    whole = all(p.name in draw for p in spec.space.order if spec.space.active(p, draw))
    return whole and any(True for _ in refusals(kinds_of(registry.get(spec.model)), spec.space, draw))


def _told(space: Space, taken: Taken) -> str:
    """Return a line on what a run gave."""
    numbers = ", ".join(f"{number:03d}" for number in taken.draws) or "none that this search does not begin with"
    line = f"search.start: from {taken.run.path.name}, best by {taken.metric}: trials {numbers}"
    odd = [
        f"{name} {', '.join(dict.fromkeys(map(str, values)))} (not in {space.domains[name].describe()})"
        for name, values in taken.outside.items()
    ]
    return line + (f"; drawn anew: {'; '.join(odd)}" if odd else "")


def _crowded(spec: Spec, n: int) -> list[str]:
    """Return a note where not all draws of the start will have a trial."""
    n, trials = n * spec.search.repeats, spec.budget.trials
    return [f"search.start: {n} draws begin the search, and it has {trials} trials"] if trials and n > trials else []
