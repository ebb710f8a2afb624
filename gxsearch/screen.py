"""Screen: what Python shows while it works: lines on standard error, or a screen below the cell of a notebook."""

from __future__ import annotations

import builtins
import io
import logging
import sys
import warnings
from collections.abc import Callable
from typing import Any

from rich.console import Console, ConsoleRenderable

WIDTH = 110
"""Columns of a screen in a notebook."""
_PAGE = '<pre style="white-space:pre;overflow-x:auto;line-height:1.35">{code}</pre>'


def in_notebook() -> bool:
    """Say whether this process is the kernel of a notebook."""
    return hasattr(builtins, "__IPYTHON__") and "ipykernel" in sys.modules


def hush() -> None:
    """Have a notebook not be asked, by libraries on their import, for widgets that nothing of ours uses."""
    if in_notebook():
        warnings.filterwarnings("ignore", message="IProgress not found")
        logging.getLogger("ray.widgets").setLevel(logging.ERROR)


class Cell:
    """Shows a screen below the cell of a notebook that is running, and changes it where it is; the last one stays.

    It is HTML and plain text: rich's own would need ipywidgets, and would be gone when the notebook is opened again.
    """

    def __init__(self) -> None:
        self._shown: Any = None

    def update(self, screen: ConsoleRenderable) -> None:
        """Show another screen."""
        from IPython.display import display  # there is one where there is a notebook

        page = Console(record=True, file=io.StringIO(), width=WIDTH, force_jupyter=False)
        page.print(screen)
        html = page.export_html(inline_styles=True, code_format=_PAGE, clear=False)
        data = {"text/html": html, "text/plain": page.export_text()}
        if self._shown is None:
            self._shown = display(data, raw=True, display_id=True)
        else:
            self._shown.update(data, raw=True)


def sayer(quiet: bool) -> Callable[[str], None]:
    """Return what prints a line of talk; nothing if `quiet`."""
    return (lambda text: None) if quiet else _say


def _say(text: str) -> None:
    # what a notebook gets on standard error it shows as if it were wrong
    print(text, file=sys.stdout if in_notebook() else sys.stderr, flush=True)
