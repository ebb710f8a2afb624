"""Overview: what the command line prints of architectures and search spaces; it imports nothing of results."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gxsearch.config import settings
from gxsearch.console import duration
from gxsearch.models import registry
from gxsearch.training import objectives

if TYPE_CHECKING:
    from gxsearch.search.spec import Spec


def models(name: str | None, *, as_json: bool) -> str:
    """Return the architectures, or the settings of one."""
    if name is None:
        rows = [
            [n, (registry.get(n).__doc__ or "").splitlines()[0], registry.get(n).reference] for n in registry.names()
        ]
        return json.dumps(rows, indent=1) if as_json else aligned([["model", "what it is", "reference"], *rows])
    kind = registry.get(name, name)
    groups = {"model": kind.Config, "train": kind.Train, "data.view": kind.View.Config}
    found = [
        {"setting": f"{group}.{s.name}", "type": s.kind, "default": s.default, "bounds": s.bounds, "meaning": s.doc}
        for group, config in groups.items()
        for s in settings(config)
    ]
    if as_json:
        return json.dumps(found, indent=1)
    rows = [[r["setting"], r["type"], figure(r["default"]), r["bounds"], r["meaning"]] for r in found]
    measures = ", ".join(f"{metric} ({mode})" for metric, mode in objectives.measures(kind).items())
    head = f"{name}   {(kind.__doc__ or '').splitlines()[0]}\n{kind.reference}\nmeasures: {measures}\n\n"
    return head + aligned([["setting", "type", "default", "bounds", "meaning"], *rows])


def checked(spec: Spec, found: dict[str, Any]) -> str:
    """Return what `gxsearch check` says of a file without faults."""
    fixed, searched = len(spec.space.fixed), len(spec.space.parameters)
    lines = [f"{spec.name}   {spec.model} on {spec.data.path}"]
    if "facts" in found:
        facts = found["facts"]
        parts = " · ".join(f"{part} {n}" for part, n in facts["split"].items())
        steps = ", ".join(facts["transform"]) or "as stored"
        rows, columns = ("genes", "samples") if facts["orientation"] == "genes" else ("rows", "genes")
        lines[0] += f"   {facts['n_obs']:,} {rows} x {facts['n_vars']:,} {columns}, {steps}"
        lines.append(f"split     {parts}   seed {spec.data.split.seed}")
    lines.append(
        f"space     {searched} searched, {fixed} fixed        sampler {spec.search.sampler}, stop {spec.stop.kind}"
    )
    lines += [f"            {p.name:<24} {p.describe()}" for p in spec.space.parameters]
    if spec.also:
        aims = ", ".join(f"{one.metric} ({one.mode})" for one in spec.objectives)
        rule = f"within {spec.choose.within:g}" if spec.choose.rule == "within" else spec.choose.rule
        lines.append(f"aims      {aims}   choose {rule}")
    budget = f"{spec.budget.trials or '-'} trials x <= {spec.budget.epochs} epochs"
    lines.append(f"budget    {budget}" + (f", {duration(spec.budget.time_s)}" if spec.budget.time_s else ""))
    lines.append(f"corners   {found['corners']} built")
    lines += [f"warning   {text}" for text in found.get("facts", {}).get("warnings", [])]
    lines += [f"note      {note}" for note in found["notes"]]
    return "\n".join([*lines, "ok"])


def aligned(rows: list[list[str]]) -> str:
    """Return rows of words as columns that stand below each other."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def figure(value: Any) -> str:
    """Return a number to five digits, and anything else as text."""
    return f"{value:.5g}" if isinstance(value, float) else str(value)
