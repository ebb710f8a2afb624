"""Large sets of tokens, encoded once into files of the user's cache and mapped from there."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from scipy import sparse

from gxsearch.data.remote import cache_folder
from gxsearch.data.tokenizer import Tokenizer, Tokens
from gxsearch.errors import ResourceError

LARGE = 64 << 20
"""Bytes of tokens from which on they are kept in files, so that trials and workers of one machine share them."""
_BYTES = 5
"""Bytes of a token: its bin and its gene."""
_PARTS = ("bin", "gene", "indptr")
_SUMS = "sums.json"
_LOG = logging.getLogger(__name__)


def kept(tokenizer: Tokenizer, x_ng: sparse.csr_matrix) -> Tokens:
    """Return the tokens of values (n, g); many are written to ``tokens/<sha256>`` of the cache folder and mapped.

    The folder's name is a sum of values, genes and edges. It appears whole or not at all, and its files are checked
    against the sums beside them whenever they are mapped; what is damaged is logged and made anew.
    """
    if x_ng.nnz * _BYTES < LARGE:
        return tokenizer.encode(x_ng)
    folder = cache_folder() / "tokens" / _key(tokenizer, x_ng)
    if folder.is_dir():
        fault = _fault(folder)
        if fault is None:
            return _mapped(folder, len(tokenizer.genes))
        _LOG.warning("%s: %s; the tokens are encoded again", folder, fault)
        shutil.rmtree(folder, ignore_errors=True)
    _write(folder, tokenizer.encode(x_ng))
    return _mapped(folder, len(tokenizer.genes))


def _key(tokenizer: Tokenizer, x_ng: sparse.csr_matrix) -> str:
    edges, told = tokenizer.edges, json.dumps([x_ng.shape, tokenizer.genes.tolist()])
    digest = hashlib.sha256(told.encode())
    for values in (x_ng.data, x_ng.indices.astype(np.int32, copy=False), x_ng.indptr.astype(np.int64), edges):
        digest.update(str(values.shape).encode())
        digest.update(np.ascontiguousarray(values))
    return digest.hexdigest()


def _write(folder: Path, tokens: Tokens) -> None:
    """Write the files to a temporary name, synced, and rename them.

    Raises:
        ResourceError: E511 when they cannot be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name[:16]}.", dir=folder.parent))
    try:
        for part in _PARTS:
            np.save(_file(work, part), {"bin": tokens.bin, "gene": tokens.gene, "indptr": tokens.indptr}[part])
        sums = {part: [_file(work, part).stat().st_size, _sum(_file(work, part))] for part in _PARTS}
        (work / _SUMS).write_text(json.dumps(sums))
        for path in work.iterdir():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
        work.rename(folder)
    except OSError as error:
        if not folder.is_dir() or _fault(folder) is not None:
            what, fix = f"the tokens cannot be written ({error})", "set GXSEARCH_CACHE to a folder with room for them"
            raise ResourceError.one("E511", str(folder), what, fix) from None
        _LOG.info("%s: another process has written it meanwhile", folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _fault(folder: Path) -> str | None:
    """Return what is wrong with a folder of tokens, or None."""
    try:
        sums = json.loads((folder / _SUMS).read_text())
        for part in _PARTS:
            size, digest = sums[part]
            if _file(folder, part).stat().st_size != size:
                return f"{part} has {_file(folder, part).stat().st_size:,} bytes, not {size:,}"
            if _sum(_file(folder, part)) != digest:
                return f"{part} is not what was written"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"cannot be read ({error})"
    return None


def _mapped(folder: Path, n_genes: int) -> Tokens:
    parts = {part: np.load(_file(folder, part), mmap_mode="r") for part in _PARTS}
    return Tokens(parts["bin"], parts["gene"], np.array(parts["indptr"]), n_genes)


def _sum(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _file(folder: Path, part: str) -> Path:
    return folder / f"{part}.npy"
