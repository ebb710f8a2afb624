"""Beta-VAE of whole profiles, denoising, with an optional contrastive loss.

    mu, log s^2 = E(x~)      z = mu + s eps      x_hat = D(z)      x~: x with a share of its values hidden
    loss = mean_g (x_hat - x)^2 + (2 beta / D) KL( N(mu, s^2) || N(0, 1) ) + lambda contrast(mu)

with x scaled gene by gene and D genes. Hidden values are set to 0, a gene's mean, and the others scaled up to make good
for them, as dropout does: otherwise a model that learnt from masked rows takes whole ones for larger than they are.
Beta 1 is the ELBO of a Gaussian of unit variance, whatever the numbers of genes and of latent dimensions. Kingma and
Welling 2014; Higgins et al. 2017; architecture and cyclic annealing after the GTEx VAE (github.com/haoyunLi/
VAE_EMBEDDINGS), which masks in evaluation only.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pydantic
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gxsearch.config import Config, knob
from gxsearch.data.batch import Batch
from gxsearch.data.matrix import MatrixView
from gxsearch.data.table import Table
from gxsearch.data.view import Dims, View
from gxsearch.models.base import GeneModel, Losses, Rhythm, TrainConfig
from gxsearch.models.registry import register
from gxsearch.nn.anneal import Anneal, Annealing, Ramp, weight_of_beta
from gxsearch.nn.contrastive import Contrast
from gxsearch.nn.mlp import Norm, Smooth, blocks, linear
from gxsearch.nn.schedules import Schedule

_DRAWS = 64
"""Draws of the latent that the Jacobian is averaged over."""


class VAEConfig(Config):
    """Widths, the latent, its annealing, masking and contrast."""

    hidden: list[int] = knob([1024, 512, 256], doc="widths of the encoder; the decoder mirrors them", min_items=1)
    latent_dim: int = knob(64, doc="length of a row's vector", low=1, high=100_000)
    norm: Norm = knob("batch", doc="normalization after each linear layer")
    activation: Smooth = knob("elu", doc="activation after each normalization")
    dropout: float = knob(0.3, doc="share of hidden units dropped in training", low=0.0, below=1.0)
    skip: Literal["none", "linear", "pca"] = knob(
        "none", doc="a linear path beside encoder and decoder; pca starts it, and so the model, at PCA"
    )
    beta: float = knob(1.0, doc="strength of the KL; 1 is the ELBO of a Gaussian of unit variance", low=0.0)
    anneal: Anneal = knob("cosine", doc="how the KL's weight grows: once, in cycles, or towards a capacity in nats")
    ramp: Ramp = knob("cosine", doc="form of the rises of cyclic annealing")
    anneal_share: float = knob(0.25, doc="share of the training that one rise takes (not cyclic, fu)", above=0, high=1)
    cycles: int = knob(4, doc="cycles in the whole training (cyclic, fu)", low=1)
    cycle_decay: float = knob(0.7, doc="height of a cycle against that of the one before (cyclic)", above=0, high=1)
    capacity: float = knob(25.0, doc="nats that the KL is led to (anneal: capacity)", above=0.0)
    capacity_gamma: float = knob(10.0, doc="strength of leading the KL, in the unit of beta (capacity)", above=0.0)
    mask_min: float = knob(0.05, doc="smallest share of a row's values hidden in training", low=0.0, high=0.9)
    mask_width: float = knob(0.2, doc="how much larger that share may be; it is drawn for each row", low=0.0, high=0.9)
    mask_growth: float = knob(0.0, doc="share of the training over which mask_width grows from 0", low=0.0, high=1.0)
    contrast: Literal["none", "views", "supcon", "pair"] = knob(
        "none", doc="views: two masks of a row; supcon: rows of a class; pair: a donor's mixture and its parts"
    )
    contrast_weight: float = knob(0.1, doc="weight of the contrastive loss", above=0.0)
    temperature: float = knob(0.2, doc="temperature of the contrastive loss", low=0.01, high=10.0)
    proj_dim: int = knob(64, doc="length of the vectors that are contrasted", low=2, high=4096)
    contrast_from: float = knob(
        0.0,
        doc="share of the training after which contrast begins: a second stage on a trained encoder",
        low=0,
        below=1,
    )
    second_vae_weight: float = knob(1.0, doc="weight of the VAE's loss once contrast has begun", low=0.0, high=1.0)
    gene_vectors: Literal["jacobian", "decoder"] = knob(
        "jacobian", doc="a gene's vector: mean of d x_g / d z, or its row of the decoder's last layer"
    )

    @pydantic.field_validator("hidden")
    @classmethod
    def _widths(cls, hidden: list[int]) -> list[int]:
        if min(hidden) < 1:
            raise ValueError(f"widths must be 1 or more, got {min(hidden)}")
        return hidden

    @pydantic.model_validator(mode="after")
    def _leave_something_to_read(self) -> VAEConfig:
        if self.mask_min + self.mask_width > 0.95:
            raise ValueError("mask_min + mask_width must leave at least 0.05 of the values")
        return self


class VAETrain(TrainConfig):
    """The GTEx VAE's training, but that rate and patience follow the objective, not a loss that annealing moves."""

    lr: float = knob(1e-4, doc="learning rate of Adam", above=0.0, high=10.0)
    batch_size: int = knob(128, doc="rows per step, over all workers", low=2)
    weight_decay: float = knob(1e-5, doc="coupled L2 decay of Adam", low=0.0)
    grad_clip: float = knob(1.0, doc="largest norm of the gradient; 0 does not clip", low=0.0)
    schedule: Schedule = knob("plateau", doc="learning rate over the training: plateau follows the objective")
    patience: int = knob(30, doc="epochs without a better objective after which a training ends; 0 is off", low=0)


@register("vae")
class VAE(GeneModel):
    """Encoder and decoder are mirrored stacks of Linear - norm - activation - dropout."""

    Config = VAEConfig
    Train = VAETrain
    View = MatrixView
    metrics = {
        "masked_mse": "min",
        "mse": "min",
        "mae": "min",
        "r2": "max",
        "gene_pearson": "max",
        "active_units": "max",
        "loss": "min",
    }
    reference = "GTEx beta-VAE: Higgins et al. 2017; github.com/haoyunLi/VAE_EMBEDDINGS, 2025"
    demo = {"path": "sim_bulk?n=120&g=80", "label": "cell_type"}
    training_only = ("contrast.",)

    def __init__(self, config: VAEConfig, dims: Dims):
        super().__init__(config, dims)
        wide, inner = config.hidden, config.hidden[-1]
        look = {"norm": config.norm, "activation": config.activation, "dropout": config.dropout}
        self.encoder = blocks([dims.n_genes, *wide], **look)
        self.mu, self.log_var = linear(inner, config.latent_dim), linear(inner, config.latent_dim)
        self.decoder = blocks([config.latent_dim, *reversed(wide)], **look)
        self.out = linear(wide[0], dims.n_genes)
        self.skip_in = linear(dims.n_genes, config.latent_dim, bias=False) if config.skip != "none" else None
        self.skip_out = linear(config.latent_dim, dims.n_genes, bias=False) if config.skip != "none" else None
        head = (config.contrast, config.latent_dim, config.proj_dim, config.temperature)
        self.contrast = Contrast(*head) if config.contrast != "none" else None
        # Mean and variance of the codes; batch norm without weights keeps them, on any device and in any checkpoint.
        self.codes = nn.BatchNorm1d(config.latent_dim, affine=False)
        self.register_buffer("mean", torch.zeros(dims.n_genes))
        self.register_buffer("sd", torch.ones(dims.n_genes))
        self.annealing = Annealing(config.anneal, config.ramp, config.anneal_share, config.cycles, config.cycle_decay)

    def forward(self, batch: Batch, progress: float) -> Losses:
        """Return the mean squared error per value, the KL in nats per row, and the contrastive loss.

        In training values are hidden and codes drawn. In evaluation nothing is drawn, and where `batch.hidden` is
        given ``masked_mse`` is the error on these values, predicted from the others.
        """
        x = batch.x
        rows = len(x) if batch.total is None else batch.total
        mu, log_var = self.encode(self._masked(x, progress) if self.training else x)
        z = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu) if self.training else mu
        y = self.decode_scaled(z)
        kl = -0.5 * (1 + log_var - mu.square() - log_var.exp()).sum() / rows
        terms = {"mse": F.mse_loss(y, x, reduction="sum") / (rows * x.shape[1]), "kl": kl}
        weights = {"mse": 1.0, **self._kl_weight(terms, progress)}
        if self.training and len(mu) > 1:
            self.codes(mu.detach())
        if batch.hidden is not None:
            y_hidden = self.decode_scaled(self.embed(batch))
            terms["masked_mse"] = (y_hidden - x).square().mul(batch.hidden).sum() / batch.hidden.sum()
            weights["masked_mse"] = 0.0
        if self.contrast is not None and self.contrast.told(batch):
            weights = {name: weight * self._vae_weight(progress) for name, weight in weights.items()}
            terms["contrast"] = self.contrast(batch, *self._views(batch, mu, progress))
            weights["contrast"] = self.config.contrast_weight if self._contrasts(progress) else 0.0
        return Losses(terms, weights, y, x, latent=mu, by_gene=True)

    def encode(self, x_ng: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the codes (n, k) of scaled values."""
        h = self.encoder(x_ng)
        mu = self.mu(h) if self.skip_in is None else self.mu(h) + self.skip_in(x_ng)
        return mu, self.log_var(h).clamp(-10.0, 10.0)

    def decode_scaled(self, z_nk: Tensor) -> Tensor:
        """Return scaled values (n, g) of codes."""
        y = self.out(self.decoder(z_nk))
        return y if self.skip_out is None else y + self.skip_out(z_nk)

    def decode(self, z_nk: Tensor) -> Tensor:
        """Return values (n, g) of codes, in units of the table."""
        return self.decode_scaled(z_nk) * self.sd + self.mean

    def embed(self, batch: Batch) -> Tensor:
        """Return the mean codes (n, k); hidden values are not looked at."""
        return self.encode(batch.x if batch.hidden is None else _keep(batch.x, ~batch.hidden))[0]

    def gene_vectors(self) -> np.ndarray:
        """Return a vector per gene: (g, k), the mean of d x_g / d z_k times the spread of z_k; or (g, h).

        x is scaled, so that genes of all levels count alike, and z is drawn from the codes' normal distribution; a
        latent dimension that does not vary gives zeros. `decoder` gives the rows of the last layer.
        """
        if self.config.gene_vectors == "decoder":
            return self.out.weight.detach().cpu().numpy()
        return self._jacobian().cpu().numpy()

    @torch.no_grad()
    def start(self, table: Table, view: View) -> None:
        """Take the view's scales; start the linear path at the principal components of training rows."""
        self.mean.copy_(torch.from_numpy(view.mean_g))
        self.sd.copy_(torch.from_numpy(view.sd_g))
        if self.config.skip == "pca":
            self._start_at_pca(view.scaled(view.values(table)[table.rows("train")]))

    @classmethod
    def cost(cls, config: VAEConfig, train: VAETrain, dims: Dims) -> float:
        """Return about the time of an epoch: the multiplications per row, and what each step costs besides."""
        widths = [dims.n_genes, *config.hidden, config.latent_dim]
        products = 2 * sum(a * b for a, b in zip(widths, widths[1:], strict=False))
        passes = 3 + (config.contrast == "views")
        return dims.n_rows * products * passes + dims.n_rows / train.batch_size * (20 * products + 1e7)

    @classmethod
    def rhythm(cls, config: VAEConfig) -> Rhythm:
        """Return the warm-up and the cycles of the annealing; a second stage begins another warm-up."""
        found = Annealing(config.anneal, config.ramp, config.anneal_share, config.cycles, config.cycle_decay)
        second = config.contrast_from if config.contrast != "none" else 0.0
        return Rhythm(max(found.warmup, second), found.cycle)

    @classmethod
    def objection(cls, config: VAEConfig, dims: Dims) -> str | None:
        """Return what the contrast that is asked for lacks."""
        if config.contrast == "supcon" and dims.n_classes < 2:
            return "contrast: supcon needs classes; set data.view.classes to an obs column"
        if config.contrast == "pair" and dims.n_groups < 2:
            return "contrast: pair needs mixtures and their parts; set data.view.group to an obs column (donor)"
        return None

    @property
    def adds_up(self) -> bool:
        """Whether rows are not compared with one another."""
        return self.contrast is None

    def _masked(self, x_ng: Tensor, progress: float) -> Tensor:
        """Return x with values hidden; the share is drawn for each row."""
        config = self.config
        width = config.mask_width
        if config.mask_growth > 0:
            width *= min(1.0, progress / config.mask_growth)
        if config.mask_min + width == 0:
            return x_ng
        share = config.mask_min + width * torch.rand(len(x_ng), 1, device=x_ng.device)
        return _keep(x_ng, torch.rand_like(x_ng) >= share)

    def _kl_weight(self, terms: dict[str, Tensor], progress: float) -> dict[str, float]:
        """Return the weight of the KL per row; with a capacity, that of its distance to the goal, and add that term."""
        unit = weight_of_beta(1.0, 1, self.dims.n_genes)
        if self.config.anneal != "capacity":
            return {"kl": unit * self.config.beta * self.annealing.factor(progress)}
        terms["kl_gap"] = (terms["kl"] - self.annealing.capacity(progress, self.config.capacity)).abs()
        return {"kl": 0.0, "kl_gap": unit * self.config.capacity_gamma}

    def _views(self, batch: Batch, mu: Tensor, progress: float) -> tuple[Tensor, ...]:
        """Return what is contrasted: the codes; of views, those of two masks, which in evaluation are drawn too."""
        if self.contrast.kind != "views":
            return (mu,)
        first = mu if self.training else self.encode(self._masked(batch.x, progress))[0]
        return first, self.encode(self._masked(batch.x, progress))[0]

    def _contrasts(self, progress: float) -> bool:
        return progress >= self.config.contrast_from

    def _vae_weight(self, progress: float) -> float:
        second = self.config.contrast_from > 0 and self._contrasts(progress)
        return self.config.second_vae_weight if second else 1.0

    def _start_at_pca(self, x_ng: np.ndarray) -> None:
        from sklearn.decomposition import PCA  # a second that only this start need pay

        k = min(self.config.latent_dim, *x_ng.shape)
        pca = PCA(k, random_state=0).fit(x_ng)
        spread = np.sqrt(pca.explained_variance_.mean())  # one for all, so that distances are those of PCA
        self.skip_in.weight.zero_()[:k] = torch.from_numpy(pca.components_ / spread)
        self.skip_out.weight.zero_()[:, :k] = torch.from_numpy((pca.components_ * spread).T)
        for layer in (self.mu, self.out, self.log_var):  # the network begins as a small correction, with little noise
            layer.weight.mul_(0.1)
        self.log_var.bias.fill_(-3.0)

    def _jacobian(self) -> Tensor:
        was_training = self.training
        self.eval()
        k, device = self.config.latent_dim, self.mean.device
        spread_k = self.codes.running_var.sqrt()
        draws = torch.randn(_DRAWS, k, generator=torch.Generator().manual_seed(0)).to(device)
        z = self.codes.running_mean + draws * spread_k
        found = torch.empty(self.dims.n_genes, k, device=device)
        for i in range(k):
            along = torch.zeros_like(z)
            along[:, i] = spread_k[i]
            with torch.no_grad():
                found[:, i] = torch.func.jvp(self.decode_scaled, (z,), (along,))[1].mean(0)
        self.train(was_training)
        return found


def _keep(x_ng: Tensor, kept_ng: Tensor) -> Tensor:
    """Return the values that are kept, scaled up by the share of each row that is not; others are 0."""
    share_n1 = kept_ng.sum(1, keepdim=True) / kept_ng.shape[1]
    return x_ng * kept_ng / share_n1.clamp(min=1 / kept_ng.shape[1])
