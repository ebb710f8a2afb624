"""Screen: what Python says while it works: lines on standard error, or below the cell of a notebook."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable


def in_notebook() -> bool:
    """Say whether this process is the kernel of a notebook."""
    return hasattr(builtins, "__IPYTHON__") and "ipykernel" in sys.modules


def sayer(quiet: bool) -> Callable[[str], None]:
    """Return what prints a line of talk; nothing if `quiet`."""
    return (lambda text: None) if quiet else _say


def _say(text: str) -> None:
    # what a notebook gets on standard error it shows as if it were wrong
    print(text, file=sys.stdout if in_notebook() else sys.stderr, flush=True)
