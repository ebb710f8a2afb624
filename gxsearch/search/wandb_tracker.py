"""Weights & Biases: a run for each trial and one for the results, in one group; offline too (WANDB_MODE=offline)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import wandb

from gxsearch.search.notes import Notes
from gxsearch.search.tracker import Piece, Results, name_of, told


class WandbTracker:
    """Sends to a project; ids follow from that of the search, so that a resumed one goes on in the same runs."""

    def __init__(self, project: str, facts: Mapping[str, Any], notes: Notes):
        entity, _, name = project.rpartition("/")
        self._project, self._entity = name, entity or None
        self._facts, self._notes = facts, notes
        self._open: dict[str, Any] = {}

    def open(self) -> None:
        """Begin nothing: what is of the whole search is sent at its end."""
        self._notes.add(search=self._facts["id"])

    def send(self, piece: Piece) -> None:
        """Send news of a trial."""
        params, seed, _ = piece.created or ({}, None, 0.0)
        run = self._run(str(piece.number), name_of(piece.number), "trial", params)
        if piece.created is not None:
            run.config.update({"seed": seed}, allow_val_change=True)
        for epoch, metrics, _ in piece.epochs:
            run.log(dict(told(metrics)), step=epoch)
        if piece.ended is not None:
            event = piece.ended[0]
            run.summary.update({key: event[key] for key in ("state", "reason", "best", "best_epoch", "epochs")})
            self._finish(str(piece.number), failed=event["state"] in ("failed", "diverged"))

    def results(self, results: Results) -> None:
        """Send measures, the best model as an artifact, and the report with it."""
        settings = {**self._facts["spec"]["space"].get("fixed", {}), **results.params}
        run = self._run("results", self._facts["name"], "results", settings)
        run.summary.update({"best_trial": results.trial, **dict(told(results.measures))})
        kept = wandb.Artifact(f"{self._facts['name']}-best", type="model")
        for name, folder in results.folders.items():
            kept.add_dir(str(folder), name=name)
        for file in results.files:
            kept.add_file(str(file))
        run.log_artifact(kept)

    def close(self, state: str) -> None:
        """End all runs that are open."""
        for key in list(self._open):
            self._finish(key, failed=state != "done")
        wandb.teardown()

    def _run(self, key: str, name: str, kind: str, params: Mapping[str, Any]) -> Any:
        if key not in self._open:
            quiet = {"console": "off", "silent": True, "disable_code": True, "disable_git": True}
            self._open[key] = wandb.init(
                entity=self._entity,
                project=self._project,
                group=self._facts["name"],
                job_type=kind,
                name=name,
                id=f"{self._facts['id'][:16]}-{key}",
                config=dict(params),
                dir=os.environ.get("WANDB_DIR") or str(self._notes.path.parent),
                resume="allow",
                reinit="create_new",
                settings=wandb.Settings(**quiet, x_disable_stats=True, x_disable_meta=True),
            )
        return self._open[key]

    def _finish(self, key: str, *, failed: bool) -> None:
        self._open[key].finish(exit_code=int(failed))
        del self._open[key]
