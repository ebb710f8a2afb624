"""The sections of a search space file beside data and space, as typed settings."""

from __future__ import annotations

import re
from typing import Any, Literal

import pydantic

from gxsearch.config import Config, knob

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Objective(Config):
    """What a search looks for."""

    metric: str = knob(doc="validation measure, val/NAME (gxsearch models NAME lists them)")
    mode: Literal["min", "max"] = knob(doc="whether less or more is better; told by the measure")


class Choose(Config):
    """Which trial of the front of several objectives stands for the search: it is exported, tested and told of."""

    rule: Literal["first", "knee", "within"] = knob(
        "first", doc="first: best by the first objective; knee: farthest from the line between the ends of the front"
    )
    within: float = knob(
        0.0,
        doc="best by the second objective among those whose first is this near the best, as a share of the front",
        low=0.0,
        high=1.0,
    )


class SearchConfig(Config):
    """How draws are proposed."""

    sampler: Literal["tpe", "random", "grid", "gp", "cmaes", "qmc", "nsga2"] = knob(
        "tpe", doc="what proposes the next draw; nsga2 where there are several objectives"
    )
    startup: int = knob(10, doc="random draws before the sampler learns from them", low=0)
    seed: int = knob(0, doc="seed of all draws and trainings", low=0, high=2**32 - 1)
    start: list[dict[str, Any]] = knob([], doc="draws tried first; what they leave out is drawn")
    repeats: int = knob(1, doc="trainings of each draw of start, over seeds that are the same for all of them", low=1)
    until: list[int] = knob([], doc="last epoch of each draw of start, where not all of them end with the budget's")

    @pydantic.field_validator("until")
    @classmethod
    def _epochs(cls, until: list[int]) -> list[int]:
        if min(until, default=1) < 1:
            raise ValueError("every epoch must be at least 1")
        return until


class Confirm(Config):
    """Trains the best trials again, over new seeds that are the same for all of them, before anything is claimed."""

    top: int = knob(0, doc="trials that are trained again after the search; 0 confirms nothing", low=0, high=100)
    seeds: int = knob(3, doc="trainings of each, over the same seeds", low=1, high=100)
    splits: int = knob(1, doc="divisions of the rows that are not test rows; the first is that of the search", low=1)
    length: Literal["full", "reached"] = knob(
        "full", doc="full: to the last epoch of the budget; reached: as far as the trial came in the search"
    )


class Asha(Config):
    """Stops, at every rung, all but the best of the trials that reached it."""

    grace: int = knob(3, doc="epochs before a trial may be stopped", low=1)
    reduction: float = knob(3.0, doc="at each rung one trial in this many goes on", above=1.0)


class Hyperband(Asha):
    """ASHA with several brackets of different grace."""

    brackets: int = knob(3, doc="number of brackets", low=1, high=20)


class Median(Config):
    """Stops a trial whose best epoch is worse than the median of the others at the same epoch."""

    grace: int = knob(3, doc="epochs before a trial may be stopped", low=1)
    min_trials: int = knob(5, doc="trials that must have reached an epoch before it decides", low=1)


STOPS: dict[str, type[Config]] = {"asha": Asha, "hyperband": Hyperband, "median": Median}


class Stop(Config):
    """When a hopeless trial ends early; only the settings of its kind matter."""

    kind: Literal["none", "asha", "hyperband", "median"] = knob("none", doc="the rule")
    grace: int = knob(3, doc="epochs before a trial may be stopped", low=1)
    reduction: float = knob(3.0, doc="at each rung one trial in this many goes on", above=1.0)
    brackets: int = knob(3, doc="number of brackets (hyperband)", low=1)
    min_trials: int = knob(5, doc="trials that must have reached an epoch (median)", low=1)


class Budget(Config):
    """What a search may use; it ends when either limit is met."""

    trials: int | None = knob(None, doc="number of trials", low=1, high=1_000_000)
    epochs: int = knob(doc="most epochs of a trial", low=1, high=1_000_000)
    time_s: float | None = knob(
        None, doc="seconds from the first trial on; written as time: 90s, 30m, 12h or 2d", above=0.0
    )


class Resources(Config):
    """What one trial needs, and how many run at once."""

    workers: int = knob(1, doc="processes that train one trial together", low=1, high=4096)
    cpus: float = knob(1.0, doc="CPU cores per worker", above=0.0)
    gpus: Literal["auto"] | float = knob(
        0.0, doc="GPUs per worker; 0.5 lets two trials share one; auto measures how many trials fit into one"
    )
    backend: Literal["actors", "trainer"] = knob(
        "actors",
        doc="actors: processes that serve one trial after the other; trainer: a TorchTrainer of Ray Train for each",
    )
    concurrent: Literal["auto"] | int = knob("auto", doc="trials at once; auto fills the machine or cluster")
    keep: int = knob(
        100, doc="trials that keep their weights when they have ended: the best ones, and those of a front", low=1
    )
    stall_s: float = knob(
        300.0,
        doc="seconds without a batch, and 20 times the longest so far, after which a trial is started again",
        low=1,
    )


class Track(Config):
    """Trackers that are sent, beside TensorBoard, what a search does; what becomes of them changes nothing of it."""

    mlflow: str | None = knob(None, doc="address of MLflow: sqlite:///FILE.db or http://HOST:5000")
    wandb: str | None = knob(None, doc="project of Weights & Biases, or ENTITY/PROJECT")
    patience_s: float = knob(10.0, doc="seconds for which the end of a search waits for what is still to send", low=0)

    @property
    def targets(self) -> dict[str, str]:
        """What is sent to, by the tracker's name."""
        return {name: target for name in TRACKERS if (target := getattr(self, name)) is not None}


TRACKERS = ("mlflow", "wandb")


def seconds(text: Any) -> float | None:
    """Return the seconds of ``90s``, ``30m``, ``1.5h`` or ``2d``; None if it is written otherwise."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*([smhd])", text) if isinstance(text, str) else None
    return float(found[1]) * _UNITS[found[2]] if found else None
