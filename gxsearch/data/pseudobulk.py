"""Pseudobulk: cells of donors averaged by cell type, and mixed at random as bulk tissue mixes them."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from gxsearch import __version__
from gxsearch.config import Config, knob
from gxsearch.data.checks import check_names, check_size
from gxsearch.data.columns import as_text, check_columns
from gxsearch.data.findings import Findings, counted, shown
from gxsearch.data.values import Matrix, are_whole, largest, read_values

PROVENANCE = "gxsearch_pseudobulk"
PROFILE, MIXTURE = "profile", "pseudobulk"
LOGGED_BELOW = 30.0  # counts of a whole sample go beyond, logarithms do not
_PROFILES = 512
"""Profiles averaged at a time; bounds the copy of the cells."""


class Mixing(Config):
    """Which cells are averaged, and how they are mixed."""

    donor: str = knob(doc="obs column of the donor of each cell")
    cell_type: str = knob(doc="obs column of the type of each cell")
    layer: str | None = knob(None, doc="layer to read instead of X")
    mixtures: int = knob(1, doc="mixtures per donor", low=1, high=10_000)
    alpha: float = knob(
        1.0, doc="concentration of the proportions; 1 is uniform, more is nearer to equal", low=0.001, high=1e6
    )
    seed: int = knob(42, doc="seed of the proportions", low=0, high=2**32 - 1)
    min_cells: int = knob(1, doc="cells that a donor must have of a type, else its profile is left out", low=1)


@dataclass(frozen=True)
class Profiles:
    """The cells behind each profile, by donor, then type.

    Attributes:
        donors, types: names, sorted: (d,) and (c,), unicode arrays.
        donor_p, type_p: index of the donor and the type of each profile (p,).
        cells: numbers of the cells of each profile.
    """

    donors: np.ndarray
    types: np.ndarray
    donor_p: np.ndarray
    type_p: np.ndarray
    cells: list[np.ndarray]

    @property
    def sizes(self) -> np.ndarray:
        """Number of cells of each profile (p,)."""
        return np.array([len(cells) for cells in self.cells], dtype=np.int64)


def pseudobulk(adata: AnnData, config: Mixing, source: str) -> tuple[AnnData, list[str]]:
    """Return profiles and mixtures of the cells of `adata` as rows, and what is odd about it.

    Rows are first a profile per donor d and cell type c with enough cells, x_dcg = the mean of its cells, named
    ``<donor>|<type>``; then the mixtures of each donor, sum_c pi_dc x_dcg with pi_d ~ Dirichlet(alpha, ..., alpha)
    over the types that the donor has, named ``<donor>|mixture<i>``. obs: kind (profile, pseudobulk), donor,
    cell_type (``mixture``), n_cells, and the proportions ``prop_<type>``, 1 for a profile's own type; a slash in a
    type becomes '_' there, for a file has no such names. X is dense float32; var is kept; uns["gxsearch_pseudobulk"]
    says in one JSON string how it was made. Proportions depend on the seed and the sorted names of donors and types
    alone. The procedure is that of haoyunLi/VAE_EMBEDDINGS (06d7f8f), where alpha is 1 and the seed 42.

    Raises:
        DataError: all faults at once: E410-E414, E416, E417, E421, E422 as for any data set, E460 fewer than two
            donors, E461 fewer than two with enough cells.
    """
    found = Findings("pseudobulk", source)
    x_ng = _checked(adata, config, found)
    found.stop_if_faulty()
    profiles = _profiles(adata.obs, config, found)
    found.stop_if_faulty()
    pi_dmc = proportions(profiles, config)
    obs = _described(profiles, pi_dmc)
    _check_made(obs, found)
    found.stop_if_faulty()
    made_ng = np.empty((len(obs), adata.n_vars), dtype=np.float32)
    profile_pg, mixed_mg = np.split(made_ng, [len(profiles.cells)])  # both are views of it
    _average(x_ng, profiles.cells, profile_pg)
    _mix(profile_pg, profiles, pi_dmc, mixed_mg)
    told = {"settings": config.model_dump(), "source": source, "gxsearch": __version__}
    uns = {PROVENANCE: json.dumps(told)}
    return AnnData(made_ng, obs=obs, var=adata.var.copy(), uns=uns), found.warnings


def proportions(profiles: Profiles, config: Mixing) -> np.ndarray:
    """Return the shares of the types in each mixture of each donor (d, m, c); 0 for types that a donor lacks.

    Dirichlet(alpha) over a donor's own types is that many Gamma(alpha) draws over their sum. They are drawn for all
    types, as log G(alpha) = log G(alpha + 1) + log(U) / alpha, which does not vanish for small alpha (Marsaglia and
    Tsang 2000, section 6).
    """
    has_dc = np.zeros((len(profiles.donors), len(profiles.types)), dtype=bool)
    has_dc[profiles.donor_p, profiles.type_p] = True
    rng, shape = np.random.default_rng(config.seed), (len(has_dc), config.mixtures, has_dc.shape[1])
    log_dmc = np.log(rng.standard_gamma(config.alpha + 1, shape)) + np.log1p(-rng.random(shape)) / config.alpha
    log_dmc[np.broadcast_to(~has_dc[:, None], shape)] = -np.inf
    pi_dmc = np.exp(log_dmc - log_dmc.max(2, keepdims=True))
    return pi_dmc / pi_dmc.sum(2, keepdims=True)


def _checked(adata: AnnData, config: Mixing, found: Findings) -> Matrix | None:
    """Note what is wrong with the cells; return their values (n, g)."""
    check_names(adata.var_names, "var_names", found)
    check_columns(adata.obs, {"--donor": config.donor, "--cell-type": config.cell_type}, found)
    if not check_size(adata, found):
        return None
    if config.donor in adata.obs:
        donors = np.unique(as_text(adata.obs[config.donor]))
        if len(donors) < 2:
            what = f"{counted(len(donors), 'donor')} only: {shown(donors)}"
            found.content("E460", f"obs/{config.donor}", what, "give the cells of two donors or more")
    x_ng = read_values(adata, config.layer, found, allow_negative=False, option="--layer")
    if x_ng is not None and not are_whole(x_ng) and (most := largest(x_ng)) < LOGGED_BELOW:
        text = f"values look like logs (largest {most:.3g}, not whole numbers)"
        found.warn(f"{text}: a mixture of logs is no mixture of cells; --layer counts")
    return x_ng


def _profiles(obs: pd.DataFrame, config: Mixing, found: Findings) -> Profiles:
    """Sort cells into profiles; note (E461) where too few are left."""
    all_donors, donor_n = np.unique(as_text(obs[config.donor]), return_inverse=True)
    all_types, type_n = np.unique(as_text(obs[config.cell_type]), return_inverse=True)
    key_n = donor_n * len(all_types) + type_n
    keys, sizes = np.unique(key_n, return_counts=True)
    cells = np.split(np.argsort(key_n, kind="stable"), np.cumsum(sizes)[:-1])
    kept = np.flatnonzero(sizes >= config.min_cells)
    donors, donor_p = np.unique(keys[kept] // len(all_types), return_inverse=True)
    types, type_p = np.unique(keys[kept] % len(all_types), return_inverse=True)
    if len(donors) < 2:
        what = f"--min-cells {config.min_cells} leaves {counted(len(donors), 'donor')} of {len(all_donors)}"
        found.setting("E461", what, f"lower it: the largest profile has {counted(int(sizes.max()), 'cell')}")
    if len(kept) < len(keys):
        found.warn(f"{counted(len(keys) - len(kept), 'profile')} of fewer than {config.min_cells} cells left out")
    if len(donors) < len(all_donors):
        lost = np.delete(all_donors, donors)
        found.warn(f"{counted(len(lost), 'donor')} without a profile left out: {shown(lost)}")
    return Profiles(all_donors[donors], all_types[types], donor_p, type_p, [cells[i] for i in kept])


def _described(profiles: Profiles, pi_dmc: np.ndarray) -> pd.DataFrame:
    """Return obs: the profiles, then the mixtures."""
    n_donors, n_mixtures, n_types = pi_dmc.shape
    donor_p, type_p = profiles.donors[profiles.donor_p], profiles.types[profiles.type_p]
    donor_m = np.repeat(profiles.donors, n_mixtures)
    names = [f"{donor}|{kind}" for donor, kind in zip(donor_p, type_p, strict=True)]
    names += [f"{donor}|mixture{i % n_mixtures}" for i, donor in enumerate(donor_m)]
    total_d = np.bincount(profiles.donor_p, profiles.sizes).astype(np.int64)
    columns = {
        "kind": pd.Categorical([PROFILE] * len(donor_p) + [MIXTURE] * len(donor_m)),
        "donor": pd.Categorical([*donor_p, *donor_m]),
        "cell_type": pd.Categorical([*type_p, *["mixture"] * len(donor_m)]),
        "n_cells": np.concatenate([profiles.sizes, np.repeat(total_d, n_mixtures)]),
    }
    shares = np.concatenate([np.eye(n_types)[profiles.type_p], pi_dmc.reshape(-1, n_types)])
    shares = pd.DataFrame(shares, columns=[f"prop_{name.replace('/', '_')}" for name in profiles.types], index=names)
    return pd.concat([pd.DataFrame(columns, index=names), shares], axis=1)


def _check_made(obs: pd.DataFrame, found: Findings) -> None:
    """Note names that come out the same, as of donor 'a|b' with type 'c' and donor 'a' with type 'b|c' (E416)."""
    for what, names in (("row", obs.index), ("column", obs.columns)):
        twice = names[names.duplicated()].unique()
        if len(twice):
            text = f"{counted(len(twice), what)} would have the name of another: {shown(twice)}"
            found.content("E416", "obs", text, "rename these donors or cell types")


def _average(x_ng: Matrix, cells: list[np.ndarray], mean_pg: np.ndarray) -> None:
    """Fill in the mean row of each set of cells (p, g); sums are float64."""
    for start in range(0, len(cells), _PROFILES):
        block = cells[start : start + _PROFILES]
        size_p = np.array([len(rows) for rows in block])
        place = (np.repeat(np.arange(len(block)), size_p), np.arange(size_p.sum()))
        share_pn = sparse.csr_matrix((np.repeat(1.0 / size_p, size_p), place))
        block_pg = share_pn @ x_ng[np.concatenate(block)]
        mean_pg[start : start + _PROFILES] = block_pg.toarray() if sparse.issparse(block_pg) else block_pg


def _mix(profile_pg: np.ndarray, profiles: Profiles, pi_dmc: np.ndarray, mixed_mg: np.ndarray) -> None:
    """Fill in the mixtures (d * m, g); einsum adds in the same order for any number of threads."""
    for d, (pi_mc, own_mg) in enumerate(zip(pi_dmc, np.split(mixed_mg, len(pi_dmc)), strict=True)):
        own = np.flatnonzero(profiles.donor_p == d)
        own_mg[:] = np.einsum("mc,cg->mg", pi_mc[:, profiles.type_p[own]], profile_pg[own], optimize=False)
