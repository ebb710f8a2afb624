"""Looking: the verbs of a first day as Python has them: what data hold, what a machine can, what a file may say."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TypedDict, Unpack

from gxsearch.searching import Source, in_python, runs
from gxsearch.told import Told


class Columns(TypedDict, total=False):
    """What `init` is told of a data set instead of guessing: obs columns, a key of obsm, a layer."""

    label: str
    batch: Sequence[str]
    group: str
    time: str
    spatial: str
    layer: str


def init(
    data: Source,
    model: str | None = None,
    *,
    out: Source | None = None,
    force: bool = False,
    **columns: Unpack[Columns],
) -> Told:
    """Look at a data set; with `model`, write a search space file for it that runs.

    Args:
        data: a file, a folder of shards, a URI, or the name of a built-in set.
        out: the file to write, by default MODEL-DATA.yaml here. force: replace one that exists.
        columns: as `Columns` says.

    Returns:
        what was seen, and `written`: the path of the file or None; shown, it is the text that the command line prints.

    Raises:
        DataError: when the data cannot be read, or the model does not fit them. SpecError: when the file exists.
    """
    from gxsearch import drafting
    from gxsearch.data.roles import Wish

    places = {name: columns.pop(name) for name in ("layer", "spatial") if name in columns}
    with in_python():
        seen = drafting.look(os.fspath(data), Wish(**columns), **places)
        if model is None:
            return Told(seen.to_json() | {"written": None}, f"{drafting.told(seen)}\n{drafting.advised(seen)}")
        path = drafting.write(seen, model, None if out is None else os.fspath(out), force=force)
    own = next(one for one in seen.advice if one.model == model)
    after = drafting.following(path, checked=own.numbers.looked == 1)
    return Told(seen.to_json() | {"written": str(path)}, f"{drafting.told(seen)}\n{after}")


def schema(model: str | None = None, *, out: Source | None = None) -> dict[str, Any]:
    """Return the JSON Schema of search space files of a model, or of all; written to `out` too, if it is given."""
    from gxsearch.search import json_schema, shipped

    found = json_schema.schema(model) if model is not None else json_schema.of_any()
    if out is not None:
        shipped.write_schema(json_schema.text(found), os.fspath(out))
    return found


def doctor(*, out: Source | None = None, address: str = "local", ray: bool = True) -> Told:
    """Look at this machine before a search: versions, CPUs, memory, GPUs, disks, storage and, with `ray`, Ray.

    Returns:
        `found`: a mapping for each thing looked at: state (ok, note or wrong), part, what, fix.
    """
    from gxsearch.search.doctor import diagnose

    found = list(diagnose(out=runs(out), address=address, ray=ray))
    lines = [f"{one.state:<6} {one.part:<11} {one.what}" + (f" - {one.fix}" if one.fix else "") for one in found]
    return Told({"found": [asdict(one) for one in found]}, "\n".join(lines))
