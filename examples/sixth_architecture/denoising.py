"""Denoising autoencoder: values are damaged in training, and what they were is found.

    x' = m * (x + noise),   m ~ Bernoulli(1 - drop),   noise ~ N(0, sd^2)
    x_hat = D(E(x')),       loss = mean (x_hat - x)^2

x are z-scores. Vincent et al., Extracting and composing robust features with denoising autoencoders, ICML 2008. A model
outside of the package: GXSEARCH_MODELS names the folder of this file, and nothing else is to be registered.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gxsearch.config import Config, knob
from gxsearch.data.batch import Batch
from gxsearch.data.matrix import MatrixView
from gxsearch.data.table import Table
from gxsearch.data.view import Dims
from gxsearch.models.base import GeneModel, Losses, TrainConfig
from gxsearch.models.registry import register
from gxsearch.nn.mlp import blocks, linear


class DenoisingConfig(Config):
    """Widths, the code, and how values are damaged."""

    latent_dim: int = knob(16, doc="length of a row's vector", low=1, high=10_000)
    hidden: list[int] = knob([256], doc="widths of the encoder; the decoder mirrors them", min_items=1)
    drop: float = knob(0.3, doc="share of a row's values set to their gene's mean in training", low=0.0, high=0.9)
    noise: float = knob(0.0, doc="standard deviation of the noise that is added in training", low=0.0, high=10.0)


@register("denoising")
class Denoising(GeneModel):
    """Encoder and decoder are mirrored stacks of Linear - norm - activation, with a linear layer at each end."""

    Config = DenoisingConfig
    Train = TrainConfig
    View = MatrixView
    metrics: ClassVar[dict[str, Any]] = {"masked_mse": "min", "mse": "min", "r2": "max", "loss": "min"}
    reference = "denoising autoencoder: Vincent et al., ICML 2008"
    demo: ClassVar[dict[str, Any]] = {"path": "sim_bulk?n=120&g=80", "label": "cell_type"}

    def __init__(self, config: DenoisingConfig, dims: Dims):
        super().__init__(config, dims)
        look = {"norm": "layer", "activation": "gelu", "dropout": 0.0}
        wide, k = config.hidden, config.latent_dim
        self.encoder = nn.Sequential(blocks([dims.n_genes, *wide], **look), linear(wide[-1], k))
        self.decoder = nn.Sequential(blocks([k, *reversed(wide)], **look), linear(wide[0], dims.n_genes))
        self.register_buffer("mean", torch.zeros(dims.n_genes))
        self.register_buffer("sd", torch.ones(dims.n_genes))

    def forward(self, batch: Batch, progress: float) -> Losses:
        """Return the mean squared error of all values; of held-out rows also that of hidden ones (masked_mse)."""
        x = batch.x
        rows = len(x) if batch.total is None else batch.total
        y = self.decoder(self.encoder(self._damaged(x) if self.training else x))
        terms, weights = {"mse": (y - x).square().sum() / (rows * x.shape[1])}, {"mse": 1.0}
        if batch.hidden is not None:
            found = self.decoder(self.embed(batch))
            terms["masked_mse"] = (found - x).square().mul(batch.hidden).sum() / batch.hidden.sum()
            weights["masked_mse"] = 0.0
        return Losses(terms, weights, y, x, by_gene=True)

    def embed(self, batch: Batch) -> Tensor:
        """Return the codes (n, k); hidden values are not looked at."""
        return self.encoder(batch.x if batch.hidden is None else batch.x * ~batch.hidden)

    def decode(self, z_nk: Tensor) -> Tensor:
        """Return values (n, g) of codes, in units of the table."""
        return self.decoder(z_nk) * self.sd + self.mean

    @torch.no_grad()
    def start(self, table: Table, view: MatrixView) -> None:
        """Take the view's scales."""
        self.mean.copy_(torch.from_numpy(view.mean_g))
        self.sd.copy_(torch.from_numpy(view.sd_g))

    def _damaged(self, x_ng: Tensor) -> Tensor:
        kept_ng = torch.rand_like(x_ng) >= self.config.drop
        return (x_ng + self.config.noise * torch.randn_like(x_ng)) * kept_ng
