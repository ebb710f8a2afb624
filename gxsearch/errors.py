"""What is wrong, where, and how to put it right: one class per exit code, one line per fault."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

AGAIN = 75
"""The exit code that batch systems take for: start this again (EX_TEMPFAIL of sysexits.h)."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    `where` names the place (``file:line:col``, ``file!/X``, a trial); `what` says what was got and what is
    allowed; `fix` says what to do.
    """

    code: str
    where: str
    what: str
    fix: str = ""

    def __str__(self) -> str:
        place = f" {self.where}" if self.where else ""
        return visible(f"error[{self.code}]{place}: {self.what}" + (f" - {self.fix}" if self.fix else ""))


class GxError(Exception):
    """A failure that a user can act on. The first digit of a fault's code is the exit code."""

    exit_code = 7

    def __init__(self, faults: Iterable[Fault]):
        self.faults = tuple(faults)
        super().__init__(self.faults)

    @classmethod
    def one(cls, code: str, where: str, what: str, fix: str = "") -> GxError:
        """Build the error from a single fault."""
        return cls([Fault(code, where, what, fix)])

    def __str__(self) -> str:
        return "\n".join(str(fault) for fault in self.faults)

    def _render_traceback_(self) -> list[str]:
        return str(self).split("\n")  # what IPython shows: how we came upon a user's mistake is no help


class SpecError(GxError):
    """The search space file or an option is wrong; nothing was started (codes E3xx)."""

    exit_code = 3


class DataError(GxError):
    """The data set is missing, damaged or does not fit the model; nothing was started (codes E4xx)."""

    exit_code = 4


class ResourceError(GxError):
    """More was asked for than there is (codes E5xx)."""

    exit_code = 5


class RunError(GxError):
    """The run folder is missing, locked, damaged or of another search (codes E6xx)."""

    exit_code = 6


class RunFailed(GxError):
    """The search ran and has nothing to show: all trials failed, or storage gave out (codes E7xx)."""

    exit_code = 7


class UnsafeError(GxError):
    """An input that could do harm was refused before it was read (codes E8xx)."""

    exit_code = 8


class TrialError(GxError):
    """This draw is hopeless: its loss is not finite (E701), or it does not fit (E703); the search goes on."""


def visible(text: str) -> str:
    """Return text on one line, with all that a terminal obeys or cannot show written out: names come from files."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'x'?`` for the nearest known name, or the list of names when none is near."""
    import difflib  # only what goes wrong needs it

    known = [str(name) for name in known]
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    shown = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    return f"known: {shown}" if known else ""
