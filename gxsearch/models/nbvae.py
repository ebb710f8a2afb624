"""Negative-binomial VAE of counts, conditioned on nuisance covariates, with an optional classifier of the latent.

    mu, S = E(log1p(x s / l), c)     z ~ N(mu, S)     rho = softmax(D(z, c))     x_g ~ NB(l rho_g, theta_g), or ZINB
    loss = -log p(x | z, c) + beta KL( N(mu, S) || N(0, 1) ) + alpha CE(y, C(mu)) + lambda KL(p(c) || A(mu))

per cell, with l the cell's total over all genes of the file, s the median of l, c covariates (batches) one-hot, y
classes or their probabilities where they are known, and A a head that learns c from mu. alpha is 0 where Gaussians of
mu and of principal components name the classes (nn/classes.py). Where only some genes are used, the softmax has one
more entry for all others, so that rho stays a share of l. Lopez et al. 2018 (scVI); Xu et al. 2021 (scANVI) for
classes; structure after scavenger (github.com/mckinsel/scavenger), its errors mended.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pydantic
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gxsearch.config import Config, knob
from gxsearch.data.batch import Batch
from gxsearch.data.counts import CountsView
from gxsearch.data.table import Table
from gxsearch.data.view import Dims
from gxsearch.models.base import GeneModel, Losses, Rhythm, TrainConfig
from gxsearch.models.registry import register
from gxsearch.nn.adversary import Adversary
from gxsearch.nn.classes import Classifier, Kind
from gxsearch.nn.depth import log_depth
from gxsearch.nn.distributions import nb_rows
from gxsearch.nn.mlp import Injected, Norm, Smooth, linear
from gxsearch.nn.posterior import Covariance, Gaussian, Posterior
from gxsearch.nn.profile import one_profile, var_mean
from gxsearch.nn.schedules import Schedule

_LOG_THETA = (-8.0, 12.0)
"""Bounds of log theta: beyond them NB is a point at zero, or Poisson."""


class NBVAEConfig(Config):
    """Widths, the latent, the likelihood, covariates and classes."""

    latent_dim: int = knob(10, doc="length of a cell's vector", low=1, high=10_000)
    hidden: list[int] = knob([128], doc="widths of the encoder; the decoder mirrors them", min_items=1)
    activation: Smooth = knob("silu", doc="activation after each normalization")
    norm: Norm = knob("layer", doc="normalization after each linear layer")
    input_dropout: float = knob(0.4, doc="share of values that the encoder does not see in training", low=0, below=1)
    dropout: float = knob(0.1, doc="share of the encoder's hidden units dropped in training", low=0.0, below=1.0)
    decoder_dropout: float = knob(0.1, doc="share of the decoder's hidden units dropped", low=0.0, below=1.0)
    covariance: Covariance = knob("diag", doc="covariance of a cell's posterior")
    cov_rank: int = knob(4, doc="rank of the low-rank part (covariance: lowrank)", low=1, high=64)
    likelihood: Literal["nb", "zinb"] = knob("nb", doc="negative binomial, or with additional zeros")
    dispersion: Literal["gene", "gene-batch", "gene-cell"] = knob(
        "gene", doc="theta of each gene; also by the covariates; or by cell, as the decoder says"
    )
    rho: Literal["softmax", "softplus"] = knob("softmax", doc="softmax: shares of the total; softplus: free rates")
    encode_covariates: bool = knob(True, doc="the encoder reads the covariates too")
    deep_inject: bool = knob(False, doc="every layer of the decoder reads the covariates, not the first alone")
    beta: float = knob(1.0, doc="weight of the KL; 1 is the ELBO", low=0.0)
    kl_warmup: float = knob(0.3, doc="share of the training in which the KL's weight rises from 0", low=0.0, high=1.0)
    gene_weighting: Literal["none", "var_mean"] = knob(
        "none", doc="weight of genes in the loss: var_mean, by variance / mean of training rows; measures have none"
    )
    classifier: Kind = knob(
        "gaussian", doc="gaussian: classes are named among codes learnt from counts alone; linear: codes learn them too"
    )
    alpha: float = knob(50.0, doc="weight of the classes in the loss (classifier: linear)", low=0.0)
    label_input: bool = knob(False, doc="the encoder reads classes too; the classifier then predicts dropped ones")
    label_drop: float = knob(0.5, doc="share of classes kept from the encoder (label_input)", above=0.0, high=1.0)
    adversary: float = knob(0.0, doc="weight of mixing: a head must not find the covariates in the latent", low=0.0)

    @pydantic.field_validator("hidden")
    @classmethod
    def _widths(cls, hidden: list[int]) -> list[int]:
        if min(hidden) < 1:
            raise ValueError(f"widths must be 1 or more, got {min(hidden)}")
        return hidden


class NBVAETrain(TrainConfig):
    """Adam at a rate that falls by a cosine."""

    lr: float = knob(2e-3, doc="learning rate of Adam", above=0.0, high=10.0)
    batch_size: int = knob(128, doc="rows per step, over all workers", low=2)
    weight_decay: float = knob(1e-6, doc="coupled L2 decay of Adam", low=0.0)
    grad_clip: float = knob(0.0, doc="largest norm of the gradient; 0 does not clip", low=0.0)
    schedule: Schedule = knob("cosine", doc="learning rate over the training")
    fast: float = knob(10.0, doc="learning rate of dispersions and adversary, as a multiple of `lr`", above=0, high=1e3)


@register("nbvae")
class NBVAE(GeneModel):
    """Encoder and decoder are mirrored stacks of Linear - norm - activation - dropout; heads have neither."""

    Config = NBVAEConfig
    Train = NBVAETrain
    View = CountsView
    class_metrics = {"accuracy": "max"}
    metrics = {"elbo": "min", "nll": "min", "r2": "max", "active_units": "max", "loss": "min"}
    reference = "scVI: Lopez et al. 2018; scavenger (negative-binomial VAE with full covariance)"
    demo = {"path": "sim_counts?n=150&g=80", "label": "cell_type", "batch": ["batch"]}
    training_only = ("adversary.",)

    def __init__(self, config: NBVAEConfig, dims: Dims):
        super().__init__(config, dims)
        n_codes, wide = sum(dims.covariates), config.hidden
        look = {"norm": config.norm, "activation": config.activation}
        read = n_codes * config.encode_covariates + dims.n_classes * config.label_input
        self.encoder = Injected([dims.n_genes, *wide], read, deep=False, dropout=config.dropout, **look)
        self.posterior = Posterior(wide[-1], config.latent_dim, config.covariance, config.cov_rank)
        down = [config.latent_dim, *reversed(wide)]
        self.decoder = Injected(down, n_codes, deep=config.deep_inject, dropout=config.decoder_dropout, **look)
        self.out = linear(wide[0], dims.n_genes)
        self.rest = linear(wide[0], 1) if dims.n_rest and config.rho == "softmax" else None
        self.log_theta = nn.Parameter(torch.zeros(dims.n_genes))
        by = {"gene": 0, "gene-batch": n_codes, "gene-cell": wide[0]}[config.dispersion]
        self.theta_by = nn.Linear(by, dims.n_genes, bias=False) if by else None
        self.zeros = linear(wide[0], dims.n_genes) if config.likelihood == "zinb" else None
        sizes = (config.latent_dim, dims.n_classes, dims.n_rows, dims.n_genes)
        self.classifier = Classifier(config.classifier, *sizes) if dims.n_classes else None
        hides = config.adversary > 0 and n_codes > 0
        self.adversary = Adversary(config.latent_dim, dims.covariates) if hides else None
        self.register_buffer("mix", torch.zeros(n_codes))  # share of each category among training rows
        self.register_buffer("gene_weight", torch.ones(dims.n_genes))

    def forward(self, batch: Batch, progress: float) -> Losses:
        """Return nats per value (nll) and per cell (kl; elbo: their sum, the bound with its sign turned).

        Codes are drawn in evaluation too, from the seed that the loop sets. With classes also the cross-entropy
        (class_nll) and the share that is right (accuracy) of those cells whose class is known and was not read.
        """
        rows = len(batch.x) if batch.total is None else batch.total
        codes_nc, told_nc = self.one_hot(batch.covariate), self._told(batch)
        q = self._encode(batch, codes_nc, told_nc)
        log_mu, log_theta, logit = self._decoded(q.draw(), codes_nc, batch.library)
        constant = 0.0 if batch.constant is None else batch.constant
        nll = (constant - nb_rows(batch.x, log_mu, log_theta, logit, batch.nonzero)).sum() / rows
        kl, genes = q.kl().sum() / rows, self.dims.n_genes
        terms = {"nll": nll / genes, "kl": kl, "elbo": (nll + kl).detach()}
        weights = {"nll": float(genes), "kl": self.config.beta * self._warmth(progress), "elbo": 0.0}
        if self.config.gene_weighting == "var_mean":
            weighed = nb_rows(batch.x, log_mu, log_theta, logit, batch.nonzero, self.gene_weight)
            terms["weighted_nll"], weights["weighted_nll"], weights["nll"] = -weighed.sum() / rows, 1.0, 0.0
        if self.classifier is not None:
            terms |= self._judged(q.mu, batch, told_nc, rows)
            weights |= {"class_nll": self.config.alpha * (self.config.classifier == "linear"), "accuracy": 0.0}
        if self.adversary is not None:
            found, paid = self.adversary(q.mu, batch.covariate, self.mix)
            terms |= {"adversary": found / rows, "mixing": paid / rows}
            weights |= {"adversary": 1.0, "mixing": self.config.adversary}
        if self.training:
            return Losses(terms, weights)
        scale = (self.dims.high / batch.library).unsqueeze(1)
        y, x = torch.log1p(log_mu.exp() * scale), torch.log1p(batch.x * scale)
        return Losses(terms, weights, y, x, latent=q.mu)

    def embed(self, batch: Batch) -> Tensor:
        """Return the mean codes (n, k); classes are not read."""
        told_nc = batch.x.new_zeros(len(batch.x), self.dims.n_classes) if self.config.label_input else None
        return self._encode(batch, self.one_hot(batch.covariate), told_nc).mu

    def decode(self, z_nk: Tensor) -> Tensor:
        """Return counts (n, g) expected of codes at the median total, under the average batch."""
        return self.expression(z_nk, None)

    def expression(self, z_nk: Tensor, codes_nc: Tensor | None) -> Tensor:
        """Return counts (n, g) expected of codes at the median total.

        Args:
            codes_nc: share of each category of the covariates (n, categories); None for the mix of the training rows.
        """
        codes_nc = self.mix.expand(len(z_nk), -1) if codes_nc is None else codes_nc
        library = torch.full((len(z_nk),), self.dims.high, device=z_nk.device)
        log_mu, _, logit = self._decoded(z_nk, codes_nc, library)
        return log_mu.exp() if logit is None else log_mu.exp() * torch.sigmoid(-logit)

    def classify(self, batch: Batch) -> Tensor:
        """Return the probability of each class (n, c); the batch's own are not read."""
        assert self.classifier is not None, "the view told no classes"
        return self.classifier(self.embed(batch), self._logged(batch)).softmax(1)

    def dispersion(self) -> np.ndarray:
        """Return theta of each gene (g,): without what covariates or cells change of it."""
        return self.log_theta.detach().clamp(*_LOG_THETA).exp().cpu().numpy()

    def gene_vectors(self) -> np.ndarray:
        """Return the decoder's weights of each gene (g, h)."""
        return self.out.weight.detach().cpu().numpy()

    @torch.no_grad()
    def start(self, table: Table, view: CountsView) -> None:
        """Begin at one profile for all cells, with dispersions by moments."""
        train = table.rows("train", most=65_536)
        x_ng, total_n = view.values(table)[train], view.totals(table)[train]
        share_g, theta_g = one_profile(x_ng, total_n)
        self.out.bias.copy_(torch.from_numpy(np.log(share_g)))
        self.log_theta.copy_(torch.from_numpy(np.log(theta_g)))
        if self.rest is not None:
            self.rest.bias.fill_(math.log(max(1.0 - share_g.sum(), 1e-6)))
        if self.theta_by is not None:
            self.theta_by.weight.zero_()
        if self.zeros is not None:
            self.zeros.bias.fill_(-4.0)
        if self.dims.covariates:
            self.mix.copy_(self.one_hot(torch.from_numpy(view.codes(table)[train])).mean(0))
        if self.config.gene_weighting == "var_mean":
            self.gene_weight.copy_(torch.from_numpy(var_mean(x_ng)))
        if self.classifier is not None:
            self.classifier.start(view.logged(table.take(table.rows("train", most=10_000))))

    def parameter_groups(self, train: NBVAETrain) -> list[dict]:
        """Return all but the dispersions and the adversary, and these, which move faster and do not decay."""
        fast = {name for name, _ in self.named_parameters() if name == "log_theta" or name.startswith("adversary.")}
        named = dict(self.named_parameters())
        return [
            {"params": [named[n] for n in named if n not in fast], "lr": train.lr, "weight_decay": train.weight_decay},
            {"params": [named[n] for n in named if n in fast], "lr": train.lr * train.fast, "weight_decay": 0.0},
        ]

    @classmethod
    def cost(cls, config: NBVAEConfig, train: NBVAETrain, dims: Dims) -> float:
        """Return about the time of an epoch: the multiplications per row, the likelihood, and each step besides."""
        widths = [dims.n_genes, *config.hidden, config.latent_dim]
        heads = 1 + (config.likelihood == "zinb") + (config.dispersion == "gene-cell")
        products = (1 + heads) * sum(a * b for a, b in zip(widths, widths[1:], strict=False))
        return dims.n_rows * (3 * products + 500 * dims.n_genes) + dims.n_rows / train.batch_size * (
            20 * products + 1e7
        )

    @classmethod
    def rhythm(cls, config: NBVAEConfig) -> Rhythm:
        """Return the warm-up of the KL."""
        return Rhythm(config.kl_warmup)

    @classmethod
    def objection(cls, config: NBVAEConfig, dims: Dims) -> str | None:
        """Return what the settings need that the data do not give."""
        wants = {"dispersion: gene-batch": config.dispersion == "gene-batch", "adversary": config.adversary > 0}
        wanted = [name for name, asked in wants.items() if asked]
        if wanted and not dims.covariates:
            return f"{wanted[0]} needs covariates; set data.batch to obs columns"
        if config.label_input and not dims.n_classes:
            return "label_input needs classes; set data.view.classes to an obs column"
        return None

    def one_hot(self, covariate: Tensor | None) -> Tensor | None:
        """Return covariates (n, covariates) one-hot, side by side (n, categories); -1 is zeros."""
        if covariate is None or not self.dims.covariates:
            return None
        columns = zip(covariate.unbind(1), self.dims.covariates, strict=True)
        return torch.cat([F.one_hot(c + 1, n + 1)[:, 1:] for c, n in columns], 1).float()

    def _logged(self, batch: Batch) -> Tensor:
        return log_depth(batch.x, self.dims.high / batch.library, batch.nonzero)

    def _encode(self, batch: Batch, codes_nc: Tensor | None, told_nc: Tensor | None) -> Gaussian:
        dropout = self.config.input_dropout if self.training else 0.0
        h = log_depth(batch.x, self.dims.high / batch.library, batch.nonzero, dropout=dropout)
        extra = [codes_nc] if self.config.encode_covariates and codes_nc is not None else []
        extra += [told_nc] if told_nc is not None else []
        return self.posterior(self.encoder(h, torch.cat(extra, 1) if extra else None))

    def _decoded(
        self, z_nk: Tensor, codes_nc: Tensor | None, library_n: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return log mu (n, g), log theta (g,) or (n, g), and the logit of additional zeros (n, g) or None."""
        h = self.decoder(z_nk, codes_nc)
        raw_ng, log_l = self.out(h), library_n.log().unsqueeze(1)
        if self.config.rho == "softplus":
            log_mu = F.softplus(raw_ng).clamp_min(1e-30).log() + log_l
        else:
            norm = raw_ng.logsumexp(1, keepdim=True)
            norm = norm if self.rest is None else torch.logaddexp(norm, self.rest(h))
            log_mu = raw_ng + (log_l - norm)
        log_theta = self.log_theta
        if self.theta_by is not None:
            log_theta = log_theta + self.theta_by(h if self.config.dispersion == "gene-cell" else codes_nc)
        return log_mu, log_theta.clamp(*_LOG_THETA), None if self.zeros is None else self.zeros(h)

    def _warmth(self, progress: float) -> float:
        return 1.0 if progress >= self.config.kl_warmup else progress / self.config.kl_warmup

    def _told(self, batch: Batch) -> Tensor | None:
        """Return the classes that the encoder reads (n, c): in training some, in evaluation none."""
        if not self.config.label_input:
            return None
        if not self.training or batch.chance is None:
            return batch.x.new_zeros(len(batch.x), self.dims.n_classes)
        kept = torch.rand(len(batch.x), 1, device=batch.x.device) >= self.config.label_drop
        return batch.chance * kept

    def _judged(self, mu: Tensor, batch: Batch, told_nc: Tensor | None, rows: Tensor | float) -> dict[str, Tensor]:
        """Return cross-entropy and accuracy over the cells whose class is known and was not read, means of those."""
        hidden = torch.ones_like(mu[:, 0]) if told_nc is None else (told_nc.sum(1) == 0).float()
        share = batch.known * (self.config.label_drop if self.training and told_nc is not None else 1.0)
        return self.classifier.judged(mu, self._logged(batch), batch.chance, hidden, rows, share)
