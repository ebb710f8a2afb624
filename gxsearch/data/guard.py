"""Refuses HDF5 files that would read other files, blow up memory or never end, before any value is read."""

from __future__ import annotations

from pathlib import Path

import h5py

from gxsearch.errors import Fault, UnsafeError

FREE_BYTES = 64 * 2**20
RATIO = 2000  # deflate packs at most 1032 : 1; a declared size far beyond what is stored is a memory bomb


def guard_hdf5(path: Path, source: str) -> None:
    """Check links, storage and declared sizes of an HDF5 file; values are not read. `source` is its name in messages.

    Raises:
        UnsafeError: E801 a link or storage outside the file, E802 a declared size that cannot be, E803 a loop.
        OSError: when it is no HDF5 file or is cut short.
    """
    faults: list[Fault] = []
    with h5py.File(path, "r") as file:
        _walk(file, source, faults, above=[])
    if faults:
        raise UnsafeError(faults)


def _walk(group: h5py.Group, source: str, faults: list[Fault], above: list[object]) -> None:
    for name in group:
        link = group.get(name, getlink=True)
        where = f"{source}!{group.name.rstrip('/')}/{name}"
        if isinstance(link, h5py.ExternalLink):
            faults.append(
                Fault("E801", where, f"links to another file, '{link.filename}'", "copy the data into the file")
            )
            continue
        item = group[name]
        if isinstance(item, h5py.Dataset):
            _check_dataset(item, where, faults)
        elif item in above or item == group:
            faults.append(
                Fault("E803", where, "links back to a group that holds it", "write the file anew with anndata")
            )
        else:
            _walk(item, source, faults, [*above, group])


def _check_dataset(item: h5py.Dataset, where: str, faults: list[Fault]) -> None:
    if item.external or item.is_virtual:
        faults.append(Fault("E801", where, "keeps its values in another file", "copy the data into the file"))
    elif item.nbytes > FREE_BYTES + RATIO * item.id.get_storage_size():
        stored = f"declares {item.nbytes:,} bytes and stores {item.id.get_storage_size():,}"
        faults.append(Fault("E802", where, stored, "the file is damaged or made to fill the memory"))
