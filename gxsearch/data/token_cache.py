"""Large sets of tokens, encoded once into files of the user's cache and mapped from there."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import BinaryIO

import numpy as np

from gxsearch.data.cache import MANIFEST, MappedCSR
from gxsearch.data.remote import cache_folder
from gxsearch.data.token_values import TokenValues
from gxsearch.data.tokenizer import Tokenizer, Tokens
from gxsearch.data.values import row_blocks
from gxsearch.errors import ResourceError

LARGE = 64 << 20
"""Bytes of tokens from which on they are kept in files, so that trials and workers of one machine share them."""
_BYTES = 5
"""Bytes of a token: its bin and its gene."""
_PARTS = ("bin", "gene", "indptr")
_SUMS = "sums.json"
_CHECKED: set[Path] = set()
"""Folders whose sums this process has checked."""
_LOG = logging.getLogger(__name__)


def kept(tokenizer: Tokenizer, values: TokenValues) -> Tokens:
    """Return the tokens of values (n, g); many are written to ``tokens/<sha256>`` of the cache folder and mapped.

    The folder's name is a sum of values, genes and edges. It appears whole or not at all, and its files are checked
    against the sums beside them when a process first maps them; what is damaged is logged and made anew.

    Raises:
        ResourceError: E511 when the files cannot be written.
    """
    if values.matrix.nnz * _BYTES < LARGE:
        return tokenizer.encode(values())
    folder = cache_folder() / "tokens" / _key(tokenizer, values)
    if folder.is_dir():
        fault = _fault(folder)
        if fault is None:
            return _mapped(folder, len(tokenizer.genes))
        _CHECKED.discard(folder)
        _LOG.warning("%s: %s; the tokens are encoded again", folder, fault)
        shutil.rmtree(folder, ignore_errors=True)
    try:
        _publish(folder, tokenizer, values)
    except OSError as error:
        what, fix = f"the tokens cannot be written ({error})", "set GXSEARCH_CACHE to a folder with room for them"
        raise ResourceError.one("E511", str(folder), what, fix) from None
    return _mapped(folder, len(tokenizer.genes))


def _key(tokenizer: Tokenizer, values: TokenValues) -> str:
    x_ng = values.matrix
    told = [x_ng.shape, tokenizer.genes.tolist(), values.var_names.tolist(), tokenizer.edges.shape]
    digest = hashlib.sha256(json.dumps(told).encode())
    digest.update(np.ascontiguousarray(tokenizer.edges))
    digest.update(x_ng.indptr.astype(np.int64))
    if isinstance(x_ng, MappedCSR) and x_ng.folder is not None:  # its manifest has the sums of what may be 100 GB
        digest.update((x_ng.folder / MANIFEST).read_bytes())
        return digest.hexdigest()
    for start, block in row_blocks(x_ng):
        del start
        digest.update(np.ascontiguousarray(block.data))
        digest.update(block.indices.astype(np.int32))
    return digest.hexdigest()


def _publish(folder: Path, tokenizer: Tokenizer, values: TokenValues) -> None:
    """Write the files to a temporary name, synced, and rename them."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name[:16]}.", dir=folder.parent))
    try:
        _write(work, tokenizer, values)
        sums = {part: [_file(work, part).stat().st_size, _sum(_file(work, part))] for part in _PARTS}
        (work / _SUMS).write_text(json.dumps(sums))
        for path in work.iterdir():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
        try:
            work.rename(folder)
        except OSError:
            if _fault(folder) is not None:  # not that another process has been faster
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _write(work: Path, tokenizer: Tokenizer, values: TokenValues) -> None:
    """Encode and append block by block; the headers are written again when the number of tokens is known."""
    lengths = []
    with open(_file(work, "bin"), "wb") as bins, open(_file(work, "gene"), "wb") as genes:
        for file, kind in ((bins, np.uint8), (genes, np.int32)):
            _header(file, kind, 0)
        for block in values.blocks():
            tokens = tokenizer.encode(block)
            bins.write(tokens.bin.tobytes())
            genes.write(tokens.gene.tobytes())
            lengths.append(np.diff(tokens.indptr))
        indptr = np.append(0, np.cumsum(np.concatenate(lengths)))
        for file, kind in ((bins, np.uint8), (genes, np.int32)):
            file.seek(0)
            _header(file, kind, int(indptr[-1]))
    np.save(_file(work, "indptr"), indptr)


def _header(file: BinaryIO, kind: type, length: int) -> None:
    """Write the header of an array; numpy leaves room in it for a shape that grows."""
    told = {"descr": np.dtype(kind).str, "fortran_order": False, "shape": (length,)}
    np.lib.format.write_array_header_1_0(file, told)


def _fault(folder: Path) -> str | None:
    """Return what is wrong with a folder of tokens, or None."""
    try:
        sums = json.loads((folder / _SUMS).read_text())
        for part in _PARTS:
            size, digest = sums[part]
            if _file(folder, part).stat().st_size != size:
                return f"{part} has {_file(folder, part).stat().st_size:,} bytes, not {size:,}"
            if folder not in _CHECKED and _sum(_file(folder, part)) != digest:
                return f"{part} is not what was written"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"cannot be read ({error})"
    _CHECKED.add(folder)
    return None


def _mapped(folder: Path, n_genes: int) -> Tokens:
    parts = {part: np.load(_file(folder, part), mmap_mode="r", allow_pickle=False) for part in _PARTS}
    return Tokens(parts["bin"], parts["gene"], np.array(parts["indptr"]), n_genes)


def _sum(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _file(folder: Path, part: str) -> Path:
    return folder / f"{part}.npy"
