"""Draw: what a trial is told to train, from the settings that were drawn; and the state it ends in by an error."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from gxsearch.errors import TrialError
from gxsearch.results.run_dir import RunDir, write_atomic
from gxsearch.results.shelf import Shelf
from gxsearch.search.spec import Spec
from gxsearch.training.session import Job

if TYPE_CHECKING:  # it imports Optuna and Ray, which what a draw asks for does not need
    from gxsearch.search.referee import Standing


def draw_config(spec: Spec, run: RunDir, trial: Standing, told: int = 0) -> dict[str, Any]:
    """Return what Tune hands to the trial's actor; but for where its checkpoints are it is in the trial's config.json.

    `told` is the epoch that the ledger has heard of last.
    """
    job = job_of(spec, trial.params, trial.seed)
    folder = run.trial(trial.number)
    if not (folder / "config.json").exists():
        write_atomic(
            folder / "config.json",
            json.dumps({"trial": trial.number, "params": trial.params, **asdict(job)}, indent=1).encode(),
        )
    shelf = Shelf.of(run, trial.number, told)
    kept = {"shelf": shelf.to_json()} if shelf else {}
    return {"trial": trial.number, "job": asdict(job), "folder": str(folder), **kept}


def job_of(spec: Spec, params: dict[str, Any], seed: int) -> Job:
    """Return the training that a draw asks for."""
    configs = spec.space.configs(params)
    return Job(
        model=spec.model,
        model_config=configs["model"],
        train_config=configs["train"],
        view_config=spec.data.view,
        epochs=spec.budget.epochs,
        seed=seed,
        metric=spec.objective.metric,
        mode=spec.objective.mode,
        also=[one.metric for one in spec.also],
    )


def ending(error: TrialError) -> tuple[str, str]:
    """Return the state that a hopeless draw ends in, and why: diverged, or failed where it does not fit."""
    (fault, *_) = error.faults
    return ("diverged" if fault.code == "E701" else "failed"), fault.what
