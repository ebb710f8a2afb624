"""Condition: when a setting is searched at all, told by the value of another one."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gxsearch.search.domain import Choice, Domain, Float, same

COMPARE = {"ge": operator.ge, "gt": operator.gt, "le": operator.le, "lt": operator.lt}
_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
_MANY = 10_000


@dataclass(frozen=True)
class Condition:
    """Holds where the parent's value is one of `one_of`, or within all `limits` (pairs like ("ge", 2))."""

    parent: str
    one_of: tuple[Any, ...] = ()
    limits: tuple[tuple[str, float], ...] = ()

    def holds(self, value: Any) -> bool:
        """Say whether the parent's value makes the child active."""
        if self.limits:
            return isinstance(value, int | float) and all(COMPARE[sign](value, limit) for sign, limit in self.limits)
        return any(same(value, wanted) for wanted in self.one_of)

    def describe(self) -> str:
        """Return the condition in a few words."""
        name = self.parent.partition(".")[2] or self.parent
        if self.limits:
            return " and ".join(f"{name} {_SIGNS[sign]} {limit:g}" for sign, limit in self.limits)
        shown = ", ".join(str(value) for value in self.one_of)
        return f"{name} = {shown}" if len(self.one_of) == 1 else f"{name} in {shown}"

    def to_json(self) -> Any:
        """Return the test as a search space file writes it."""
        return dict(self.limits) if self.limits else list(self.one_of)

    @classmethod
    def from_json(cls, parent: str, test: Any) -> Condition:
        """Rebuild a condition from `to_json`."""
        if isinstance(test, dict):
            return cls(parent, limits=tuple(test.items()))
        return cls(parent, one_of=tuple(test))


def witnesses(domain: Domain, conditions: Sequence[Condition]) -> list[Any]:
    """Return values of a domain under which all conditions hold: none only if there is no such value."""
    points = [domain.middle(), *domain.ends()]
    if not isinstance(domain, Choice):
        points += [point for c in conditions for point in _near(domain, c)]
        if domain.size is not None and domain.size <= _MANY:
            points += domain.grid()
        elif isinstance(domain, Float):
            # Between two neighboring limits nothing changes, so one value there stands for all.
            edges = sorted({p for p in points if isinstance(p, int | float)})
            points += [a + (b - a) / 2 for a, b in zip(edges, edges[1:], strict=False)]
    return [p for p in points if domain.contains(p) and all(c.holds(p) for c in conditions)]


def _near(domain: Domain, condition: Condition) -> list[Any]:
    """Return the values of a numeric domain at and beside those that a condition names."""
    named = [limit for _, limit in condition.limits] + [v for v in condition.one_of if isinstance(v, int | float)]
    if isinstance(domain, Float):
        return [float(value) for value in named]
    snapped = [domain.low + int((value - domain.low) // domain.step) * domain.step for value in named]
    return [at + k * domain.step for at in snapped for k in (-1, 0, 1)]
