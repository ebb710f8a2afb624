"""Measurer: the process that measures trainings, each in a copy of it; told what by JSON on its standard input.

It is none of the search's own: with the settings of malloc that a trial's process has, without threads, so that it may
be copied, and without a CUDA context, so that what a copy takes of a card is all its own and gone with it.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from gxsearch.data.probe import heard
from gxsearch.errors import TrialError
from gxsearch.search.intake import read_table
from gxsearch.search.spec import Spec
from gxsearch.training import footprint
from gxsearch.training.measure import Gauge, measure
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.session import Job

_NO_ROOM = ("can't allocate memory", "out of memory", "not enough memory", "Cannot allocate memory")


def main() -> None:
    """Measure the jobs of standard input; write a line of JSON for each, in their order."""
    asked = json.load(sys.stdin)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no line of ours
    torch.set_num_threads(1)
    table, runs_on = read_table(Spec.from_json(asked["spec"])), torch.device(asked["device"])
    footprint.give_back()
    gauge, jobs = Gauge(table, runs_on), [Job(**job) for job in asked["jobs"]]
    if runs_on.type == "cpu":  # on a card the copies do it: this process is to have no context there
        gauge.sample(jobs[0]).count()
        footprint.give_back()
    for job in jobs:
        told = _forked(job, gauge, asked)
        print(json.dumps(told), file=out, flush=True)


def _forked(job: Job, gauge: Gauge, asked: dict[str, Any]) -> dict[str, Any]:
    """Return what a copy of this process measures of a job, or how it ended."""
    reading, writing = os.pipe()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_the_copy(job, gauge, asked, writing)
    os.close(writing)
    try:
        told = heard(reading, asked["within"])
    finally:
        os.close(reading)
        if told is None:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if told is None:
        return {"state": "slow"}
    if told:
        return json.loads(told)
    number = os.waitstatus_to_exitcode(status)
    if number == -signal.SIGKILL:  # nobody else kills so than a system that runs out of memory
        return {"state": "too large"}
    return {"state": "raised", "why": f"its process ended with code {number}"}


def _be_the_copy(job: Job, gauge: Gauge, asked: dict[str, Any], writing: int) -> None:
    """Measure a job, tell what was found, and end at once."""
    try:
        with open(writing, "w") as file:
            file.write(json.dumps(_measured(job, gauge, asked)))
    finally:
        os._exit(0)  # nothing of the parent's is to be cleaned up here


def _measured(job: Job, gauge: Gauge, asked: dict[str, Any]) -> dict[str, Any]:
    room = max(0, min(asked["memory"] - gauge.held, footprint.available()))
    if gauge.bench.device.type == "cpu":  # CUDA maps far more than it takes
        footprint.bound(room)
    scratch = tempfile.mkdtemp(prefix="gxsearch-measure-")
    try:
        runtime = LocalRuntime(asked["device"], threads=asked["threads"])
        return {"state": "measured", **dataclasses.asdict(measure(job, gauge, runtime, Path(scratch)))}
    except Exception as error:  # noqa: BLE001 - whatever a trial would fail by is told of its corner
        if not _is_room(error):
            what = error.faults[0].what if isinstance(error, TrialError) else _first_line(error)
            return {"state": "raised", "why": what}
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return {"state": "too large", "room": room}


def _is_room(error: Exception) -> bool:
    """Say whether it is memory, of the machine or of the card, that an error tells the lack of."""
    if isinstance(error, TrialError):
        return error.faults[0].code == "E703"
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _NO_ROOM)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


if __name__ == "__main__":
    main()
