"""Comparison: what unlike architectures come to on one yardstick: who is better, how sure that is, whom to take."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from gxsearch.data.table import Table
from gxsearch.errors import RunError, SpecError, did_you_mean
from gxsearch.results import compare_report, evaluation, export, leaderboard, package
from gxsearch.results.compare_dir import CompareDir
from gxsearch.results.compare_words import sentences
from gxsearch.results.judgment import Candidate, Judgment, judge
from gxsearch.results.ledger import TrialRecord, events, trials
from gxsearch.results.run_dir import RunDir, write_atomic
from gxsearch.results.stability import stability
from gxsearch.results.trainings import Training, column, of_vectors, trained_again
from gxsearch.results.verdict import wall_seconds
from gxsearch.training.classics import GENES, classics
from gxsearch.training.log_scale import LogScale
from gxsearch.training.objectives import PROBES
from gxsearch.training.probes import Yardstick
from gxsearch.training.probing import Probe, yardstick

CONTROLS = ("random", "pca, shuffled genes")
"""What shows where chance is; nobody would take it, so no verdict is about it."""


@dataclass(frozen=True)
class Contender:
    """One row of the leaderboard.

    Attributes:
        kind: model, classic or control.
        trainings: the repeated ones of a model; of a method without a seed the same one each time.
        facts: of a model: trial, settings, native objective, budget that was used; told: what it was told of labels.
    """

    name: str
    kind: str
    k: int
    trainings: list[Training]
    facts: dict[str, Any] = field(default_factory=dict)

    def mean(self, part: str, measure: str) -> float:
        """Return a measure, the mean over trainings."""
        return float(column(self.trainings, part, measure).mean())


def measure(table: Table, by: str | None) -> str:
    """Return the measure that decides.

    Raises:
        SpecError: E311 when the data do not allow it.
    """
    names = yardstick(table).names
    if by is None and names:
        return names[0]
    if by not in names:
        what = f"the data allow no measure '{by}'" if by else "the data allow no measure of vectors"
        fix = did_you_mean(by or "", names) if names else "name a label: data.label"
        raise SpecError.one("E311", "--by", what, fix)
    return by


def champion(run: RunDir, table: Table, top: int, by: str | None) -> TrialRecord:
    """Return the one of a search's best trials whose vectors of validation rows do best by the measure."""
    by = measure(table, by)
    tried, sign = _distinct(leaderboard.ranked(run))[:top], 1 if PROBES[by] == "max" else -1
    probe = Probe(table if _sparse(run) else table.dense(), [f"val/{by}"])
    found = [package.of_run(run, trial.number) for trial in tried]
    scores = [sign * probe(each.model, each.view, torch.device("cpu"))[f"val/{by}"] for each in found]
    return tried[int(np.argmax(scores))]


def write(place: CompareDir, tables: dict[str, Table]) -> dict[str, Any]:
    """Write everything below results/ of a comparison; test rows are read here and nowhere else.

    Returns what comparison.json holds: by, mode, measures, rows (the leaderboard), judgment, sentences.
    """
    plan, names = place.facts()["plan"], list(tables)
    table = tables[names[0]]
    ruler, by = yardstick(table), measure(table, plan["by"])
    rulers = {table.part_n.tobytes(): ruler}
    ruler_of = lambda own: _ruler(rulers, table, own)  # noqa: E731
    models = [_model(place.run(name), name, tables[name], ruler_of) for name in names]
    key = lambda c: c.mean("val", by) * (-1 if PROBES[by] == "max" else 1)  # noqa: E731
    order = sorted(models, key=key)
    n = min(len(model.trainings) for model in models)
    fixed = _classics(table, ruler, [model.k for model in order], n)
    ranked = sorted([*models, *fixed], key=key)
    judgment = _judged(ranked, by)
    told = _told(place, ranked, judgment, by, ruler)
    write_atomic(place.verdict, json.dumps(told, indent=1).encode())
    first = RunDir(sorted(place.run(told["exported"]).confirming.glob("[0-9][0-9]"))[0])
    export.export(first, leaderboard.best(first).number, place.best)
    compare_report.write(place, told)
    return told


def read(place: CompareDir) -> dict[str, Any]:
    """Return what `write` found.

    Raises:
        RunError: E631 when it is not there or cannot be read.
    """
    try:
        found = json.loads(place.verdict.read_bytes())
        if not isinstance(found, dict) or not all(isinstance(line, str) for line in found["sentences"]):
            raise ValueError("it has no sentences")
    except FileNotFoundError:
        fix = f"go on with: gxsearch resume {place.path}"
        raise RunError.one("E631", str(place.verdict), "the comparison has not come to its end", fix) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError.one("E631", str(place.verdict), f"cannot be read ({error})", "remove it") from None
    return found


def _ruler(known: dict[bytes, Yardstick], table: Table, own: Table) -> Yardstick:
    """Return the yardstick of a split, which is the same for all architectures: labels and values of the first's."""
    key = own.part_n.tobytes()
    if key not in known:
        known[key] = yardstick(dataclasses.replace(table, part_n=own.part_n))
    return known[key]


def _model(run: RunDir, name: str, own: Table, ruler_of: Callable[[Table], Yardstick]) -> Contender:
    """Return an architecture's trainings."""
    trainings = trained_again(run, own, ruler_of)[0]
    if not trainings:
        what = "its best settings, trained again, came to no result under any seed"
        raise RunError.one("E631", str(run.confirming), what, "see the errors in its trials")
    first = RunDir(sorted(run.confirming.glob("[0-9][0-9]"))[0])
    params = first.facts()["spec"]["search"]["start"][0]
    picked = next(trial for trial in leaderboard.ranked(run) if trial.params == params)
    return Contender(name, "model", trainings[0].vectors.shape[1], trainings, _facts(run, picked))


def _facts(run: RunDir, picked: TrialRecord) -> dict[str, Any]:
    objective, found = leaderboard.Objective.of(run), trials(run.ledger)
    spent = wall_seconds(events(run.ledger))
    return {
        "trial": picked.number,
        "params": picked.params,
        "native": objective.metric,
        "native_value": picked.best,
        "trials": len(found),
        "epochs": sum(len(trial.history) for trial in found),
        "search_s": round(spent, 1),
        "trained_s": round(sum(trial.seconds or 0.0 for trial in found), 1),
        "told": evaluation.told_classes(run.facts()),
    }


def _classics(table: Table, ruler: Yardstick, ks: Sequence[int], n: int) -> list[Contender]:
    """Return classical methods at the leading model's dimensions, and PCA at those of the others too."""
    x, g = LogScale(table), min(GENES, table.n_vars)
    found = []
    for i, k in enumerate(dict.fromkeys(ks)):
        for name, z_nk in classics(x, table.part_n, k).items():
            if i == 0 or name == "pca":
                training = of_vectors(z_nk, ruler, Training(0, 0, 0.0, 0.0, (k + 1) * g))
                kind = "control" if name in CONTROLS else "classic"
                head, _, how = name.partition(", ")
                found.append(Contender(f"{how} {head}-{k}".strip(), kind, k, [training] * n))
    return found


def _judged(ranked: Sequence[Contender], by: str) -> Judgment:
    """Compare the leader, chosen on validation rows, with the models and the best classic, on test rows."""
    kept = [one for one in ranked if one.kind == "model"]
    kept += [one for one in ranked if one.kind == "classic"][:1]
    leader = min(kept, key=ranked.index)
    n = min(len(one.trainings) for one in kept)
    others = [one for one in ranked if one in kept and one is not leader]
    return judge([_candidate(one, by, n) for one in [leader, *others]], PROBES[by])


def _candidate(one: Contender, by: str, n: int) -> Candidate:
    kept = one.trainings[:n]
    values = column(kept, "test" if kept[0].test else "val", by)
    rows = [training.by_row[by] for training in kept] if by in kept[0].by_row else None
    if rows is None:
        return Candidate(one.name, kept[0].size, values)
    return Candidate(one.name, kept[0].size, values, np.stack([row.scores for row in rows]), rows[0].weights)


def _told(
    place: CompareDir, ranked: Sequence[Contender], judgment: Judgment, by: str, ruler: Yardstick
) -> dict[str, Any]:
    rows = [_row(rank, one) for rank, one in enumerate(ranked, 1)]
    told = {
        "by": by,
        "mode": PROBES[by],
        "meaning": evaluation.meaning(by),
        "measures": [name for name in ruler.names if all(name in row["val"] for row in rows)],
        "plan": place.facts()["plan"],
        "held_out": {part: len(ruler.rows(part)) for part in ("train", "val", "test")},
        "rows": rows,
        "judgment": judgment.to_json(),
        "exported": _to_export(place, judgment),
    }
    return {**told, "sentences": sentences(told)}


def _row(rank: int, one: Contender) -> dict[str, Any]:
    values = {
        part: {name: column(one.trainings, part, name).tolist() for name in getattr(one.trainings[0], part)}
        for part in ("val", "test")
    }
    if one.kind != "model":
        values = {part: {name: value[:1] for name, value in found.items()} for part, found in values.items()}
    vectors = [training.vectors for training in one.trainings if training.split == 0]
    steady = stability(vectors) if one.kind == "model" else {}
    head = {"rank": rank, "name": one.name, "kind": one.kind, "k": one.k, "size": one.trainings[0].size}
    seconds = float(np.mean([training.seconds for training in one.trainings]))
    return {**head, **values, "stability": steady, "seconds": seconds, "facts": one.facts}


def _to_export(place: CompareDir, judgment: Judgment) -> str:
    """Return the architecture to take; where that is a classic, the best of them."""
    names = [judgment.choice, judgment.leader, *(against.name for against in judgment.others)]
    return next(name for name in names if place.run(name).run.is_file())


def _distinct(found: Sequence[TrialRecord]) -> list[TrialRecord]:
    kept: dict[str, TrialRecord] = {}
    for trial in found:
        kept.setdefault(json.dumps(trial.params, sort_keys=True), trial)
    return list(kept.values())


def _sparse(run: RunDir) -> bool:
    from gxsearch.models import registry

    return registry.get(run.facts()["spec"]["model"]).View.layout == "sparse"
