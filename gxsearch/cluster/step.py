"""A step: one command of Ray, kubectl, Slurm or AWS, printed or run."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from gxsearch.errors import ResourceError, RunFailed

_WHENCE = {
    "ray": 'pip install -c constraints.txt ".[cluster]"',
    "kubectl": "install kubectl, and point it at your Kubernetes cluster",
    "sbatch": "log in to a node of the Slurm cluster",
    "squeue": "log in to a node of the Slurm cluster",
    "scancel": "log in to a node of the Slurm cluster",
    "aws": "install the AWS command line, and sign in",
}


@dataclass(frozen=True)
class Step:
    """A command.

    Attributes:
        words: the program and its arguments.
        reads: a file that it reads from its standard input.
        into: a second command, that reads what the first one writes.
    """

    words: tuple[str, ...]
    reads: str | None = None
    into: tuple[str, ...] | None = None

    def __str__(self) -> str:
        reads = f" < {shlex.quote(self.reads)}" if self.reads else ""
        return shlex.join(self.words) + reads + (f" | {shlex.join(self.into)}" if self.into else "")


def run(steps: Iterable[Step], say: Callable[[str], None], *, aside: bool = False) -> None:
    """Run steps one after the other, each told first; what they print goes to standard error with `aside`.

    Raises:
        ResourceError: E507 when there is no such program. RunFailed: E730 when one fails.
    """
    out = 2 if aside else None
    for step in steps:
        say(f"$ {step}")
        words = (_program(step.words[0]), *step.words[1:])
        if step.reads:
            with open(step.reads, "rb") as file:
                code = subprocess.run(words, stdin=file, stdout=out, check=False).returncode
        elif step.into:
            code = _piped(words, (_program(step.into[0]), *step.into[1:]), out)
        else:
            code = subprocess.run(words, stdout=out, check=False).returncode
        if code:
            raise RunFailed.one("E730", step.words[0], f"ended with exit code {code}", f"see above; it was: {step}")


def _piped(words: tuple[str, ...], into: tuple[str, ...], out: int | None) -> int:
    with subprocess.Popen(words, stdout=subprocess.PIPE) as first:
        second = subprocess.run(into, stdin=first.stdout, stdout=out, check=False).returncode
        first.stdout.close()
        return first.wait() or second


def _program(name: str) -> str:
    """Return the path of a program; that of the environment of this Python first, which need not be active."""
    beside = Path(sys.executable).parent / name
    found = shutil.which(name) or (str(beside) if beside.exists() else None)
    if found is None:
        raise ResourceError.one("E507", name, f"there is no {name} here", _WHENCE.get(name, "install it"))
    return found
