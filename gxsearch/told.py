"""Told: what was found, which says itself in words where Python or a notebook shows it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any


class Told(dict[str, Any]):
    """A mapping of what was found; shown, it is the text that the command line prints of it."""

    def __init__(self, found: Mapping[str, Any], text: str):
        super().__init__(found)
        self.text = text

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return preformatted(self.text)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(self.text)  # IPython would write a mapping out, whatever it says of itself


def preformatted(text: str) -> str:
    """Return text as HTML that keeps its columns and lines; nothing in it is markup."""
    return f'<pre style="line-height:1.35">{escape(text)}</pre>'


def duration(seconds: float) -> str:
    """Return a duration as people write it: 48 s, 3 m 05 s, 2 h 10 m."""
    whole = int(round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} m"
