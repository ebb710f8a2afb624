"""Which genes are used: named in a file, seen in enough rows, most variable; decided on training rows only."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gxsearch.data.findings import Findings, counted, shown
from gxsearch.data.sources import find
from gxsearch.data.table import Genes
from gxsearch.data.values import Matrix
from gxsearch.errors import DataError, did_you_mean

BLOCK = 512


def read_genes(path: str, base: Path | None) -> list[str]:
    """Read gene names from a text file, one a line; blank lines are skipped.

    Raises:
        DataError: E401 no such file, E431 unreadable or without names.
    """
    try:
        lines = find(path, base=base).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError.one("E431", path, f"cannot be read as text: {error}") from None
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise DataError.one("E431", path, "names no genes", "write one gene name a line")
    return names


def check_genes(config: Genes, var_names: np.ndarray, base: Path | None, found: Findings) -> None:
    """Note a gene file that is missing or names unknown genes (E431) and asking for too many genes (E432)."""
    left = len(var_names)
    if config.file is not None:
        try:
            names = dict.fromkeys(read_genes(config.file, base))
        except DataError as error:
            found.faults.extend(error.faults)
            return
        known = set(var_names.tolist())
        unknown = [name for name in names if name not in known]
        if unknown:
            what = f"data.genes.file: {len(unknown)} of {counted(len(names), 'gene')} not in {found.source}"
            hint = did_you_mean(unknown[0], list(known)[:5000])
            found.setting("E431", f"{what}: {shown(unknown)}", hint if hint.startswith("did") else "remove them")
        left = len(names) - len(unknown)
    if config.top_variable is not None and config.top_variable > left:
        found.setting(
            "E432", f"data.genes.top_variable: {config.top_variable:,} of {counted(left, 'gene')}", "ask for fewer"
        )


def choose_genes(
    config: Genes, x_ng: Matrix, train: np.ndarray, var_names: np.ndarray, *, where: str, base: Path | None
) -> np.ndarray:
    """Return the indices of the genes used (g',), ascending: the order of the file is kept.

    Named genes first, then those with values other than zero in `min_cells` training rows, then the `top_variable`
    of largest variance of `x_ng` (n, g), transformed values, over the rows `train`; ties by name.

    Raises:
        DataError: E432 when too few genes are left.
    """
    named = np.ones(len(var_names), dtype=bool)
    if config.file is not None:
        named = np.isin(var_names, read_genes(config.file, base))
    keep = np.flatnonzero(named)
    if config.min_cells:
        keep = keep[_cells_g(x_ng[train])[keep] >= config.min_cells]
    wanted = max(config.top_variable or 1, 1)
    if len(keep) < wanted:
        what = f"data.genes: {counted(len(keep), 'gene')} of {len(var_names):,} left where {wanted:,} are wanted"
        raise DataError.one("E432", where, what, f"lower min_cells ({config.min_cells}) or top_variable")
    if config.top_variable is None:
        return keep
    var_g = variances(x_ng[train])[keep]
    return np.sort(keep[np.lexsort((var_names[keep], -var_g))[: config.top_variable]])


def variances(x_ng: Matrix) -> np.ndarray:
    """Return the variance of each gene over the rows (g,), float32; a constant gene has 0 exactly."""
    n, g = x_ng.shape
    by_gene = x_ng if isinstance(x_ng, np.ndarray) else x_ng.tocsc()
    var_g = np.zeros(g)
    for start in range(0, g, BLOCK):  # two passes in float64, a block of genes at a time
        block = by_gene[:, start : start + BLOCK]
        block = (block if isinstance(block, np.ndarray) else block.toarray()).astype(np.float64)
        var_g[start : start + BLOCK] = np.where(block.max(0) == block.min(0), 0.0, block.var(0))
    return var_g.astype(np.float32)  # the last digits of the sums depend on the order of the rows


def _cells_g(x_ng: Matrix) -> np.ndarray:
    return np.asarray((x_ng != 0).sum(axis=0)).ravel()
