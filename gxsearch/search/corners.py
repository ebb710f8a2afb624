"""Corners: the draws of a space that are worth measuring: the largest, the slowest, and a few at random."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gxsearch.data.view import Dims
from gxsearch.models import registry
from gxsearch.search import knobs
from gxsearch.search.domain import Choice, label
from gxsearch.search.intake import weights
from gxsearch.search.reader import kinds_of
from gxsearch.search.space import Params, Space
from gxsearch.search.spec import Spec

MOST = 10
"""Corners that are measured at most; a space has two for each range, and one for each option."""
DRAWS = 6
"""Draws at random, whose mean is what a trial is expected to take."""


@dataclass(frozen=True)
class Point:
    """A draw that may be measured.

    Attributes:
        name: what is special about it; empty of a draw at random.
        weights: of its model; infinite where not even an empty one can be made. cost: of an epoch, in any unit.
        batch: examples of a step.
    """

    name: str
    params: Params
    weights: float
    cost: float
    batch: int

    @property
    def large(self) -> tuple[float, int]:
        """What memory grows with."""
        return (self.weights, self.batch)

    @property
    def slow(self) -> tuple[float, int]:
        """What time grows with; smaller batches are more steps."""
        return (self.cost, -self.batch)


def chosen(spec: Spec, sizes: Dims) -> tuple[list[Point], int]:
    """Return the corners that matter, the largest one first, and how many corners the space has.

    First those at the largest and at the slowest end of every setting at once, which a space of k ranges has among
    its 2^k; the middle, all low and all high ends; then single settings at an end, largest and slowest in turn. Where
    a setting changes neither weights nor cost nor batch, only the options of a choice are: they may be other code.
    """
    named = list(spec.space.named_corners())
    points = [_point(spec, sizes, _name(spec.space, name, i, params), params) for i, (name, params) in enumerate(named)]
    whole = [point for (name, _), point in zip(named, points, strict=True) if not name]
    single = [(name, point) for (name, _), point in zip(named, points, strict=True) if name]
    extremes = [
        _point(spec, sizes, word, found)
        for word, key in (("largest", lambda p: p.large), ("slowest", lambda p: p.slow))
        if (found := _extreme(spec, sizes, whole[0], single, key)) is not None
    ]
    found: list[Point] = []
    for point in [*extremes, *whole, *_in_turn(spec.space, single, whole[0])]:
        if len(found) < MOST and all(point.params != other.params for other in found):
            found.append(point)
    return sorted(found, key=lambda point: point.large, reverse=True), len(named)


def drawn(spec: Spec, sizes: Dims) -> list[Point]:
    """Return draws at random, by the search's seed; one where nothing is searched."""
    rng = random.Random(spec.search.seed)
    found = [spec.space.draw(lambda _, domain: domain.sample(rng)) for _ in range(DRAWS)]
    return [_point(spec, sizes, "", params) for params in (found if spec.space.parameters else found[:1])]


def _point(spec: Spec, sizes: Dims, name: str, params: Params) -> Point:
    kind, configs = registry.get(spec.model), spec.space.configs(params)
    train = kind.Train(**configs["train"])
    try:
        held: float = weights(spec, params, sizes)
    except (RuntimeError, MemoryError):  # more than this process may ask the system for
        held = math.inf
    return Point(name, params, held, kind.cost(kind.Config(**configs["model"]), train, sizes), train.batch_size)


def _name(space: Space, name: str, at: int, params: Params) -> str:
    """Return what a corner is called: the first three have no setting that is at an end alone."""
    if name:
        return f"{name.partition('.')[2]}={_short(params[name])}"
    return ("middle" if space.parameters else "all", "low ends", "high ends")[at]


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(label(value)).replace(" ", "")


def _extreme(
    spec: Spec, sizes: Dims, middle: Point, single: list[tuple[str, Point]], key: Callable[[Point], Any]
) -> Params | None:
    """Return the draw with every setting at the value that is the most by `key` while the others are in the middle.

    Of values that make no difference it is the last one. None where the model refuses that draw.
    """
    best: Params = {}
    for parameter in spec.space.parameters:
        able = [point for name, point in reversed(single) if name == parameter.name]
        able += [middle] if parameter.name in middle.params else []
        if able:
            best[parameter.name] = max(able, key=key).params[parameter.name]
    params = spec.space.draw(lambda name, domain: best.get(name, domain.middle()))
    kind = registry.get(spec.model)
    if any(True for _ in knobs.refusals(kinds_of(kind), spec.space, params)):
        return None
    return None if kind.objection(kind.Config(**spec.space.configs(params)["model"]), sizes) else params


def _in_turn(space: Space, single: list[tuple[str, Point]], middle: Point) -> list[Point]:
    """Return corners of single settings that differ from the middle, the largest and the slowest in turn."""

    def differs(name: str, point: Point) -> bool:
        alike = (point.large, point.slow) == (middle.large, middle.slow)
        return not alike or isinstance(space.domains[name], Choice)

    kept = [point for name, point in single if differs(name, point)]
    large, slow = (sorted(kept, key=key, reverse=True) for key in (lambda p: p.large, lambda p: p.slow))
    return [point for pair in zip(large, slow, strict=True) for point in pair]
