"""Refuses HDF5 files that would read other files, blow up memory, never end or crash, before any value is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py

from gxsearch.data.probe import probed
from gxsearch.errors import Fault, UnsafeError

FREE_BYTES = 64 * 2**20
RATIO = 2000  # deflate packs at most 1032 : 1; a declared size far beyond what is stored is a memory bomb
DEEPEST = 32
"""Groups within groups; anndata writes four."""
MOST = 20_000
"""Objects in a file."""
SMALL = 2**20
"""Bytes of an array up to which all of it is read by way of trial.

Of larger ones some of the first and last rows are, and the places of all chunks are looked up: to read the whole would
take as long again as reading it (1.9 times in all with gzip, 1.5 without). What crashes the library is the index of the
chunks; what is packed in them is checked by it, and where indices lead by `checks`, before they are followed.
"""
_ANEW = "write the file anew with anndata"


def guard_hdf5(path: Path, source: str) -> None:
    """Check links, storage and declared sizes of an HDF5 file. `source` is its name in messages.

    All is done in a copy of this process, with limits of memory and time: damaged files make the HDF5 library crash,
    or loop without end.

    Raises:
        UnsafeError: E801 a link or storage outside the file, E802 sizes that cannot be, E803 a loop or too deep a
            nesting, E804 the library crashes on the file or does not come to an end.
        OSError: when it is no HDF5 file or is cut short.
    """
    faults = probed(lambda: _Guard(path, source).faults(), source, path.stat().st_size)
    if faults:
        raise UnsafeError(faults)


class _Guard:
    """One look through a file."""

    def __init__(self, path: Path, source: str):
        self._path, self._source = path, source
        self._size = path.stat().st_size
        self._faults: list[Fault] = []
        self._bytes: dict[int, int] = {}
        """Declared bytes of what was seen, by its address; below a group they count once for each link to it."""

    def faults(self) -> list[Fault]:
        """Return what speaks against the file; if nothing does, its small arrays have been read."""
        with h5py.File(self._path, "r") as file:
            total = self._group(file, [])
            if total > FREE_BYTES + RATIO * self._size and not self._faults:
                what = f"declares {total:,} bytes in all and has {self._size:,}"
                self._add("E802", self._source, what, "the file is damaged or made to fill the memory")
            if not self._faults:
                for item in self._objects(file):
                    _try(item)
        return self._faults

    def _group(self, group: h5py.Group, above: list[int]) -> int:
        """Look through a group; return the bytes that everything in it would take, were it read."""
        here, total = _address(group), 0
        if here in self._bytes:
            return self._bytes[here]
        for name, where in self._links(group):
            item = group[name]
            if isinstance(item, h5py.Dataset):
                total += self._dataset(item, where)
            elif isinstance(item, h5py.Group):
                if _address(item) in (*above, here):
                    self._add("E803", where, "links back to a group that holds it", _ANEW)
                elif len(above) == DEEPEST or len(self._bytes) > MOST:
                    self._add("E803", where, f"is nested deeper than {DEEPEST} groups, or one of too many", _ANEW)
                    break
                else:
                    total += self._group(item, [*above, here])
        self._bytes[here] = total
        return total

    def _links(self, group: h5py.Group) -> Iterator[tuple[str, str]]:
        """Yield names of what is in a group and within the file; a soft link may lead through another that leaves it.

        So soft links are followed only where there is none of these.
        """
        soft = []
        for name in group:
            link = group.get(name, getlink=True)
            where = f"{self._source}!{group.name.rstrip('/')}/{name}"
            if isinstance(link, h5py.ExternalLink):
                self._add("E801", where, f"links to another file, '{link.filename}'", "copy the data into the file")
            elif isinstance(link, h5py.SoftLink):
                soft.append((name, where))
            else:
                yield name, where
        if not self._faults:
            for name, where in soft:
                if group[name].file.filename == group.file.filename:
                    yield name, where
                else:
                    self._add("E801", where, "links to another file", "copy the data into the file")

    def _dataset(self, item: h5py.Dataset, where: str) -> int:
        """Check where an array is stored, and its size; return its bytes."""
        if item.external or item.is_virtual:
            self._add("E801", where, "keeps its values in another file", "copy the data into the file")
            return 0
        stored = min(item.id.get_storage_size(), self._size)  # chunks of a made-up file may lie upon each other
        if item.nbytes > FREE_BYTES + RATIO * stored:
            what = f"declares {item.nbytes:,} bytes and stores {stored:,}"
            self._add("E802", where, what, "the file is damaged or made to fill the memory")
        self._bytes[_address(item)] = item.nbytes
        return item.nbytes

    def _objects(self, file: h5py.File) -> Iterator[h5py.Group | h5py.Dataset]:
        """Yield every object once."""
        seen, waiting = set(), [file["/"]]
        while waiting:
            item = waiting.pop()
            if _address(item) not in seen:
                seen.add(_address(item))
                yield item
                if isinstance(item, h5py.Group):
                    waiting += [item[name] for name in item]

    def _add(self, code: str, where: str, what: str, fix: str) -> None:
        self._faults.append(Fault(code, where, what, fix))


def _address(item: h5py.HLObject) -> int:
    return h5py.h5o.get_info(item.id).addr


def _try(item: h5py.Group | h5py.Dataset) -> None:
    """Read the attributes and some of the values, so that what crashes does so here.

    Text is read wholly: what it takes cannot be told from the size of the array, which holds pointers.
    """
    for name in item.attrs:
        item.attrs[name]
    if not isinstance(item, h5py.Dataset) or item.shape is None:
        return
    if item.nbytes <= SMALL or item.dtype.hasobject:
        item[()]
    elif item.shape:
        rows = max(1, SMALL * item.shape[0] // item.nbytes // 2)
        item[:rows], item[-rows:]
        if item.chunks is not None:
            end = Path(item.file.filename).stat().st_size
            item.id.chunk_iter(lambda chunk: _check_place(chunk, item.name, end))


def _check_place(chunk: h5py.h5d.StoreInfo, name: str, end: int) -> None:
    if chunk.byte_offset + chunk.size > end:
        raise OSError(f"a chunk of {name} lies beyond the end of the file")
