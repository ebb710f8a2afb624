"""Shards of a corpus: files .h5ad or .zarr of which names, columns and blocks of rows are read, never the whole."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from glob import escape, glob
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata.io import read_elem
from scipy import sparse

from gxsearch.data.builtin import is_builtin
from gxsearch.data.findings import Findings, shown
from gxsearch.data.guard import guard_hdf5
from gxsearch.data.remote import is_uri
from gxsearch.data.values import Matrix, sound
from gxsearch.data.zarr_guard import guard_zarr
from gxsearch.errors import DataError, GxError, did_you_mean

ENDINGS = (".h5ad", ".zarr")
VALUES = 1 << 21
"""Stored values in a block, at most; a row of more is a block of its own."""
ROWS = 4096
"""Rows in a block, at most."""


def find_shards(path: str, *, base: Path | None = None) -> tuple[Shard, ...] | None:
    """Return the shards that a folder or a pattern (``shards/*.h5ad``, ``**``) means, by name; None if it is neither.

    A path that is relative is looked up in `base`, then in the working folder. Hidden files are passed over.

    Raises:
        DataError: E443 no shards, or not all of one kind.
    """
    if not path.strip() or is_builtin(path) or is_uri(path):
        return None
    pattern = any(sign in path for sign in "*?[")
    for folder in dict.fromkeys([base or Path(), Path()]):
        place = folder / Path(path).expanduser()
        if place.is_dir() and place.suffix not in ENDINGS:
            return _alike([entry for entry in place.iterdir() if entry.suffix in ENDINGS], place, folder, path)
        if place.exists():
            return None
        found = glob(str(Path(escape(str(folder))) / Path(path).expanduser()), recursive=True) if pattern else []
        if found:
            return _alike([Path(entry) for entry in found], None, folder, path)
    if pattern:
        raise DataError.one("E443", path, "no file fits this pattern", "it is looked up beside the spec, then here")
    return None


def _alike(entries: list[Path], within: Path | None, folder: Path, path: str) -> tuple[Shard, ...]:
    """Return shards of one kind, sorted by name."""
    entries = sorted(entry for entry in entries if not entry.name.startswith("."))
    kinds = {entry.suffix for entry in entries}
    if not entries:
        is_zarr = within is not None and any((within / name).exists() for name in ("zarr.json", ".zgroup"))
        fix = "it looks like zarr: rename it to end in .zarr" if is_zarr else "shards end in .h5ad or .zarr"
        raise DataError.one("E443", path, "there are no shards in this folder", fix)
    if not kinds <= set(ENDINGS):
        odd = shown(entry.name for entry in entries if entry.suffix not in ENDINGS)
        raise DataError.one("E443", path, f"shards end in .h5ad or .zarr, not as {odd}", "narrow the pattern")
    if len(kinds) > 1:
        each = ", ".join(shown([entry.name for entry in entries if entry.suffix == kind], 1) for kind in ENDINGS)
        raise DataError.one("E443", path, f"shards of two kinds: {each}", "name one: shards/*.h5ad")
    own = len(folder.parts)
    return tuple(Shard(entry, str(Path(*entry.parts[own:])) if own else str(entry)) for entry in entries)


@dataclass(frozen=True)
class Head:
    """What describes the rows and genes of a shard.

    Attributes:
        obs: the columns that were asked for, under the names of the rows.
        columns: the names of all columns.
        obsm: the matrices that were asked for, of those that there are.
    """

    obs: pd.DataFrame
    columns: list[str]
    var_names: np.ndarray
    obsm: dict[str, Any]


@dataclass(frozen=True)
class Shard:
    """A file or folder; `source` is what messages call it."""

    path: Path
    source: str

    def head(self, wanted: Callable[[str], bool], obsm: Callable[[str], bool]) -> Head:
        """Read names, and those columns and matrices of the rows that are wanted.

        Raises:
            DataError: E402 when it is no AnnData, or damaged.
            UnsafeError: E80x as for single files.
        """
        with _told(self.source):
            if self.path.suffix == ".h5ad" and self.path.is_file():
                guard_hdf5(self.path, self.source)
            elif self.path.suffix == ".zarr" and self.path.is_dir():
                guard_zarr(self.path, self.source)
        with self._open() as file:
            for part in ("obs", "var"):
                if part not in file:
                    raise DataError.one("E402", self.source, f"is no AnnData: it has no {part}", "leave it out")
            obs, columns = _frame(file["obs"], wanted)
            var, _ = _frame(file["var"], lambda name: False)
            names = [str(name) for name in file["obsm"]] if "obsm" in file else []
            matrices = {name: read_elem(file["obsm"][name]) for name in names if obsm(name)}
        return Head(obs, columns, np.array(var.index, dtype=str), matrices)

    def stamp(self) -> list[Any]:
        """Return what changes with the content: where it is, and size and times of change of its files."""
        files = sorted(self.path.rglob("*")) if self.path.is_dir() else [self.path]
        stats = [(str(file.relative_to(self.path)), file.stat()) for file in files if file.is_file()]
        return [str(self.path.resolve()), *([name, s.st_size, s.st_mtime_ns, s.st_ctime_ns] for name, s in stats)]

    def blocks(self, layer: str | None, shape: tuple[int, int], found: Findings) -> Iterator[tuple[int, Matrix]]:
        """Yield the number of the first row and the rows as they are stored, dense or canonical CSR, block by block.

        A matrix that is stored by columns (CSC) is read whole. The blocks end where something is wrong (E410, E411).
        """
        part = f"layers/{layer}" if layer else "X"
        with self._open() as file:
            node = _matrix(file, layer, found)
            if node is None:
                return
            kind = _kind(node)
            have = tuple(int(size) for size in (node.shape if kind == "dense" else _shape(node)))
            if kind not in ("dense", "csr", "csc") or have != shape:
                what = f"is {kind} {' x '.join(map(str, have))}" if kind else "is no matrix"
                found.content("E411", part, f"{what}; {shape[0]} x {shape[1]} values are needed", "write it again")
                return
            read = {"dense": _dense_rows, "csr": _csr_rows, "csc": _csc_rows}[kind]
            try:
                for start, block in read(node, shape):
                    block = sound(block, part, found)
                    if block is None:
                        return
                    yield start, block
            except _Broken as error:
                found.content("E411", part, f"has a damaged sparse structure: {error}", "write the file again")

    @contextmanager
    def _open(self) -> Iterator[h5py.File | Any]:
        """Open the file for reading; what is raised while it is read is told with its name (E402)."""
        is_zarr = self.path.suffix == ".zarr"
        if not (self.path.is_dir() if is_zarr else self.path.is_file()):
            raise DataError.one("E402", self.source, f"is not a {'folder of zarr arrays' if is_zarr else 'file'}")
        with _told(self.source), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # older layouts are of no concern to a user
            warnings.simplefilter("ignore", UserWarning)
            if is_zarr:
                import zarr  # a third of a second

                yield zarr.open_group(str(self.path), mode="r")
            else:
                with h5py.File(self.path, "r") as file:
                    yield file


class _Broken(Exception):
    """Pointers of a sparse matrix that lead nowhere."""


@contextmanager
def _told(source: str) -> Iterator[None]:
    try:
        yield
    except (GxError, _Broken):
        raise
    except Exception as error:  # anndata, h5py and zarr raise two dozen kinds; told in one line, never hidden
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise DataError.one("E402", source, f"cannot be read: {reason}", "get or write the file again") from error


def _frame(node: Any, wanted: Callable[[str], bool]) -> tuple[pd.DataFrame, list[str]]:
    """Return the wanted columns of a stored frame, and the names of all."""
    if str(node.attrs.get("encoding-version")) != "0.2.0":  # older layouts keep categories elsewhere
        frame = read_elem(node)
        if not isinstance(frame, pd.DataFrame):
            raise ValueError("obs or var has a layout of before 2020; anndata.read_h5ad and write_h5ad put it right")
        columns = [str(name) for name in frame]
        frame = frame[[name for name in frame if wanted(str(name))]]
    else:
        columns = [str(name) for name in node.attrs["column-order"]]
        index = pd.Index(np.asarray(read_elem(node[node.attrs["_index"]])))
        frame = pd.DataFrame({name: read_elem(node[name]) for name in columns if wanted(name)}, index=index)
    frame.index = frame.index.astype(str)
    return frame, columns


def _matrix(file: Any, layer: str | None, found: Findings) -> Any:
    if layer is None and "X" in file and getattr(file["X"], "shape", ()) is not None:  # anndata 0.12.0 writes no X so
        return file["X"]
    layers = [str(name) for name in file["layers"]] if "layers" in file else []
    if layer is None:
        have = f"data.layer can be {shown(layers, 5)}" if layers else "the file holds no values"
        found.content("E410", "X", "X is empty", have)
    elif layer not in layers:
        hint = did_you_mean(layer, layers) or "the file has no layers: leave data.layer out"
        found.setting("E410", f"data.layer: {found.source} has no layer '{layer}'", hint)
    return file["layers"][layer] if layer in layers else None


def _kind(node: Any) -> str:
    """Return dense, csr or csc, or what else it is."""
    if hasattr(node, "shape"):  # an array of h5py or of zarr, which share no class
        return "dense" if len(node.shape) == 2 else "an array"
    return str(node.attrs.get("encoding-type") or node.attrs.get("h5sparse_format") or "").removesuffix("_matrix")


def _shape(node: Any) -> tuple[int, ...]:
    shape = node.attrs.get("shape", node.attrs.get("h5sparse_shape", ()))
    return tuple(shape)


def _dense_rows(node: Any, shape: tuple[int, int]) -> Iterator[tuple[int, np.ndarray]]:
    step = max(1, min(ROWS, VALUES // max(shape[1], 1)))
    for start in range(0, shape[0], step):
        yield start, np.asarray(node[start : start + step])


def _csr_rows(node: Any, shape: tuple[int, int]) -> Iterator[tuple[int, sparse.csr_matrix]]:
    indptr = np.asarray(node["indptr"][:]).astype(np.int64)
    n_values = node["data"].shape[0]
    if len(indptr) != shape[0] + 1 or indptr[0] != 0 or indptr[-1] != n_values or (np.diff(indptr) < 0).any():
        raise _Broken("its row pointers do not fit its rows or values")
    if node["indices"].shape[0] != n_values:
        raise _Broken(f"{node['indices'].shape[0]} indices for {n_values} values")
    start = 0
    while start < shape[0]:
        full = int(np.searchsorted(indptr, indptr[start] + VALUES, side="right")) - 1
        stop = max(start + 1, min(full, start + ROWS, shape[0]))
        low, high = indptr[start], indptr[stop]
        indices = np.asarray(node["indices"][low:high])
        if len(indices) and (indices.min() < 0 or indices.max() >= shape[1]):
            raise _Broken(f"there is a gene of index {indices.min() if indices.min() < 0 else indices.max()}")
        arrays = (np.asarray(node["data"][low:high]), indices, indptr[start : stop + 1] - low)
        yield start, sparse.csr_matrix(arrays, shape=(stop - start, shape[1]))
        start = stop


def _csc_rows(node: Any, shape: tuple[int, int]) -> Iterator[tuple[int, sparse.csr_matrix]]:
    arrays = tuple(np.asarray(node[name][:]) for name in ("data", "indices", "indptr"))
    try:
        whole = sparse.csc_matrix(arrays, shape=shape)
        whole.check_format(full_check=True)
    except ValueError as error:
        raise _Broken(str(error)) from None
    whole = whole.tocsr()
    for start in range(0, shape[0], ROWS):
        yield start, whole[start : start + ROWS]
