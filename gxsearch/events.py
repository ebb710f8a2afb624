"""Events: what `--json` tells of a search while it runs, as JSON objects, a line each; and JSON that is strict.

Every event has `v` (1), `time` (UTC, ISO 8601) and `event`. The first eight are told by the ledgers of a run and of the
searches that are part of it (first/, confirm/NN/, the runs of a comparison), whose folder is `run`:

| event | fields |
|---|---|
| run_started | run, trials (null where time alone limits them), concurrent |
| run_resumed | run, budget (what it replaces), edited (what was changed in its spec.yaml) |
| gpus_found | run, gpus (of a worker, where `resources.gpus` is auto) |
| trial_started | run, trial, params, seed |
| epoch | run, trial, epoch, lr, best, best_epoch, saved, last (1 or 0); measures by name: `val/mse`, `time/epoch_s` |
| trial_ended | run, trial, state, epochs, best, best_epoch, reason, seconds |
| run_ended | run, state (done, interrupted, failed), reason |
| status | run, state, trials, asked, objective, best (of a comparison: searches, verdict): `status --watch` |
| result | exit (0), and what the verb found: the last line |
| error | code, exit, faults (code, where, what, fix): the last line instead |
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

VERSION = 1
Hear = Callable[[dict[str, Any]], None]
_NAMES = {"trial_created": "trial_started"}
_hearers: list[Hear] = []


@contextmanager
def heard(hear: Hear) -> Iterator[None]:
    """Have `hear` called with each event that ledgers of this process write."""
    _hearers.append(hear)
    try:
        yield
    finally:
        _hearers.remove(hear)


def tell(record: dict[str, Any], run: str) -> None:
    """Pass a record of the ledger of `run` on to whoever listens."""
    for hear in _hearers:
        told = {name: value for name, value in record.items() if name not in ("seq", "time", "event", "metrics")}
        head = {"v": VERSION, "time": record["time"].replace("+00:00", "Z")}
        kind = _NAMES.get(record["event"], record["event"])
        hear({**head, "event": kind, "run": run, **told, **record.get("metrics", {})})


def event(kind: str, **fields: Any) -> dict[str, Any]:
    """Return an event of now."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"v": VERSION, "time": now, "event": kind, **fields}


def dumps(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON that every reader takes: ASCII, NaN and infinities as null, paths as text."""
    commas = (",", ":") if indent is None else None
    return json.dumps(_plain(value), indent=indent, separators=commas, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_plain(str(name)): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(inner) for inner in value]
    if isinstance(value, str):  # names of files may hold bytes that are no text
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if value is None or isinstance(value, int):
        return value
    return _plain(value.item()) if hasattr(value, "item") else _plain(str(value))
