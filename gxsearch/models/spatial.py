"""Equivariant network over neighboring spots: finds a hidden spot from its neighbors, and names regions.

    h^0_i = W f_i, or a learnt vector where spot i is hidden      h = LN(EGNN(h^0, x, neighbors)) + A f_i + B mean_j f_j
    counts_ig ~ NB( l_i softmax(V h_i + b)_g, theta_g )           region_i ~ softmax(U h_i)
    loss = w_nll mean_hidden( -log NB / G )  +  w_label mean_told( -log p(region) ), with all classes alike

A and B are a linear path, in which hidden spots show nothing; it alone can do what logistic regression on a spot and
the mean of its neighbors does. f are features of a spot, x its place in units of the distance between neighbors, l its
total over G genes. As h does not change when a section is turned, mirrored or moved, neither do its vectors. Network:
Satorras, Hoogeboom, Welling 2021; hidden spots after masked modeling; NB as in Lopez et al. 2018.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gxsearch.config import Config, knob
from gxsearch.data.batch import Batch
from gxsearch.data.features import profile
from gxsearch.data.graph import GraphView
from gxsearch.data.table import Table
from gxsearch.data.view import Dims, View
from gxsearch.models.base import GeneModel, Losses, TrainConfig
from gxsearch.models.registry import register
from gxsearch.nn.distributions import nb_log_prob
from gxsearch.nn.equivariant import EGNN
from gxsearch.nn.schedules import Schedule


class SpatialConfig(Config):
    """The network, what is hidden in training, and the weights of the two tasks."""

    dim: int = knob(64, doc="length of a spot's vector, and width of all layers", low=2, high=4096)
    depth: int = knob(2, doc="rounds of messages; a spot sees neighbors that many steps away", low=1, high=16)
    rbf: int = knob(8, doc="Gaussians of the distance beside its square; 0 leaves them out", low=0, high=256)
    skip: bool = knob(True, doc="a linear path from a spot and the mean of its neighbors, beside the network")
    update_coords: bool = knob(False, doc="let messages move the spots, equivariantly")
    dropout: float = knob(0.1, doc="share of hidden units dropped in training", low=0.0, below=1.0)
    mask_frac: float = knob(0.25, doc="share of spots whose features are hidden in training", above=0.0, below=1.0)
    noise: float = knob(0.0, doc="standard deviation of normal noise on the features in training", low=0.0)
    nll_weight: float = knob(1.0, doc="weight of finding the counts of hidden spots", low=0.0)
    label_weight: float = knob(1.0, doc="weight of naming the classes that data.view.classes tells", low=0.0)
    smoothing: float = knob(0.0, doc="share of a told class that is spread over all classes", low=0.0, below=1.0)


class SpatialTrain(TrainConfig):
    """Rates for graphs of some thousand spots."""

    lr: float = knob(1e-3, doc="learning rate of Adam", above=0.0, high=10.0)
    batch_size: int = knob(512, doc="spots per step, over all workers; their neighbors come on top", low=1)
    weight_decay: float = knob(1e-5, doc="coupled L2 decay of Adam", low=0.0)
    grad_clip: float = knob(1.0, doc="largest norm of the gradient; 0 does not clip", low=0.0)
    schedule: Schedule = knob("cosine", doc="learning rate over the training")


@register("spatial")
class Spatial(GeneModel):
    """Embedding of features, rounds of messages, and two heads: counts and classes."""

    Config = SpatialConfig
    Train = SpatialTrain
    View = GraphView
    metrics: ClassVar[dict[str, Literal["min", "max"]]] = {"nll": "min", "loss": "min"}
    class_metrics: ClassVar[dict[str, Literal["min", "max"]]] = {"balanced_accuracy": "max", "label_nats": "min"}
    reference = "E(n)-equivariant graph networks: Satorras, Hoogeboom, Welling, ICML 2021"
    demo: ClassVar[dict] = {
        "path": "sim_spatial?n=160&g=60",
        "spatial": "spatial",
        "label": "region",
        "view": {"section": "section", "classes": "region"},
    }

    def __init__(self, config: SpatialConfig, dims: Dims):
        super().__init__(config, dims)
        self.embedding = nn.Linear(dims.n_features, config.dim)
        self.hidden_h = nn.Parameter(torch.zeros(config.dim))
        shape = {"n_rbf": config.rbf, "dropout": config.dropout, "moves": config.update_coords}
        self.network = EGNN(config.dim, config.depth, **shape)
        self.skip = nn.Linear(2 * dims.n_features, config.dim, bias=False) if config.skip else None
        self.norm, self.drop = nn.LayerNorm(config.dim), nn.Dropout(config.dropout)
        self.share = nn.Linear(config.dim, dims.n_genes)
        self.log_theta_g = nn.Parameter(torch.zeros(dims.n_genes))
        self.classifier = nn.Linear(config.dim, dims.n_classes) if dims.n_classes else None

    @property
    def adds_up(self) -> bool:
        """Not at all: spots read their neighbors."""
        return False

    def forward(self, batch: Batch, progress: float) -> Losses:
        """Return the negative log-likelihood per entry of hidden spots, in nats, and what told classes cost.

        In training a share of the spots is hidden, and classes are told of all examples. In evaluation all examples
        are hidden at once to find their counts, and shown to name their classes.
        """
        hidden_p = self._hidden(batch) if self.training else _at(batch.center, len(batch.node))
        h_nh = self._examples(batch, hidden_p)
        terms = {"nll": self._nll(batch, h_nh, hidden_p[batch.center])}
        weights = {"nll": self.config.nll_weight}
        if self.classifier is not None and batch.label is not None:
            told_nh = h_nh if self.training else self._examples(batch, None)
            terms |= self._label_terms(batch, self.classifier(self.drop(told_nh)))
            weights |= {"label_nats": self.config.label_weight, "balanced_accuracy": 0.0}
        return Losses(terms, weights)

    def embed(self, batch: Batch) -> Tensor:
        """Return a vector per spot (n, k); nothing is hidden."""
        return self._examples(batch, None)

    def classify(self, batch: Batch) -> Tensor:
        """Return the probability of each class (n, c); nothing is hidden."""
        assert self.classifier is not None, "the model was told no classes"
        return torch.softmax(self.classifier(self._examples(batch, None)), 1)

    @torch.no_grad()
    def start(self, table: Table, view: View) -> None:
        """Start at one profile for all spots: gene shares, and dispersions by moments, of training rows."""
        share_g, theta_g = profile(view.values(table)[table.rows("train")])
        self.log_theta_g.copy_(torch.from_numpy(np.log(theta_g)))
        self.share.bias.copy_(torch.from_numpy(np.log(share_g)))
        self.share.weight.mul_(0.1)
        self.norm.weight.fill_(0.3 if self.skip is not None else 1.0)  # the network begins as a correction

    @classmethod
    def cost(cls, config: SpatialConfig, train: SpatialTrain, dims: Dims) -> float:
        """Return about the time of an epoch: products per spot, and what a step costs besides."""
        rounds = config.depth * config.dim * (20 * config.dim + 60)
        return dims.n_rows * (rounds + config.dim * dims.n_genes) + dims.n_rows / train.batch_size * 1e6

    @classmethod
    def objection(cls, config: SpatialConfig, dims: Dims) -> str | None:
        """Return what the view lacks for these settings."""
        if config.depth > dims.n_hops:
            return f"depth: {config.depth} rounds reach beyond the batches; set data.view.hops to {config.depth}"
        if config.nll_weight == 0 and (dims.n_classes == 0 or config.label_weight == 0):
            return "nll_weight and label_weight leave no task; raise one, and tell classes with data.view.classes"
        return None

    def _examples(self, batch: Batch, hidden_p: Tensor | None) -> Tensor:
        """Return the normalized vectors of the examples (n, h), some points hidden."""
        node_pf = batch.node
        if self.training and self.config.noise:
            node_pf = node_pf + self.config.noise * torch.randn_like(node_pf)
        h_ph = self.embedding(node_pf)
        if hidden_p is not None:
            h_ph = torch.where(hidden_p[:, None], self.hidden_h, h_ph)
            node_pf = node_pf * ~hidden_p[:, None]
        h_nh = self.norm(self.network(h_ph, batch.at, batch.edge)[batch.center])
        return h_nh if self.skip is None else h_nh + self.skip(_own_and_mean(node_pf, batch, hidden_p))

    def _hidden(self, batch: Batch) -> Tensor:
        """Draw the points that are hidden (p,): a fixed number of the examples, and a share of all others."""
        n, device = len(batch.x), batch.x.device
        hidden_p = torch.rand(len(batch.node), device=device) < self.config.mask_frac
        chosen_n = torch.randperm(n, device=device) < max(1, round(self.config.mask_frac * n))
        hidden_p[batch.center] = chosen_n
        return hidden_p

    def _nll(self, batch: Batch, h_nh: Tensor, hidden_n: Tensor) -> Tensor:
        """Return the mean over hidden examples and genes; over several workers, that over the examples of all."""
        x_ng = batch.x[hidden_n]
        library_n1 = x_ng.sum(1, keepdim=True).clamp(min=1.0)
        log_mu_ng = torch.log_softmax(self.share(h_nh[hidden_n]), 1) + library_n1.log()
        told = nb_log_prob(x_ng, log_mu_ng, self.log_theta_g)
        share = len(x_ng) / len(batch.x)
        return -told.sum() / (share * batch.total * x_ng.shape[1])

    def _label_terms(self, batch: Batch, logit_nc: Tensor) -> dict[str, Tensor]:
        label_n = batch.label.clamp(min=0)
        nats_n = F.cross_entropy(logit_nc, label_n, reduction="none", label_smoothing=self.config.smoothing)
        right_n = (logit_nc.detach().argmax(1) == label_n).to(nats_n)
        means = {"label_nats": nats_n, "balanced_accuracy": right_n}
        return {name: (batch.balance * value).sum() / batch.total for name, value in means.items()}


def _own_and_mean(node_pf: Tensor, batch: Batch, hidden_p: Tensor | None) -> Tensor:
    """Return the features of the examples beside the means of their neighbors that are not hidden (n, 2 f)."""
    sender, receiver = batch.edge
    seen_p1 = torch.ones_like(node_pf[:, :1]) if hidden_p is None else (~hidden_p[:, None]).to(node_pf)
    sum_pf = torch.zeros_like(node_pf).index_add_(0, receiver, node_pf[sender])
    times_p1 = torch.zeros_like(seen_p1).index_add_(0, receiver, seen_p1[sender])
    return torch.cat([node_pf, sum_pf / times_p1.clamp(min=1)], 1)[batch.center]


def _at(place_n: Tensor, size: int) -> Tensor:
    return torch.zeros(size, dtype=torch.bool, device=place_n.device).index_fill_(0, place_n, True)
