"""Tracker: what MLflow and Weights & Biases have in common for us; each is in a file of its own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

_NOT_SENT = ("epoch", "saved", "last")


class Refused(Exception):
    """The tracker has understood, and takes this not: to send it again would not help, and what follows may go."""


@dataclass
class Piece:
    """News of one trial, from one reading of the ledger.

    Attributes:
        created: params, seed and time (seconds since 1970) of its creation, where that is new.
        epochs: epoch, metrics, time; in order.
        ended: the ledger's event and its time, where it has ended.
    """

    number: int
    created: tuple[dict[str, Any], int, float] | None = None
    epochs: list[tuple[int, dict[str, float], float]] = field(default_factory=list)
    ended: tuple[dict[str, Any], float] | None = None

    def divided(self, judged: int) -> tuple[Piece, Piece]:
        """Return what may be sent, with that many epochs judged, and what is kept until more are.

        Once the trial has ended, all is sent but the epochs that do not count.
        """
        last = judged if self.ended is None else self.ended[0]["epochs"]
        now = [epoch for epoch in self.epochs if epoch[0] <= last]
        later = [] if self.ended is not None else [epoch for epoch in self.epochs if epoch[0] > last]
        return Piece(self.number, self.created, now, self.ended), Piece(self.number, epochs=later)

    @property
    def empty(self) -> bool:
        """Whether it says nothing."""
        return self.created is None and not self.epochs and self.ended is None


@dataclass(frozen=True)
class Results:
    """What is made of a search at its end.

    Attributes:
        trial: the number of the best one, and params: its settings.
        measures: on test rows, and the objective at its best epoch.
        folders, files: what is kept of it, by the name that it gets there.
    """

    trial: int
    params: dict[str, Any]
    measures: dict[str, float]
    folders: dict[str, Path]
    files: list[Path]


class Tracker(Protocol):
    """Where the news of a search is sent; each method may be called again with what it was called with before.

    Any exception but `Refused` means: not now.
    """

    def open(self) -> None:
        """Begin the search there, or go on with it."""

    def send(self, piece: Piece) -> None:
        """Send news of a trial."""

    def results(self, results: Results) -> None:
        """Send what was made of the search."""

    def close(self, state: str) -> None:
        """End the search there: done, interrupted or failed."""


def told(metrics: Mapping[str, Any]) -> Iterable[tuple[str, float]]:
    """Yield the measures of an epoch that are finite numbers."""
    for name, value in metrics.items():
        if name not in _NOT_SENT and isinstance(value, (int, float)) and math.isfinite(value):
            yield name, float(value)


def name_of(number: int) -> str:
    """Return what a trial is called there: as its folder is."""
    return f"trial {number:03d}"


def make(name: str, target: str, facts: Mapping[str, Any], notes: Any) -> Tracker:
    """Return the tracker of that name.

    Args:
        facts: run.json. notes: `search.notes.Notes`, which outlive this process.
    """
    if name == "mlflow":
        from gxsearch.search.mlflow_tracker import MlflowTracker

        return MlflowTracker(target, facts, notes)
    from gxsearch.search.wandb_tracker import WandbTracker

    return WandbTracker(target, facts, notes)
