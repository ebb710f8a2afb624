"""Measuring: has a process of its own measure what the trainings of some draws take, and hears what it finds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any, Literal

from gxsearch.errors import ResourceError
from gxsearch.search import memory
from gxsearch.search.draw import job_of
from gxsearch.search.launch import WORKER_ENV
from gxsearch.search.space import Params
from gxsearch.search.spec import Spec

WITHIN_S = 60.0
"""Time that the measuring of one draw may take."""


@dataclass(frozen=True)
class Finding:
    """What the training of a draw takes, or why that was not measured.

    Attributes:
        state: measured; too large for the memory of the machine or the card; raised, with `why`; slow, when it did
            not come to an end within its time.
        parameters: weights of the model; 0 where it trained no epoch.
        memory: bytes of the process above its data. card, card_total: bytes held on a GPU, and there.
        start_s, epoch_s: seconds before the first batch, and of an epoch with its validation.
        diverged: the loss became not finite. room: bytes of memory that there were, where they were too few.
    """

    state: Literal["measured", "too large", "raised", "slow"]
    why: str = ""
    parameters: int = 0
    memory: int = 0
    card: int = 0
    card_total: int = 0
    start_s: float = 0.0
    epoch_s: float = 0.0
    diverged: bool = False
    room: int = 0


def findings(spec: Spec, draws: Sequence[Params], *, device: str, within: float = WITHIN_S) -> Iterator[Finding]:
    """Yield what the training of each draw takes on a device of this machine, `cpu` or `cuda`, one after the other.

    The process reads the data once more, and has the threads that a trial gets and all memory of the machine.

    Raises:
        ResourceError: E513 when the system kills the process, which it does where memory runs out.
        RuntimeError: when it ends otherwise before all is told.
    """
    asked = {
        "spec": spec.to_json(),
        "jobs": [asdict(job_of(spec, params, spec.search.seed)) for params in draws],
        "device": device,
        "threads": max(1, int(spec.resources.cpus)),
        "memory": memory.total(),
        "within": within,
    }
    with _process() as (process, errors):
        with suppress(BrokenPipeError):  # of a process that has ended already, which is told below
            process.stdin.write(json.dumps(asked).encode())
            process.stdin.close()
        for _ in draws:
            line = process.stdout.readline()
            if not line:
                raise _lost(process.wait(), errors)
            yield Finding(**json.loads(line))


@contextmanager
def _process() -> Iterator[tuple[subprocess.Popen, Any]]:
    """Start the process in a session of its own, so that Ctrl-C is this one's to heed; end it and its copies."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "gxsearch.search.measurer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, **WORKER_ENV},
            start_new_session=True,
        )
        try:
            yield process, errors
        finally:
            with suppress(ProcessLookupError):  # it has ended by itself
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()


def _lost(code: int, errors: Any) -> Exception:
    """Return the error of a process that ended too soon."""
    if code == -signal.SIGKILL:
        what = f"the process that measures was killed: there are {memory.total() / 2**30:.1f} GiB of memory"
        return ResourceError.one("E513", "", what, "use a smaller data set or a larger machine")
    errors.seek(0)
    said = errors.read().decode(errors="replace").strip().splitlines()
    return RuntimeError(f"the process that measures ended with code {code}: {said[-1] if said else 'it said nothing'}")
