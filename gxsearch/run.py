"""Run: a search as Python has it: its trials, its best model, its study, its vectors, all read when asked for."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gxsearch.results.ledger import TrialRecord
from gxsearch.results.run_dir import RunDir
from gxsearch.told import preformatted

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from gxsearch.results.package import Package
    from gxsearch.results.study import OptunaStudy
    from gxsearch.search.spec import Spec

_NOTES = ("epoch", "best", "best_epoch", "last", "saved")
"""What an epoch tells besides its measures."""


class Trial:
    """One trial of a run, as it stood when it was asked for.

    Attributes:
        run: the run that it is of. number: its number there.
        state: complete, stopped, diverged, failed, interrupted or running; error: why it failed or diverged.
        params: the searched settings by their path in the spec, as they were drawn.
        epoch: the best one, whose weights are kept; 0 before there is any. value: the objective there.
    """

    def __init__(self, run: Run, record: TrialRecord):
        self.run, self._record = run, record
        self.number, self.state, self.params = record.number, record.state, dict(record.params)
        self.epoch, self.value, self.seconds = record.best_epoch, record.best, record.seconds
        self.error = record.reason if record.state in ("failed", "diverged") else ""

    @property
    def path(self) -> Path:
        """The trial's folder: config.json, checkpoints, error.txt."""
        return self.run.folder.trial(self.number)

    @property
    def metrics(self) -> dict[str, float]:
        """Measures of the best epoch, ``val/``; of the run's best trial those on test rows too, ``test/``."""
        from gxsearch.results import leaderboard

        best = leaderboard.chosen(self.run.folder)
        is_best = best is not None and best.number == self.number
        return leaderboard.at_best(self._record) | (leaderboard.scores(self.run.folder) if is_best else {})

    @property
    def history(self) -> pd.DataFrame:
        """A row per epoch that counts: epoch, then every measure of it, with terms of the loss and their weights."""
        import pandas as pd

        frame = pd.DataFrame(self._record.history, columns=None if self._record.history else ["epoch"])
        return frame[["epoch", *(name for name in frame if name not in _NOTES)]]

    def model(self) -> Package:
        """Read the model of the best epoch; nothing is executed.

        Raises:
            RunError: when the trial has no epoch, or its weights were not kept or are damaged.
        """
        from gxsearch.results.package import of_run

        return of_run(self.run.folder, self.number)

    def __fspath__(self) -> str:
        return f"{self.run.address}/{self.number:03d}"

    def __repr__(self) -> str:
        from gxsearch.console import short

        value = f"   {self.run.metric} {self.value:.5g}, epoch {self.epoch}" if self.value is not None else ""
        return f"trial {self.number:03d} of {self.run.name}   {self.state}{value}   {self.error or short(self.params)}"


class Run:
    """A run folder, finished or not; it is read again at every question, so that a running search may be watched.

    Attributes:
        path: its folder here; of one on object storage that of a copy.
        address: where it is: the folder, or s3://... or gs://...
    """

    def __init__(self, path: Run | str | os.PathLike[str]):
        """Open a run.

        Raises:
            RunError: E601 when there is none.
        """
        given = path.address if isinstance(path, Run) else os.fspath(path)
        self.folder = RunDir.open(given)
        self.path = self.folder.path
        self.address = given if "://" in given else str(self.path)

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.path.name

    @property
    def status(self) -> str:
        """How the search ended: done, interrupted or failed; until then running or killed, as far as can be told."""
        from gxsearch import standing

        return standing.facts(str(self.path))["state"]

    @property
    def metric(self) -> str:
        """The measure that is the (first) objective."""
        return self.folder.facts()["spec"]["objective"]["metric"]

    @property
    def spec(self) -> Spec:
        """What was searched, as it was when the search began."""
        from gxsearch.search.spec import Spec

        return Spec.from_json(self.folder.facts()["spec"])

    @property
    def trials(self) -> pd.DataFrame:
        """A row per trial, by number: what results/leaderboard.csv has of it, and why it failed.

        Columns: number, state, rank (missing for what may not win), epoch (the best one), epochs, the objective, the
        other measures of the best epoch, front where there are several objectives, seconds, error, and each searched
        setting as ``params.<its path>``, lists as JSON.
        """
        from gxsearch.results import leaderboard, ledger

        board, found = leaderboard.table(self.folder), ledger.trials(self.folder.ledger)
        board = board[board["state"] != "baseline"].assign(number=lambda frame: frame["trial"].astype(int))
        board = (
            board.sort_values("number", ignore_index=True).drop(columns="trial").rename(columns={"best_epoch": "epoch"})
        )
        board["error"] = [one.reason if one.state in ("failed", "diverged") else "" for one in found]
        params = list(dict.fromkeys(name for one in found for name in one.params))
        head, tail = ["number", "state", "rank", "epoch", "epochs"], ["seconds", "error"]
        measures = [name for name in board if name not in {*head, *tail, *params}]
        kept = [name for name in measures if board[name].notna().any() or name == self.metric]  # others: baselines' own
        return board[[*head, *kept, *tail, *params]].rename(columns={name: f"params.{name}" for name in params})

    @property
    def best(self) -> Trial:
        """The trial that stands for the run.

        Raises:
            RunFailed: E710 when no trial has a finite value of the objective.
        """
        from gxsearch.results import leaderboard

        return Trial(self, leaderboard.best(self.folder))

    def trial(self, number: int) -> Trial:
        """Return a trial by number.

        Raises:
            RunError: E630 when there is none.
        """
        from gxsearch.results import leaderboard

        return Trial(self, leaderboard.find(self.folder, number))

    @property
    def baselines(self) -> pd.DataFrame:
        """A row per baseline: its name and measures; without rows where none were computed."""
        import pandas as pd

        from gxsearch.results import leaderboard

        rows = leaderboard.baselines(self.folder)
        return pd.DataFrame(rows, columns=None if rows else ["name"])

    @property
    def study(self) -> OptunaStudy:
        """The Optuna study: a copy in memory of the journal, so that what is changed in it goes nowhere.

        Raises:
            RunError: E614 when the journal is missing or damaged.
        """
        from gxsearch.results.study import copied

        return copied(self.folder)

    @property
    def report(self) -> Path:
        """The page that the search ended with, results/report.html; `gxsearch.report(run)` writes it again."""
        return self.folder.report

    @cached_property
    def embeddings(self) -> AnnData:
        """The best trial's vectors of the run's own rows, results/embeddings.h5ad, read once: changes stay in memory.

        Raises:
            RunError: E615 when the search has not come to its end.
        """
        from gxsearch.data import h5ad
        from gxsearch.errors import RunError

        path = self.folder.embeddings
        if not path.is_file():
            fix = "gxsearch.resume(run) goes on"
            raise RunError.one("E615", str(path), "no vectors yet: the search has not come to its end", fix)
        return h5ad.read(path, str(path))

    def __fspath__(self) -> str:
        return self.address

    def __repr__(self) -> str:
        from gxsearch import standing

        return standing.told(standing.facts(str(self.path)), self.address)

    def _repr_html_(self) -> str:
        from gxsearch.results import leaderboard

        text = preformatted(repr(self))
        if not leaderboard.ranked(self.folder):
            return text
        from gxsearch import pl
        from gxsearch.results import static

        image = static.svg(pl.history(self, static=True))
        return f'{text}<img alt="history of the search" src="data:image/svg+xml;base64,{image}">'


def located(source: Any) -> str:
    """Return the path or address of a run, a trial, or what is one."""
    return os.fspath(source)
