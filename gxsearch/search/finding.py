"""Finding: one line of what `gxsearch doctor` says of a machine: a part of it, how it is, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "wrong"]


@dataclass(frozen=True)
class Finding:
    """How a part of the machine is: ok; note, worth knowing; or wrong, so that searches fail. `fix` says what to do."""

    part: str
    state: State
    what: str
    fix: str = ""


def size(n: float) -> str:
    """Return bytes in a unit that a person would use."""
    return f"{n / 2**30:,.1f} GiB" if n >= 2**30 else f"{n / 2**20:,.0f} MiB"
