"""Seeded generators with known truth: bulk, counts with batches, series, spatial, phenotypes.

Each is a plain model of one kind of data, for tests and first steps: the same seed gives the same values. Truth is
stored beside them (`obsm["truth"]`, `var["cluster"]`, class columns in obs).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

SPREAD = 10.0  # inverse dispersion of the counts: variance = mean + mean^2 / SPREAD


def bounds(option: str) -> tuple[float, float]:
    """Return the smallest and the largest value of an option of any generator."""
    limits = {"n": (4, 20_000), "g": (6, 5_000), "seed": (0, 2**32 - 1), "noise": (0.0, 10.0), "batches": (1, 50)}
    return limits.get(option, (2, 100))


def bulk(n: int = 300, g: int = 400, classes: int = 5, donors: int = 60, noise: float = 0.2, seed: int = 0) -> AnnData:
    """Draw tissue samples (n, g) on a log scale, x >= 0: a curved two-dimensional sheet in gene space.

    x = max(0, b + W2 tanh(W1 z + a_donor) + noise); z ~ N(center of the class, 0.35^2) is `obsm["truth"]` (n, 2).
    obs: `cell_type` (the class), `donor` (several samples each).
    """
    rng = np.random.default_rng(seed)
    type_n, donor_n = rng.integers(classes, size=n), rng.integers(donors, size=n)
    z_nk = _centers(classes, 2)[type_n] + rng.normal(0, 0.35, (n, 2))
    hidden = 12
    donor_dh = rng.normal(0, 0.1, (donors, hidden))
    h_nh = np.tanh(z_nk @ rng.normal(0, 1, (2, hidden)) + rng.normal(0, 0.5, hidden) + donor_dh[donor_n])
    x_ng = rng.gamma(4, 1, g) + h_nh @ rng.normal(0, 0.6, (hidden, g)) + rng.normal(0, noise, (n, g))
    obs = {"cell_type": _names("type", type_n, classes), "donor": _names("donor", donor_n, donors)}
    return _adata(np.maximum(x_ng, 0), obs, row="sample", obsm={"truth": z_nk})


def counts(n: int = 400, g: int = 300, classes: int = 4, batches: int = 3, donors: int = 8, seed: int = 0) -> AnnData:
    """Draw cells (n, g) with negative binomial counts, cell types and batch effects; CSR, also `layers["counts"]`.

    mean = size_n softmax_g(b_g + type_cg + batch_bg + donor_dg). obs: `cell_type`, `batch`, `donor`; donors are
    nested in batches. `obsm["truth"]` (n, classes) tells the type.
    """
    rng = np.random.default_rng(seed)
    type_n, donor_n = rng.integers(classes, size=n), rng.integers(donors, size=n)
    batch_n = donor_n % batches
    log_ng = rng.normal(0, 1, g) + _programs(rng, classes, g)[type_n]
    log_ng = log_ng + rng.normal(0, 0.35, (batches, g))[batch_n] + rng.normal(0, 0.1, (donors, g))[donor_n]
    obs = {
        "cell_type": _names("type", type_n, classes),
        "batch": _names("batch", batch_n, batches),
        "donor": _names("donor", donor_n, donors),
    }
    adata = _adata(_counts(rng, log_ng, depth=2.0), obs, row="cell", obsm={"truth": np.eye(classes)[type_n]})
    adata.layers["counts"] = adata.X.copy()
    return adata


def series(n: int = 40, g: int = 240, noise: float = 0.15, seed: int = 0) -> AnnData:
    """Draw curves of g genes at n irregular times: x >= 0 (n times, g); six shapes, told by `var["cluster"]`.

    x_g(t) = 3 + a_g f_c(t) + noise with a_g ~ U(1, 2): up, down, early peak, late peak, valley, late switch.
    obs: `time` in [0, 10], ascending. The noiseless curves are `layers["truth"]`.
    """
    rng = np.random.default_rng(seed)
    t_n = np.sort(rng.uniform(0, 1, n))
    curves = {
        "up": 2 * t_n - 1,
        "down": 1 - 2 * t_n,
        "early_peak": 2 * np.exp(-(((t_n - 0.25) / 0.12) ** 2)) - 1,
        "late_peak": 2 * np.exp(-(((t_n - 0.75) / 0.12) ** 2)) - 1,
        "valley": 1 - 2 * np.exp(-(((t_n - 0.5) / 0.15) ** 2)),
        "switch": np.tanh((t_n - 0.6) / 0.05),
    }
    cluster_g = rng.permutation(np.arange(g) % len(curves))
    truth_ng = 3 + rng.uniform(1, 2, g) * np.stack(list(curves.values()), 1)[:, cluster_g]
    x_ng = np.maximum(truth_ng + rng.normal(0, noise, (n, g)), 0)
    adata = _adata(x_ng, {"time": 10 * t_n}, row="time")
    adata.var["cluster"] = pd.Categorical.from_codes(cluster_g, list(curves))
    adata.layers["truth"] = truth_ng.astype(np.float32)
    return adata


def rvagene(n: int = 100, g: int = 120, classes: int = 6, seed: int = 0) -> AnnData:
    """Draw the clusters of RVAgene's simulation: g genes at n even times from 0 to 1, in [-1, 1] but for noise.

    A cluster's curve is a sin(b t) convolved with c cos(d t) over t in [0, 0.1], scaled to [-1, 1]; its genes are
    normal around it with covariance (y + 0.1)(y + 0.1)' / y'y within 50 times of one another. As that is no covariance
    once the rest is set to 0, eigenvalues below 0 are. b and d are at least 5, or curves would be flat, and a curve
    that correlates over 0.9 with an earlier one is drawn again (Mitra and MacLean 2021, gen_synthetic_data.py).

    obs: `time`; `var["cluster"]` tells the cluster; its curves are `layers["truth"]`.
    """
    rng = np.random.default_rng(seed)
    kept: list[np.ndarray] = []
    while len(kept) < classes:
        y_n = _wave(rng, n)
        if not kept or np.corrcoef([y_n, *kept])[0, 1:].max() < 0.9:
            kept.append(y_n)
    cluster_g = rng.permutation(np.arange(g) % classes)
    x_ng = np.empty((n, g))
    for c, y_n in enumerate(kept):
        mine_g = cluster_g == c
        x_ng[:, mine_g] = y_n[:, None] + _root(y_n) @ rng.normal(size=(n, mine_g.sum()))
    adata = _adata(x_ng, {"time": np.linspace(0, 1, n)}, row="time")
    adata.var["cluster"] = pd.Categorical.from_codes(cluster_g, [f"cluster{c}" for c in range(classes)])
    adata.layers["truth"] = np.stack(kept, 1)[:, cluster_g].astype(np.float32)
    return adata


def spatial(n: int = 400, g: int = 200, regions: int = 4, sections: int = 2, seed: int = 0) -> AnnData:
    """Draw tissue sections (n spots, g) with regions around random centers; counts, CSR.

    Coordinates in micrometers in the unit of a 1000 x 1000 section are `obsm["spatial"]` (n, 2); obs: `region`
    (nearest center), `section`. Each section has its own centers of the same regions, and a gradient along x.
    """
    rng = np.random.default_rng(seed)
    section_n = np.arange(n) % sections
    at_nd = rng.uniform(0, 1000, (n, 2))
    center_srd = rng.uniform(100, 900, (sections, regions, 2))
    region_n = np.argmin(((at_nd[:, None] - center_srd[section_n]) ** 2).sum(-1), axis=1)
    log_ng = rng.normal(0, 1, g) + _programs(rng, regions, g)[region_n]
    log_ng = log_ng + (at_nd[:, :1] / 1000 - 0.5) * rng.normal(0, 0.4, g)
    obs = {"region": _names("region", region_n, regions), "section": _names("section", section_n, sections)}
    return _adata(_counts(rng, log_ng, depth=3.0), obs, row="spot", obsm={"spatial": at_nd})


def phenotypes(n: int = 400, g: int = 200, classes: int = 4, donors: int = 16, seed: int = 0) -> AnnData:
    """Draw cells (n, g) of donors with sex and age; counts, CSR.

    Sex shifts 2 % of the genes strongly, age 10 % of them weakly, each donor all of them a little. obs:
    `cell_type`, `sex`, `age_bin` (20-39, 40-59, 60-79), `donor`; `var["sex_gene"]`, `var["age_gene"]` tell which.
    """
    rng = np.random.default_rng(seed)
    type_n, donor_n = rng.integers(classes, size=n), rng.integers(donors, size=n)
    sex_d, age_d = rng.permutation(np.arange(donors) % 2), rng.permutation(np.arange(donors) % 3)
    order_g = rng.permutation(g)
    n_sex, n_age = max(2, g // 50), max(2, g // 10)
    sex_g, age_g = np.isin(np.arange(g), order_g[:n_sex]), np.isin(np.arange(g), order_g[n_sex : n_sex + n_age])
    log_ng = rng.normal(0, 1, g) + _programs(rng, classes, g)[type_n] + rng.normal(0, 0.15, (donors, g))[donor_n]
    log_ng = log_ng + (2 * sex_d[donor_n, None] - 1) * sex_g * rng.choice([-1.2, 1.2], g)
    log_ng = log_ng + (age_d[donor_n, None] - 1) * age_g * rng.choice([-0.4, 0.4], g)
    obs = {
        "cell_type": _names("type", type_n, classes),
        "sex": np.array(["female", "male"])[sex_d[donor_n]],
        "age_bin": np.array(["20-39", "40-59", "60-79"])[age_d[donor_n]],
        "donor": _names("donor", donor_n, donors),
    }
    adata = _adata(_counts(rng, log_ng, depth=2.0), obs, row="cell")
    adata.var["sex_gene"], adata.var["age_gene"] = sex_g, age_g
    return adata


def _wave(rng: np.random.Generator, n: int) -> np.ndarray:
    """Draw a cluster's curve of `rvagene` (n,)."""
    t_n = np.linspace(0, 0.1, n)
    b, d = rng.integers(5, 100, 2)
    y_n = np.convolve(np.sin(b * t_n), np.cos(d * t_n), mode="same")
    return 2 * (y_n - y_n.min()) / np.ptp(y_n) - 1


def _root(y_n: np.ndarray) -> np.ndarray:
    """Return a root (n, n) of the covariance of the genes of `rvagene` around a curve (n,)."""
    apart = np.abs(np.subtract.outer(np.arange(len(y_n)), np.arange(len(y_n))))
    value_n, vector_nn = np.linalg.eigh(np.outer(y_n + 0.1, y_n + 0.1) / (y_n @ y_n) * (apart <= len(y_n) / 2))
    return vector_nn * np.sqrt(np.maximum(value_n, 0))


def _centers(classes: int, k: int) -> np.ndarray:
    """Place classes on a circle of radius 2 in the first two of k dimensions: (classes, k)."""
    angle_c = 2 * np.pi * np.arange(classes) / classes
    return np.pad(2 * np.stack([np.cos(angle_c), np.sin(angle_c)], 1), ((0, 0), (0, k - 2)))


def _programs(rng: np.random.Generator, classes: int, g: int) -> np.ndarray:
    """Draw what each class adds to the log mean of a tenth of the genes: (classes, g)."""
    return rng.normal(1.5, 0.5, (classes, g)) * (rng.random((classes, g)) < 0.1)


def _counts(rng: np.random.Generator, log_ng: np.ndarray, depth: float) -> sparse.csr_matrix:
    """Draw counts whose mean is `depth` per gene on average over a row, times a row's own size."""
    share_ng = np.exp(log_ng - log_ng.max(1, keepdims=True))
    share_ng /= share_ng.sum(1, keepdims=True)
    size_n = depth * log_ng.shape[1] * rng.lognormal(0, 0.3, (len(log_ng), 1))
    rate_ng = size_n * share_ng * rng.gamma(SPREAD, 1 / SPREAD, log_ng.shape)
    return sparse.csr_matrix(rng.poisson(rate_ng).astype(np.float32))


def _names(stem: str, code_n: np.ndarray, total: int) -> np.ndarray:
    width = len(str(total - 1))
    return np.array([f"{stem}{code:0{width}d}" for code in range(total)])[code_n]


def _adata(x_ng: np.ndarray | sparse.csr_matrix, obs: dict, *, row: str, obsm: dict | None = None) -> AnnData:
    n, g = x_ng.shape
    frame = pd.DataFrame(obs, index=_names(row, np.arange(n), n))
    for name in frame.columns.difference(["time"]):
        frame[name] = frame[name].astype("category")
    var = pd.DataFrame(index=_names("gene", np.arange(g), g))
    adata = AnnData(x_ng.astype(np.float32), obs=frame, var=var)
    for key, values in (obsm or {}).items():
        adata.obsm[key] = np.asarray(values, dtype=np.float32)
    return adata
