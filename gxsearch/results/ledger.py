"""The ledger: what happened in a search, one checksummed JSON line an event, appended as it happens.

Events, beside ``seq``, ``time`` (UTC) and ``crc``:

    run_started     trials, concurrent
    run_resumed     budget (what it replaced in the spec's), edited (of the spec.yaml in the run folder)
    trial_created   trial, params {"model.sample_dim": 8, ...}, seed
    epoch           trial, epoch, metrics {"val/loss": ..., "best": ..., "best_epoch": ...}
    trial_ended     trial, state, epochs, best, best_epoch, reason, seconds
    run_ended       state (done, interrupted, failed), reason

The state of a trial is complete, stopped (early, by the scheduler), diverged, failed or interrupted. Epochs that a
stopped trial had run beyond ``epochs`` before word reached it do not count.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
import zlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import NoneType
from typing import Any

from gxsearch.again import patiently
from gxsearch.errors import RunError
from gxsearch.events import tell

SYNC_EVERY_S = 1.0


class Ledger:
    """The writing end; one process writes at a time."""

    def __init__(self, path: Path):
        self.path = path
        self._next = _mend(path)
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - held for the whole search
        self._synced = time.monotonic()

    def append(self, event: str, *, durable: bool = False, **fields: Any) -> None:
        """Append an event; it reaches the disk at once if `durable`, else within about a second.

        Raises:
            OSError: when it cannot be written, for the disk is full or fails again and again; the ledger ends with the
                event before, then.
            FileNotFoundError: when the file was deleted or moved: what is written to it would be read by nobody.
        """
        if not os.path.samestat(os.fstat(self._file.fileno()), os.stat(self.path)):
            raise FileNotFoundError(errno.ENOENT, "another file is in the place of the ledger", str(self.path))
        record = {"seq": self._next, "time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event}
        line, synced = _line({**record, **fields}), durable or time.monotonic() - self._synced > SYNC_EVERY_S
        patiently(lambda: self._put(line, synced=synced))
        self._next += 1
        self._synced = time.monotonic() if synced else self._synced
        tell({**record, **fields}, str(self.path.parent))

    def _put(self, line: bytes, *, synced: bool) -> None:
        handle = self._file.fileno()
        whole = os.fstat(handle).st_size
        try:
            _write(handle, line)
            if synced:
                os.fsync(handle)
        except OSError:
            os.ftruncate(handle, whole)  # half a line would make the next one unreadable
            raise

    def close(self) -> None:
        """Sync and close the file."""
        try:
            patiently(lambda: os.fsync(self._file.fileno()))
        finally:
            self._file.close()


def events(path: Path) -> list[dict[str, Any]]:
    """Read all events. A torn last line, left by a crash, is not an event.

    Raises:
        RunError: when the ledger is missing, or a line before the last is damaged, naming the line.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise RunError.one("E610", str(path), f"no ledger ({error.strerror})") from None
    found = []
    for number, line in enumerate(lines[:-1], 1):
        event = parse(line)
        if event is None and number == len(lines) - 1:
            break
        if event is None or event["seq"] != len(found):
            raise RunError.one("E611", f"{path}:{number}", "this line of the ledger is damaged")
        found.append(event)
    return found


@dataclass
class TrialRecord:
    """One trial as the ledger tells it.

    Attributes:
        number: the Optuna trial number.
        params: searched values by their path in the spec.
        history: metrics of each epoch that counts, in order.
        state: complete, stopped, diverged, failed, interrupted or running.
    """

    number: int
    params: dict[str, Any]
    seed: int
    history: list[dict[str, float]] = field(default_factory=list)
    state: str = "running"
    reason: str = ""
    best: float | None = None
    best_epoch: int = 0
    seconds: float = 0.0

    @property
    def ranked(self) -> bool:
        """Whether the trial may win: it has a finite best epoch and did not fail or diverge."""
        return self.best is not None and self.state not in ("failed", "diverged")


def trials(path: Path) -> list[TrialRecord]:
    """Read the trials of a ledger, by number; what was read last is kept, for a report asks for it thirty times."""
    try:
        data = path.read_bytes()
    except OSError:
        return gathered(events(path), path)  # which says what is wrong
    key = (str(path), len(data), zlib.crc32(data))
    if key not in _read:
        found = gathered(events(path), path)
        _read.clear()
        _read[key] = found
    return [replace(trial, history=list(trial.history)) for trial in _read[key]]


_read: dict[tuple[str, int, int], list[TrialRecord]] = {}


def gathered(told: list[dict[str, Any]], path: Path) -> list[TrialRecord]:
    """Return the trials that the events of the ledger at `path` tell of, by number.

    Raises:
        RunError: E611 when an event is of a trial that there is not.
    """
    found: dict[int, TrialRecord] = {}
    for number, event in enumerate(told, 1):
        if event["event"] in _FIELDS and event["event"] != "trial_created" and event["trial"] not in found:
            raise RunError.one("E611", f"{path}:{number}", f"there is no trial {event['trial']} before this line")
        if event["event"] == "trial_created":
            found[event["trial"]] = TrialRecord(event["trial"], event["params"], event["seed"])
        elif event["event"] == "epoch":
            _add_epoch(found[event["trial"]], event)
        elif event["event"] == "trial_ended":
            trial = found[event["trial"]]
            trial.state, trial.reason, trial.seconds = event["state"], event["reason"], event["seconds"]
            trial.best, trial.best_epoch = event["best"], event["best_epoch"]
            trial.history = [m for m in trial.history if m["epoch"] <= event["epochs"]]
    return [found[number] for number in sorted(found)]


def _add_epoch(trial: TrialRecord, event: dict[str, Any]) -> None:
    """Add an epoch; one that was run again after a crash replaces its first telling."""
    while trial.history and trial.history[-1]["epoch"] >= event["epoch"]:
        trial.history.pop()
    metrics = {sys.intern(name): value for name, value in event["metrics"].items()}  # else names fill the memory
    trial.history.append({**metrics, "epoch": event["epoch"]})
    trial.best, trial.best_epoch = event["metrics"]["best"], int(event["metrics"]["best_epoch"])


def _write(handle: int, data: bytes) -> None:
    """Write all of the bytes; a disk that fills up takes a part first, and refuses the rest."""
    while data:
        data = data[os.write(handle, data) :]


def _line(record: dict[str, Any]) -> bytes:
    body = json.dumps(record, separators=(",", ":"))
    return f'{body[:-1]},"crc":"{zlib.crc32(body.encode()):08x}"}}\n'.encode()


def parse(line: bytes) -> dict[str, Any] | None:
    """Return the event of a line, without its end; None where it is damaged, or none of ours."""
    try:
        body, crc = line[:-18] + b"}", line[-10:-2].decode()
        event = json.loads(body) if crc == f"{zlib.crc32(body):08x}" else None
    except (ValueError, RecursionError):
        return None
    return event if _is_event(event) else None


_NUMBER = (int, float, NoneType)
_FIELDS = {
    "trial_created": {"trial": int, "params": dict, "seed": int},
    "epoch": {"trial": int, "epoch": int, "metrics": dict},
    "trial_ended": {"trial": int, "state": str, "epochs": int, "best": _NUMBER, "best_epoch": int, "seconds": _NUMBER}
    | {"reason": str},
}
"""What events hold beside `seq`, `time` and `event`."""
_ANY = (("seq", int), ("time", str))
_FORMS = {kind: (*_ANY, *fields.items()) for kind, fields in _FIELDS.items()}
_NUMBERS = {int, float, bool, NoneType}
"""The types that JSON has for a number, or for none."""


def _is_event(event: Any) -> bool:
    """Say whether a line is what we write: a checksum tells damage from what was written, not by whom."""
    if not isinstance(event, dict):
        return False
    if not isinstance(event.get("event"), str):
        return False
    kind = event["event"]
    for name, form in _FORMS.get(kind, _ANY):
        if not isinstance(event.get(name, ...), form):
            return False
    if not _is_time(event["time"]):
        return False
    if kind == "epoch":
        metrics = event["metrics"]
        return "best" in metrics and "best_epoch" in metrics and _NUMBERS.issuperset(map(type, metrics.values()))
    return event.get("trial", 0) >= 0 or kind == "trial_ended"


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _mend(path: Path) -> int:
    """Cut a torn last line off, so that the next event starts a line; return the next sequence number."""
    if not path.exists():
        return 0
    lines = path.read_bytes().split(b"\n")[:-1]
    if lines and parse(lines[-1]) is None:
        lines.pop()
    last = parse(lines[-1]) if lines else {"seq": -1}
    if last is None or last["seq"] != len(lines) - 1:
        return len(events(path))  # which says what is damaged
    whole = sum(len(line) + 1 for line in lines)
    if whole != path.stat().st_size:
        with open(path, "r+b") as file:
            file.truncate(whole)
    return len(lines)
