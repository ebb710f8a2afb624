"""Again: what fails in passing, as storage over a network does, is tried a few times more, and not for long."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import TypeVar

WAITS_S = (0.2, 1.0, 3.0)
"""Seconds before the second, third and last attempt."""
_PASSING = tuple(
    getattr(errno, name)
    for name in ("EIO", "EAGAIN", "EBUSY", "EINTR", "ESTALE", "ETIMEDOUT", "ENOTCONN", "ECONNRESET", "EREMOTEIO")
    if hasattr(errno, name)  # some are of Linux alone
)

Given = TypeVar("Given")


def is_passing(error: BaseException) -> bool:
    """Tell whether an error is one of storage that may be well again in a moment."""
    return isinstance(error, OSError) and error.errno in _PASSING


def patiently(act: Callable[[], Given], passing: Callable[[BaseException], bool] = is_passing) -> Given:
    """Return what `act` does; it has to be such that it can be done anew after half of it was done.

    Raises:
        Exception: what `act` raises that does not pass, and what it raises the last time.
    """
    for wait in WAITS_S:
        try:
            return act()
        except Exception as error:
            if not passing(error):
                raise
        time.sleep(wait)
    return act()
