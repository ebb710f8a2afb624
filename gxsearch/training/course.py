"""Course: how the objective of a training has gone so far, when the training is over, when its rate falls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gxsearch.models.base import TrainConfig


def is_last(metrics: Mapping[str, float], length: int) -> bool:
    """Say whether an epoch's metrics are the last of their training; where they do not tell, at full length."""
    return bool(metrics.get("last", metrics["epoch"] >= length))


@dataclass
class Course:
    """Follows the objective epoch by epoch; what it says depends on the values seen and on the settings only.

    Attributes:
        config: patience, min_delta, target and the plateau's settings.
        length: epochs of the training, if nothing ends it.
        warmup: epochs at the start that count neither for patience, nor for the target, nor for the plateau.
        epoch, value: the last epoch seen and the objective there.
        best, best_epoch: the objective at the best epoch so far; any improvement counts.
        mark: the last value that was better than the mark before it by more than `min_delta`.
        waited: epochs since then, warm-up apart; flat: those since then or since the rate last fell.
        factor: what the plateau makes of the learning rate.
    """

    config: TrainConfig
    mode: Literal["min", "max"]
    length: int
    warmup: int = 0
    epoch: int = 0
    value: float | None = None
    best: float | None = None
    best_epoch: int = 0
    mark: float | None = None
    waited: int = 0
    flat: int = 0
    factor: float = 1.0

    def see(self, epoch: int, value: float) -> bool:
        """Take an epoch's objective; return whether it is the best so far."""
        self.epoch, self.value = epoch, value
        better = self._beats(value, self.best)
        if better:
            self.best, self.best_epoch = value, epoch
        if self._beats(value, self.mark, self.config.min_delta):
            self.mark, self.waited, self.flat = value, 0, 0
        elif epoch > self.warmup:
            self.waited, self.flat = self.waited + 1, self.flat + 1
        if self.config.schedule == "plateau" and self.flat >= self.config.plateau_patience:
            self.factor, self.flat = self.factor * self.config.plateau_factor, 0
        return better

    @property
    def ending(self) -> str | None:
        """Why the training is over after the epochs seen; empty when its epochs are up, None while it goes on."""
        target, patience = self.config.target, self.config.patience
        if self.epoch > self.warmup and target is not None and not self._beats(target, self.value):
            return "target reached"
        if self.epoch >= self.length:
            return ""
        return f"no better epoch in {patience}" if patience and self.waited >= patience else None

    def state(self) -> dict[str, Any]:
        """Return what `resume` needs besides best and best_epoch, as JSON values."""
        return {"mark": self.mark, "waited": self.waited, "flat": self.flat, "factor": self.factor}

    def resume(self, record: Mapping[str, Any]) -> None:
        """Go on from a checkpoint's record; those of version 0.1 hold the best epoch only."""
        self.epoch, self.best, self.best_epoch = record["epoch"], record["best"], record["best_epoch"]
        for name, value in record.get("course", {"mark": self.best}).items():
            setattr(self, name, value)

    def _beats(self, value: float, other: float | None, by: float = 0.0) -> bool:
        if other is None:
            return True
        return value < other - by if self.mode == "min" else value > other + by
