"""Edited: what a user changed in the spec.yaml of a run folder since the search began; the budget may be changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gxsearch.config import Config
from gxsearch.errors import Fault, SpecError
from gxsearch.results.run_dir import RunDir
from gxsearch.search.reader import SpecReader
from gxsearch.search.yaml_file import Document, parse, read_bytes

CHANGEABLE = ("name", "budget", "resources", "track")
"""Sections that do not decide what the trials are (Katib's rule); a name is that of the folder."""


def changes(run: RunDir, began: bytes) -> dict[str, dict[str, Any]]:
    """Return the new `budget`, `resources` and `track`, by section, of a file that differs from the text it began with.

    Raises:
        SpecError: E327 where something else was changed, and all faults of what may be.
    """
    if not run.spec.exists() or run.spec.read_bytes() == began:
        return {}
    before, now = parse(began, str(run.spec)), parse(read_bytes(run.spec), str(run.spec))
    names = [name for name in {**before.values, **now.values} if before.get((name,)) != now.get((name,))]
    reader = SpecReader(now, [_refusal(now, name) for name in names if name not in CHANGEABLE])
    found = {name: read() for name, read in _readers(reader).items() if name in names}
    if reader.faults:
        raise SpecError(reader.faults)
    return {name: section.model_dump() for name, section in found.items()}


def _readers(reader: SpecReader) -> dict[str, Callable[[], Config | None]]:
    return {"budget": reader.budget, "resources": reader.resources, "track": reader.track}


def _refusal(doc: Document, name: str) -> Fault:
    what = f"'{name}' was changed since the search began; its trials would no longer be comparable"
    return Fault("E327", doc.where((name,), key=True), what, "put it back, or begin a new search with this file")
