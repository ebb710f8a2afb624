"""From a corpus to its cached values: checked, transformed, genes chosen; made once per content and settings."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from gxsearch.data.cache import MappedCSR, Writer, check_space, facts_of, kept
from gxsearch.data.checks import check_zero_rows, remark
from gxsearch.data.corpus import Corpus
from gxsearch.data.findings import Findings
from gxsearch.data.genes import pick_genes, read_genes
from gxsearch.data.survey import Summary
from gxsearch.data.table import DataConfig
from gxsearch.errors import DataError, ResourceError

FORMAT = 1
"""Raised when what is written, or how it is worked out, changes: what is cached then is made again."""
TOTALS = "totals.npy"


@dataclass(frozen=True)
class Values:
    """The values of a corpus, and what was learnt of them.

    Attributes:
        x_ng: transformed values of the chosen genes. keep: these genes' indices. total_n: sums of stored values.
        target: that of normalize; None if it is no step.
    """

    x_ng: MappedCSR
    keep: np.ndarray
    total_n: np.ndarray
    target: float | None
    summary: Summary


def values_of(
    corpus: Corpus, config: DataConfig, train: np.ndarray, found: Findings, *, base: Path | None, allow_negative: bool
) -> Values:
    """Return the values of a corpus, from the cache if they are there; note what is odd about them.

    Memory is bounded by a block of rows, besides some tens of bytes per row and gene. `train` are the training rows.

    Raises:
        DataError: by shard, with all that is wrong with the values; E432 too few genes; E446 a shard changed meanwhile.
        ResourceError: E511 the cache has no room, or cannot be written to.
    """
    build = _Build(corpus, config, train, found, base, allow_negative and not config.transform)
    try:
        folder = kept(build.key(), build.write)
    except OSError as error:  # of the cache: what goes wrong with a shard is told with its name
        reason = error.strerror or type(error).__name__
        what = f"the corpus cannot be cached ({reason})"
        raise ResourceError.one("E511", str(error.filename or ""), what, "set GXSEARCH_CACHE to a folder") from None
    told = facts_of(folder)
    summary = Summary.from_json(told["summary"])
    check_zero_rows(summary.zero, config, found)
    most, whole = summary.largest, summary.whole
    remark(corpus.adata, config, found, most=most, whole=whole, constant=summary.constant)
    totals = np.load(folder / TOTALS, allow_pickle=False)
    return Values(MappedCSR.open(folder), np.array(told["genes"], dtype=np.int64), totals, told["target"], summary)


@dataclass(frozen=True)
class _Build:
    corpus: Corpus
    config: DataConfig
    train: np.ndarray
    found: Findings
    base: Path | None
    allow_negative: bool

    def key(self) -> str:
        """Return what names the cached values: it depends on all that they do."""
        config, genes = self.config, self.config.genes
        told: dict[str, Any] = {"format": FORMAT, "shards": self.corpus.stamps(), "negative": self.allow_negative}
        told |= {"layer": config.layer, "transform": config.transform, "genes": genes.model_dump()}
        told["named"] = None if genes.file is None else read_genes(genes.file, self.base)
        learns = "normalize" in config.transform or _chooses(config)
        told["train"] = hashlib.sha256(self.train.tobytes()).hexdigest() if learns else None
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:24]

    def write(self, folder: Path) -> None:
        """Read the corpus, twice or three times, and write it to a folder."""
        corpus, config, before = self.corpus, self.config, self.corpus.stamps()
        here = Findings(self.found.where, self.found.source)
        survey = corpus.survey(config, here, allow_negative=self.allow_negative)
        here.stop_if_faulty()
        obs_names, var_names = (
            np.array(names, dtype=str) for names in (corpus.adata.obs_names, corpus.adata.var_names)
        )
        summary = survey.summary(obs_names, var_names)
        check_zero_rows(summary.zero, config, here)
        here.stop_if_faulty()
        target = float(np.median(survey.total_n[self.train])) if "normalize" in config.transform else None
        keep = self._genes(target, var_names)
        n_values = int(survey.stored_g[keep].sum())
        check_space(n_values)
        writer = Writer(folder, len(keep), most=n_values)
        try:
            for _, block in corpus.transformed(config, target):
                writer.add(_chosen(block, keep))
            writer.keep(TOTALS, survey.total_n)
            if corpus.stamps() != before:
                what = "a shard was changed while it was read"
                raise DataError.one("E446", self.found.source, what, "try again when it is complete")
            writer.close({"genes": keep.tolist(), "target": target, "summary": summary.to_json()})
        finally:
            writer.abandon()

    def _genes(self, target: float | None, var_names: np.ndarray) -> np.ndarray:
        config = self.config
        chooses = _chooses(config)
        measures = self.corpus.moments(config, target, self.train) if chooses else None
        return pick_genes(config.genes, measures, var_names, where=self.found.where, base=self.base)


def _chooses(config: DataConfig) -> bool:
    """Whether genes are chosen by their values."""
    genes = config.genes
    return bool(genes.min_cells or genes.min_detected or genes.top_variable)


def _chosen(block: Any, keep: np.ndarray) -> sparse.csr_matrix:
    """Return these genes of a block without stored zeros."""
    cut = sparse.csr_matrix(block if len(keep) == block.shape[1] else block[:, keep], dtype=np.float32)
    if (cut.data == 0).any():
        cut = cut.copy()  # a block of all genes is the corpus' own
        cut.eliminate_zeros()
    if not cut.has_sorted_indices:
        cut = cut.sorted_indices()
    return cut
