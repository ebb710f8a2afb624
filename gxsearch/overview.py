"""Overview: what the command line prints of architectures and search spaces; it imports nothing of results."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Any

from gxsearch.config import settings
from gxsearch.events import dumps
from gxsearch.models import registry
from gxsearch.search.outline import head, outline
from gxsearch.told import duration
from gxsearch.training import objectives

if TYPE_CHECKING:
    from gxsearch.search.spec import Spec

TEXT = 16
"""The width below which a column is not broken; nor is a word."""


def models(name: str | None, *, as_json: bool) -> str:
    """Return the architectures, or the settings of one."""
    if name is None:
        rows = [[n, registry.summary(registry.get(n)), registry.get(n).reference] for n in registry.names()]
        head = ["model", "what it is", "reference"]
        told = [dict(zip(["model", "meaning", "reference"], row, strict=True)) for row in rows]
        return dumps(told, indent=1) if as_json else fitted([head, *rows])
    kind = registry.get(name, name)
    groups = {"model": kind.Config, "train": kind.Train, "data.view": kind.View.Config}
    found = [
        {"setting": f"{group}.{s.name}", "type": s.kind, "default": s.default, "bounds": s.bounds, "meaning": s.doc}
        for group, config in groups.items()
        for s in settings(config)
    ]
    if as_json:
        return dumps(found, indent=1)
    rows = [[r["setting"], r["type"], figure(r["default"]), r["bounds"], r["meaning"]] for r in found]
    measures = ", ".join(f"{metric} ({mode})" for metric, mode in objectives.measures(kind).items())
    head = f"{name}   {registry.summary(kind)}\n{kind.reference}\nmeasures: {measures}\n\n"
    return head + fitted([["setting", "type", "default", "bounds", "meaning"], *rows])


def checked(spec: Spec, found: dict[str, Any]) -> str:
    """Return what `gxsearch check` says of a file without faults."""
    lines = [head(spec)]
    if "facts" in found:
        facts = found["facts"]
        parts = " · ".join(f"{part} {n}" for part, n in facts["split"].items())
        steps = ", ".join(facts["transform"]) or "as stored"
        rows, columns = ("genes", "samples") if facts["orientation"] == "genes" else ("rows", "genes")
        lines[0] += f"   {facts['n_obs']:,} {rows} x {facts['n_vars']:,} {columns}, {steps}"
        lines.append(f"split     {parts}   seed {spec.data.split.seed}")
    lines += outline(spec)
    lines.append(f"corners   {found['corners']} built")
    lines += [f"warning   {text}" for text in found.get("facts", {}).get("warnings", [])]
    lines += [f"note      {note}" for note in found["notes"]]
    lines += measured(spec, found["measured"]) if "measured" in found else []
    fine = all(row["state"] in ("measured", "slow") for row in found.get("measured", {}).get("points", []))
    return "\n".join([*lines, *["ok"] * fine])


def measured(spec: Spec, told: dict[str, Any]) -> list[str]:
    """Return what a dry run found: a line for each corner, one for the draws at random, and what a search takes."""
    points = told["points"]
    corners, draws = [row for row in points if row["name"]], [row for row in points if not row["name"]]
    where = f"{told['threads']} CPU" + "s" * (told["threads"] > 1) if told["device"] == "cpu" else "a GPU"
    of = f"{len(corners)} of {told['corners']} corners, the largest and slowest among them, and {len(draws)} draws"
    card = ["GPU"] if told["device"] == "cuda" else []
    table = [["", "weights", "memory", *card, "s/epoch", "s/trial", ""]]
    table += [_cells(row["name"], row, card) for row in corners]
    table += [_cells(f"at random {i}", row, card) for i, row in enumerate(draws, 1)]
    lines = [f"measured  {of} at random, on {where} of this machine, one at a time"]
    lines += [f"            {line}" for line in aligned(table).split("\n")]
    return [*lines, f"fits      {_fits(told)}", *_estimate(spec, told)]


def _cells(name: str, row: dict[str, Any], card: list[str]) -> list[str]:
    held = f"{row['parameters']:,}" if row["parameters"] else "?"
    if row["state"] != "measured":
        why = {"too large": "does not fit", "slow": "not measured within its time", "raised": f"fails: {row['why']}"}
        return [name, held, *["-"] * (3 + len(card)), why[row["state"]]]
    sizes = [_size(row["memory"]), *[_size(row["card"])] * len(card)]
    return [name, held, *sizes, *(f"{row[key]:.3g}" for key in ("epoch_s", "trial_s")), "diverges" * row["diverged"]]


def _size(n: int) -> str:
    return f"{n / 2**30:.1f} GiB" if n >= 2**30 else f"{n / 2**20:.0f} MiB"


def _fits(told: dict[str, Any]) -> str:
    """Return how many trials run side by side, and by what."""
    fits = told["fits"]
    parts = [f"{fits['cpus']} by CPUs", f"{fits['memory']} by memory ({_size(told['memory_total'])})"]
    if "gpus" in fits:
        parts.append(f"{fits['gpus']} by GPUs ({told['gpus']:g} for each worker; {fits['card']} fit into one's memory)")
    less = f"; set resources.concurrent: {fits['side_by_side']}" if fits["side_by_side"] < fits["begun"] else ""
    return f"{fits['side_by_side']} trials side by side: {', '.join(parts)}{less}"


def _estimate(spec: Spec, told: dict[str, Any]) -> list[str]:
    """Return what the whole search takes, in time and money."""
    found = told["estimate"]
    if found is None:
        return ["search    no draw at random was measured, so nothing is known of the whole"]
    (mean, least, most), (trials, again) = found["trial_s"], found["trials"]
    more = f" and {again} of confirm" if again else ""
    gpus = f", {found['gpu_hours']:.3g} GPU-hours" if found["gpu_hours"] else ""
    whole = f"{trials:,} trials{more} of {mean:.3g} s on average ({least:.3g} to {most:.3g})"
    lines = [f"search    {whole}: {found['trial_hours']:.3g} trial-hours{gpus}"]
    side = told["fits"]["side_by_side"]
    lines.append(f"wall      {duration(found['wall_s'])} at {side} side by side, unless trials are stopped early")
    if found["cut"] is not None:
        until = f"budget.time {duration(spec.budget.time_s)} ends it"
        lines.append(f"            {until} after about {found['cut']} trials")
    if found["price"] is not None:
        lines.append(
            f"price     {found['price']:.3g} for {found['wall_s'] / 3600:.3g} hours of a machine like this one"
        )
    return lines


def aligned(rows: list[list[str]]) -> str:
    """Return rows of words as columns that stand below each other."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def room() -> int | None:
    """Return how many letters a line may have: as a terminal shows, or COLUMNS says; None in files and pipes."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit():
        return shutil.get_terminal_size((100, 24)).columns
    return None


def fitted(rows: list[list[str]]) -> str:
    """Return rows as columns that fit a terminal: long texts are broken, then the last columns left out, which is said.

    No figure is cut short. In a file or a pipe all of it is there.
    """
    width, kept = room(), [list(row) for row in rows]
    if width is None:
        return aligned(rows)
    columns = list(zip(*kept, strict=True))
    widths = [max(map(len, column)) for column in columns]
    words = [max(len(word) for cell in column for word in cell.split() or [""]) for column in columns]
    least = [max(word, min(TEXT, whole)) for word, whole in zip(words, widths, strict=True)]
    n = max([1, *(i for i in range(1, len(least) + 1) if sum(least[:i]) + 2 * (i - 1) <= width)])
    while sum(widths[:n]) + 2 * (n - 1) > width and widths[:n] > least[:n]:
        widest = max((i for i in range(n) if widths[i] > least[i]), key=widths.__getitem__)
        widths[widest] -= 1
    broken = [[textwrap.wrap(cell, w) or [""] for cell, w in zip(row[:n], widths[:n], strict=True)] for row in kept]
    lines = [list(line) for row in broken for line in itertools.zip_longest(*row, fillvalue="")]
    hidden = ", ".join(rows[0][n:])
    more = textwrap.wrap(f"(no room for: {hidden}; --json has all)", width)
    return "\n".join([aligned(lines), *(more if hidden else [])])


def figure(value: Any) -> str:
    """Return a number to five digits, and anything else as text."""
    return f"{value:.5g}" if isinstance(value, float) else str(value)
