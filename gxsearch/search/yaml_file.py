"""Reads a YAML file by the rules people expect, and remembers where every value stood."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gxsearch.errors import Fault, SpecError, did_you_mean
from gxsearch.search.yaml_scalar import scalar

MAX_BYTES = 256 * 1024
MAX_NODES = 10_000
MAX_DEPTH = 20
Where = tuple[str | int, ...]

_NO_DATA = "a search space file holds settings, no data"
_FIXES = {
    "mapping values are not allowed here": "quote text that contains ': ', and give the keys of a group equal indents",
    "could not find expected ':'": "every line of a group is 'key: value', with a space behind the colon",
    "expected <block end>, but found": "give the keys of a group equal indents",
    "sequence entries are not allowed here": "begin a list on a line of its own, or write [a, b]",
    "found character": "quote text that begins with this character",
    "found unexpected end of stream": "close the quotation marks",
    "expected ',' or": "close the bracket and put commas between the entries",
}


@dataclass(frozen=True)
class Mark:
    """A place in a file, line and column counted from 1; line 0 where there is no line (``--set ...``)."""

    file: str
    line: int = 0
    col: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.col}" if self.line else self.file


@dataclass(frozen=True)
class Document:
    """The values of a file as plain Python values, and where each of them and each key was written.

    Attributes:
        file: the file's name, as the user typed it.
        values: the root mapping; keys are text.
        marks, keys: places of values and of their keys by path, ``("space", "train", "lr", "float", 0)``.
        faults: what does not hinder reading on (repeated keys).
    """

    file: str
    values: dict[str, Any]
    marks: dict[Where, Mark] = field(default_factory=dict)
    keys: dict[Where, Mark] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()

    def where(self, path: str | Where = (), *, key: bool = False) -> str:
        """Return ``file:line:col`` of a value (of its key with `key`) or of the nearest group; see `mark`."""
        return str(self.mark(path, key=key))

    def mark(self, path: str | Where = (), *, key: bool = False) -> Mark:
        """Return the place of a value or of its key; a path given as text is cut at its dots."""
        parts = _split(path)
        if key and parts in self.keys:
            return self.keys[parts]
        while parts and parts not in self.marks:
            parts = parts[:-1]
        return self.marks.get(parts, Mark(self.file, 1, 1))

    def excerpt(self, path: str | Where) -> str | None:
        """Return the line of a value with a caret below it."""
        return excerpt(self.where(path))

    def get(self, path: Where, default: Any = None) -> Any:
        """Return the value at a path, or `default`."""
        found: Any = self.values
        for part in path:
            if not isinstance(found, dict) or part not in found:
                return default
            found = found[part]
        return found

    def put(self, path: Where, value: Any, marks: dict[Where, Mark], keys: dict[Where, Mark]) -> Document:
        """Return the document with another value at a path; `marks` and `keys` are relative to that path."""
        values = copy.deepcopy(self.values)
        group = values
        for part in path[:-1]:
            group = group[part] if isinstance(group, list) else group.setdefault(part, {})
        group[path[-1]] = value
        return Document(self.file, values, _graft(self.marks, path, marks), _graft(self.keys, path, keys), self.faults)


def read(path: str | Path) -> Document:
    """Read a file.

    Raises:
        SpecError: when it cannot be read, is no YAML, is too large or too deep, or its root is no mapping.
    """
    return parse(read_bytes(path), str(path))


def read_bytes(path: str | Path) -> bytes:
    """Return the bytes of a file of at most 256 KiB; raises SpecError."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        near = did_you_mean(Path(path).name, [p.name for p in sorted(Path(path).parent.glob("*.y*ml"))])
        reason = error.strerror or str(error)
        raise SpecError.one("E300", str(path), f"cannot be read ({reason})", near) from None
    if len(data) > MAX_BYTES:
        raise SpecError.one("E306", str(path), "is larger than 256 KiB", _NO_DATA)
    return data


def parse(data: bytes, file: str) -> Document:
    """Read the bytes of a file that is called `file` in messages; raises SpecError as `read` does."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SpecError.one("E304", f"{file}:{line}:1", "is not UTF-8 text", "save it as UTF-8") from None
    builder = _Builder(text, file)
    values = builder.root()
    if not isinstance(values, dict):
        what = (
            "is empty"
            if values is None
            else f"must hold 'key: value' lines, got {'a list' if isinstance(values, list) else repr(values)[:40]}"
        )
        raise SpecError.one("E307", f"{file}:1:1", what, "start from 'gxsearch: 1' (gxsearch init MODEL)")
    return Document(file, values, builder.marks, builder.keys, tuple(builder.faults))


def parse_value(text: str, where: str) -> Any:
    """Read one value, as written behind ``--set key=``; raises SpecError."""
    builder = _Builder(text, where)
    value = builder.root()
    if builder.faults:
        raise SpecError(Fault(f.code, where, f.what, f.fix) for f in builder.faults)
    return value


def excerpt(where: str) -> str | None:
    """Return the line that ``file:line:col`` names with a caret below it; None where it names no line."""
    found = re.fullmatch(r"(.+):(\d+):(\d+)", where)
    if not found or not Path(found[1]).is_file():
        return None
    lines = read_bytes(found[1]).decode("utf-8-sig", "replace").splitlines()
    number, col = int(found[2]), int(found[3])
    if not 1 <= number <= len(lines):
        return None
    # Tabs stay tabs, so that the caret stands below its character in any terminal.
    indent = "".join("\t" if c == "\t" else " " for c in lines[number - 1][: col - 1])
    return f"{number:>6} | {lines[number - 1]}\n{'':>6} | {indent}^"


class _Builder:
    """Builds values from the events of PyYAML's parser: no tags, no code, bounded depth and number of nodes."""

    def __init__(self, text: str, file: str):
        self.text, self.file = text, file
        self.marks: dict[Where, Mark] = {}
        self.keys: dict[Where, Mark] = {}
        self.faults: list[Fault] = []
        self.nodes = 0
        self.anchors: dict[str, tuple[Any, int, int] | None] = {}
        self.events = yaml.parse(text, Loader=yaml.SafeLoader)

    def root(self) -> Any:
        try:
            next(self.events)
            event = next(self.events)
            if isinstance(event, yaml.StreamEndEvent):
                return None
            value, _ = self._node(next(self.events), (), 1)
            next(self.events)
            event = next(self.events)
        except yaml.MarkedYAMLError as error:
            raise self._syntax(error) from None
        except yaml.reader.ReaderError as error:
            where = f"{self.file}:{self.text.count(chr(10), 0, error.position) + 1}:1"
            raise SpecError.one("E304", where, f"holds the character #x{error.character:04x}", "remove it") from None
        if not isinstance(event, yaml.StreamEndEvent):
            self._stop("E304", event, "a second document ('---') begins here", "use one file for each search")
        return value

    def _node(self, event: yaml.Event, path: Where, depth: int) -> tuple[Any, int]:
        """Return a value and its height."""
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self._stop("E306", event, f"more than {MAX_NODES:,} values", _NO_DATA)
        if depth > MAX_DEPTH:
            self._stop("E306", event, f"is nested deeper than {MAX_DEPTH} levels")
        self.marks[path] = self._mark(event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        if event.tag not in (None, "!"):
            self._stop("E304", event, f"the tag {event.tag} is not used here", "quote text instead: '12'")
        before = self.nodes
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            value, height = (scalar(event.value) if event.implicit[0] else event.value), 1
        elif isinstance(event, yaml.SequenceStartEvent):
            value, height = self._list(path, depth)
        else:
            value, height = self._map(path, depth)
        if event.anchor is not None:
            self.anchors[event.anchor] = (value, height, self.nodes - before + 1)
        return value, height

    def _alias(self, event: yaml.Event, depth: int) -> tuple[Any, int]:
        known = self.anchors.get(event.anchor, ())
        if not known:
            why = "is not defined above" if known == () else "refers to itself"
            self._stop("E306", event, f"the alias *{event.anchor} {why}")
        value, height, nodes = known
        # What an alias stands for is counted as if written out: a bomb of aliases ends here, before it is built.
        self.nodes += nodes
        if self.nodes > MAX_NODES or depth + height > MAX_DEPTH:
            self._stop("E306", event, f"with its aliases this is more than {MAX_NODES:,} values or {MAX_DEPTH} levels")
        return copy.deepcopy(value), height

    def _list(self, path: Where, depth: int) -> tuple[list[Any], int]:
        values, height = [], 0
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            value, inner = self._node(event, (*path, len(values)), depth + 1)
            values.append(value)
            height = max(height, inner)
        return values, height + 1

    def _map(self, path: Where, depth: int) -> tuple[dict[str, Any], int]:
        values: dict[str, Any] = {}
        merged: list[dict[str, Any]] = []
        height = 0
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent) or not event.value.isprintable():
                self._stop("E304", event, "a key must be a word", "quote a key that contains brackets or '*'")
            key, here = event.value, (*path, event.value)
            self.nodes += 1
            first, place = self.keys.get(here), self._mark(event)
            if first is not None:
                # The second value is read beside the first, so that its own keys do not count as repeated.
                here = (*path, f"{key} in line {place.line}")
                self.faults.append(Fault("E305", str(place), f"'{key}' is given twice (first in line {first.line})"))
            value, inner = self._node(next(self.events), here, depth + 1)
            height = max(height, inner)
            if first is not None:
                continue
            self.keys[here] = place
            if key == "<<" and event.implicit[0]:
                merged += self._merged(value, place)
            else:
                values[key] = value
        for group in merged:
            values = {**group, **values}
        return values, height + 1

    def _merged(self, value: Any, place: Mark) -> list[dict[str, Any]]:
        groups = value if isinstance(value, list) else [value]
        if all(isinstance(group, dict) for group in groups):
            return groups
        self.faults.append(Fault("E304", str(place), "'<<' takes a group or a list of groups"))
        return []

    def _mark(self, event: yaml.Event) -> Mark:
        return Mark(self.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def _stop(self, code: str, event: yaml.Event, what: str, fix: str = "") -> None:
        raise SpecError.one(code, str(self._mark(event)), what, fix)

    def _syntax(self, error: yaml.MarkedYAMLError) -> SpecError:
        problem, context = error.problem or "", error.context or ""
        # Of a key without a colon and of an open quote, the place where it began tells more than where it ended.
        mark = error.context_mark if "scanning a" in context and error.context_mark else error.problem_mark
        where = f"{self.file}:{mark.line + 1}:{mark.column + 1}"
        line = [*self.text.splitlines(), ""][mark.line]
        if "\t" in line[: mark.column + 1]:
            return SpecError.one("E304", where, "a tab stands where YAML wants spaces", "indent with spaces")
        opened = error.context_mark if "flow" in context else None
        begun = f" (the bracket is opened in line {opened.line + 1}, column {opened.column + 1})" if opened else ""
        fix = next((fix for start, fix in _FIXES.items() if problem.startswith(start)), "")
        return SpecError.one("E304", where, f"is no YAML: {problem}{begun}", fix)


def _split(path: str | Where) -> Where:
    if isinstance(path, tuple):
        return path
    return tuple(int(word) if word.isdigit() else word for word in path.split(".") if word)


def _graft(old: dict[Where, Mark], path: Where, new: dict[Where, Mark]) -> dict[Where, Mark]:
    kept = {at: mark for at, mark in old.items() if at[: len(path)] != path}
    return kept | {(*path, *at): mark for at, mark in new.items()}
