"""Refuses folders of zarr arrays that reach outside, declare impossible sizes or hold pickles, before they are read."""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from gxsearch.data.guard import DEEPEST, FREE_BYTES, RATIO, SMALL
from gxsearch.data.probe import probed
from gxsearch.errors import Fault, UnsafeError

MOST = 1_000_000
"""Files of a store, and chunks of an array."""
_TEXT = 64 * 2**20
"""Bytes of the largest description."""
_OBJECTS = ("vlen-utf8", "vlen-bytes", "vlen-array", "json2", "msgpack2")
"""Codecs of version 2 that give objects by other means than pickle."""
_ANEW = "write it anew with anndata"
_BOMB = "the data are damaged or made to fill the memory"


def guard_zarr(path: Path, source: str) -> None:
    """Check links, sizes and codecs of a folder of zarr arrays. `source` is its name in messages.

    Descriptions are read as text first; then arrays, small ones wholly, in a copy of this process of bounded memory
    and time.

    Raises:
        UnsafeError: E801 a link or name that leads out of the folder, E802 sizes that cannot be, E803 too deep a
            nesting or too many files, E804 values that cannot be read in bounded memory and time, E806 pickled objects.
        OSError: when a description cannot be read.
    """
    guard = _Guard(path, source)
    faults = guard.faults() or probed(lambda: _try(path), source, guard.size, library="zarr")
    if faults:
        raise UnsafeError(faults)


@dataclass(frozen=True)
class _Array:
    """The description of an array: sizes, bytes of an item, and its codecs."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    item: int
    objects: bool
    codecs: tuple[str, ...]

    @classmethod
    def of(cls, told: dict[str, Any]) -> _Array | None:
        """Read a description of version 2 or 3; None if it is not that of an array."""
        if told.get("node_type", "array") != "array" or "shape" not in told:
            return None
        grid = told["chunk_grid"]["configuration"]["chunk_shape"] if "chunk_grid" in told else told["chunks"]
        kind = told.get("dtype", told.get("data_type"))
        sizes = tuple(map(_size, told["shape"])), tuple(map(_size, grid))
        return cls(*sizes, _item(kind), "O" in re.findall(r"[|<>]([A-Za-z])", json.dumps(kind)), tuple(_codecs(told)))

    @property
    def bytes(self) -> int:
        """What all of it takes, were it read."""
        return math.prod(self.shape) * self.item

    @property
    def number(self) -> int:
        """The number of its chunks."""
        return math.prod(-(-n // max(c, 1)) for n, c in zip(self.shape, self.chunks, strict=False))


class _Guard:
    """One look through a store."""

    def __init__(self, path: Path, source: str):
        self._path, self._source = path, source
        self.size = 0
        """Bytes of all files."""
        self._sizes: dict[str, int] = {}
        """Bytes below each folder, by its path within the store."""
        self._faults: list[Fault] = []

    def faults(self) -> list[Fault]:
        """Return what speaks against the store."""
        texts = self._walk(self._path, "", 0)
        if self._faults:
            return self._faults
        total = 0
        for name, told in self._descriptions(texts):
            if self._confined(name):
                total += self._array(name, told)
        if total > FREE_BYTES + RATIO * self.size and not self._faults:
            self._add("E802", "", f"declares {total:,} bytes in all and has {self.size:,}", _BOMB)
        return self._faults

    def _walk(self, folder: Path, name: str, depth: int) -> list[Path]:
        """Weigh a folder, and return the files below it that describe something."""
        texts, before = [], self.size
        for entry in os.scandir(folder):
            inner, mode = f"{name}/{entry.name}", entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode) and depth < DEEPEST:
                texts += self._walk(Path(entry.path), inner, depth + 1)
            elif stat.S_ISREG(mode):
                self.size += entry.stat().st_size
                texts += [Path(entry.path)] if entry.name in _TEXTS else []
            elif stat.S_ISDIR(mode):
                self._add("E803", inner, f"is nested deeper than {DEEPEST} folders", _ANEW)
            else:
                self._add("E801", inner, "is a link, a pipe or a device", "copy the data into the folder")
            if len(self._sizes) + len(texts) > MOST or len(self._faults) > _TOLD:
                break
        self._sizes[name.lstrip("/")] = self.size - before
        return texts

    def _descriptions(self, texts: list[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield what describes an array, by its path within the store; also the copies that a store keeps of all."""
        for path in texts:
            name = path.parent.relative_to(self._path).as_posix().removeprefix(".")
            if path.stat().st_size > _TEXT:
                self._add("E802", f"/{name}", f"{path.name} has {path.stat().st_size:,} bytes", _ANEW)
                continue
            told = _read(path)
            inner = told.get("consolidated_metadata") or {}
            copies = told if path.name == ".zmetadata" else inner if isinstance(inner, dict) else {}
            if path.name in _ARRAYS:
                yield name, told
            for key, copy in (copies.get("metadata") or {}).items():
                place = PurePosixPath(key) if path.name == "zarr.json" else PurePosixPath(key).parent
                if isinstance(copy, dict) and (path.name == "zarr.json" or PurePosixPath(key).name in _ARRAYS):
                    whole = str(PurePosixPath(name) / place)
                    yield "" if whole == "." else whole, copy

    def _confined(self, name: str) -> bool:
        inside = not name.startswith("/") and ".." not in PurePosixPath(name).parts
        if not inside:
            self._add("E801", f"/{name.lstrip('/')}", "leads out of the folder", _ANEW)
        return inside

    def _array(self, name: str, told: dict[str, Any]) -> int:
        """Check an array; return its bytes, 0 of what is none."""
        try:
            array = _Array.of(told)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise OSError(f"the description of /{name} is none of zarr's ({error})") from None
        if array is None:
            return 0
        stored = self._sizes.get(name, 0)
        room, where = FREE_BYTES + RATIO * stored, f"/{name}"
        if array.bytes > room:
            self._add("E802", where, f"declares {array.bytes:,} bytes and stores {stored:,}", _BOMB)
        elif math.prod(array.chunks) * array.item > room:
            what = f"declares chunks of {math.prod(array.chunks) * array.item:,} bytes and stores {stored:,}"
            self._add("E802", where, what, _BOMB)
        elif array.number > MOST:
            self._add("E802", where, f"declares {array.number:,} chunks", "write it anew in larger chunks")
        if any("pickle" in codec for codec in array.codecs) or array.objects and not set(array.codecs) & {*_OBJECTS}:
            fix = "never read such from others; in a place of trust write it anew with anndata"
            self._add("E806", where, "keeps pickled objects, which run code when they are read", fix)
        return array.bytes

    def _add(self, code: str, where: str, what: str, fix: str) -> None:
        self._faults.append(Fault(code, f"{self._source}!{where}" if where else self._source, what, fix))


_ARRAYS = (".zarray", "zarr.json")
_TEXTS = (".zarray", ".zgroup", ".zattrs", ".zmetadata", "zarr.json")
_TOLD = 20
"""Faults that are told at most."""


def _read(path: Path) -> dict[str, Any]:
    """Read a description.

    Raises:
        OSError: when it is none.
    """
    try:
        told = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise OSError(f"{path.name} cannot be read ({type(error).__name__})") from None
    return told if isinstance(told, dict) else {}


def _size(number: Any) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise ValueError(f"{number!r} is no size")
    return number


def _item(kind: Any) -> int:
    """Return the bytes of an item at least: those that its type tells, else those of a pointer."""
    text = json.dumps(kind)
    told = [int(n) // (8 if bits else 1) for bits, n in re.findall(r"(int|float|complex|bits)?(\d+)", text)]
    return max([1, *told]) if not re.search(r"[<>|]U", text) else 4 * max([1, *told])


def _codecs(told: dict[str, Any]) -> Iterator[str]:
    """Yield the names of codecs, also of those within others."""
    waiting = [told.get(key) for key in ("filters", "compressor", "codecs")]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += item
        elif isinstance(item, dict):
            yield str(item.get("id", item.get("name"))).lower()
            inner = item.get("configuration") or item
            waiting += [value for value in inner.values() if isinstance(value, list | dict)]


def _try(path: Path) -> list[Fault]:
    """Read small arrays, and the first and last rows of others, so that what fails does so here."""
    import zarr  # a third of a second

    waiting: list[Any] = [zarr.open_group(str(path), mode="r")]
    while waiting:
        item = waiting.pop()
        if isinstance(item, zarr.Group):
            waiting += [inner for _, inner in item.members()]
        elif item.ndim == 0 or item.nbytes <= SMALL or item.dtype.kind in "OTU":
            item[...]
        else:
            item[: item.chunks[0]], item[-item.chunks[0] :]
    return []
