"""Similar: which genes are alike to a model, by the angle between their vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import anndata
import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from gxsearch.data import h5ad
from gxsearch.data.ensembl import places
from gxsearch.errors import DataError, Fault, did_you_mean
from gxsearch.models.base import EmbedsGenes
from gxsearch.results import embed, package
from gxsearch.results.leaderboard import cell
from gxsearch.results.package import Package
from gxsearch.results.run_dir import RunDir, write_atomic
from gxsearch.results.vectors import gene_vectors

Measure = Literal["cosine", "pearson"]
SHOWN = 30
"""Genes of the report's picture."""
FAULTS = 10
"""Unknown genes that are told one by one."""


@dataclass(frozen=True)
class GeneVectors:
    """Vectors (g, k) of named genes, and the model that they are of."""

    model: str
    names: np.ndarray
    matrix: np.ndarray

    def similarity(self, rows: Sequence[int] | np.ndarray, measure: Measure = "cosine") -> np.ndarray:
        """Return the similarity of these genes (m,) to every gene (m, g), from -1 to 1.

        `pearson` centers every vector first. A vector without length is like nothing: 0.
        """
        x_gk = self.matrix.astype(np.float64)
        if measure == "pearson":
            x_gk = x_gk - x_gk.mean(1, keepdims=True)
        length_g1 = np.linalg.norm(x_gk, axis=1, keepdims=True)
        x_gk = x_gk / np.where(length_g1 > 0, length_g1, 1.0)
        return np.clip(x_gk[rows] @ x_gk.T, -1.0, 1.0)


@dataclass(frozen=True)
class Similar:
    """How genes are alike.

    Attributes:
        vectors: all that were compared.
        measure: cosine or pearson.
        among: similarity of the genes asked for, a row and a column a gene.
        nearest: gene, rank (1 is the nearest of all other genes), other, similarity.
    """

    vectors: GeneVectors
    measure: Measure
    among: pd.DataFrame
    nearest: pd.DataFrame


def similar(
    source: str | Path, names: Sequence[str], *, top: int = 10, measure: Measure = "cosine", number: int | None = None
) -> Similar:
    """Return how genes are alike to a run's best model, to that of another trial, or to an exported one.

    Args:
        names: genes by name, or by Ensembl id with or without its version.
        top: how many of the nearest genes each is given.

    Raises:
        DataError: naming every gene that the model lacks; when no gene is named, or the model has no vectors of genes.
    """
    vectors = read(source, number)
    if measure == "pearson" and vectors.matrix.shape[1] < 3:
        what = f"vectors of {vectors.matrix.shape[1]} dimensions are too short to correlate"
        raise DataError.one("E456", str(source), what, "use --measure cosine")
    rows = _rows(vectors, names, str(source))
    likeness_mg = vectors.similarity(rows, measure)
    asked = vectors.names[rows]
    among = pd.DataFrame(likeness_mg[:, rows], index=asked, columns=asked)
    nearest = [_nearest(vectors, row, likeness_g, top) for row, likeness_g in zip(rows, likeness_mg, strict=True)]
    return Similar(vectors, measure, among, pd.concat(nearest, ignore_index=True))


def read(source: str | Path, number: int | None = None) -> GeneVectors:
    """Return a model's gene vectors: from results/embeddings.h5ad, where it is of the best trial, else from the model.

    Raises:
        DataError: when the model has none.
    """
    run = RunDir(source)
    if number is None and run.run.is_file() and run.embeddings.is_file():
        name = run.facts()["spec"]["model"]
        found = gene_vectors(h5ad.read(run.embeddings, str(run.embeddings)), name)
        if found is not None:
            return GeneVectors(name, found.frame.index.to_numpy(str), found.matrix)
    own = package.open_package(source) if number is None else package.of_run(RunDir.open(source), number)
    if own.turned or own.view.axis == "var":
        return _embedded(own, run)
    if not isinstance(own.model, EmbedsGenes):
        what = f"the model {own.name} gives vectors to samples only, none to genes"
        raise DataError.one("E455", str(source), what, "compare genes with another model, or data.orientation: genes")
    return GeneVectors(own.name, own.genes.astype(str), own.model.gene_vectors())


def _embedded(own: Package, run: RunDir) -> GeneVectors:
    """Return the vectors of a run's genes by a model that reads genes as rows."""
    if not run.run.is_file():
        what = f"the model {own.name} gives vectors to the genes of data, and there are none beside it"
        raise DataError.one("E455", str(run.path), what, "give the run's folder")
    table = embed.again(run)
    return GeneVectors(own.name, table.obs_names if own.turned else own.genes, own.embed_table(table))


def most_variable(adata: anndata.AnnData, model: str, most: int = SHOWN) -> pd.DataFrame | None:
    """Return the cosine similarity of the most variable genes, like beside like; None of fewer than three genes.

    The order is that of the leaves of average linkage (Bar-Joseph et al. 2001).
    """
    found = gene_vectors(adata, model)
    if found is None or len(found.frame) < 3:
        return None
    rows = np.sort(np.argsort(-found.frame["variance"].to_numpy(), kind="stable")[:most])
    vectors = GeneVectors(model, found.frame.index.to_numpy(str)[rows], found.matrix[rows])
    likeness = vectors.similarity(np.arange(len(rows)))
    tree = linkage(squareform(1 - likeness, checks=False), "average", optimal_ordering=True)
    order = leaves_list(tree)
    return pd.DataFrame(likeness, index=vectors.names, columns=vectors.names).iloc[order, order]


def write(found: Similar, out: Path, *, force: bool = False) -> Path:
    """Write every pair that was told as CSV: gene, other, similarity, rank (blank unless among the nearest).

    Raises:
        DataError: when the file exists and is not to be replaced.
    """
    if out.exists() and not force:
        raise DataError.one("E454", str(out), "this file exists already", "give another -o, or --force to replace it")
    pairs = found.among.rename_axis("gene").reset_index().melt("gene", var_name="other", value_name="similarity")
    pairs = pairs[pairs["gene"] != pairs["other"]]
    merged = found.nearest.merge(pairs, how="outer", on=["gene", "other"], suffixes=("", "_"), sort=False)
    merged["similarity"] = merged["similarity"].fillna(merged.pop("similarity_"))
    order = {name: place for place, name in enumerate(found.among.index)}
    merged = merged.iloc[np.lexsort((-merged["similarity"], merged["gene"].map(order)))].astype({"rank": "Int64"})
    merged = merged[["gene", "other", "similarity", "rank"]].assign(**merged[["gene", "other"]].map(cell))
    write_atomic(out, merged.to_csv(index=False, lineterminator="\n", float_format="%.6f").encode())
    return out


def _rows(vectors: GeneVectors, names: Sequence[str], where: str) -> list[int]:
    """Return where the genes asked for stand, each once, in the order in which they were named."""
    names = list(dict.fromkeys(name.strip() for name in names if name.strip()))
    if not names:
        raise DataError.one("E456", where, "no gene is named", "name genes, or --list FILE")
    have = vectors.names.tolist()
    found, ambiguous = places(names, have)
    lost = [name for name, row in zip(names, found, strict=True) if row < 0]
    faults = [_unknown(name, have, where, ambiguous=name in ambiguous) for name in lost[:FAULTS]]
    if len(lost) > FAULTS:
        faults.append(Fault("E420", where, f"{len(lost) - FAULTS} more genes are not among those of the model"))
    if faults:
        raise DataError(faults)
    return list(dict.fromkeys(found))


def _unknown(name: str, have: list[str], where: str, *, ambiguous: bool) -> Fault:
    if ambiguous:
        return Fault("E420", where, f"several genes are versions of '{name}'", "name one with its version")
    same = next((known for known in have if known.lower() == name.lower()), None)
    hint = f"did you mean '{same}'?" if same else did_you_mean(name, have)
    return Fault("E420", where, f"no gene '{name}' among {len(have):,} of the model", hint)


def _nearest(vectors: GeneVectors, row: int, likeness_g: np.ndarray, top: int) -> pd.DataFrame:
    order = np.argsort(-likeness_g, kind="stable")
    order = order[order != row][:top]
    ranks = np.arange(1, len(order) + 1)
    head = {"gene": vectors.names[row], "rank": ranks}
    return pd.DataFrame(head | {"other": vectors.names[order], "similarity": likeness_g[order]})
