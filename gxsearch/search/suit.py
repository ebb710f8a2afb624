"""Suits the shipped search space of a model to a data set: batch sizes, budget, shares of the split."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

from gxsearch.data.units import Numbers
from gxsearch.models import registry
from gxsearch.search.shipped import shipped

_STEPS = 200
"""Steps of an epoch that pairs of rows and genes are cut into, about."""
_WIDE = {"fe": 5000, "vae": 5000, "nbvae": 5000, "spatial": 5000, "rvagene": 1000, "transformer": 256}
"""Genes up to which a model is given all of them."""
_KEPT = {"fe": 2000, "vae": 2000, "nbvae": 2000, "spatial": 2000, "rvagene": 1000, "transformer": 256}
_FEW, _MANY, _VERY_MANY = 300, 20_000, 100_000
_RARE = 0.3
_BATCHES = 1.4
"""Batches of an epoch, at least."""


@dataclass(frozen=True)
class Sizes:
    """Rows that get vectors and are split, and genes that the model is given."""

    rows: int
    genes: int

    @property
    def training(self) -> int:
        """Rows to train on, about."""
        val, test = shares(self.rows)
        return max(2, round(self.rows * (1 - val - test)))


@dataclass(frozen=True)
class Suited:
    """A space and a budget for a data set, and how the shipped ones were changed, by the setting's dotted name."""

    space: dict[str, dict[str, Any]]
    start: list[dict[str, Any]]
    startup: int
    stop: Any
    trials: int
    epochs: int
    why: dict[str, str]


def shares(rows: int) -> tuple[float, float]:
    """Return the shares of rows to validate and to test on; of very few rows none are left to test on."""
    if rows >= 20:
        return 0.15, 0.15
    if rows >= 5:
        return 0.2, 0.2
    return (0.34, 0.0) if rows == 3 else (0.25, 0.0)


def few_genes(model: str, genes: int) -> int | None:
    """Return how many genes to keep, where a model should not be given all."""
    return min(_KEPT[model], genes) if genes > _WIDE[model] else None


def seen_genes(model: str, numbers: Numbers, genes: int, rows: int) -> bool:
    """Tell whether genes that are seen in hardly any row should be left out: their z-scores would be of sqrt(n)."""
    enough = numbers.seen is not None and numbers.seen >= 10
    return model == "vae" and numbers.zeros > _RARE and genes <= _WIDE[model] and enough and rows >= 100


def suit(model: str, sizes: Sizes, *, batches: bool) -> Suited:
    """Return the shipped space, changed to suit the data; `batches`: whether obs columns of batches are given."""
    given = copy.deepcopy(shipped(model))
    space, why = given["space"], {}
    start = given["search"]["start"]
    n = sizes.training
    if model == "fe":
        pairs = 0.9 * n * sizes.genes / _STEPS
        space["train"]["batch_size"] = int(2 ** min(max(round(math.log2(max(pairs, 1))), 8), 16))
        why["train.batch_size"] = f"pairs a step; about {_STEPS} steps an epoch"
    else:
        options = _batch_sizes(space["train"]["batch_size"], n)
        space["train"]["batch_size"] = {"choice": options} if len(options) > 1 else options[0]
        why["train.batch_size"] = f"rows a step, of some {n:,} to train on"
        for point in start:
            _nearest(point, options)
    if model == "nbvae" and batches:
        _mix(space, start, why)
    searched = {name for group in space.values() for name, entry in group.items() if _is_searched(entry)}
    start = [{name: value for name, value in point.items() if name in searched} for point in start]
    trials = max(given["budget"]["trials"], 3 * len(searched))
    epochs = _epochs(given["budget"]["epochs"], n)
    return Suited(space, start, given["search"]["startup"], given["stop"], trials, epochs, why)


def _batch_sizes(given: Any, n: int) -> list[int]:
    """Return the shipped batch sizes, larger for many rows; smaller where an epoch would have one batch only."""
    factor = 4 if n >= _VERY_MANY else 2 if n >= _MANY else 1
    sizes = [factor * size for size in (given["choice"] if isinstance(given, dict) else [given])]
    fitting = [size for size in sizes if size * _BATCHES <= n]
    return fitting or [max(2, 2 ** int(math.log2(n / 2)))]


def _nearest(point: dict[str, Any], options: list[int]) -> None:
    if "batch_size" in point:
        point["batch_size"] = min(options, key=lambda size: abs(size - point["batch_size"]))


def _mix(space: dict[str, dict[str, Any]], start: list[dict[str, Any]], why: dict[str, str]) -> None:
    """Let the search try what only batches allow."""
    space["model"]["dispersion"]["choice"].append("gene-batch")
    space["model"]["adversary"] = {"choice": [0.0, 5.0, 20.0]}
    why["model.adversary"] = "20 mixes batches more than the ELBO asks for: see also val/batch_knn"
    for point in start:
        point["adversary"] = 0.0


def _is_searched(entry: Any) -> bool:
    return isinstance(entry, dict) and "value" not in entry


def _epochs(shipped_epochs: int, n: int) -> int:
    factor = 2 if n < _FEW else 1 if n < _MANY else 0.5 if n < _VERY_MANY else 0.25
    return max(8, round(shipped_epochs * factor))


def documented(model: str, name: str) -> str:
    """Return the sentence of a setting (``model.lr``), up to its first semicolon."""
    group, _, knob = name.partition(".")
    kind = registry.get(model)
    config = {"model": kind.Config, "train": kind.Train}[group]
    return (config.model_fields[knob].description or "").partition(";")[0]
