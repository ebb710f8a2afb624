"""Domain: the values that a searched setting may take; a range of reals, of whole numbers, or a choice."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from gxsearch.errors import SpecError

# Above this, whole numbers have no exact double, which is what Optuna keeps of them.
_LARGEST = 2**53


@dataclass(frozen=True)
class Float:
    """Reals from `low` to `high`, both included; evenly drawn on a log scale with `log`, or in steps.

    Raises:
        SpecError: E320, unless low < high are finite, low > 0 with log, and the step divides the range.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        _check_range(self, "float", (int, float), "numbers")
        _check_flag(self.log)
        object.__setattr__(self, "low", float(self.low))
        object.__setattr__(self, "high", float(self.high))
        if self.log and self.low <= 0:
            raise _fault(f"log needs low > 0, got {number(self.low)}", "set low to 1e-5, say, or leave out log")
        if self.step is not None:
            _check_step(self)
            object.__setattr__(self, "step", float(self.step))

    def contains(self, value: Any) -> bool:
        """Say whether `value` can be drawn."""
        if not _is_number(value, (int, float)) or not self.low <= value <= self.high:
            return False
        steps = 0.0 if self.step is None else (value - self.low) / self.step
        return abs(steps - round(steps)) < 1e-6

    def ends(self) -> tuple[float, ...]:
        """Return both ends."""
        return (self.low, self.high)

    def middle(self) -> float:
        """Return a value half-way, on the scale that is drawn from."""
        if self.step is not None:
            return self.grid()[self.size // 2]
        return math.sqrt(self.low * self.high) if self.log else self.low + (self.high - self.low) / 2

    @property
    def size(self) -> int | None:
        """Number of values; None where they cannot be counted."""
        return None if self.step is None else int(_steps(self)) + 1

    def grid(self) -> Sequence[float]:
        """Return all values; raises SpecError when there is no step."""
        if self.step is None:
            raise _fault(f"{self.describe()} has no step, so it has no grid", "give step: or {choice: [...]}")
        low, step = Decimal(repr(self.low)), Decimal(repr(self.step))
        return [float(low + i * step) for i in range(self.size)]

    def sample(self, rng: random.Random) -> float:
        """Draw a value at random."""
        if self.step is not None:
            return rng.choice(self.grid())
        if not self.log:
            return rng.uniform(self.low, self.high)
        return min(max(math.exp(rng.uniform(math.log(self.low), math.log(self.high))), self.low), self.high)

    def describe(self) -> str:
        """Return the domain in a few words."""
        return f"{number(self.low)} ... {number(self.high)}{_suffix(self)}"

    def to_json(self) -> dict[str, Any]:
        """Return the domain as a search space file writes it."""
        return {"float": [self.low, self.high]} | _options(self)


@dataclass(frozen=True)
class Int:
    """Whole numbers from `low` to `high`, both included; evenly drawn on a log scale with `log`, or in steps.

    Raises:
        SpecError: E320, unless low < high are whole, low >= 1 with log, and the step divides the range.
    """

    low: int
    high: int
    log: bool = False
    step: int = 1

    def __post_init__(self) -> None:
        _check_range(self, "int", (int,), "whole numbers")
        _check_flag(self.log)
        if self.log and self.low < 1:
            raise _fault(f"log needs low >= 1, got {self.low}", "set low to 1, or leave out log")
        if not _is_number(self.step, (int,)):
            raise _fault(f"step must be a whole number, got {self.step!r}")
        if self.step != 1:
            _check_step(self)

    def contains(self, value: Any) -> bool:
        """Say whether `value` can be drawn."""
        return _is_number(value, (int,)) and self.low <= value <= self.high and (value - self.low) % self.step == 0

    def ends(self) -> tuple[int, ...]:
        """Return both ends."""
        return (self.low, self.high)

    def middle(self) -> int:
        """Return a value half-way, on the scale that is drawn from."""
        middle = math.isqrt(self.low * self.high) if self.log else (self.low + self.high) // 2
        return self.low + (middle - self.low) // self.step * self.step

    @property
    def size(self) -> int:
        """Number of values."""
        return len(self.grid())

    def grid(self) -> Sequence[int]:
        """Return all values."""
        return range(self.low, self.high + 1, self.step)

    def sample(self, rng: random.Random) -> int:
        """Draw a value at random."""
        if not self.log:
            return rng.choice(self.grid())
        drawn = round(math.exp(rng.uniform(math.log(self.low - 0.5), math.log(self.high + 0.5))))
        return min(max(drawn, self.low), self.high)

    def describe(self) -> str:
        """Return the domain in a few words."""
        return f"whole {self.low} ... {self.high}{_suffix(self)}"

    def to_json(self) -> dict[str, Any]:
        """Return the domain as a search space file writes it."""
        return {"int": [self.low, self.high]} | _options(self)


@dataclass(frozen=True)
class Choice:
    """One of some options, which may be lists or groups.

    Raises:
        SpecError: E320, when there are none, or one is given twice.
    """

    options: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.options, list | tuple):
            raise _fault(f"choice takes a list, got {self.options!r}", "write {choice: [a, b]}")
        object.__setattr__(self, "options", tuple(self.options))
        if not self.options:
            raise _fault("choice has no options", "give at least two")
        for i, option in enumerate(self.options):
            if any(option == other or label(option) == label(other) for other in self.options[:i]):
                raise _fault(f"choice lists {option!r} twice (true counts as 1)", "leave one out")
            if isinstance(option, float) and not math.isfinite(option):
                raise _fault(f"choice holds {option!r}", "every option must be finite")

    def contains(self, value: Any) -> bool:
        """Say whether `value` is an option; true is not 1."""
        return any(same(option, value) for option in self.options)

    def ends(self) -> tuple[Any, ...]:
        """Return every option."""
        return self.options

    def middle(self) -> Any:
        """Return the first option."""
        return self.options[0]

    @property
    def size(self) -> int:
        """Number of options."""
        return len(self.options)

    def grid(self) -> Sequence[Any]:
        """Return every option."""
        return self.options

    def sample(self, rng: random.Random) -> Any:
        """Draw an option at random."""
        return rng.choice(self.options)

    @property
    def labels(self) -> tuple[str | int | float | bool | None, ...]:
        """The options as a storage keeps them: lists and groups as JSON text."""
        return tuple(label(option) for option in self.options)

    def option(self, stored: Any) -> Any:
        """Return the option behind a label."""
        return next(o for o in self.options if same(label(o), stored))

    def describe(self) -> str:
        """Return the domain in a few words."""
        return "one of " + ", ".join(str(value) for value in self.labels)

    def to_json(self) -> dict[str, Any]:
        """Return the domain as a search space file writes it."""
        return {"choice": list(self.options)}


Domain = Float | Int | Choice


def from_json(entry: dict[str, Any]) -> Domain:
    """Rebuild a domain from `to_json`; what else the entry holds (when, default) is left alone.

    Raises:
        SpecError: E320 with no place, when it is no domain.
    """
    if "choice" in entry:
        return Choice(entry["choice"])
    kind, name = (Float, "float") if "float" in entry else (Int, "int")
    ends = entry[name]
    if not isinstance(ends, list) or len(ends) != 2:
        raise _fault(f"{name} takes [low, high], got {ends!r}", f"write {{{name}: [low, high]}}")
    return kind(ends[0], ends[1], **{key: entry[key] for key in ("log", "step") if key in entry})


def label(option: Any) -> str | int | float | bool | None:
    """Return an option as a storage keeps it: a list or group as JSON text, others as they are."""
    return json.dumps(option) if isinstance(option, list | dict | tuple) else option


def same(a: Any, b: Any) -> bool:
    """Say whether two values are equal, true not being 1."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def number(value: float) -> str:
    """Return a number as a person would write it."""
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else repr(value)


def _fault(what: str, fix: str = "") -> SpecError:
    return SpecError.one("E320", "", what, fix)


def _is_number(value: Any, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)


def _check_range(domain: Float | Int, name: str, kinds: tuple[type, ...], what: str) -> None:
    for end in (domain.low, domain.high):
        if not _is_number(end, kinds):
            hint = "write {float: [low, high]} for reals" if isinstance(end, float) else ""
            raise _fault(f"both ends of {name} must be finite {what}, got {end!r}", hint)
        if abs(end) > _LARGEST and name == "int":
            raise _fault(f"{end} is beyond 2^53", "use {float: [low, high], log: true}")
    if domain.low > domain.high:
        fix = f"write [{number(domain.high)}, {number(domain.low)}]"
        raise _fault(f"low {number(domain.low)} is above high {number(domain.high)}", fix)
    if domain.low == domain.high:
        raise _fault(f"both ends are {number(domain.low)}", f"write {number(domain.low)} to fix it")


def _check_flag(log: Any) -> None:
    if not isinstance(log, bool):
        raise _fault(f"log must be true or false, got {log!r}")


def _check_step(domain: Float | Int) -> None:
    if not _is_number(domain.step, (int, float)) or domain.step <= 0:
        raise _fault(f"step must be a number above 0, got {domain.step!r}")
    if domain.log:
        raise _fault("log and step exclude each other", "leave one out, or list the values: {choice: [...]}")
    steps = _steps(domain)
    if steps != int(steps):
        last = Decimal(repr(domain.low)) + int(steps) * Decimal(repr(domain.step))
        what = f"step {number(domain.step)} does not lead from {number(domain.low)} to {number(domain.high)}"
        raise _fault(what, f"the last value would be {last.normalize():f}" if steps > 1 else "choose a smaller step")


def _steps(domain: Float | Int) -> Decimal:
    low, high, step = (Decimal(repr(v)) for v in (domain.low, domain.high, domain.step))
    return (high - low) / step


def _options(domain: Float | Int) -> dict[str, Any]:
    plain = None if isinstance(domain, Float) else 1
    log = {"log": True} if domain.log else {}
    return log | ({"step": domain.step} if domain.step != plain else {})


def _suffix(domain: Float | Int) -> str:
    return "".join(" log" if key == "log" else f" step {number(value)}" for key, value in _options(domain).items())
