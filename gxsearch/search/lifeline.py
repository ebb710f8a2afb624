"""Lifeline: the last words of a search whose Ray is gone, or that does not end when a signal tells it to."""

from __future__ import annotations

import builtins
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType

from gxsearch.errors import GxError

PATIENCE_S = 20.0
"""Seconds after a signal in which a search may end by itself; batch systems kill after 30 at the earliest."""
_LOOK_S = 0.25
_WITHOUT = ("gcs_server", "raylet")
"""Ray's processes without which it does nothing any more."""


class Lifeline:
    """Watches, in a thread, the signals that this process gets and the processes of a Ray of its own.

    Python hands a signal to its main thread, which may be waiting inside Ray. A driver whose Ray is gone waits for a
    minute, and is aborted then without a word of how to go on; so it is when a batch system or systemd sends a signal
    to all processes at once. `lost` is told the signal, or None; it closes the search and returns what to say.

    In a session of somebody's, who may have more in it than our search, a signal that is not heeded ends nothing: there
    is a second one for that. Of a search in another thread than the main one, Python tells no signal.
    """

    def __init__(self, lost: Callable[[int | None], GxError]):
        self._lost, self._ended = lost, False
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Lifeline:
        self._heard, told = os.pipe()
        os.set_blocking(told, False)
        self._told, self._hears = told, threading.current_thread() is threading.main_thread()
        self._before = signal.set_wakeup_fd(told, warn_on_full_buffer=False) if self._hears else -1
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._hears:
            signal.set_wakeup_fd(self._before)
        self._ended = True
        os.close(self._told)  # wakes the thread
        self._thread.join()
        os.close(self._heard)

    def _watch(self) -> None:
        number, since = None, 0.0
        while True:
            ready, _, _ = select.select([self._heard], [], [], _LOOK_S)
            came = os.read(self._heard, 64) if ready else b""
            if self._ended:
                return
            if came and number is None:
                number, since = came[0], time.monotonic()
            elif _ray_is_gone() or (number is not None and time.monotonic() - since > PATIENCE_S and not _is_guest()):
                self._end(number)

    def _end(self, number: int | None) -> None:
        error = self._lost(number)
        shown = "\n\x1b[?25h" if sys.stderr.isatty() else ""  # below the live screen, which hides the cursor
        sys.stderr.write(f"{shown}{error}\n")
        sys.stderr.flush()
        node = _node()
        if node is not None:
            node.kill_all_processes(check_alive=False)
        os._exit(error.exit_code)  # the main thread cannot be woken


def _is_guest() -> bool:
    """Say whether this process is a session of IPython, such as the kernel of a notebook."""
    return hasattr(builtins, "__IPYTHON__")


def _node() -> object | None:
    """Return Ray's record of the processes that this one started; there is no public one (Ray 2.60)."""
    import ray._private.worker

    return ray._private.worker._global_node


def _ray_is_gone() -> bool:
    node = _node()
    return node is not None and any(kind in _WITHOUT for kind, _ in node.dead_processes())
