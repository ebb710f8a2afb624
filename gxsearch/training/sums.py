"""Sums: what one epoch's batches add up to, in float64 on the device, and the measures that follow from it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from gxsearch.models.base import Losses
from gxsearch.training.runtime import Runtime

Metrics = dict[str, float]

ACTIVE = 0.01
"""Variance of a latent dimension's mean codes above which it is in use (Burda et al. 2016, section 4.1.1)."""
_CONSTANT = 1e-12
"""Variance, as a share of the mean square, below which a gene does not vary but for rounding."""
_LEAST = 1e-300
"""Stands for a size of zero: a mean over nothing is zero."""
_CHUNK = 1 << 20
"""Values of a matrix (n, g) worked on at a time, so that the products stay small."""


@dataclass
class Sums:
    """Sums over batches; a number is read once an epoch.

    With `thorough`, as on held-out examples, also what mae, gene_pearson and active_units need.
    """

    thorough: bool = False
    weight: dict[str, Tensor | float] = field(default_factory=dict)
    terms: dict[str, Tensor] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    moments: Tensor | None = None
    codes: Tensor | None = None

    def add(self, losses: Losses, total: Tensor | None = None) -> None:
        """Add a batch; terms are means, weighted by what they were divided by: `total`, or the values behind them.

        Where `losses.sizes` says what a term is a mean over, it is weighted by that.
        """
        size = _size(losses) if total is None else total.double()
        # A term that some batches lack would be averaged over what only the others have.
        assert not self.terms or self.terms.keys() == losses.terms.keys(), (
            f"the terms of a loss must be those of the batches before: {sorted(self.terms)}, got {sorted(losses.terms)}"
        )
        for name, term in losses.terms.items():
            own = losses.sizes.get(name, size)
            self.weight[name] = self.weight.get(name, 0.0) + own
            self.terms[name] = self.terms.get(name, 0.0) + term.detach().double() * own
        self.weights = losses.weights
        if losses.prediction is not None:
            for moments in _moments(losses, thorough=self.thorough):
                self.moments = moments if self.moments is None else self.moments + moments
        if losses.latent is not None and self.thorough:
            codes = _codes(losses.latent)
            self.codes = codes if self.codes is None else self.codes + codes

    def metrics(self, part: str, runtime: Runtime, *, of_first: bool = False) -> Metrics:
        """Return ``part/<term>``, ``part/<term>_weight``, ``part/loss`` and, with predictions, r2 and pearson.

        The sums are added over the workers; with `of_first` those of the first alone are taken, by all.
        """
        names, given = list(self.terms), [self.moments, self.codes]
        terms = torch.stack(list(self.terms.values()))
        sizes = [torch.as_tensor(size, dtype=torch.float64, device=terms.device) for size in self.weight.values()]
        sums = [torch.stack(sizes), terms, *(s.reshape(-1) for s in given if s is not None)]
        stacked = torch.cat(sums).cpu()
        others = of_first and runtime.rank != 0
        values = runtime.sum(torch.zeros_like(stacked) if others else stacked).numpy()
        size_t, value_t, rest = np.split(values, [len(names), 2 * len(names)])
        means = {name: float(v / max(n, _LEAST)) for name, v, n in zip(names, value_t, size_t, strict=True)}
        found = {f"{part}/{name}": value for name, value in means.items()}
        found |= {f"{part}/{name}_weight": weight for name, weight in self.weights.items()}
        found[f"{part}/loss"] = sum(self.weights[name] * value for name, value in means.items())
        if self.moments is not None:
            moments, rest = np.split(rest, [self.moments.numel()])
            found |= {f"{part}/{name}": value for name, value in _fit(moments.reshape(self.moments.shape)).items()}
        if self.codes is not None:
            found[f"{part}/active_units"] = _active_units(rest.reshape(self.codes.shape))
        return found


def _size(losses: Losses) -> Tensor | float:
    if losses.weight is not None:
        return losses.weight.sum().double()
    return float(losses.target.numel()) if losses.target is not None else 1.0


def _moments(losses: Losses, *, thorough: bool) -> Iterator[Tensor]:
    """Yield sums of w, wx, wy, wxx, wyy, wxy and, if `thorough`, w|y - x|: (7,), or gene by gene (7, g)."""
    y, x, w = losses.prediction.detach(), losses.target, losses.weight
    if not (thorough and losses.by_gene):
        yield _sums(y.reshape(-1), x.reshape(-1), w.reshape(-1) if w is not None else None, errors=thorough)
        return
    rows = max(1, _CHUNK // x.shape[1])
    weights = w.split(rows) if w is not None else [None] * math.ceil(len(x) / rows)
    for y_ng, x_ng, w_ng in zip(y.split(rows), x.split(rows), weights, strict=True):
        yield _sums(y_ng, x_ng, w_ng, errors=True)


def _sums(y: Tensor, x: Tensor, w: Tensor | None, *, errors: bool) -> Tensor:
    """Sum over the first axis."""
    y, x, dot = y.double(), x.double(), torch.linalg.vecdot
    w = torch.ones_like(x) if w is None else w.double()
    wx, wy = w * x, w * y
    parts = [w.sum(0), wx.sum(0), wy.sum(0), dot(wx, x, dim=0), dot(wy, y, dim=0), dot(wx, y, dim=0)]
    return torch.stack([*parts, dot(w, (y - x).abs_(), dim=0)] if errors else parts)


def _codes(z_nk: Tensor) -> Tensor:
    """Return the sums of 1, z and z^2 over rows (3, k)."""
    z_nk = z_nk.detach().double()
    return torch.stack([torch.full_like(z_nk[0], len(z_nk)), z_nk.sum(0), z_nk.square().sum(0)])


def _fit(moments: np.ndarray) -> Metrics:
    """Return r2 and pearson over all values; mae where errors were summed; gene_pearson from moments by gene."""
    n, x, y, xx, yy, xy, *error = (float(part.sum()) for part in moments)
    var_x, var_y, cov = xx - x * x / n, yy - y * y / n, xy - x * y / n
    residual, spread = xx - 2 * xy + yy, math.sqrt(max(var_x * var_y, 0.0))
    found = {"r2": 1 - residual / var_x if var_x > 0 else 0.0, "pearson": cov / spread if spread > 0 else 0.0}
    found |= {"mae": error[0] / n} if error else {}
    return found | ({"gene_pearson": _gene_pearson(moments)} if moments.ndim == 2 else {})


def _gene_pearson(moments_g: np.ndarray) -> float:
    """Return the median over genes of the correlation over rows; genes that are constant on either side count 0."""
    n, x, y, xx, yy, xy, _ = moments_g
    n = np.maximum(n, np.finfo(float).tiny)
    var_x, var_y, cov = xx - x * x / n, yy - y * y / n, xy - x * y / n
    varies = (var_x > _CONSTANT * xx) & (var_y > _CONSTANT * yy)
    spread = np.sqrt(np.where(varies, var_x * var_y, 1.0))
    return float(np.median(np.where(varies, cov / spread, 0.0)))


def _active_units(sums: np.ndarray) -> float:
    n, z, zz = sums
    return float(np.sum(zz / n - np.square(z / n) > ACTIVE))
