"""Space: the settings that a search draws, the ones it fixes, and which depend on which."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from gxsearch.errors import SpecError, did_you_mean
from gxsearch.search.condition import Condition, witnesses
from gxsearch.search.domain import Domain, from_json

GROUPS = ("model", "train")
MAX_GRID = 10_000
Params = dict[str, Any]


@dataclass(frozen=True)
class Parameter:
    """A searched setting, by its dotted name; `default` holds at most one value, used while it is inactive."""

    name: str
    domain: Domain
    when: tuple[Condition, ...] = ()
    default: tuple[Any, ...] = ()

    def describe(self) -> str:
        """Return the domain and the conditions in a few words."""
        conditions = " and ".join(condition.describe() for condition in self.when)
        return self.domain.describe() + (f" if {conditions}" if conditions else "")


@dataclass(frozen=True)
class Space:
    """Searched settings in the order of the file, and fixed values, both by dotted name (``train.lr``).

    A parameter is active where its conditions hold; that of an inactive parent holds nowhere.

    Raises:
        SpecError: E321, when conditions go round in a circle.
    """

    parameters: tuple[Parameter, ...] = ()
    fixed: Params = field(default_factory=dict)

    def __post_init__(self) -> None:
        circle = find_circle(self.parameters)
        if circle:
            raise SpecError.one("E321", "", f"conditions go round in a circle: {' -> '.join(circle)}")

    @cached_property
    def by_name(self) -> dict[str, Parameter]:
        """The parameters by dotted name."""
        return {parameter.name: parameter for parameter in self.parameters}

    @cached_property
    def domains(self) -> dict[str, Domain]:
        """The domains by dotted name."""
        return {parameter.name: parameter.domain for parameter in self.parameters}

    @cached_property
    def order(self) -> tuple[Parameter, ...]:
        """The parameters, parents before children, else in the order of the file."""
        placed: dict[str, Parameter] = {}
        while len(placed) < len(self.parameters):
            ready = (p for p in self.parameters if p.name not in placed and not self._parents(p) - set(placed))
            parameter = next(ready)
            placed[parameter.name] = parameter
        return tuple(placed.values())

    def active(self, parameter: Parameter, params: Params) -> bool:
        """Say whether a parameter is active, given the values of its parents."""
        for condition in parameter.when:
            source = params if condition.parent in params else self.fixed
            if condition.parent not in source or not condition.holds(source[condition.parent]):
                return False
        return True

    def draw(self, suggest: Callable[[str, Domain], Any]) -> Params:
        """Ask `suggest` for the value of every active parameter, parents first; return them by name."""
        params: Params = {}
        for parameter in self.order:
            if self.active(parameter, params):
                params[parameter.name] = suggest(parameter.name, parameter.domain)
        return params

    def configs(self, params: Params) -> dict[str, Params]:
        """Return the settings of the model and of the training: fixed ones, defaults of inactive ones, `params`."""
        unknown = set(params) - set(self.by_name)
        assert not unknown, f"not in the space: {sorted(unknown)}"
        resting = {p.name: p.default[0] for p in self.parameters if p.default}
        groups: dict[str, Params] = {group: {} for group in GROUPS}
        for name, value in {**self.fixed, **resting, **params}.items():
            group, _, knob = name.partition(".")
            groups[group][knob] = value
        return groups

    def corners(self) -> Iterator[Params]:
        """Yield draws that reach both ends of every domain and every option; conditions are honored.

        First the middle of all, all low ends and all high ends; then one parameter at an end, its parents at
        values that make it active and the others in the middle.
        """
        yield from (params for _, params in self.named_corners())

    def named_corners(self) -> Iterator[tuple[str, Params]]:
        """Yield the corners with the name of the parameter that is at its end, empty for the first three."""
        seen: list[Params] = []
        for name, params in self._corners():
            if params not in seen:
                seen.append(params)
                yield name, params

    def _corners(self) -> Iterator[tuple[str, Params]]:
        yield "", self.draw(lambda _, domain: domain.middle())
        yield "", self.draw(lambda _, domain: domain.ends()[0])
        yield "", self.draw(lambda _, domain: domain.ends()[-1])
        for parameter in self.order:
            pins = self.reach(parameter.name)
            for end in parameter.domain.ends() if pins is not None else ():
                chosen = {**pins, parameter.name: end}
                yield parameter.name, self.draw(lambda n, d, chosen=chosen: chosen.get(n, d.middle()))

    def reach(self, name: str) -> Params | None:
        """Return values of the ancestors of a parameter that make it active; None if there are none."""
        conditions: dict[str, list[Condition]] = {}
        todo, done = [name], set()
        while todo:
            for condition in self.by_name[todo.pop()].when:
                conditions.setdefault(condition.parent, []).append(condition)
                if condition.parent in self.by_name and condition.parent not in done:
                    done.add(condition.parent)
                    todo.append(condition.parent)
        pins: Params = {}
        for parent, tests in conditions.items():
            if parent in self.fixed:
                if not all(test.holds(self.fixed[parent]) for test in tests):
                    return None
                continue
            found = witnesses(self.by_name[parent].domain, tests)
            if not found:
                return None
            pins[parent] = found[0]
        return pins

    def grid(self) -> list[Params]:
        """Return every distinct draw.

        Raises:
            SpecError: E320, when a real range has no step or there are more than 10,000 draws.
        """
        found = list(itertools.islice(self._combinations({}, 0), MAX_GRID + 1))
        if len(found) > MAX_GRID:
            size = 1
            for parameter in self.parameters:
                size *= parameter.domain.size
            what = f"the grid has up to {size:,} points, more than {MAX_GRID:,}"
            raise SpecError.one("E320", "", what, "use fewer values, or sampler: random")
        return found

    def _combinations(self, params: Params, at: int) -> Iterator[Params]:
        if at == len(self.order):
            yield params
            return
        parameter = self.order[at]
        if not self.active(parameter, params):
            yield from self._combinations(params, at + 1)
            return
        for value in parameter.domain.grid():
            yield from self._combinations({**params, parameter.name: value}, at + 1)

    def active_share(self, n: int = 1000, seed: int = 0) -> dict[str, float]:
        """Return, for each conditional parameter, the share of `n` random draws in which it is active."""
        rng = random.Random(seed)
        counts = {parameter.name: 0 for parameter in self.parameters if parameter.when}
        for _ in range(n if counts else 0):
            params = self.draw(lambda _, domain: domain.sample(rng))
            for name in counts:
                counts[name] += name in params
        return {name: count / n for name, count in counts.items()}

    def to_json(self) -> dict[str, Any]:
        """Return the space as JSON values."""
        entries = {p.name: p.domain.to_json() for p in self.parameters}
        for parameter in self.parameters:
            if parameter.when:
                tests = [[condition.parent, condition.to_json()] for condition in parameter.when]
                entries[parameter.name]["when"] = tests
            if parameter.default:
                entries[parameter.name]["default"] = parameter.default[0]
        return {"parameters": entries, "fixed": dict(self.fixed)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Space:
        """Rebuild a space from `to_json`."""
        parameters = [
            Parameter(
                name,
                from_json(entry),
                tuple(Condition.from_json(parent, test) for parent, test in entry.get("when", [])),
                (entry["default"],) if "default" in entry else (),
            )
            for name, entry in data["parameters"].items()
        ]
        return cls(tuple(parameters), dict(data["fixed"]))

    def _parents(self, parameter: Parameter) -> set[str]:
        return {c.parent for c in parameter.when} & set(self.by_name)


def find_circle(parameters: tuple[Parameter, ...]) -> list[str]:
    """Return the names along a circle of conditions, the first one again at the end; empty if there is none."""
    parents = {p.name: [c.parent for c in p.when] for p in parameters}
    free: set[str] = set()
    while ready := {n for n, above in parents.items() if n not in free and not set(above) & set(parents) - free}:
        free |= ready
    stuck = [name for name in parents if name not in free]
    if not stuck:
        return []
    trail = [stuck[0]]
    while trail[-1] not in trail[:-1]:
        trail.append(next(parent for parent in parents[trail[-1]] if parent in parents and parent not in free))
    return trail[trail.index(trail[-1]) :]


def resolve(word: str, names: list[str]) -> str | tuple[str, str]:
    """Return the dotted name that a short or dotted word stands for, or what is wrong and the fix."""
    if word in names:
        return word
    found = [name for name in names if name.partition(".")[2] == word]
    if len(found) == 1:
        return found[0]
    if found:
        return f"'{word}' may be {' or '.join(found)}", f"write {found[0]}"
    near = did_you_mean(word, [name.partition(".")[2] for name in names])
    return f"unknown setting '{word}'", near
