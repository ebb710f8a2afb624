"""Table: a data set as plain arrays, prepared once and shared by all trials; and the settings that say how."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from scipy import sparse

from gxsearch.config import Config, knob

PARTS = ("train", "val", "test")
DENSE_VALUES = 1 << 29
"""Values, 2 GiB of them, up to which what needs dense rows is given all; of larger tables it is given some."""


class Genes(Config):
    """Which genes the models see; chosen on training rows only."""

    top_variable: int | None = knob(None, doc="keep this many genes of largest variance over training rows", low=2)
    file: str | None = knob(
        None, doc="keep the genes named in this text file, one a line; the version of an Ensembl id does not matter"
    )
    require_all: bool = knob(True, doc="a gene of the file that the data lack is a fault; else it is passed over")
    min_cells: int = knob(0, doc="drop genes with values other than zero in fewer training rows than this", low=0)
    min_detected: float = knob(
        0.0,
        doc="drop genes above the smallest value (zero, if none is negative) in less than this share of them",
        low=0.0,
        high=1.0,
    )


class Split(Config):
    """Which rows are held out; fixed per data set and the same for every trial and model."""

    val: float = knob(0.15, doc="share of rows that the search may look at", low=0.0, below=1.0)
    test: float = knob(0.15, doc="share of rows touched once, at the end", low=0.0, below=1.0)
    group: str | None = knob(None, doc="column of the rows (donor, patient) whose rows stay together")
    stratify: str | None = knob(None, doc="column of the rows whose classes keep their shares in every part")
    tiles: int | None = knob(
        None,
        doc="cut each section (`group`; else all rows) into N x N tiles, whose spots stay together",
        low=2,
        high=50,
    )
    seed: int = knob(0, doc="seed of the split", low=0)
    val_seed: int | None = knob(
        None, doc="seed by which the rows that `seed` does not hold out for test are divided anew", low=0
    )


class DataConfig(Config):
    """The `data` section of a search space file."""

    path: str = knob(
        doc="built-in set, file (.h5ad .zarr .csv .tsv, .gz), folder or pattern of shards (shards/*.h5ad), or URI "
        "(s3:// gs:// https://)"
    )
    layer: str | None = knob(None, doc="layer to read instead of X")
    transform: list[Literal["normalize", "log1p", "log2p1", "log10p1"]] = knob(
        [], doc="steps from what is stored to what the model reads: normalize (to the median total), log1p, ..."
    )
    allow_negative: bool = knob(
        False, doc="accept values below zero, as of log ratios or z-scores; not with a transform"
    )
    genes: Genes = knob(Genes(), doc="which genes are used")
    orientation: Literal["samples", "genes"] = knob(
        "samples", doc="the rows that are split and get vectors: samples (columns are of obs), or genes (of var)"
    )
    label: str | None = knob(None, doc="column of the rows that scores and colors embeddings; never an input")
    batch: list[str] = knob([], doc="obs columns of nuisance covariates")
    time: str | None = knob(None, doc="obs column of time, for series")
    spatial: str | None = knob(None, doc="obsm key of coordinates, for spatial models")
    split: Split = knob(Split(), doc="which rows are held out")
    view: dict[str, Any] = knob({}, doc="settings of the model's view of the data (gxsearch models NAME)")


@dataclass(frozen=True)
class Table:
    """A checked, transformed, split data set; arrays may be read-only views of shared memory.

    With `data.orientation: genes` it is the transpose of the file: its rows (n) are genes and what is called genes
    here (g) are samples.

    Attributes:
        x_ng: values, float32, dense or CSR; of a corpus a `MappedCSR`, whose arrays are files.
        obs_names: unique row names (n,), unicode array.
        var_names: unique gene names (g,), unicode array.
        part_n: index into `PARTS` per row (n,), int8.
        obs: the columns of the rows that the spec names; text as unicode arrays, numbers as float64.
        var: with `data.orientation: genes`, time and batch of the samples, (g,) each; else empty.
        obsm: coordinates, if asked for.
        total_n: sum of each row's stored values over all genes of the file (n,), float64; None where rows are genes.
        facts: JSON-ready record: source, shape, sha256 fingerprint, transform, split sizes, warnings.
    """

    x_ng: np.ndarray | sparse.csr_matrix
    obs_names: np.ndarray
    var_names: np.ndarray
    part_n: np.ndarray
    obs: dict[str, np.ndarray] = field(default_factory=dict)
    obsm: dict[str, np.ndarray] = field(default_factory=dict)
    var: dict[str, np.ndarray] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    total_n: np.ndarray | None = None

    @property
    def n_obs(self) -> int:
        """Number of rows."""
        return len(self.obs_names)

    @property
    def n_vars(self) -> int:
        """Number of genes."""
        return len(self.var_names)

    def rows(self, part: str, *, most: int | None = None) -> np.ndarray:
        """Return the indices of the rows of 'train', 'val' or 'test', ascending; `most` of them at most, evenly."""
        rows = np.flatnonzero(self.part_n == PARTS.index(part))
        return rows if most is None or len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]

    def few(self, values: int = DENSE_VALUES) -> np.ndarray:
        """Return rows of every part, evenly chosen, ascending, that dense are about so many values; all if they fit."""
        share = values / max(1, self.n_obs * self.n_vars)
        most = {part: None if share >= 1 else max(2, int(share * len(self.rows(part)))) for part in PARTS}
        return np.sort(np.concatenate([self.rows(part, most=most[part]) for part in PARTS]))

    def dense(self) -> Table:
        """Return the table with `x_ng` as a C-contiguous dense array; itself if it already is one."""
        if isinstance(self.x_ng, np.ndarray):
            return self
        return dataclasses.replace(self, x_ng=np.ascontiguousarray(self.x_ng.toarray(), dtype=np.float32))

    def take(self, rows: np.ndarray) -> Table:
        """Return the table of these rows only."""
        return dataclasses.replace(
            self,
            x_ng=self.x_ng[rows],
            obs_names=self.obs_names[rows],
            part_n=self.part_n[rows],
            obs={name: values[rows] for name, values in self.obs.items()},
            obsm={name: values[rows] for name, values in self.obsm.items()},
            total_n=None if self.total_n is None else self.total_n[rows],
        )
