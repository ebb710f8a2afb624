"""Start points: draws that a search tries first, written by short or dotted names."""

from __future__ import annotations

from typing import Any

from gxsearch.errors import Fault
from gxsearch.search.condition import Condition
from gxsearch.search.domain import same
from gxsearch.search.space import Params, Space, resolve
from gxsearch.search.yaml_file import Document


def read_start(space: Space, points: list[Any], doc: Document) -> tuple[list[Params], list[Fault]]:
    """Return the start points by dotted names without fixed values, and what is wrong with them."""
    found, faults = [], []
    names = [*space.by_name, *space.fixed]
    for i, point in enumerate(points):
        params: Params = {}
        for word, value in point.items():
            path = ("search", "start", i, word)
            full = resolve(word, names)
            if not isinstance(full, str):
                faults.append(Fault("E322", doc.where(path, key=True), f"{full[0]} in a start point", full[1]))
            elif full in space.fixed and not same(space.fixed[full], value):
                what = f"'{full}' is fixed to {space.fixed[full]!r}, but starts at {value!r}"
                faults.append(Fault("E322", doc.where(path), what, "leave it out of the start point"))
            elif full in space.by_name and not space.domains[full].contains(value):
                what = f"start value {value!r} of '{full}' is outside {space.domains[full].describe()}"
                faults.append(Fault("E322", doc.where(path), what, "widen the range or move the start"))
            elif full in space.by_name:
                params[full] = value
        faults += [_idle(space, name, params, doc, i) for name in params if _off(space, name, params)]
        found.append(params)
    return found, faults


def _off(space: Space, name: str, params: Params) -> list[Condition]:
    """Return the conditions of a start value that other values of its point, or fixed ones, break."""
    given = {**space.fixed, **params}
    return [c for c in space.by_name[name].when if c.parent in given and not c.holds(given[c.parent])]


def _idle(space: Space, name: str, params: Params, doc: Document, i: int) -> Fault:
    condition = _off(space, name, params)[0]
    short = name.partition(".")[2]
    path = ("search", "start", i, short if short in doc.get(("search", "start"))[i] else name)
    what = f"'{name}' is not active in this start point: it needs {condition.describe()}"
    return Fault("E322", doc.where(path), what, "leave it out, or change its parent")
