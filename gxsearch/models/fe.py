"""Factorized Embeddings: a vector per sample and one per gene, and a small network that joins them into a value.

    x_hat(s, g) = head( MLP( [E_s , F_g] ) )        E (n, k) samples, F (g, d) genes; one output per pair

Trofimov, Cohen, Lemieux et al., Bioinformatics 36 (2020) i417; defaults are those of the package
FactorizedEmbeddings.jl (generate_params), save `lr_sample_mult`, which is 1 there. A pair of hidden layers apart,
the weights are those of the plain module on concatenated vectors, but the first layer is split, W1 = [Ws | Wg]:

    h1 = act( E_s Ws^T  +  (F_g Wg^T + b1) )

so that on a tile of rows x genes its products are made once per row and once per gene, not once per pair.
"""

from __future__ import annotations

import dataclasses
import functools
from itertools import pairwise
from typing import Literal

import numpy as np
import pydantic
import torch
from torch import Tensor, nn

from gxsearch.config import Config, knob
from gxsearch.data.batch import Batch
from gxsearch.data.entries import EntriesView
from gxsearch.data.table import Table
from gxsearch.data.view import Dims, View
from gxsearch.models.base import GeneModel, Losses, TrainConfig
from gxsearch.models.registry import register
from gxsearch.nn.least_squares import Normal, most_probable
from gxsearch.nn.mlp import Activation, activate, linear_stack, run_stack

_PAIRS = 1 << 15
"""Pairs decoded at a time; small enough that activations stay in the cache, nearly three times as fast as 1 << 17."""


class FEConfig(Config):
    """Sizes and form of the factorization."""

    sample_dim: int = knob(2, doc="length of a sample's vector; 2 draws a map, 8 to 64 represent better", low=1)
    gene_dim: int = knob(100, doc="length of a gene's vector; little is gained beyond 50", low=1)
    hidden: list[int] = knob([100, 50, 50], doc="widths of the hidden layers; small ones for uniform data", min_items=1)
    activation: Activation = knob("relu", doc="nonlinearity of the hidden layers")
    head: Literal["linear", "sigmoid_range"] = knob(
        "linear", doc="output: free, or a sigmoid between the smallest and largest training value"
    )
    range_pad: float = knob(0.0, doc="widens the range of sigmoid_range at each end by this share of it", low=0, high=1)
    init_std: float = knob(1.0, doc="standard deviation of the first vectors", above=0)
    warm_start: Literal["none", "pca"] = knob(
        "none", doc="pca: start from principal component scores of the training rows (and their loadings, if bilinear)"
    )
    gene_bias: bool = knob(False, doc="add a free constant per gene, first its mean; not in the paper")
    bilinear: bool = knob(
        False, doc="add a dot product of the sample's vector and a loading per gene; not in the paper"
    )
    fit_steps: int = knob(10, doc="Levenberg-Marquardt steps that find the vector of a new row", low=0)

    @pydantic.field_validator("hidden")
    @classmethod
    def _widths(cls, hidden: list[int]) -> list[int]:
        if min(hidden) < 1:
            raise ValueError("every width must be at least 1")
        return hidden


class FETrain(TrainConfig):
    """How the two tables and the network are trained."""

    lr: float = knob(5e-3, doc="learning rate of Adam for genes and network", above=0, high=10)
    batch_size: int = knob(32768, doc="(row, gene) pairs per step, over all workers; the package's is the genes", low=1)
    lr_sample_mult: float = knob(
        4.0, doc="learning rate of the samples' vectors, relative to lr; the package's is 1", above=0
    )
    l2_rel: float = knob(
        1e-4, doc="penalty on the sum of squares of all weights, times the training rows: l2 = l2_rel / rows", low=0
    )


@register("fe")
class FactorizedEmbeddings(GeneModel):
    """The model on pairs of rows and genes. Rows beyond those of training are fitted with all else frozen."""

    Config = FEConfig
    Train = FETrain
    View = EntriesView
    metrics = {"entry_mse": "min", "r2": "max", "pearson": "max", "loss": "min"}
    reference = "Trofimov et al., Factorized embeddings learns rich and biologically meaningful spaces, 2020"
    demo = {"path": "sim_bulk?n=120&g=80", "label": "cell_type"}

    def __init__(self, config: FEConfig, dims: Dims):
        super().__init__(config, dims)
        self.samples = nn.Embedding(dims.n_rows, config.sample_dim)
        self.genes = nn.Embedding(dims.n_genes, config.gene_dim)
        for table in (self.samples, self.genes):
            nn.init.normal_(table.weight, std=config.init_std)
        self.layers = linear_stack([config.sample_dim + config.gene_dim, *config.hidden, 1])
        self.bias = nn.Parameter(torch.zeros(dims.n_genes)) if config.gene_bias else None
        self.loadings = nn.Parameter(torch.zeros(dims.n_genes, config.sample_dim)) if config.bilinear else None

    def forward(self, batch: Batch, progress: float) -> Losses:
        """Return the mean squared error of entries, in squared units of x."""
        prediction = self.predict(batch.row, batch.gene)
        weight = torch.ones_like(batch.x) if batch.weight is None else batch.weight
        total = weight.sum() if batch.total is None else batch.total
        mse = (weight * (prediction - batch.x).square()).sum() / total
        return Losses({"entry_mse": mse}, {"entry_mse": 1.0}, prediction, batch.x, weight)

    def embed(self, batch: Batch) -> Tensor:
        """Return the vectors (n, k) of training rows."""
        return self.samples(batch.row)

    @classmethod
    def cost(cls, config: FEConfig, train: FETrain, dims: Dims) -> float:
        """Return about the time of an epoch: activations are what costs; products count once layers are wide."""
        return 40.0 + sum(config.hidden) + sum(a * b for a, b in pairwise(config.hidden)) / 300

    def predict(self, row: Tensor, gene: Tensor) -> Tensor:
        """Return values of pairs, row and gene (n,), or of tiles, row (m, i) and gene (m, j): (m, i, j)."""
        weight_s, weight_g = self._first()
        row_h = _project(self.samples.weight, row, weight_s, None)
        gene_h = _project(self.genes.weight, gene, weight_g, self.layers[0].bias)
        tiled = row.dim() == 2
        if tiled:
            row_h, gene_h = row_h.unsqueeze(2), gene_h.unsqueeze(1)
        y = self._top(row_h + gene_h)
        if self.bias is not None:
            y = y + (self.bias[gene].unsqueeze(1) if tiled else self.bias[gene])
        if self.loadings is not None:
            z, loading = self.samples(row), self.loadings[gene]
            y = y + (z @ loading.mT if tiled else (z * loading).sum(-1))
        return self._head(y)

    @torch.no_grad()
    def decode(self, z_nk: Tensor) -> Tensor:
        """Return values (n, g) of any vectors, in units of the table."""
        gene_gh = self._gene_side()
        chunk = max(1, _PAIRS // self.dims.n_genes)
        return torch.cat([self._block(z, gene_gh, slice(None)) for z in z_nk.split(chunk)])

    def fit_rows(self, x_ng: Tensor, known_ng: Tensor | None = None) -> Tensor:
        """Return the vectors (n, k) of new rows, with the genes' vectors and the network as they are.

        A row's vector is the most probable one, where those of training rows are draws of one normal distribution
        and the errors have the variance of the row's start: the training row whose reconstruction is nearest to it.
        `known_ng` marks the entries that may be looked at; the fewer, the more the vector is like the others. The
        same rows give the same vectors, whichever rows are beside them. (The package's `infer` has Adam on the
        squared error alone, which is slower, and worse on the entries that it has not seen.)
        """
        known_ng = torch.ones_like(x_ng) if known_ng is None else known_ng.to(x_ng.dtype)
        chunk = max(1, _PAIRS // self.dims.n_genes)
        starts = self.nearest(x_ng, known_ng)  # of all rows: every training row is decoded once
        parts = zip(starts.split(chunk), x_ng.split(chunk), known_ng.split(chunk), strict=True)
        slopes = functools.partial(self._slopes, gene_gh=self._gene_side())
        prior, steps = Normal.of(self.samples.weight), self.config.fit_steps
        return torch.cat([most_probable(z, slopes, x, seen, prior, steps) for z, x, seen in parts])

    @torch.no_grad()
    def nearest(self, x_ng: Tensor, known_ng: Tensor) -> Tensor:
        """Return each row's nearest training row by reconstruction on known entries: its vector (n, k)."""
        seen_ng = x_ng * known_ng
        least_n, best_nk = x_ng.new_full((len(x_ng),), torch.inf), x_ng.new_zeros(len(x_ng), self.config.sample_dim)
        for z_mk in self.samples.weight.split(max(1, 8 * _PAIRS // self.dims.n_genes)):
            y_mg = self.decode(z_mk)
            far_n, row_n = (known_ng @ y_mg.square().T - 2 * seen_ng @ y_mg.T).min(1)
            best_nk = torch.where((far_n < least_n)[:, None], z_mk[row_n], best_nk)
            least_n = torch.minimum(far_n, least_n)
        return best_nk

    @torch.no_grad()
    def reset_sample_table(self, samples: int | Tensor) -> FactorizedEmbeddings:
        """Return a copy with another sample table: vectors (n, k), or a number of rows to draw anew.

        Genes and network are the same, so the copy can be trained on, or decoded for, other samples (the package's
        `reset_embedding_layer`).

        Raises:
            ValueError: when the vectors are not as long as the model's.
        """
        drawn = isinstance(samples, int)
        z_nk = torch.randn(samples, self.config.sample_dim) * self.config.init_std if drawn else samples
        if z_nk.shape[1:] != (self.config.sample_dim,):
            raise ValueError(f"vectors must be (n, {self.config.sample_dim}), got {tuple(z_nk.shape)}")
        fresh = FactorizedEmbeddings(self.config, dataclasses.replace(self.dims, n_rows=len(z_nk)))
        fresh.load_state_dict({**self.state_dict(), "samples.weight": z_nk})
        return fresh.to(self.samples.weight.device).train(self.training)

    def gene_vectors(self) -> np.ndarray:
        """Return the genes' vectors (g, d)."""
        return self.genes.weight.detach().cpu().numpy()

    def row_vectors(self) -> np.ndarray:
        """Return the vectors (n, k) of the training rows."""
        return self.samples.weight.detach().cpu().numpy()

    def measures(self) -> dict[str, float]:
        """Return the mean length of the samples' and of the genes' vectors."""
        tables = {"sample_norm": self.samples, "gene_norm": self.genes}
        return {name: table.weight.detach().norm(dim=1).mean().item() for name, table in tables.items()}

    def parameter_groups(self, train: FETrain) -> list[dict]:
        """Return groups in which Adam's coupled decay is the gradient of l2 * sum of squares: 2 l2."""
        l2_decay = train.weight_decay + 2 * train.l2_rel / self.dims.n_rows
        rest = [p for name, p in self.named_parameters() if name != "samples.weight"]
        return [
            {"params": rest, "lr": train.lr, "weight_decay": l2_decay},
            {"params": [self.samples.weight], "lr": train.lr * train.lr_sample_mult, "weight_decay": l2_decay},
        ]

    @torch.no_grad()
    def start(self, table: Table, view: View) -> None:
        """Set the gene constants to means, and the samples' vectors to scores; held-out entries are not looked at."""
        if self.bias is None and self.config.warm_start == "none":
            return
        x_ng = view.values(table)[view.training(table)]
        known_ng = ~view.heldout()
        mean_g = x_ng.mean(0, where=known_ng)
        if self.bias is not None:
            self.bias.copy_(torch.from_numpy(mean_g))
        if self.config.warm_start == "pca":
            self._start_from_scores(np.where(known_ng, x_ng - mean_g, 0.0))

    def _start_from_scores(self, x_ng: np.ndarray) -> None:
        """Start at PCA scores, each of standard deviation init_std; components beyond the rank stay random."""
        from sklearn.decomposition import PCA  # a second that only this start need pay

        k = min(self.config.sample_dim, *x_ng.shape)
        pca = PCA(k, random_state=0).fit(x_ng)
        scale_k = np.sqrt(pca.explained_variance_) / self.config.init_std
        self.samples.weight[:, :k] = torch.from_numpy(pca.transform(x_ng) / scale_k)
        if self.loadings is not None:
            self.loadings[:, :k] = torch.from_numpy(pca.components_.T * scale_k)

    def _slopes(self, z_nk: Tensor, gene_gh: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values (n, g) of all genes, and their derivatives (n, g, k) by the vectors."""
        weight_hk = self._first()[0].detach()
        row_ngh = (z_nk @ weight_hk.T).unsqueeze(1).expand(-1, len(gene_gh), -1).requires_grad_()
        flat_ng = 0.0 if self.bias is None else self.bias
        if self.loadings is not None:
            flat_ng = flat_ng + z_nk @ self.loadings.T
        with torch.enable_grad():
            top_ng = self._top(row_ngh + gene_gh)
            y_ng = self._head(top_ng + flat_ng)
            by_top, by_row = torch.autograd.grad(y_ng.sum(), (top_ng, row_ngh))
        slope_ngk = by_row @ weight_hk
        if self.loadings is not None:
            slope_ngk += by_top.unsqueeze(2) * self.loadings.detach()
        return y_ng.detach(), slope_ngk

    def _first(self) -> tuple[Tensor, Tensor]:
        k = self.config.sample_dim
        return self.layers[0].weight[:, :k], self.layers[0].weight[:, k:]

    def _gene_side(self) -> Tensor:
        return nn.functional.linear(self.genes.weight, self._first()[1], self.layers[0].bias).detach()

    def _block(self, z_nk: Tensor, gene_gh: Tensor, gene: Tensor | slice) -> Tensor:
        """Return the values (n, g) of vectors and of `gene`, whose side of the first layer is given."""
        y = self._top((z_nk @ self._first()[0].T).unsqueeze(1) + gene_gh)
        if self.bias is not None:
            y = y + self.bias[gene]
        if self.loadings is not None:
            y = y + z_nk @ self.loadings[gene].T
        return self._head(y)

    def _top(self, h: Tensor) -> Tensor:
        # Two axes from here on: a linear layer on more gives a view, and work in place on a view is copied.
        kind = self.config.activation
        h_nh = activate(h, kind).flatten(0, -2)
        return run_stack(self.layers[1:], h_nh, kind).view(h.shape[:-1])

    def _head(self, y: Tensor) -> Tensor:
        if self.config.head == "linear":
            return y
        spread = self.dims.high - self.dims.low
        pad = self.config.range_pad * spread
        return self.dims.low - pad + torch.sigmoid(y) * (spread + 2 * pad)


def _project(table: Tensor, index: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return the chosen rows of `table` times weight^T (+ bias); looks up first or last, whichever has less to do."""
    if index.numel() < len(table):
        return nn.functional.linear(nn.functional.embedding(index, table), weight, bias)
    return nn.functional.embedding(index, nn.functional.linear(table, weight, bias))
