"""Scribe: writes what people and TensorBoard read of a trial: metrics.ndjson and HParams."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from gxsearch.results import mirror
from gxsearch.results.run_dir import RunDir
from gxsearch.search.notes import METRICS
from gxsearch.search.referee import Standing
from gxsearch.search.spec import Spec
from gxsearch.training.board import Board


class Scribe:
    """Follows the judged epochs of a search."""

    def __init__(self, spec: Spec, run: RunDir):
        self._spec, self._run, self._domains = spec, run, plain_domains(spec)
        self._metrics = [one.metric for one in spec.objectives]
        board = Board(run.path)
        board.domains(self._domains, {metric: f"{metric} at the best epoch" for metric in self._metrics})
        board.close()

    def watch(self, what: str, trial: Standing) -> None:
        """Write an epoch's line, or a trial's HParams at its end."""
        folder = self._run.trial(trial.number)
        if what == "epoch":
            folder.mkdir(parents=True, exist_ok=True)
            with open(folder / METRICS, "a") as file:
                file.write(json.dumps(trial.history[-1]) + "\n")
        elif what == "ended":
            self._ended(trial)

    def _ended(self, trial: Standing) -> None:
        folder, far = self._run.trial(trial.number), mirror.of(self._run.path)
        if trial.best is not None:
            values = trial.final if trial.final is not None else [trial.best]  # then another one was not finite
            board = Board(folder)
            metrics = dict(zip(self._metrics, values, strict=False))
            board.hparams(trial.params, metrics, folder.name, self._domains)
            board.close()
        if far is not None:
            far.nudge()


def plain_domains(spec: Spec) -> dict[str, dict[str, Any]]:
    """Return the searched settings' domains by name: kind (float, int, choice) and their ends or options."""
    return {
        name: {"kind": type(domain).__name__.lower(), **asdict(domain)} for name, domain in spec.space.domains.items()
    }
