"""A name, path or URI -> AnnData: built-in sets first, then files beside the spec or the working folder, then URIs."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Collection
from pathlib import Path

import anndata
from anndata import AnnData

from gxsearch.data.builtin import SETS, is_builtin, load_builtin
from gxsearch.data.guard import guard_hdf5
from gxsearch.data.remote import fetch, is_uri, public
from gxsearch.data.shard import find_shards
from gxsearch.data.text import read_text
from gxsearch.data.zarr_guard import guard_zarr
from gxsearch.errors import DataError, GxError

FORMATS = (".h5ad", ".zarr", ".csv", ".tsv", ".csv.gz", ".tsv.gz")


def load(path: str, *, base: Path | None = None) -> AnnData:
    """Read a data set as it is stored; values are judged by `checks`, not here.

    Args:
        path: built-in name (``pbmc68k``, ``sim_bulk?n=400&seed=1``), file or URI. Tables of text have observations
            as rows, row names in the first column and gene names in the header.
        base: folder that relative paths are looked up in before the working folder.

    Raises:
        DataError: E401 no such set, E402 damaged, E403 unknown format, E404 remote, E405 options, E44x text or shards.
        UnsafeError: E80x a file that reaches outside itself or declares impossible sizes.
    """
    if is_builtin(path):
        return load_builtin(path)
    if find_shards(path, base=base) is not None:
        raise DataError.one("E447", path, "shards are read by a search; here one file is needed", "name one of them")
    if is_uri(path):
        return _read(fetch(path), _format(public(path)), public(path))
    return _read(find(path, base=base), _format(path), path)


def find(path: str, *, base: Path | None = None, kind: str = "file or built-in set") -> Path:
    """Return the file that a relative or absolute path means; `kind` is what it is called in messages.

    Raises:
        DataError: E401 with the nearest names in that folder, or the nearest built-in set.
    """
    folders = [base, Path()] if base else [Path()]
    places = [folder / Path(path).expanduser() for folder in folders]
    for place in places:
        if place.exists():
            return place
    sets = SETS if "built-in" in kind else ()
    raise DataError.one("E401", path, f"there is no such {kind}", _nearest(path, places, sets))


def _nearest(path: str, places: list[Path], sets: Collection[str]) -> str:
    folders = {place.parent.resolve() for place in places}
    names = sorted({entry.name for folder in folders if folder.is_dir() for entry in folder.iterdir()})
    words = [*sets, *names] if Path(path).parent == Path() else names
    near = difflib.get_close_matches(Path(path).name, words, n=3, cutoff=0.5)
    if near:
        return "did you mean " + " or ".join(f"'{Path(path).parent / name}'" for name in near) + "?"
    if not any(folder.is_dir() for folder in folders):
        return f"there is no folder '{Path(path).parent}' either"
    return f"known sets: {', '.join(sets)}" if sets else "name a file beside this one, or by its whole path"


def _format(path: str) -> str:
    for ending in FORMATS:
        if path.lower().rstrip("/").endswith(ending):
            return ending
    raise DataError.one(
        "E403", path, "unknown format", f"known: {' '.join(FORMATS)}; scanpy reads others and writes .h5ad"
    )


def _read(place: Path, ending: str, source: str) -> AnnData:
    if not (place.is_dir() or place.is_file()):  # a pipe would be waited for without end
        raise DataError.one("E402", source, "is no file but a pipe, a socket or a device", "copy it into a file")
    if place.is_dir() != (ending == ".zarr"):
        raise DataError.one("E402", source, "is a folder" if place.is_dir() else "is not a folder of zarr arrays")
    try:
        with warnings.catch_warnings():
            # repeated names are reported by checks; older layouts of the file format are of no concern to a user
            warnings.filterwarnings("ignore", message=".*names are not unique", category=UserWarning)
            warnings.filterwarnings("ignore", category=FutureWarning)
            warnings.filterwarnings("ignore", category=PendingDeprecationWarning)
            return _read_as(place, ending, source)
    except GxError:  # already told
        raise
    except Exception as error:  # anndata, h5py and zarr raise two dozen kinds; told in one line, never hidden
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise DataError.one("E402", source, f"cannot be read: {reason}", "get or write the file again") from error


def _read_as(place: Path, ending: str, source: str) -> AnnData:
    if ending == ".zarr":
        guard_zarr(place, source)
        return anndata.read_zarr(place)
    if ending == ".h5ad":
        guard_hdf5(place, source)
        return anndata.read_h5ad(place)
    return read_text(place, "," if ending.startswith(".csv") else "\t", source)
