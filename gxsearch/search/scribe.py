"""Scribe: writes what people and TensorBoard read of a trial: metrics.ndjson and HParams."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from gxsearch.results import mirror
from gxsearch.results.run_dir import RunDir
from gxsearch.search.referee import Standing
from gxsearch.search.spec import Spec
from gxsearch.training.board import Board


class Scribe:
    """Follows the judged epochs of a search."""

    def __init__(self, spec: Spec, run: RunDir):
        self._spec, self._run = spec, run
        board = Board(run.path)
        board.domains(plain_domains(spec), {spec.objective.metric: f"{spec.objective.metric} at the best epoch"})
        board.close()

    def watch(self, what: str, trial: Standing) -> None:
        """Write an epoch's line, or a trial's HParams at its end."""
        folder = self._run.trial(trial.number)
        if what == "epoch":
            folder.mkdir(parents=True, exist_ok=True)
            with open(folder / "metrics.ndjson", "a") as file:
                file.write(json.dumps(trial.history[-1]) + "\n")
        elif what == "ended":
            self._ended(trial)

    def _ended(self, trial: Standing) -> None:
        folder, far = self._run.trial(trial.number), mirror.of(self._run.path)
        if trial.best is not None:
            board = Board(folder)
            board.hparams(trial.params, {self._spec.objective.metric: trial.best}, folder.name)
            board.close()
        if far is not None:
            far.nudge()


def plain_domains(spec: Spec) -> dict[str, dict[str, Any]]:
    """Return the searched settings' domains by name: kind (float, int, choice) and their ends or options."""
    return {
        name: {"kind": type(domain).__name__.lower(), **asdict(domain)} for name, domain in spec.space.domains.items()
    }
