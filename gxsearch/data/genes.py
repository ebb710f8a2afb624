"""Which genes are used: named in a file, seen in enough rows, most variable; decided on training rows only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from gxsearch.data.ensembl import places
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
        lines = find(path, base=base, kind="file of genes").read_text(encoding="utf-8-sig").splitlines()
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
            names = list(dict.fromkeys(read_genes(config.file, base)))
        except DataError as error:
            found.faults.extend(error.faults)
            return
        left = _check_names(config, names, var_names.tolist(), found)
    if config.top_variable is not None and config.top_variable > left:
        found.setting(
            "E432", f"data.genes.top_variable: {config.top_variable:,} of {counted(left, 'gene')}", "ask for fewer"
        )


def _check_names(config: Genes, names: list[str], have: list[str], found: Findings) -> int:
    """Note listed genes that the data lack, or have several times; return how many genes the list leaves."""
    place, ambiguous = places(names, have)
    if ambiguous:
        what = f"several genes of {found.source} fit {counted(len(ambiguous), 'name')}: {shown(ambiguous)}"
        found.setting("E431", f"data.genes.file: {what}", "name them with their versions")
    unknown = [name for name, i in zip(names, place, strict=True) if i < 0 and name not in ambiguous]
    if unknown:
        what = f"data.genes.file: {len(unknown)} of {counted(len(names), 'gene')} not in {found.source}"
        hint = did_you_mean(unknown[0], have[:5000])
        fixes = [hint] if hint.startswith("did") else ["remove them"]
        if len(unknown) == len(names) or config.require_all:
            fixes += ["data.genes.require_all: false passes over them"] if len(unknown) < len(names) else []
            found.setting("E431", f"{what}: {shown(unknown)}", "; ".join(fixes))
        else:
            found.warn(f"{what}: {shown(unknown)}")
    return len({i for i in place if i >= 0})


def choose_genes(
    config: Genes, x_ng: Matrix, train: np.ndarray, var_names: np.ndarray, *, where: str, base: Path | None
) -> np.ndarray:
    """Return the indices of the genes used (g',), ascending: the order of the file is kept.

    Named genes first, then those with values other than zero in `min_cells` training rows and detected in the share
    `min_detected` of them, then the `top_variable` of largest variance of `x_ng` (n, g), transformed values, over the
    rows `train`; ties by name. With `data.orientation: genes`, `train` are all samples: none of them is held out.

    Raises:
        DataError: E432 when too few genes are left.
    """
    return pick_genes(config, _Rows(x_ng, train), var_names, where=where, base=base)


class Measures(Protocol):
    """What genes are chosen by, of transformed values over training rows, (g,) each."""

    def cells(self) -> np.ndarray:
        """Return the number of rows with a value other than zero."""

    def detected(self) -> np.ndarray:
        """Return the share of rows above the smallest value of all, or above zero."""

    def variances(self) -> np.ndarray:
        """Return the variances, float32."""


def pick_genes(
    config: Genes, measures: Measures, var_names: np.ndarray, *, where: str, base: Path | None
) -> np.ndarray:
    """Return what `choose_genes` does from measures that are known already; those not needed are not asked for."""
    named = np.ones(len(var_names), dtype=bool)
    if config.file is not None:
        place, _ = places(read_genes(config.file, base), var_names.tolist())
        named = np.isin(np.arange(len(var_names)), place)
    keep = np.flatnonzero(named)
    if config.min_cells:
        keep = keep[measures.cells()[keep] >= config.min_cells]
    if config.min_detected:
        keep = keep[measures.detected()[keep] >= config.min_detected]
    wanted = max(config.top_variable or 1, 1)
    if len(keep) < wanted:
        what = f"data.genes: {counted(len(keep), 'gene')} of {len(var_names):,} left where {wanted:,} are wanted"
        fix = f"lower min_cells ({config.min_cells}), min_detected ({config.min_detected:g}) or top_variable"
        raise DataError.one("E432", where, what, fix)
    if config.top_variable is None:
        return keep
    var_g = measures.variances()[keep]
    return np.sort(keep[np.lexsort((var_names[keep], -var_g))[: config.top_variable]])


def variances(x_ng: Matrix) -> np.ndarray:
    """Return the variance of each gene over the rows (g,), float32; a constant gene has 0 exactly."""
    n, g = x_ng.shape
    by_gene = x_ng if isinstance(x_ng, np.ndarray) else x_ng.tocsc()
    var_g = np.zeros(g)
    for start in range(0, g, BLOCK):  # two passes in float64, a block of genes at a time
        block = by_gene[:, start : start + BLOCK]
        block = (block if isinstance(block, np.ndarray) else block.toarray()).astype(np.float64)
        if np.isnan(block).any():  # values that were not measured, which few views take
            block = np.ma.masked_invalid(block)
        var_g[start : start + BLOCK] = np.where(block.max(0) == block.min(0), 0.0, block.var(0))
    return var_g.astype(np.float32)  # the last digits of the sums depend on the order of the rows


def detected(x_ng: Matrix) -> np.ndarray:
    """Return the share of the rows (g,) in which a gene is above the smallest value of all, or above zero.

    Values that may be negative, as log2(TPM + 0.001), have a floor of their own, at which nothing was seen.
    """
    floor = min(0.0, float(x_ng.min()))  # 0 where values are missing
    if floor < 0 and not isinstance(x_ng, np.ndarray):
        x_ng = x_ng.toarray()  # zeros are above the floor, so nothing is saved by leaving them out
    return np.asarray((x_ng > floor).sum(axis=0)).ravel() / x_ng.shape[0]


@dataclass(frozen=True)
class _Rows:
    """The measures of rows of a matrix in memory."""

    x_ng: Matrix
    rows: np.ndarray

    def cells(self) -> np.ndarray:
        return np.asarray((self.x_ng[self.rows] != 0).sum(axis=0)).ravel()

    def detected(self) -> np.ndarray:
        return detected(self.x_ng[self.rows])

    def variances(self) -> np.ndarray:
        return variances(self.x_ng[self.rows])
