"""RVAgene: a recurrent VAE of genes over time.

    h = RNN_E(x_1 .. x_T)      mu, log s^2 = linear(h)      z = mu + s eps
    h_0 = linear(z)      y_t = linear(RNN_D(h_0; u_1 .. u_t))      u_t: 0, z, or z and features of time
    given batches: RNN_E reads (x_t, b_t), b_t one-hot; RNN_D reads (u_t, b) at all times, for each batch b
    loss of a gene = sum_t w_t (y_t - x_t)^2 + beta KL( N(mu, s^2) || N(0, 1) )      w_t: 0 where a value is missing

A gene's scaled values are x; with `recon: gaussian` the sum is -log N(x_t; y_t, sigma^2), sigma learnt, and beta 1 is
the ELBO; squared errors with beta 1 are that of sigma^2 = 1/2. Mitra and MacLean, Bioinformatics 2021 (github.com/
maclean-lab/RVAgene). The original averages the KL over batch and latent, so that its beta is 1 / (B Z), 1/60 there,
and takes the state of the first layer; here neither batch size nor latent size changes beta, and the state is that of
the last layer.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gxsearch.config import Config, knob
from gxsearch.data.batch import Batch
from gxsearch.data.series import SeriesView
from gxsearch.data.table import Table
from gxsearch.data.view import Dims, View
from gxsearch.models.base import GeneModel, Losses, Rhythm, TrainConfig
from gxsearch.models.registry import register
from gxsearch.nn.anneal import Annealing
from gxsearch.nn.mlp import linear
from gxsearch.nn.recurrent import (
    TIME_FEATURES,
    Cell,
    FirstStates,
    last_state,
    lines,
    recurrent,
    time_features,
)
from gxsearch.nn.schedules import Schedule

_MEMORY = 50
"""Batches over which the residual variance is averaged."""
_LOG_2PI = math.log(2 * math.pi)


class RVAgeneConfig(Config):
    """Recurrent layers, the latent, what the decoder is told, and the loss."""

    hidden_size: int = knob(70, doc="units of each recurrent layer", low=1, high=4096)
    latent_dim: int = knob(3, doc="length of a gene's vector", low=1, high=1024)
    num_layers: int = knob(1, doc="recurrent layers of encoder and of decoder", low=1, high=8)
    cell: Cell = knob("lstm", doc="recurrent unit; gru takes four times as long on a CPU")
    bidirectional: bool = knob(False, doc="whether the encoder also reads backwards in time")
    decoder_input: Literal["zero", "z", "z_time"] = knob(
        "z_time", doc="what the decoder reads at each time: nothing (the paper's), the vector, or also sines of time"
    )
    skip: Literal["none", "pca"] = knob(
        "none", doc="pca adds a linear path beside encoder and decoder, which starts it, and so the model, at PCA"
    )
    recon: Literal["mse", "smooth_l1", "gaussian"] = knob(
        "mse", doc="loss of a value: squared error, smooth L1, or Gaussian with a learnt standard deviation"
    )
    beta: float = knob(1.0, doc="weight of the KL of a gene beside the sum over times; the paper's is 1/60", low=0.0)
    beta_warmup: float = knob(0.1, doc="share of the training over which beta grows from 0", low=0.0, high=1.0)
    free_bits: float = knob(0.0, doc="nats of KL per latent dimension and gene that cost nothing", low=0.0)


class RVAgeneTrain(TrainConfig):
    """The paper's training, with a learning rate that rises and falls."""

    lr: float = knob(3e-3, doc="learning rate of Adam", above=0.0, high=10.0)
    batch_size: int = knob(20, doc="genes per step, over all workers", low=1)
    grad_clip: float = knob(5.0, doc="largest norm of the gradient; 0 does not clip", low=0.0)
    schedule: Schedule = knob("onecycle", doc="learning rate over the training; the paper's is constant")


@register("rvagene")
class RVAgene(GeneModel):
    """Encoder and decoder are stacks of LSTM or GRU layers; nothing depends on how genes are batched."""

    Config = RVAgeneConfig
    Train = RVAgeneTrain
    View = SeriesView
    metrics = {
        "elbo": "min",
        "mse": "min",
        "mae": "min",
        "r2": "max",
        "pearson": "max",
        "active_units": "max",
        "loss": "min",
    }
    reference = "Mitra and MacLean, RVAgene: generative modeling of gene expression time series, Bioinformatics 2021"
    demo = {"path": "sim_series?n=24&g=120", "orientation": "genes", "time": "time", "label": "cluster"}

    def __init__(self, config: RVAgeneConfig, dims: Dims):
        super().__init__(config, dims)
        k, h, layers = config.latent_dim, config.hidden_size, config.num_layers
        self.n_batches = sum(dims.covariates)
        self.encoder = recurrent(config.cell, 1 + self.n_batches, h, layers, bidirectional=config.bidirectional)
        wide = h * (1 + config.bidirectional)
        self.mu, self.log_var = linear(wide, k), linear(wide, k)
        n_in = {"zero": 1, "z": k, "z_time": k + TIME_FEATURES}[config.decoder_input]
        self.decoder = recurrent(config.cell, n_in + self.n_batches, h, layers)
        self.first = FirstStates(k, self.decoder)
        self.out = linear(h, 1)
        self.skip_in = linear(dims.n_genes, k) if config.skip == "pca" else None
        self.skip_out = linear(k, dims.n_genes) if config.skip == "pca" else None
        self.log_sigma = nn.Parameter(torch.zeros(())) if config.recon == "gaussian" else None
        self.register_buffer("time", torch.linspace(0, 1, dims.n_genes, dtype=torch.float64))
        if self.n_batches:
            self.register_buffer("batch", torch.zeros(dims.n_genes, dtype=torch.int64))
        self.register_buffer("residual", torch.ones(()))
        self.register_buffer("batches", torch.zeros(()))
        self.annealing = Annealing("linear" if config.beta_warmup else "none", share=config.beta_warmup or 1.0)

    def forward(self, batch: Batch, progress: float) -> Losses:
        """Return, as means over genes, ``recon`` (summed over times) and ``kl`` (nats, summed over the latent).

        In evaluation z is mu, and two further terms of weight 0 are told: ``elbo``, the negative ELBO in nats per gene
        at beta 1, with the standard deviation that was learnt, and ``mse``, the mean over genes of the mean squared
        error of a gene's values.
        """
        x, w = batch.x, batch.weight
        rows = len(x) if batch.total is None else batch.total
        mu, log_var = self.encode(x)
        kl_nk = 0.5 * (mu.square() + log_var.exp() - 1 - log_var)
        spread = torch.exp(0.5 * log_var) * torch.randn_like(mu)
        if self.training:
            y = self.decode(mu + spread)
            self._note(_summed((y - x).square(), w) / _counts(x, w))
        else:
            # Two draws opposite to each other: what is linear in the noise cancels.
            y, *drawn = self.decode(torch.cat([mu, mu + spread, mu - spread])).chunk(3)
        terms = {"recon": _summed(self._error(y, x), w).sum() / rows, "kl": kl_nk.sum() / rows}
        weights = {"recon": 1.0, **self._kl_weights(terms, kl_nk, rows, progress)}
        if not self.training:
            nats_n = sum(_summed(self._nats(one, x), w) for one in drawn) / 2 + kl_nk.sum(1)
            terms |= {"elbo": nats_n.sum() / rows, "mse": (_summed((y - x).square(), w) / _counts(x, w)).sum() / rows}
            weights |= {"elbo": 0.0, "mse": 0.0}
        return Losses(terms, weights, y, x, w, latent=mu)

    def encode(self, x_nt: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the codes (n, k) of scaled values; missing ones are filled in."""
        x_tnf = x_nt.T.unsqueeze(2)
        if self.n_batches:
            told_tb = F.one_hot(self.batch, self.n_batches).to(x_nt.dtype)
            x_tnf = torch.cat([x_tnf, told_tb[:, None].expand(-1, len(x_nt), -1)], dim=2)
        h_nh = last_state(self.encoder, x_tnf)
        mu_nk = self.mu(h_nh) if self.skip_in is None else self.mu(h_nh) + self.skip_in(x_nt)
        return mu_nk, self.log_var(h_nh).clamp(-10.0, 10.0)

    def decode(self, z_nk: Tensor, batch: int | None = None) -> Tensor:
        """Return the curves (n, t) of codes at the times of the training, scaled: a code has no mean and spread.

        Of a model that is given batches, each value is that of its own batch, or all are of `batch`, an index.
        """
        assert batch is None or self.n_batches, "the model is given no batches"
        y_nt = self._run_batches(z_nk, batch) if self.n_batches else self._run(z_nk, self.time)
        if self.skip_out is None:
            return y_nt
        linear_nt = self.skip_out(z_nk)
        if batch is None:
            return y_nt + linear_nt
        mine_t = self.batch == batch
        return y_nt + lines(linear_nt[:, mine_t], self.time[mine_t], self.time)

    def curves(self, z_nk: Tensor, time_q: Tensor, batch: int | None = None) -> Tensor:
        """Return the curves (n, q) of codes at any times, which are 0 at the first and 1 at the last of the training.

        Between two times of the training a curve is a straight line, before the first and after the last it stays.
        A decoder that reads time could be asked for its next value at another time, but it has learnt steps of the
        training only: on simulated curves its error is 1.2 to 4 times that of the line. Of a model that is given
        batches the curves are those of `batch`, an index; by default of the batch of most times.
        """
        if self.n_batches and batch is None:
            batch = int(self.batch.bincount().argmax())
        return lines(self.decode(z_nk, batch), self.time, time_q)

    def embed(self, batch: Batch) -> Tensor:
        """Return the mean codes of the genes (n, k)."""
        return self.encode(batch.x)[0]

    @torch.no_grad()
    def start(self, table: Table, view: View) -> None:
        """Take the times of the view, from 0 at the first to 1 at the last; start the linear path at PCA."""
        self.time.copy_(torch.from_numpy(view.timeline.unit(view.time_t)))
        if self.n_batches:
            self.batch.copy_(torch.from_numpy(view.timeline.code_t))
        if self.config.skip == "pca":
            self._start_at_pca(view.curves(table.take(table.rows("train"))).x_nt)

    @property
    def sigma(self) -> Tensor:
        """Standard deviation of a scaled value around its curve: learnt, or that of the residuals in training."""
        return self.residual.sqrt() if self.log_sigma is None else self.log_sigma.exp()

    @classmethod
    def cost(cls, config: RVAgeneConfig, train: RVAgeneTrain, dims: Dims) -> float:
        """Return about the time of an epoch: multiplications per gene and time, and what each step costs besides."""
        h, layers = config.hidden_size, config.num_layers
        steps = dims.n_rows / train.batch_size * dims.n_genes
        slow = 4.0 if config.cell == "gru" else 1.0
        one = 4 * h * (h + config.latent_dim) * (2 + config.bidirectional) * layers
        return slow * (3 * dims.n_rows * dims.n_genes * one + 2e5 * steps)

    @classmethod
    def rhythm(cls, config: RVAgeneConfig) -> Rhythm:
        """Return the warm-up of beta."""
        return Rhythm(config.beta_warmup)

    def _start_at_pca(self, x_nt: np.ndarray) -> None:
        """Make the model PCA of the training genes, with components of unit variance; recurrent paths begin at 0."""
        from sklearn.decomposition import PCA  # a second that only this start need pay

        k = min(self.config.latent_dim, *x_nt.shape)
        pca = PCA(k, random_state=0).fit(x_nt)
        w_kt, sd_k = torch.from_numpy(pca.components_), torch.from_numpy(pca.singular_values_ / math.sqrt(len(x_nt)))
        mean_t, sd_k = torch.from_numpy(pca.mean_), sd_k.clamp(min=1e-6)
        for layer in (self.mu, self.out, self.log_var, self.skip_in, self.skip_out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.skip_in.weight[:k] = w_kt / sd_k[:, None]
        self.skip_in.bias[:k] = -(self.skip_in.weight[:k] @ mean_t)
        self.skip_out.weight[:, :k] = w_kt.T * sd_k
        self.skip_out.bias.copy_(mean_t)
        # The posterior's variance that is best for squared errors: beta / (2 sd^2 + beta).
        beta = max(self.config.beta, 1e-3)
        self.log_var.bias[:k] = torch.log(beta / (2 * sd_k.square() + beta))

    def _run(self, z_nk: Tensor, time_t: Tensor, told_nb: Tensor | None = None) -> Tensor:
        """Return what the recurrent decoder gives of codes (n, t), told the batch of each by a one-hot."""
        inputs_tnf = self._inputs(z_nk, time_t)
        if told_nb is not None:
            inputs_tnf = torch.cat([inputs_tnf, told_nb.expand(len(time_t), -1, -1)], dim=2)
        return self.out(self.decoder(inputs_tnf, self.first(z_nk))[0]).squeeze(2).T

    def _run_batches(self, z_nk: Tensor, batch: int | None) -> Tensor:
        """Return curves (n, t), run for each batch over all times, so that under any one they are as in training."""
        time_u, of_t = self.time.unique(return_inverse=True)
        told_bb = torch.eye(self.n_batches, dtype=z_nk.dtype, device=z_nk.device)
        told_bb = told_bb if batch is None else told_bb[[batch]]
        y_nu = self._run(z_nk.repeat(len(told_bb), 1), time_u, told_bb.repeat_interleave(len(z_nk), 0))
        y_bnu = y_nu.unflatten(0, (len(told_bb), len(z_nk)))
        return y_bnu[self.batch if batch is None else torch.zeros_like(self.batch), :, of_t].T

    def _inputs(self, z_nk: Tensor, time_t: Tensor) -> Tensor:
        """Return what the decoder reads (t, n, f), but for the batch."""
        t, n = len(time_t), len(z_nk)
        if self.config.decoder_input == "zero":
            return z_nk.new_zeros(t, n, 1)
        z_tnk = z_nk.expand(t, -1, -1)
        if self.config.decoder_input == "z":
            return z_tnk
        features_tf = time_features(time_t).to(z_nk.dtype)
        return torch.cat([z_tnk, features_tf[:, None].expand(-1, n, -1)], dim=2)

    def _error(self, y_nt: Tensor, x_nt: Tensor) -> Tensor:
        if self.config.recon == "mse":
            return (y_nt - x_nt).square()
        if self.config.recon == "smooth_l1":
            return F.smooth_l1_loss(y_nt, x_nt, reduction="none")
        return self._nats(y_nt, x_nt)

    def _nats(self, y_nt: Tensor, x_nt: Tensor) -> Tensor:
        """Return -log N(x; y, sigma^2) of every value."""
        log_sigma = self.sigma.log()
        return 0.5 * ((y_nt - x_nt).square() * torch.exp(-2 * log_sigma) + _LOG_2PI) + log_sigma

    def _kl_weights(self, terms: dict[str, Tensor], kl_nk: Tensor, rows: float | Tensor, progress: float) -> dict:
        """Return the weight of the KL; with free bits, that of what exceeds them, and add that term."""
        beta = self.config.beta * self.annealing.factor(progress)
        if not self.config.free_bits:
            return {"kl": beta}
        terms["kl_paid"] = kl_nk.clamp(min=self.config.free_bits).sum() / rows
        return {"kl": 0.0, "kl_paid": beta}

    @torch.no_grad()
    def _note(self, error_n: Tensor) -> None:
        """Average the mean squared residual over the latest batches."""
        self.batches.add_(1)
        self.residual.lerp_(error_n.mean(), 1 / self.batches.clamp(max=_MEMORY))


def _summed(value_nt: Tensor, weight_nt: Tensor | None) -> Tensor:
    """Return the sums over times (n,) of what was measured."""
    return value_nt.sum(1) if weight_nt is None else (value_nt * weight_nt).sum(1)


def _counts(x_nt: Tensor, weight_nt: Tensor | None) -> Tensor | int:
    """Return how many times of each gene were measured."""
    return x_nt.shape[1] if weight_nt is None else weight_nt.sum(1)
