"""Outline: a search space file in a few lines: what is searched, for what, and for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gxsearch.told import duration

if TYPE_CHECKING:
    from gxsearch.search.spec import Spec


def head(spec: Spec) -> str:
    """Return what is searched on what."""
    return f"{spec.name}   {spec.model} on {spec.data.path}"


def outline(spec: Spec) -> list[str]:
    """Return the space, the objectives where there are several, and the budget."""
    fixed, searched = len(spec.space.fixed), len(spec.space.parameters)
    lines = [
        f"space     {searched} searched, {fixed} fixed        sampler {spec.search.sampler}, stop {spec.stop.kind}"
    ]
    lines += [f"            {p.name:<24} {p.describe()}" for p in spec.space.parameters]
    if spec.also:
        aims = ", ".join(f"{one.metric} ({one.mode})" for one in spec.objectives)
        rule = f"within {spec.choose.within:g}" if spec.choose.rule == "within" else spec.choose.rule
        lines.append(f"aims      {aims}   choose {rule}")
    budget = f"{spec.budget.trials or '-'} trials x <= {spec.budget.epochs} epochs"
    return [*lines, f"budget    {budget}" + (f", {duration(spec.budget.time_s)}" if spec.budget.time_s else "")]
