"""Replay: a trial is trained again from its run's own record, and its figures are laid beside those of the run."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch

from gxsearch.data.table import Table
from gxsearch.errors import RunError
from gxsearch.results import leaderboard
from gxsearch.results.conclude import own_scores
from gxsearch.results.first import joined
from gxsearch.results.ledger import TrialRecord, events
from gxsearch.results.package import of_training
from gxsearch.results.run_dir import RunDir, write_atomic
from gxsearch.search import lock
from gxsearch.search.draw import job_of
from gxsearch.search.intake import read_table
from gxsearch.search.packing import with_gpus
from gxsearch.search.spec import Spec
from gxsearch.training import checkpoint
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.session import Bench, session

ROUNDING = 1e-3
"""The largest difference that is held for rounding: of a value above 1 in its share, else as it is."""
Verdict = Literal["identical", "rounding", "differs"]


def replay(
    run: RunDir, number: int | None = None, *, keep: bool = False, say: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """Train the best trial, or trial `number`, again in this process, and compare; the run is only read.

    Settings, seed, epochs, data and split are those that run.json and the ledger tell. The training ends where the
    trial's did. Of the best trial the measures on test rows are taken again too.

    Args:
        keep: write what is returned to results/replay.json.

    Returns:
        run, trial, seed, epochs (trained), verdict (identical, to the last bit; rounding, see `ROUNDING`; differs),
        best_epoch and measures (name -> told, found), from (the first epoch whose objective is another; None),
        changed (name -> told, now: versions, machine and code that are not those of the run) and reasons.

    Raises:
        RunFailed: when no trial may win. RunError: E604 when data, columns or split are no longer those of the run;
            E630 when there is no such trial, E633 when it has no epoch that counts.
        DataError: when the data are gone.
    """
    facts = run.facts()
    spec = Spec.from_json(facts["spec"])
    if spec.resources.gpus == "auto":  # it ran on a GPU where there was one
        spec = with_gpus(spec, float(facts["machine"]["gpu"] is not None))
    best = leaderboard.best(run)
    trial = best if number is None else leaderboard.find(run, number)
    if not any(metrics["epoch"] == trial.best_epoch for metrics in trial.history):
        raise RunError.one("E633", str(run.trial(trial.number)), "the trial has no epoch that counts", "choose another")
    table = joined(run, _same_table(run, spec, facts))
    spec = dataclasses.replace(spec, budget=spec.budget.model_copy(update={"epochs": _epochs(run, trial, spec)}))
    device = "cuda" if spec.resources.gpus and torch.cuda.is_available() else "cpu"
    told = _told(run, trial, of_best=trial.number == best.number)
    found, history = _trained(run, spec, trial, table, device, say, of_best="test" in told)
    given = {"run": facts["id"], "trial": trial.number, "seed": trial.seed, "epochs": len(history)}
    given |= _compared(spec.objective.metric, trial, told, found, history)
    changed = _changed(facts, spec)
    given |= {"changed": changed, "reasons": _reasons(given["verdict"], changed, spec, device)}
    if keep:
        write_atomic(run.replayed, json.dumps(given, indent=1).encode())
    return given


def _same_table(run: RunDir, spec: Spec, facts: dict[str, Any]) -> Table:
    """Prepare the data again.

    Raises:
        RunError: E604 when they are no longer those of the run.
    """
    table = read_table(spec)
    now = {**table.facts, "columns_sha256": lock.columns(table), "pretrained_sha256": lock.pretrained(spec)}
    before = {**facts["data"], **{key: facts.get(key) for key in ("columns_sha256", "pretrained_sha256")}}
    sums = {
        "sha256": "values or names",
        "split_sha256": "split",
        "columns_sha256": "columns",
        "pretrained_sha256": "pretrained model",
    }
    odd = [what for key, what in sums.items() if before.get(key) is not None and before[key] != now[key]]
    if odd:
        what = f"the {' and '.join(odd)} of {spec.data.path} are not those that the search was begun with"
        raise RunError.one("E604", str(run.path), what, "put the old data back")
    return table


def _epochs(run: RunDir, trial: TrialRecord, spec: Spec) -> int:
    """Return the most epochs of trials when this one was begun: a resume may have changed them."""
    epochs = spec.budget.epochs
    for event in events(run.ledger):
        if event["event"] == "trial_created" and event["trial"] == trial.number:
            break
        epochs = event.get("budget", {}).get("epochs", epochs) if event["event"] == "run_resumed" else epochs
    return epochs


def _told(run: RunDir, trial: TrialRecord, *, of_best: bool) -> dict[str, dict[str, float]]:
    """Return what the run says of a trial: measures of its best epoch and, of the best trial, of test rows."""
    scores = leaderboard.scores(run) if of_best else {}
    return {"val": leaderboard.at_best(trial), **({"test": scores} if scores else {})}


def _trained(
    run: RunDir,
    spec: Spec,
    trial: TrialRecord,
    table: Table,
    device: str,
    say: Callable[[str], None],
    *,
    of_best: bool,
) -> tuple[dict[str, float], list[dict[str, float]]]:
    """Train a trial as often as it counts; return its measures at the epoch that was its best, and all epochs."""
    job, history = job_of(spec, trial.params, trial.seed), []
    runtime = LocalRuntime(device, threads=max(1, int(spec.resources.cpus)))
    bench = Bench(table, runtime.device)
    with tempfile.TemporaryDirectory(prefix="gxsearch-replay-") as work:
        for metrics, _ in session(job, bench, runtime, Path(work)):
            history.append(metrics)
            say(f"epoch {len(history)} of {len(trial.history)}: {job.metric} {metrics[job.metric]:.6g}")
            if len(history) == len(trial.history):
                break
        ours = Path(work) / f"{int(history[-1]['best_epoch']):06d}"
        found = history[min(trial.best_epoch, len(history)) - 1]
        found = {name: value for name, value in found.items() if name.startswith("val/")}
        if of_best:
            say("test rows")
            found |= own_scores(of_training(checkpoint.read(ours), run.facts()), table)
    return found, history


def _compared(
    metric: str,
    trial: TrialRecord,
    told: dict[str, dict[str, float]],
    found: dict[str, float],
    history: list[dict[str, float]],
) -> dict[str, Any]:
    """Return the verdict and what it is of."""
    before = {name: value for group in told.values() for name, value in group.items()}
    measures = {name: {"told": before[name], "found": found.get(name)} for name in before}
    epochs = zip(trial.history, history, strict=False)
    apart = next((i for i, (a, b) in enumerate(epochs, 1) if a.get(metric) != b[metric]), None)
    best_epoch = {"told": trial.best_epoch, "found": int(history[-1]["best_epoch"])}
    same = [*(pair["told"] == pair["found"] for pair in measures.values()), best_epoch["told"] == best_epoch["found"]]
    near = [_near(pair["told"], pair["found"]) for pair in measures.values()]
    whole = len(history) == len(trial.history)
    verdict: Verdict = "differs"
    if whole and all(near):
        verdict = "identical" if all(same) and apart is None else "rounding"
    return {"verdict": verdict, "metric": metric, "best_epoch": best_epoch, "measures": measures, "from": apart}


def _near(told: float | None, found: float | None) -> bool:
    if told is None or found is None:
        return told is found
    return abs(told - found) <= ROUNDING * max(1.0, abs(told))


def _changed(facts: dict[str, Any], spec: Spec) -> dict[str, dict[str, Any]]:
    """Return what of versions, machine and code is not what the run tells; what it does not tell is left out."""
    machine = lock.machine(gpus=spec.resources.gpus != 0)
    pairs = {name: (facts["versions"].get(name), now) for name, now in lock.versions().items()}
    pairs |= {f"machine: {name}": (facts.get("machine", {}).get(name), now) for name, now in machine.items()}
    pairs |= {"code": (facts.get("code"), lock.code(spec.model))}
    return {name: {"told": before, "now": now} for name, (before, now) in pairs.items() if before not in (None, now)}


def _reasons(verdict: Verdict, changed: dict[str, Any], spec: Spec, device: str) -> list[str]:
    """Return what a difference may come from, likelier reasons first."""
    if verdict == "identical":
        return []
    found = []
    if spec.resources.workers > 1:
        found.append(f"the run trained each trial by {spec.resources.workers} workers together, the replay by one")
    if spec.resources.gpus:
        ran = "a GPU adds in no fixed order" if device == "cuda" else "the run used a GPU, and here is none"
        found.append(ran)
    found += ["the code that trains has changed since"] if "code" in changed else []
    versions = [name for name in changed if name != "code" and not name.startswith("machine")]
    found += [f"other versions: {', '.join(versions)}"] if versions else []
    found += ["another machine"] if any(name.startswith("machine") for name in changed) else []
    return found or ["nothing that run.json tells has changed: its record was, or the model draws what no seed decides"]
