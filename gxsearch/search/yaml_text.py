"""Writes plain values as lines of YAML with comments, so that `yaml_file` reads the same values back."""

from __future__ import annotations

import math
import re
import textwrap
from typing import Any

from gxsearch.errors import visible
from gxsearch.search.yaml_scalar import scalar

WIDTH = 120
_SAFE = re.compile(r"[A-Za-z_./][A-Za-z0-9_./-]*|[0-9]+[smhd]")
_WORDS = ("y", "n", "yes", "no", "on", "off")
"""Plain text to this reader, and yes or no to others: quoted, so that editors agree."""
_COLUMN = 56
"""Where comments begin; a longer one than there is room for stands above its line."""


class Page:
    """Lines of a file, added one by one."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def say(self, text: str = "") -> None:
        """Add a comment line, or an empty one."""
        self._lines.append(f"# {visible(text)}" if text else "")

    def put(self, key: str, value: Any = ..., why: str = "", *, depth: int = 0) -> None:
        """Add a key with its value, or the head of a group; `why` becomes the comment."""
        text = f"{'  ' * depth}{word(key)}:" + ("" if value is ... else f" {flow(value)}")
        self._add(text, why, depth)

    def item(self, value: Any, why: str = "", *, depth: int = 0) -> None:
        """Add an entry of a list."""
        self._add(f"{'  ' * depth}- {flow(value)}", why, depth)

    def text(self) -> str:
        """Return the file."""
        return "\n".join(self._lines) + "\n"

    def _add(self, text: str, why: str, depth: int) -> None:
        why, indent = visible(why), "  " * depth
        column = max(_COLUMN, len(text) + 2)
        if why and column + 2 + len(why) > WIDTH:
            self._lines += [f"{indent}# {line}" for line in textwrap.wrap(why, WIDTH - len(indent) - 2)]
            why = ""
        self._lines.append(f"{text.ljust(column)}# {why}" if why else text)


def flow(value: Any) -> str:
    """Return a value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{word(str(key))}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(inner) for inner in value) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        assert math.isfinite(value), value
        return repr(value)
    return str(value) if isinstance(value, int) else word(str(value))


def word(text: str) -> str:
    """Return text as YAML, in quotes where it would mean something else without."""
    if _SAFE.fullmatch(text) and scalar(text) == text and text.lower() not in _WORDS:
        return text
    return '"' + "".join(_letter(c) for c in text) + '"'


def _letter(c: str) -> str:
    if c in '"\\':
        return f"\\{c}"
    if c.isprintable():
        return c
    number = ord(c)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65536 else f"\\U{number:08x}"
