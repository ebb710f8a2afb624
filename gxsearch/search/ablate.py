"""Ablate: the best settings of a search, trained again as they are and with a change, over the same seeds."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from gxsearch.config import Config
from gxsearch.config import read as read_config
from gxsearch.data.table import Table
from gxsearch.errors import SpecError, did_you_mean
from gxsearch.models import registry
from gxsearch.results import ablations, leaderboard
from gxsearch.results.first import joined
from gxsearch.results.run_dir import RunDir, write_atomic
from gxsearch.search.intake import dims, read_table
from gxsearch.search.launch import whole_gpus
from gxsearch.search.spec import Spec
from gxsearch.search.yaml_file import parse_value
from gxsearch.training import checkpoint
from gxsearch.training.loop import derive
from gxsearch.training.objectives import measures
from gxsearch.training.probing import Probe, yardstick
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.session import Bench, Job, revive, session

Configs = dict[str, dict[str, Any]]


def ablate(
    run: RunDir, changes: Sequence[str], *, seeds: int = 3, say: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """Train the best trial's settings `seeds` times as they are and with the changes; write and return what differs.

    The measures are of validation rows at each training's best epoch: test rows are not looked at. Keys: changes,
    seeds, trial, measures: for each its values under both settings by seed, the mean difference (changed minus as
    found), its 95 % interval (paired t) and whether more is better.

    Args:
        changes: ``model.contrast=none``, ``train.lr=1e-3``: settings and their values.

    Raises:
        SpecError: when a setting is unknown, or a value is refused.
    """
    spec = Spec.from_json(run.facts()["spec"])
    best = leaderboard.best(run)
    before = spec.space.configs(best.params)
    after = _changed(spec, before, changes)
    table = joined(run, read_table(spec))
    sizes, kind = dims(spec, table), registry.get(spec.model)
    objection = kind.objection(read_config(kind.Config, after["model"], "--set", "model"), sizes)
    if objection is not None:
        raise SpecError.one("E331", "--set", *objection.split("; ", 1))
    found: dict[str, list[dict[str, float]]] = {"as found": [], "changed": []}
    for i in range(seeds):
        for name, configs in zip(found, (before, after), strict=True):
            say(f"{name}, seed {i + 1} of {seeds}")
            found[name].append(_train(spec, configs, table, derive(spec.search.seed, "ablate", i) % 2**31, run))
    told = {"changes": list(changes), "seeds": seeds, "trial": best.number}
    told["measures"] = _compared(measures(kind), *found.values())
    write_atomic(run.ablations, json.dumps([*ablations.past(run), told], indent=1).encode())
    return told


def _changed(spec: Spec, configs: Configs, changes: Sequence[str]) -> Configs:
    """Return settings with changes, checked."""
    kind = registry.get(spec.model)
    kinds: dict[str, type[Config]] = {"model": kind.Config, "train": kind.Train}
    names = [f"{group}.{name}" for group, config in kinds.items() for name in config.model_fields]
    out = {group: dict(values) for group, values in configs.items()}
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals or name not in names:
            raise SpecError.one("E324", change, f"there is no setting '{name}'", did_you_mean(name, names))
        group, _, setting = name.partition(".")
        out[group][setting] = parse_value(text, change)
    for group, config in kinds.items():
        read_config(config, out[group], ", ".join(changes), group)
    return out


def _train(spec: Spec, configs: Configs, table: Table, seed: int, run: RunDir) -> dict[str, float]:
    """Return the validation measures at the best epoch of a training; with labels, of neighbors too."""
    view, budget, objective = spec.data.view, spec.budget.epochs, spec.objective
    job = Job(spec.model, configs["model"], configs["train"], view, budget, seed, objective.metric, objective.mode)
    runtime = LocalRuntime("cuda" if whole_gpus(spec.resources) else "cpu", threads=max(1, int(spec.resources.cpus)))
    with tempfile.TemporaryDirectory(dir=run.path, prefix=".ablate-") as work:
        last = [metrics for metrics, _ in session(job, Bench(table, runtime.device), runtime, Path(work))][-1]
        state = checkpoint.read(Path(work) / f"{int(last['best_epoch']):06d}")
    named = measures(registry.get(spec.model))
    kept = {name: value for name, value in state.record["metrics"].items() if name in named}
    model, view, _ = revive(state.model, state.record)
    probes = [f"val/{name}" for name in yardstick(table).names if f"val/{name}" in named]
    return kept | Probe(table, probes)(model, view, runtime.device)


def _compared(
    modes: dict[str, str], before: list[dict[str, float]], after: list[dict[str, float]]
) -> dict[str, dict[str, Any]]:
    names = [name for name in before[0] if name in after[0] and name != "val/loss"]
    pairs = {name: ([row[name] for row in before], [row[name] for row in after]) for name in names}
    return {name: {**_paired(*values), "mode": modes[name]} for name, values in pairs.items()}


def _paired(before: list[float], after: list[float]) -> dict[str, Any]:
    """Return values, mean difference and its 95 % interval; of one seed there is none."""
    difference = np.subtract(after, before)
    mean, n = float(difference.mean()), len(difference)
    half = math.nan if n < 2 else float(stats.t.ppf(0.975, n - 1) * difference.std(ddof=1) / math.sqrt(n))
    interval = None if math.isnan(half) else [mean - half, mean + half]
    return {"as found": before, "changed": after, "difference": mean, "interval": interval}
