"""Edge: best trials that lie at an end of what was searched, and the range to try next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pydantic

from gxsearch.config import Config
from gxsearch.models import registry
from gxsearch.results.ledger import TrialRecord
from gxsearch.results.page import short
from gxsearch.results.plots import place

AT_END = 0.05
"""Share of a range, on the scale that it is drawn from, within which a value is at its end."""
NEAR = 0.1
"""Share of a range in which most of the best trials must lie, to be near its end."""
FEW = 5
"""Trials that are the best ones at least, however few a tenth of all are, if that is no more than half of all."""
ENOUGH = 3
"""Best trials that must lie near an end, if the best of all does not."""
DECADE = 10.0


@dataclass(frozen=True)
class Edge:
    """A setting whose best values lie at an end of its range, beyond which more is allowed.

    Attributes:
        value: that of the best trial, where it lies at the end.
        near, among: how many of the best trials lie in the outer tenth of the range, of how many that have the setting.
        try_next: the range to try next as a search space file writes it; None where the model is not known, or refuses
            the range with the best trial's other settings.
    """

    name: str
    end: Literal["lower", "upper"]
    value: float | None
    near: int
    among: int
    try_next: str | None

    @property
    def sentence(self) -> str:
        """The finding in words, without the range to try."""
        what = f"the best trial's value {short(self.value)}" if self.value is not None else "most of the best values"
        lone = "; a single trial, so it may be chance" if self.near <= 1 else ""
        verb = "is" if self.value is not None else "are"
        count = f"{self.near} of the best {self.among} lie there{lone}"
        return f"{self.name}: {what} {verb} at the {self.end} end of its range ({count})."


def edges(facts: dict[str, Any], ranked: Sequence[TrialRecord]) -> list[Edge]:
    """Return the numeric settings at whose ends the best trial, or most of the best tenth, lie.

    A range that ends where the setting's own bounds do is not flagged: nothing lies beyond.

    Args:
        ranked: the trials that may win, best first.
    """
    top = ranked[: max(math.ceil(len(ranked) / 10), min(FEW, math.ceil(len(ranked) / 2)))]
    kinds, found = _kinds(facts["spec"]["model"]), []
    for name, domain in facts["space_domains"].items():
        if domain["kind"] == "choice" or not top:
            continue
        end, near = _end(domain, name, top)
        bounds = _bounds(kinds, name, domain)
        wider = _wider(domain, end, bounds) if end and bounds else None
        if end is None or wider == (domain["low"], domain["high"]):
            continue
        wider = wider if wider and _accepted(facts, kinds, top[0], name, wider[end == "upper"]) else None
        among = sum(name in trial.params for trial in top)
        told = grammar(domain, *wider) if wider else None
        best = top[0].params.get(name)
        at_end = best is not None and not AT_END < place(domain, best) < 1 - AT_END
        found.append(Edge(name, end, best if at_end else None, near, among, told))
    return found


def grammar(domain: dict[str, Any], low: float, high: float) -> str:
    """Return a range as a search space file writes it."""
    kind = domain["kind"]
    ends = ", ".join(str(int(v)) if kind == "int" else _real(v) for v in (low, high))
    log = ", log: true" if domain.get("log") else ""
    step = domain.get("step")
    step = f", step: {step:g}" if step and step != 1 and not log else ""
    return f"{{{kind}: [{ends}]{log}{step}}}"


@dataclass(frozen=True)
class Bounds:
    """What a setting's declaration allows: its least and largest value, and whether they are allowed themselves."""

    low: float = -math.inf
    high: float = math.inf
    low_included: bool = True
    high_included: bool = True


def _end(domain: dict[str, Any], name: str, top: Sequence[TrialRecord]) -> tuple[Literal["lower", "upper"] | None, int]:
    """Return the end at which the best values lie, if any, and how many of the best trials lie near it."""
    places = [place(domain, trial.params[name]) for trial in top if name in trial.params]
    best = place(domain, top[0].params[name]) if name in top[0].params else 0.5
    near = {"lower": sum(p <= NEAR for p in places), "upper": sum(p >= 1 - NEAR for p in places)}
    if best <= AT_END:
        return "lower", near["lower"]
    if best >= 1 - AT_END:
        return "upper", near["upper"]
    for end, n in near.items():
        if n >= ENOUGH and 2 * n > len(places):
            return end, n
    return None, 0


def _kinds(model: str) -> dict[str, type[Config]]:
    """Return the classes that declare the settings by group; none of a model that is not installed."""
    if model not in registry.names():
        return {}
    return {"model": registry.get(model).Config, "train": registry.get(model).Train}


def _bounds(kinds: dict[str, type[Config]], name: str, domain: dict[str, Any]) -> Bounds | None:
    """Return the declared bounds of a setting; None where it is not known."""
    group, _, rest = name.partition(".")
    field = kinds[group].model_fields.get(rest) if group in kinds else None
    if field is None:
        return None
    limits = {key: getattr(m, key) for m in field.metadata for key in ("ge", "gt", "le", "lt") if hasattr(m, key)}
    low, high = limits.get("ge", limits.get("gt", -math.inf)), limits.get("le", limits.get("lt", math.inf))
    if domain["kind"] == "float":
        return Bounds(low, high, "gt" not in limits, "lt" not in limits)
    low, high = low + ("gt" in limits), high - ("lt" in limits)
    return Bounds(max(low, 1) if domain.get("log") else low, high)


def _wider(domain: dict[str, Any], end: str, bounds: Bounds) -> tuple[float, float]:
    """Return a range that goes on beyond one end: by a decade at most if it is logarithmic, else by half its width.

    What would cross a bound ends there; where the bound itself is not allowed, half-way to it.
    """
    low, high = domain["low"], domain["high"]
    old = low if end == "lower" else high
    sign = -1 if end == "lower" else 1
    reach = old * min(DECADE, high / low) ** sign if domain.get("log") else old + sign * (high - low) / 2
    if domain["kind"] == "int":
        reach = old + sign * max(round(abs(reach - old)), 1)
    elif sign * (nice := float(f"{reach:.2g}")) > sign * old:  # ends of ranges are read by people
        reach = nice
    reach = old + sign * max(abs(reach - old), domain.get("step") or 0)
    reach = 0.0 if abs(reach) < 1e-9 * (high - low) else reach  # what rounding leaves of zero
    bound, included = (bounds.low, bounds.low_included) if sign < 0 else (bounds.high, bounds.high_included)
    if sign * reach > sign * bound or (not included and reach == bound):
        reach = bound if included else (old + bound) / 2
    reach = _stepped(old, reach, domain)
    return (reach, high) if sign < 0 else (low, reach)


def _stepped(old: float, reach: float, domain: dict[str, Any]) -> float:
    """Return the farthest value up to `reach` that whole steps lead to from the end of a range."""
    step = domain.get("step")
    if not step or domain.get("log"):
        return reach
    n = math.floor(abs(reach - old) / step + 1e-9)
    return float(f"{old + math.copysign(n * step, reach - old):.12g}")


def _accepted(
    facts: dict[str, Any], kinds: dict[str, type[Config]], best: TrialRecord, name: str, value: float
) -> bool:
    """Say whether the model takes the new end beside the best trial's other settings."""
    group, _, rest = name.partition(".")
    space = facts["spec"]["space"]
    given = {
        n.partition(".")[2]: v
        for n, v in {**space.get("fixed", {}), **best.params}.items()
        if n.startswith(f"{group}.")
    }
    whole = facts["space_domains"][name]["kind"] == "int"
    try:
        kinds[group](**{**given, rest: int(value) if whole else float(value)})
    except pydantic.ValidationError:
        return False
    return True


def _real(value: float) -> str:
    if value and not 1e-3 <= abs(value) < 1e5:
        mantissa, _, power = f"{value:.5e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(power)}"
    text = f"{value:.6g}"
    return text if "." in text else f"{text}.0"
