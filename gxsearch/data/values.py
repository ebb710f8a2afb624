"""The stored matrix of an AnnData: found, structurally sound, finite, as CSR or dense float32."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from gxsearch.data.findings import Findings, counted, shown
from gxsearch.errors import did_you_mean

Matrix = np.ndarray | sparse.csr_matrix
BLOCK = 1024  # rows looked at together, so that no second whole matrix is made
FLOAT32 = np.finfo(np.float32)


def read_values(
    adata: AnnData,
    layer: str | None,
    found: Findings,
    *,
    allow_negative: bool,
    allow_missing: bool = False,
    option: str = "data.layer",
) -> Matrix | None:
    """Return X or a layer (n, g) as float32, dense C-contiguous or CSR with sorted indices; None if it is faulty.

    `option` is what names the layer, for messages. With `allow_missing` NaN is no fault.

    Faults noted: E410 not there, E411 damaged structure or no numbers, E412 NaN or Inf, E413 negative values,
    E417 values beyond float32.
    """
    part = f"layers/{layer}" if layer else "X"
    stored = _stored(adata, layer, found, option)
    if stored is None:
        return None
    matrix = sound(stored, part, found)
    if matrix is None:
        return None
    check = NumberCheck(negative=None if allow_negative else negative_fix(option), gaps=allow_missing)
    check.add(matrix, adata.obs_names, adata.var_names)
    return as_float32(matrix) if check.report(part, found) else None


def negative_fix(option: str = "data.layer") -> str:
    """Return what to do about negative values where none may be; `option` names the layer."""
    more = " without a transform, data.allow_negative: true takes them" if option == "data.layer" else ""
    return f"is {option} right?{more}"


def as_float32(matrix: Matrix) -> Matrix:
    """Return the values as float32, dense ones C-contiguous; no copy where they are so already."""
    return (
        matrix.astype(np.float32, order="C", copy=False) if _is_dense(matrix) else matrix.astype(np.float32, copy=False)
    )


def row_blocks(x_ng: Matrix) -> Iterator[tuple[int, Matrix]]:
    """Yield the number of the first row and the rows, a block at a time."""
    for start in range(0, x_ng.shape[0], BLOCK):
        yield start, x_ng[start : start + BLOCK]


def number_blocks(x_ng: Matrix) -> Iterator[np.ndarray]:
    """Yield all numbers that are stored, in pieces of any shape."""
    if _is_dense(x_ng):
        yield from (block for _, block in row_blocks(x_ng))
    else:
        step = BLOCK * 1024
        yield from (x_ng.data[start : start + step] for start in range(0, len(x_ng.data), step))


def row_totals(x_ng: Matrix) -> np.ndarray:
    """Return the sum of each row (n,), float64."""
    return np.asarray(x_ng.sum(axis=1, dtype=np.float64)).ravel()


def row_keys(x_ng: Matrix) -> list[bytes]:
    """Return a hash of each row's values, the same for dense and sparse rows; rows without values give b''."""
    keys = []
    for _, block in row_blocks(x_ng):
        rows = _plain_csr(block)
        for low, high in zip(rows.indptr[:-1], rows.indptr[1:], strict=True):
            values = rows.indices[low:high].tobytes() + rows.data[low:high].tobytes()
            keys.append(hashlib.blake2b(values, digest_size=16).digest() if values else b"")
    return keys


def fingerprint(keys: list[bytes], obs_names: np.ndarray, var_names: np.ndarray) -> str:
    """Return the sha256 of values (as `row_keys`) and names; dense and sparse copies agree."""
    digest = hashlib.sha256()
    for names in (obs_names, var_names):
        digest.update("\0".join(names.tolist()).encode() + b"\1")
    for key in keys:
        digest.update(key or bytes(16))
    return digest.hexdigest()


def are_whole(x_ng: Matrix) -> bool:
    """Tell whether all values, NaN apart, are whole numbers."""
    return all(bool(((values == np.round(values)) | np.isnan(values)).all()) for values in number_blocks(x_ng))


def largest(x_ng: Matrix) -> float:
    """Return the largest absolute value, NaN apart; 0 for a matrix without values."""
    return max((float(np.fmax.reduce(np.abs(values), None, initial=0)) for values in number_blocks(x_ng)), default=0.0)


def _is_dense(matrix: Matrix) -> bool:
    return isinstance(matrix, np.ndarray)


def _plain_csr(block: Matrix) -> sparse.csr_matrix:
    rows = sparse.csr_matrix(block, dtype=np.float32, copy=True)
    rows.eliminate_zeros()
    rows.indices = rows.indices.astype(np.int32, copy=False)
    return rows


def _stored(adata: AnnData, layer: str | None, found: Findings, option: str) -> object | None:
    if layer is None:
        if adata.X is None:
            have = f"{option} can be {shown(adata.layers, 5)}" if adata.layers else "the file holds no values"
            found.content("E410", "X", "X is empty", have)
        return adata.X
    if layer not in adata.layers:
        hint = did_you_mean(layer, adata.layers) or f"the file has no layers: leave {option} out"
        found.setting("E410", f"{option}: {found.source} has no layer '{layer}'", hint)
        return None
    return adata.layers[layer]


def sound(stored: object, part: str, found: Findings) -> Matrix | None:
    """Return the matrix as ndarray or canonical CSR, never touching values of a broken structure.

    None, and E411 noted, where it is broken or holds no real numbers.
    """
    if isinstance(stored, pd.DataFrame):
        stored = stored.to_numpy()
    if not sparse.issparse(stored):
        stored = np.asarray(stored)
    if stored.dtype.kind not in "fiub":
        found.content("E411", part, f"holds {stored.dtype.name} values", "real numbers are needed")
        return None
    if _is_dense(stored):
        return stored
    try:
        if stored.format in ("csr", "csc"):
            stored.check_format(full_check=True)
    except ValueError as error:
        found.content("E411", part, f"has a damaged sparse structure: {error}", "write the file again")
        return None
    return _canonical(stored, part, found)


def _canonical(stored: sparse.spmatrix, part: str, found: Findings) -> sparse.csr_matrix | None:
    matrix = sparse.csr_matrix(stored)  # from CSC: one conversion, indices sorted
    if not matrix.has_sorted_indices:
        matrix = matrix.sorted_indices()
    if matrix.has_canonical_format:
        return matrix
    same_row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    twice = (np.diff(matrix.indices) == 0) & (np.diff(same_row) == 0)
    what = f"{counted(int(twice.sum()), 'value')} stored twice in one place"
    found.content("E411", part, what, "X.sum_duplicates() if they are to be added")
    return None


class NumberCheck:
    """Counts values that are not finite, too large or, with a fix for them, negative; block after block of rows.

    `gaps` allows NaN.
    """

    def __init__(self, *, negative: str | None, gaps: bool):
        finite = ("E412", lambda v: ~np.isfinite(v), "NaN or infinite", "drop or fill these before the search")
        self._tests: list[tuple[str, Callable, str, str]] = [
            ("E412", np.isinf, "infinite", "drop or fill these before the search") if gaps else finite,
            ("E417", lambda v: np.isfinite(v) & (np.abs(v) > FLOAT32.max), "beyond float32", "rescale the data"),
        ]
        if negative is not None:
            self._tests.append(("E413", lambda v: v < 0, "negative", negative))
        self._found: list[tuple[int, list[str]]] = [(0, [])] * len(self._tests)

    def add(self, matrix: Matrix, obs_names: Sequence[str], var_names: Sequence[str]) -> bool:
        """Look at further rows; return whether all of their values can be used."""
        whole = True
        for i, (_, is_bad, _, _) in enumerate(self._tests):
            if not any(is_bad(values).any() for values in number_blocks(matrix)):
                continue
            total, places = _offenders(matrix, is_bad, obs_names, var_names)
            self._found[i] = (self._found[i][0] + total, [*self._found[i][1], *places][:3])
            whole = False
        return whole

    def report(self, part: str, found: Findings) -> bool:
        """Note what was found; return whether all values can be used."""
        for (code, _, adjective, fix), (total, places) in zip(self._tests, self._found, strict=True):
            if total:
                text = ", ".join(places) + (", ..." if total > len(places) else "")
                found.content(code, part, f"{counted(total, 'value')} {adjective}: {text}", fix)
        return not any(total for total, _ in self._found)


def _offenders(
    matrix: Matrix, is_bad: Callable, obs_names: Sequence[str], var_names: Sequence[str]
) -> tuple[int, list[str]]:
    total, places = 0, []
    for start, block in row_blocks(matrix):
        if _is_dense(block):
            row_e, gene_e = np.nonzero(is_bad(block))
        else:
            bad_e = is_bad(block.data)
            row_e = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))[bad_e]
            gene_e = block.indices[bad_e]
        total += len(row_e)
        for row, gene in zip(row_e[: 3 - len(places)], gene_e, strict=False):
            value = float(block[row, gene])
            places.append(f"row '{obs_names[start + row]}' gene '{var_names[gene]}' is {value:g}")
    return total, places
