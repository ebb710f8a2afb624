"""Cached corpora: rows as CSR arrays in files, written once, whole or not at all, and read where they lie."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedWriter
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from gxsearch.data.remote import cache_folder
from gxsearch.errors import ResourceError

DATA, INDICES, INDPTR, MANIFEST = "data.npy", "indices.npy", "indptr.npy", "manifest.json"
SPOTS, SPOT = 64, 1 << 16  # pieces of a file, and their bytes, that tell whether it is as it was written


class Damaged(Exception):
    """A cached corpus is not as it was written; it is to be made again."""


class MappedCSR(sparse.csr_matrix):
    """A matrix (n, g) whose arrays are files that the system reads as they are asked for.

    Rows that are cut out of it are ordinary matrices. Pickled it is the path of its folder, so that a table of any size
    is handed to other processes at no cost; those on other machines must see the folder.
    """

    folder: Path | None = None
    """Where the files are; None of what scipy derives from the matrix, which is in memory."""

    @classmethod
    def open(cls, folder: Path) -> MappedCSR:
        """Map the arrays of a folder that `written` made.

        Raises:
            ResourceError: E512 when the folder is not there, as on a machine that does not share it.
        """
        try:
            made = json.loads((folder / MANIFEST).read_text())
            arrays = [np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in (DATA, INDICES)]
            indptr = np.load(folder / INDPTR, allow_pickle=False)
        except FileNotFoundError:
            fix = "set GXSEARCH_CACHE to a folder that all machines see"
            raise ResourceError.one("E512", str(folder), "the cached corpus is not there", fix) from None
        matrix = cls(tuple(made["shape"]), dtype=np.float32)
        # set one by one: the constructor would look through all indices, or copy them
        matrix.data, matrix.indices = (array.view(np.ndarray) for array in arrays)
        matrix.indptr = indptr.astype(matrix.indices.dtype)
        matrix.has_canonical_format = True
        matrix.folder = folder
        return matrix

    def __reduce__(self) -> tuple:
        if self.folder is None:
            return sparse.csr_matrix, ((self.data, self.indices, self.indptr), self.shape)
        return MappedCSR.open, (self.folder,)

    def __getitem__(self, key: Any) -> Any:
        cut = super().__getitem__(key)
        if not isinstance(cut, MappedCSR):
            return cut
        return sparse.csr_matrix((cut.data, cut.indices, cut.indptr), shape=cut.shape, copy=False)

    def expect(self, first: int, last: int) -> None:
        """Tell the system that the rows from `first` to before `last` are read next."""
        if self.folder is None or not hasattr(os, "posix_fadvise"):  # macOS has no such call, and reads ahead by itself
            return
        low, high = int(self.indptr[first]), int(self.indptr[last])
        for name, array in ((DATA, self.data), (INDICES, self.indices)):
            head = (self.folder / name).stat().st_size - array.nbytes
            handle = os.open(self.folder / name, os.O_RDONLY)
            try:
                size = array.itemsize
                os.posix_fadvise(handle, head + low * size, (high - low) * size, os.POSIX_FADV_WILLNEED)
            finally:
                os.close(handle)


class Writer:
    """Writes the rows of a matrix of float32 to files, a block at a time."""

    def __init__(self, folder: Path, n_genes: int, *, most: int):
        """Begin; `most` is the largest number of values that may come: indices are int32 where it lets them."""
        self._folder, self._n_genes = folder, n_genes
        self._types = {DATA: np.dtype(np.float32), INDICES: np.dtype(np.int32 if most < 2**31 else np.int64)}
        self._files = {name: (folder / name).open("wb") for name in self._types}
        self._lengths: list[np.ndarray] = []
        for name in self._types:
            self._header(name, 0)

    def add(self, block: sparse.csr_matrix) -> None:
        """Append rows with sorted indices."""
        self._lengths.append(np.diff(block.indptr).astype(np.int64))
        for name, values in ((DATA, block.data), (INDICES, block.indices)):
            self._files[name].write(memoryview(np.ascontiguousarray(values, dtype=self._types[name])).cast("B"))

    def close(self, facts: dict[str, Any]) -> None:
        """Finish the files; the manifest comes last: it keeps `facts`, and marks of all arrays in the folder."""
        indptr = np.concatenate([[0], np.cumsum(np.concatenate(self._lengths))]).astype(np.int64)
        for name, file in self._files.items():
            file.seek(0)
            self._header(name, int(indptr[-1]))
            _settle(file)
        self.keep(INDPTR, indptr)
        marks = {path.name: _mark(path) for path in self._folder.glob("*.npy")}
        made = {"shape": [len(indptr) - 1, self._n_genes], "marks": marks, "facts": facts}
        with (self._folder / MANIFEST).open("wb") as file:
            file.write(json.dumps({**made, "sha256": _digest(made)}).encode())
            _settle(file)

    def keep(self, name: str, values: np.ndarray) -> None:
        """Write a further array."""
        with (self._folder / name).open("wb") as file:
            np.save(file, values)
            _settle(file)

    def abandon(self) -> None:
        """Close the files as they are."""
        for file in self._files.values():
            file.close()

    def _header(self, name: str, length: int) -> None:
        """Write the header of an array; numpy leaves room in it, so that its length does not depend on the array's."""
        told = {"descr": self._types[name].str, "fortran_order": False, "shape": (length,)}
        np.lib.format.write_array_header_1_0(self._files[name], told)


def kept(key: str, make: Callable[[Path], None]) -> Path:
    """Return the folder of a cached corpus; it is made by `make(folder)` where there is none, or a damaged one.

    One process makes it, and others that want the same wait. A process that is ended leaves nothing that is used.

    Raises:
        OSError: when the cache cannot be written to.
    """
    folder = cache_folder() / "corpora"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    place, unfinished = folder / key, folder / f"{key}.part"
    with _locked(folder / f"{key}.lock"):
        shutil.rmtree(unfinished, ignore_errors=True)  # of a process that was ended
        if place.exists():
            try:
                verify(place)
                return place
            except Damaged:
                shutil.rmtree(place)
        unfinished.mkdir(mode=0o700)
        try:
            make(unfinished)
            os.replace(unfinished, place)
            _settle_folder(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return place


def facts_of(folder: Path) -> dict[str, Any]:
    """Return what the manifest of a folder keeps."""
    return json.loads((folder / MANIFEST).read_text())["facts"]


def verify(folder: Path) -> None:
    """Look whether sizes, and pieces of the files here and there, are as they were written.

    Raises:
        Damaged: when they are not.
    """
    try:
        made = json.loads((folder / MANIFEST).read_text())
        digest = made.pop("sha256")
        marks = {name: _mark(folder / name) for name in made["marks"]}
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise Damaged(f"{folder}: {error}") from None
    if digest != _digest(made) or made["marks"] != marks:
        raise Damaged(f"{folder} is not as it was written")


def check_space(n_values: int) -> None:
    """Refuse to begin a corpus that the disk of the cache has no room for.

    Raises:
        ResourceError: E511.
    """
    folder = cache_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    need, have = n_values * (8 if n_values < 2**31 else 12), shutil.disk_usage(folder).free
    if need > have:
        what = f"up to {need / 2**30:.1f} GiB are needed to cache the corpus, and {have / 2**30:.1f} GiB are free"
        raise ResourceError.one("E511", str(folder), what, "set GXSEARCH_CACHE to a folder on a larger disk")


def _mark(path: Path) -> str:
    """Return a digest of a file's size and of pieces of it: quick for any size, and zeros or a cut change it."""
    size, digest = path.stat().st_size, hashlib.blake2b(digest_size=16)
    digest.update(str(size).encode())
    with path.open("rb") as file:
        for at in sorted({int(at) for at in np.linspace(0, max(size - SPOT, 0), SPOTS)}):
            file.seek(at)
            digest.update(file.read(SPOT))
    return digest.hexdigest()


def _digest(made: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()


def _settle(file: BufferedWriter) -> None:
    """Have a file on the disk before anything names it."""
    file.flush()
    os.fsync(file.fileno())
    file.close()


def _settle_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
