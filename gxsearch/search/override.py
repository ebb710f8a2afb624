"""Puts a search space file together: the file it extends, variables of the environment, and ``--set`` options."""

from __future__ import annotations

import copy
import json
import numbers
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gxsearch.errors import Fault, SpecError, did_you_mean
from gxsearch.search.grammar import KINDS
from gxsearch.search.yaml_file import Document, Mark, Where, parse, parse_value, read

SECTIONS = ("gxsearch", "name", "model", "first", "data", "objective", "choose", "space", "search")
SECTIONS += ("stop", "budget", "resources", "confirm", "track")
_PATHS = {("data", "path"), ("data", "genes", "file"), ("first",)}
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}")


def assemble(path: str | Path, text: bytes, sets: Sequence[str]) -> tuple[Document, list[Fault]]:
    """Return the file with what it extends, what `sets` change and its variables replaced; and what is wrong.

    Raises:
        SpecError: when a file cannot be read at all.
    """
    doc = parse(text, str(path))
    faults = list(doc.faults)
    doc = _extend(doc, faults)
    doc = _relative(doc)
    for option in sets:
        try:
            doc = apply(doc, option)
        except SpecError as error:
            faults += error.faults
    return _expand(doc, (), faults), faults


def apply(doc: Document, option: str) -> Document:
    """Return the document after one ``path=value``; the leading ``space.`` may be left out.

    Raises:
        SpecError: E324, when the path leads nowhere; or as `parse_value` does.
    """
    where = f"--set {option}"
    name, equals, text = option.partition("=")
    parts = tuple(name.strip().split("."))
    if not equals or not all(parts):
        raise SpecError.one("E324", where, "must be path=value", "for example --set budget.epochs=5")
    value = parse_value(text, where)
    path: Where = ("space", *parts) if parts[0] in ("model", "train") and len(parts) > 1 else parts
    if path[0] not in SECTIONS:
        raise SpecError.one("E324", where, f"there is no '{name.strip()}'", _suggest(name.strip(), doc))
    doc, path = _open(doc, path, where)
    mark = Mark(where)
    return doc.put(path, value, _everywhere(value, mark), {at: mark for at in _everywhere(value, mark)})


def written(path: str, value: Any) -> str:
    """Return a value of Python's as ``path=value``; numbers of numpy are numbers, paths are text.

    Raises:
        SpecError: E344 when it is nothing that a file could hold.
    """
    try:
        return f"{path}={json.dumps(value, default=_plain, allow_nan=False)}"
    except (TypeError, ValueError) as error:
        raise SpecError.one("E344", path, f"{value!r} cannot be written into a file ({error})", _VALUES) from None


def _plain(value: Any) -> Any:
    if isinstance(value, numbers.Real):  # those of numpy are
        return int(value) if isinstance(value, numbers.Integral) else float(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"a {type(value).__name__}")


_VALUES = "give numbers, text, lists and mappings of these"


def _open(doc: Document, path: Where, where: str) -> tuple[Document, Where]:
    """Make room for a value: groups on the way to it, and one kind only in an entry of the space."""
    if len(path) > 3 and path[0] == "space":
        entry = doc.get(path[:3])
        kept = dict(entry) if isinstance(entry, dict) else {}
        if path[3] in KINDS and path[3] not in kept:
            kept = {key: kept[key] for key in ("when", "default") if key in kept and path[3] != "value"}
        doc = _replace(doc, path[:3], kept, Mark(where))
    if path[0] == "stop" and len(path) > 1 and path[1] not in (doc.get(("stop",)) or {}):
        doc = _replace(doc, ("stop",), {}, Mark(where))
    group: Any = doc.values
    reached: list[str | int] = []
    for part in path[:-1]:
        if isinstance(group, list) and str(part).isdigit() and int(part) < len(group):
            reached.append(int(part))
            group = group[int(part)]
        elif isinstance(group, dict):
            reached.append(part)
            group = group.get(part)
        if group is None:
            return doc, (*reached, *path[len(reached) :])
        if not isinstance(group, dict | list):
            at = ".".join(map(str, reached))
            raise SpecError.one("E324", where, f"'{at}' is a value, not a group", f"write --set {at}=...")
    last = path[-1]
    if isinstance(group, list):
        if not str(last).isdigit() or int(last) >= len(group):
            at = ".".join(map(str, reached))
            raise SpecError.one("E324", where, f"'{at}' is a list of {len(group)} entries, it has no '{last}'")
        last = int(last)
    return doc, (*reached, last)


def _replace(doc: Document, path: Where, value: dict[str, Any], mark: Mark) -> Document:
    """Put a group in the place of what is there; what stays of it keeps its marks."""
    inner = {at[len(path) :]: m for at, m in doc.marks.items() if at[: len(path)] == path and _has(value, at, path)}
    keys = {at[len(path) :]: m for at, m in doc.keys.items() if at[: len(path)] == path and _has(value, at, path)}
    return doc.put(path, copy.deepcopy(value), {(): mark, **inner}, {(): mark, **keys})


def _has(value: dict[str, Any], at: Where, path: Where) -> bool:
    return len(at) == len(path) or at[len(path)] in value


def _everywhere(value: Any, mark: Mark, path: Where = ()) -> dict[Where, Mark]:
    marks = {path: mark}
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        marks |= _everywhere(inner, mark, (*path, key))
    return marks


def _suggest(name: str, doc: Document) -> str:
    """Return the nearest path of the file, by its full name or by its end."""
    paths = [".".join(map(str, at)) for at in doc.marks if at and not any(isinstance(p, int) for p in at)]
    for path in paths:
        if path.startswith("space.") and path.endswith(f".{name}"):
            return f"did you mean '{path}'?"
    return did_you_mean(name, [*SECTIONS, *paths])


def _extend(doc: Document, faults: list[Fault]) -> Document:
    """Return the document merged over the file that `extends` names."""
    if "extends" not in doc.values:
        return doc
    name = doc.values.pop("extends")
    where = doc.where(("extends",))
    if not isinstance(name, str):
        faults.append(Fault("E323", where, "extends: takes the name of a file"))
        return doc
    base = read(Path(doc.file).parent / name)
    faults += base.faults
    if "extends" in base.values:
        faults.append(Fault("E323", where, f"{name} extends another file itself", "only one level is read"))
        base.values.pop("extends")
    merged = _merge(base.values, doc.values, ())
    marks = {at: mark for at, mark in base.marks.items() if at and not _hidden(at, doc)}
    keys = {at: mark for at, mark in base.keys.items() if not _hidden(at, doc)}
    return Document(doc.file, merged, marks | doc.marks, keys | doc.keys, doc.faults)


def _merge(base: Any, top: Any, path: Where) -> Any:
    """Merge groups key by key; what stands for one value (an entry of the space, stop) is taken whole."""
    if _whole(path) or not isinstance(base, dict) or not isinstance(top, dict):
        return copy.deepcopy(top)
    merged = {key: _merge(value, top[key], (*path, key)) if key in top else value for key, value in base.items()}
    return merged | {key: copy.deepcopy(value) for key, value in top.items() if key not in base}


def _whole(path: Where) -> bool:
    return path == ("stop",) or (len(path) == 3 and path[0] == "space")


def _hidden(at: Where, top: Document) -> bool:
    """Say whether the top file replaces what a base's mark belongs to."""
    for end in range(1, len(at) + 1):
        here = at[:end]
        if here in top.marks and (_whole(here) or not isinstance(top.get(here), dict)):
            return True
    return False


def _relative(doc: Document) -> Document:
    """Return the document with files that an extended file names by its own folder named from this one's.

    What this file names by its own folder is left alone: the data are looked up there (`data/sources.py`).
    """
    for path in sorted(_PATHS):
        name, home = doc.get(path), Path(doc.mark(path).file).parent
        if not isinstance(name, str) or "://" in name or "${" in name or home == Path(doc.file).parent:
            continue
        if (home / name).exists():
            new = os.path.relpath(home / name, Path(doc.file).parent)
            doc = doc.put(path, new, {(): doc.mark(path)}, {(): doc.mark(path, key=True)})
    return doc


def _expand(doc: Document, path: Where, faults: list[Fault]) -> Document:
    """Replace ``${NAME}`` and ``${NAME:-x}`` where a path may stand; elsewhere they are faults."""
    value = doc.get(path) if path else doc.values
    if isinstance(value, dict):
        for key in value:
            doc = _expand(doc, (*path, key), faults)
        return doc
    if not isinstance(value, str) or not _VARIABLE.search(value):
        return doc
    where = doc.where(path)
    if path not in _PATHS:
        faults.append(Fault("E323", where, f"{value!r}: variables are replaced in data.path and data.genes.file only"))
        return doc
    missing = [m[1] for m in _VARIABLE.finditer(value) if m[1] not in os.environ and m[2] is None]
    if missing:
        fix = f"set it, or write ${{{missing[0]}:-something}}"
        faults.append(Fault("E323", where, f"the environment has no variable {missing[0]}", fix))
    new = _VARIABLE.sub(lambda m: os.environ.get(m[1], m[3] or ""), value)
    return doc.put(path, new, {(): doc.mark(path)}, {(): doc.mark(path, key=True)})
