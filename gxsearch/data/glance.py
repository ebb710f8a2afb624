"""Glance: what a data set holds, seen without reading all of its values: matrices, columns, coordinates, names."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.io import read_elem

from gxsearch.data.builtin import is_builtin
from gxsearch.data.guard import guard_hdf5
from gxsearch.data.remote import fetch, is_uri, public
from gxsearch.data.shard import find_shards
from gxsearch.data.sources import find, load
from gxsearch.data.units import Numbers, look
from gxsearch.data.zarr_guard import guard_zarr
from gxsearch.errors import DataError, GxError

_SHARDS = 3
"""Shards of a corpus whose values are looked at: the first ones."""


@dataclass(frozen=True)
class Glance:
    """What a data set holds.

    Attributes:
        source: its name in messages. place: the file or folder that it is in; None where it is built in or remote.
        obs, var: the columns of rows and genes, under their names.
        numbers: X, if there is any, then every layer.
        spatial: keys of obsm with finite coordinates, two or three a row. odd: what else keeps it from being used.
        raw: whether `.raw` holds counts, which a spec cannot name.
        shards: number of files; 0 for one data set in one file.
    """

    source: str
    place: Path | None
    obs: pd.DataFrame
    var: pd.DataFrame
    numbers: list[Numbers]
    spatial: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    raw: bool = False
    shards: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and genes."""
        return len(self.obs), len(self.var)

    def of(self, layer: str | None) -> Numbers | None:
        """Return what X (None) or a layer holds; None where there is none."""
        return next((numbers for numbers in self.numbers if numbers.layer == layer), None)


def glance(path: str, *, base: Path | None = None) -> Glance:
    """Look at a data set: built-in name, file, folder or pattern of shards, or URI (which is fetched).

    Values of matrices of up to 2^24 of them are all looked at, of larger ones some; a table of text is read whole.

    Raises:
        DataError: E401-E405, E44x as `sources.load` and `shard.find_shards`; E462 a data set without rows or genes.
        UnsafeError: E80x a file that reaches outside itself or declares impossible sizes.
    """
    source = public(path)
    shards = find_shards(path, base=base)
    if shards is not None:
        parts = [_stored(shard.path, shard.source) for shard in shards[:_SHARDS]]
        rest = [shard.head(lambda name: True, lambda name: False).obs for shard in shards[_SHARDS:]]
        first, obs = parts[0], pd.concat([*(part.obs for part in parts), *rest], join="inner")
        numbers = [_merged([part.of(one.layer) for part in parts]) for one in first.numbers]
        place = Path(path).expanduser()
        seen = Glance(source, place, obs, first.var, numbers, first.spatial, first.odd, first.raw, len(shards))
        return _sized(seen)
    if is_builtin(path):
        return _sized(_in_memory(load(path), source, None))
    place = fetch(path) if is_uri(path) else find(path, base=base)
    if place.suffix in (".h5ad", ".zarr") and place.suffix == Path(source.rstrip("/")).suffix:
        return _sized(_stored(place, source, remote=is_uri(path)))
    return _sized(_in_memory(load(path, base=base), source, None if is_uri(path) else place))


def _sized(seen: Glance) -> Glance:
    if not all(seen.shape):
        what = f"has {seen.shape[0]:,} rows and {seen.shape[1]:,} genes"
        raise DataError.one("E462", seen.source, what, "there is nothing to learn from")
    return seen


def _merged(found: list[Numbers | None]) -> Numbers:
    """Return the first matrix's, with what is worse of the others: shards are of one kind if they were made alike."""
    worst = ("none", "signed", "scaled", "linear", "logged", "counts")
    there = [numbers for numbers in found if numbers is not None]
    kept = min(there, key=lambda numbers: worst.index(numbers.kind))
    return Numbers(kept.layer, kept.form, kept.kind, kept.low, kept.high, kept.zeros, kept.gaps, kept.infinite, 0.5)


def _in_memory(adata: AnnData, source: str, place: Path | None) -> Glance:
    numbers = [look(adata.X, None)] if adata.X is not None else []
    numbers += [look(adata.layers[name], name) for name in adata.layers]
    obsm = {str(key): adata.obsm[key] for key in adata.obsm}
    spatial = [key for key in obsm if _are_coordinates(key, obsm[key])]
    return Glance(source, place, adata.obs, adata.var, numbers, spatial, _odd(adata.obs, adata.var))


def _stored(place: Path, source: str, *, remote: bool = False) -> Glance:
    with _opened(place, source) as file:
        if str(file["obs"].attrs.get("encoding-version")) != "0.2.0":  # a layout of before 2020: anndata knows it
            return _in_memory(load(str(place)), source, None if remote else place)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            frames = {part: read_elem(file[part]) for part in ("obs", "var")}
        for frame in frames.values():
            frame.index = frame.index.astype(str)
        numbers = [look(file["X"], None)] if "X" in file else []
        layers = [str(name) for name in file["layers"]] if "layers" in file else []
        numbers += [look(file["layers"][name], name) for name in layers]
        raw = "raw" in file and "X" in file["raw"] and look(file["raw"]["X"], None).kind == "counts"
        keys = [str(key) for key in file["obsm"]] if "obsm" in file else []
        spatial = [key for key in keys if _is_spatial(key) and _are_coordinates(key, read_elem(file["obsm"][key]))]
    odd = _odd(frames["obs"], frames["var"])
    return Glance(source, None if remote else place, frames["obs"], frames["var"], numbers, spatial, odd, raw)


@contextmanager
def _opened(place: Path, source: str) -> Iterator[Any]:
    """Open a file after it was looked at for harm; what goes wrong while it is read is told in one line (E402)."""
    try:
        if place.suffix == ".zarr":
            guard_zarr(place, source)
            import zarr  # a third of a second

            file = zarr.open_group(str(place), mode="r")
            _check_parts(file, source)
            yield file
            return
        guard_hdf5(place, source)
        with h5py.File(place, "r") as file:
            _check_parts(file, source)
            yield file
    except GxError:
        raise
    except Exception as error:  # anndata, h5py and zarr raise two dozen kinds; told in one line, never hidden
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise DataError.one("E402", source, f"cannot be read: {reason}", "get or write the file again") from error


def _check_parts(file: Any, source: str) -> None:
    for part in ("obs", "var"):
        if part not in file:
            raise DataError.one("E402", source, f"is no AnnData: it has no {part}", "write it with anndata")


def _is_spatial(key: str) -> bool:
    return any(word in key.lower() for word in ("spatial", "coord", "centroid", "xy"))


def _are_coordinates(key: str, values: Any) -> bool:
    """Tell whether a matrix of obsm holds places: by its name, and two or three finite numbers a row."""
    if not _is_spatial(key) or len(getattr(values, "shape", ())) != 2 or values.shape[1] not in (2, 3):
        return False
    array = np.asarray(values)
    return array.dtype.kind in "fiu" and bool(np.isfinite(array).all()) and bool(np.ptp(array, axis=0).any())


def _odd(obs: pd.DataFrame, var: pd.DataFrame) -> list[str]:
    """Return what is wrong with names: no model can use the data before that is put right."""
    found = []
    for part, frame in (("obs_names", obs), ("var_names", var)):
        twice = int(frame.index.duplicated().sum())
        if twice:
            found.append(f"{twice:,} {part} are used more than once: adata.{part}_make_unique()")
    return found
