"""Reads .h5ad files with care, and writes them whole or not at all, and only where the user allowed it."""

from __future__ import annotations

import os
from pathlib import Path

import anndata
from anndata import AnnData

from gxsearch.data.guard import guard_hdf5
from gxsearch.errors import DataError, GxError, UnsafeError


def read(path: Path, source: str) -> AnnData:
    """Read a file, after `guard_hdf5` has looked at it. `source` is its name in messages.

    Raises:
        DataError: E402 when it is damaged. UnsafeError: E80x.
    """
    try:
        guard_hdf5(path, source)
        return anndata.read_h5ad(path)
    except GxError:  # already told
        raise
    except Exception as error:  # anndata and h5py raise two dozen kinds; told in one line, never hidden
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise DataError.one("E402", source, f"cannot be read: {reason}", "get or write the file again") from error


def check_out(out: Path, *, force: bool) -> None:
    """Refuse an output that must not be written; to be asked before the work is done.

    Raises:
        DataError: E453 no .h5ad file, E454 it exists already and `force` is not given.
        UnsafeError: E811 a link.
    """
    if out.is_symlink():
        raise UnsafeError.one("E811", str(out), "the output file is a link", "give the file it points to")
    if out.suffix != ".h5ad":
        raise DataError.one("E453", str(out), "the output must be an .h5ad file", "-o OUT.h5ad")
    if out.exists() and not force:
        raise DataError.one("E454", str(out), "this file exists already", "give another -o, or --force to replace it")


def write(adata: AnnData, path: Path, *, keep_text: bool = False) -> None:
    """Write the whole file or nothing; folders that are missing are made.

    Args:
        keep_text: columns of text stay text, where anndata makes categories of them, in memory too. Those of Python
            objects some of which are missing cannot be written as they are and become categories in the file.
    """
    if keep_text:
        adata = _storable(adata)
    path.parent.mkdir(parents=True, exist_ok=True)
    work = path.with_name(f".{path.stem}.{os.getpid()}.tmp.h5ad")
    try:
        with anndata.settings.override(allow_write_nullable_strings=True):
            adata.write_h5ad(work, convert_strings_to_categoricals=not keep_text)
        work.replace(path)
    finally:
        work.unlink(missing_ok=True)


def _storable(adata: AnnData) -> AnnData:
    """Return an AnnData without columns of text objects some of which are missing: a copy, where it has any."""
    frames = {"obs": adata.obs, "var": adata.var}
    odd = {
        kind: [name for name in frame if frame[name].dtype == object and frame[name].isna().any()]
        for kind, frame in frames.items()
    }
    if not any(odd.values()):
        return adata
    adata = adata.copy()
    for kind, names in odd.items():
        frame = getattr(adata, kind)
        for name in names:
            frame[name] = frame[name].astype("category")
    return adata
