"""Notes on a search that may run as written, but hardly as meant."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from gxsearch.search.domain import Choice, Domain, Float, number
from gxsearch.search.sections import Budget, SearchConfig
from gxsearch.search.space import Space

_RARE = 0.05
_DRAWN_TOGETHER = ("gp", "cmaes", "qmc")


def notes(space: Space, search: SearchConfig, budget: Budget) -> list[str]:
    """Return the notes, those on single settings first."""
    found = [f"space.{p.name}: {text}" for p in space.parameters for text in _domain(p.name, p.domain)]
    found += [
        f"space.{name}: is active in only {share:.1%} of random draws"
        for name, share in space.active_share().items()
        if share < _RARE
    ]
    return found + list(_search(space, search, budget))


def _domain(name: str, domain: Domain) -> Iterator[str]:
    if isinstance(domain, Choice):
        better = as_range(domain.options)
        if better:
            yield f"an even row of numbers is better searched as a range, {better}, which knows their order"
        if len(domain.options) == 1:
            yield "has a single option; write it as a plain value"
        return
    if domain.log:
        return
    knob = name.partition(".")[2]
    if isinstance(domain, Float) and domain.step is None and "lr" in knob.split("_"):
        yield "a learning rate is better searched on a log scale; add log: true"
    elif domain.low > 0 and domain.high / domain.low >= 100:
        decades = math.log10(domain.high / domain.low)
        yield f"spans {decades:.1f} decades, nearly all draws fall into the last one; add log: true"


def as_range(options: Sequence[object]) -> str | None:
    """Return the range that an evenly spaced row of three or more numbers stands for, if it is one."""
    if len(options) < 3 or any(isinstance(o, bool) or not isinstance(o, int | float) for o in options):
        return None
    values = sorted(options)
    kind = "int" if all(isinstance(v, int) for v in values) else "float"
    ends = f"{{{kind}: [{number(values[0])}, {number(values[-1])}]"
    steps = [b - a for a, b in zip(values, values[1:], strict=False)]
    if all(math.isclose(step, steps[0], rel_tol=1e-6) for step in steps):
        return f"{ends}, step: {number(float(f'{steps[0]:.9g}')) if kind == 'float' else steps[0]}}}"
    if values[0] <= 0:
        return None
    ratios = [b / a for a, b in zip(values, values[1:], strict=False)]
    return f"{ends}, log: true}}" if all(math.isclose(r, ratios[0], rel_tol=1e-3) for r in ratios) else None


def _search(space: Space, search: SearchConfig, budget: Budget) -> Iterator[str]:
    searched = len(space.parameters)
    if not searched:
        yield "space: nothing is searched, so the trials differ by their seeds only"
        return
    if search.sampler in _DRAWN_TOGETHER:
        conditional = [p.name for p in space.parameters if p.when]
        if conditional:
            yield f"search.sampler: {search.sampler} draws conditional settings at random: {', '.join(conditional)}"
        choices = [p.name for p in space.parameters if isinstance(p.domain, Choice)]
        if search.sampler == "cmaes" and choices:
            yield f"search.sampler: cmaes draws choices at random: {', '.join(choices)}"
    if budget.trials is None or search.sampler == "grid":
        return
    if budget.trials < 3 * searched:
        yield f"budget.trials: {budget.trials} trials are few for {searched} searched settings; 3 to 10 each are usual"
    if search.sampler in ("tpe", "gp", "cmaes", "nsga2") and search.startup >= budget.trials:
        yield f"search.startup: all {budget.trials} trials are drawn at random before {search.sampler} begins"
