"""GeneModel: what every architecture gives, and the abilities that only some have."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from torch import Tensor, nn

from gxsearch.config import Config, knob
from gxsearch.data.batch import Batch
from gxsearch.data.table import Table
from gxsearch.data.view import Dims, View
from gxsearch.nn.schedules import Schedule

_HAIR = 1e-6
"""Share of an epoch by which floating point may put the end of a cycle off."""


Precision = Literal["auto", "fp32", "tf32", "bf16", "fp16"]


@dataclass(frozen=True)
class Losses:
    """What one forward pass gives back.

    Attributes:
        terms: named parts of the loss, scalars, each a mean per example (nats or squared units of x).
        weights: the weight of each term at this point of training.
        prediction, target: what was reconstructed and what it should be, same shape, for R2 and Pearson.
        weight: weight of each predicted value; None means one.
        latent: the rows' codes without noise (n, k), for the number of active units.
        by_gene: `prediction` and `target` are (n, g), so that the loop may correlate gene by gene.
        sizes: what a term is a mean over, where that is not what the batch's others are: tokens, of which batches of
            as many rows have more or fewer.
    """

    terms: dict[str, Tensor]
    weights: dict[str, float]
    prediction: Tensor | None = None
    target: Tensor | None = None
    weight: Tensor | None = None
    latent: Tensor | None = None
    by_gene: bool = False
    sizes: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, term in self.terms.items():
            if not isinstance(term, Tensor):
                raise TypeError(f"the loss's term '{name}' must be a tensor, got {term!r}")

    @property
    def total(self) -> Tensor:
        """The weighted sum of the terms, a scalar."""
        return sum(self.weights[name] * term for name, term in self.terms.items())

    def beside(self, other: Losses) -> Losses:
        """Return the terms of both, of the same batch."""
        more = {name: getattr(self, name) | getattr(other, name) for name in ("terms", "weights", "sizes")}
        return replace(self, **more)


@dataclass(frozen=True)
class Rhythm:
    """When the losses of a training can be compared with those of others, in shares of the training.

    Attributes:
        warmup: before this share no trial is stopped early.
        cycle: length of a cycle of annealing; trials are judged at the ends of cycles. 0 without cycles.
    """

    warmup: float = 0.0
    cycle: float = 0.0

    def warmup_epochs(self, length: int) -> int:
        """Return how many epochs of a training of `length` are warm-up, in whole or in part."""
        return math.ceil(self.warmup * length - _HAIR)

    def comparable(self, epoch: int, length: int) -> bool:
        """Say whether a training may be compared with others after this epoch.

        Warm-up must be over and, with cycles, the epoch be the last that lies wholly within one: where a cycle ends
        in the middle of an epoch, the rest of that epoch is trained at the low weight that the next one begins with.
        """
        cycle = self.cycle * length
        if epoch <= self.warmup_epochs(length) or not cycle:
            return epoch > self.warmup_epochs(length)
        boundary = math.ceil((epoch - _HAIR) / cycle) * cycle
        return boundary < epoch + 1 - _HAIR


class TrainConfig(Config):
    """How a model is trained; an architecture subclasses it to state its own defaults and further knobs."""

    lr: float = knob(1e-3, doc="learning rate of Adam", above=0.0, high=10.0)
    batch_size: int = knob(128, doc="examples per step, over all workers", low=1)
    weight_decay: float = knob(0.0, doc="coupled L2 decay of Adam", low=0.0)
    grad_clip: float = knob(0.0, doc="largest norm of the gradient; 0 does not clip", low=0.0)
    schedule: Schedule = knob(
        "constant", doc="learning rate over the training: constant, down by a cosine or line, up and down, at plateaus"
    )
    warmup: float = knob(
        0.0, doc="share of the training in which the learning rate rises from 0, before its schedule", low=0.0, high=0.9
    )
    plateau_patience: int = knob(
        5, doc="epochs without a better objective after which schedule plateau lowers the learning rate", low=1
    )
    plateau_factor: float = knob(0.5, doc="what plateau multiplies the learning rate by", above=0.0, below=1.0)
    patience: int = knob(
        0, doc="epochs without a better objective, after any warm-up, that end a training; 0 never does", low=0
    )
    min_delta: float = knob(0.0, doc="least improvement of the objective that patience and plateau heed", low=0.0)
    target: float | None = knob(None, doc="a training ends once its warm-up is over and the objective is this good")
    accumulate: int = knob(1, doc="batches whose gradients are averaged for one step of the optimizer", low=1)
    precision: Precision = knob(
        "fp32", doc="of the forward pass: auto is bf16 on a GPU that has it, else fp32; tf32 rounds products on a GPU"
    )
    sync_batchnorm: bool = knob(True, doc="batch norms see the batches of all workers (on GPUs; else each its own)")


class GeneModel(nn.Module, ABC):
    """An architecture: losses of a batch, and a vector per row. Subclasses are final.

    `progress` in [0, 1] is the share of training done, so that annealing needs no epoch arithmetic; validation
    is always at progress 1.
    """

    Config: ClassVar[type[Config]]
    Train: ClassVar[type[TrainConfig]] = TrainConfig
    View: ClassVar[type[View]]
    metrics: ClassVar[dict[str, Literal["min", "max"]]]
    """Validation measures of its own that an objective may name, without the prefix ``val/``."""
    class_metrics: ClassVar[dict[str, Literal["min", "max"]]] = {}
    """Further ones, which there are only where the view is told of classes."""
    told_by: ClassVar[str] = "classes"
    """The setting of the view (`data.view`) that tells of them."""
    reference: ClassVar[str]
    """The paper, in one line."""
    demo: ClassVar[dict[str, Any]]
    """The `data` settings of a small simulated set that suits the model; the contract tests train on it."""

    training_only: ClassVar[tuple[str, ...]] = ()
    """Prefixes of weights that only training needs; an exported model leaves them out."""

    def __init__(self, config: Config, dims: Dims):
        super().__init__()
        self.config, self.dims = config, dims

    @abstractmethod
    def forward(self, batch: Batch, progress: float) -> Losses:
        """Return the losses of a batch."""

    @abstractmethod
    def embed(self, batch: Batch) -> Tensor:
        """Return a vector per row of the batch (n, k)."""

    @classmethod
    def cost(cls, config: Config, train: TrainConfig, dims: Dims) -> float:
        """Return about how long an epoch takes, in any unit; a documented hook.

        A parallel search takes results in the order of a clock that runs at this pace (search/order.py), so that
        it is repeatable; a rough estimate is enough.
        """
        return 1.0

    @classmethod
    def rhythm(cls, config: Config) -> Rhythm:
        """Return when a training may be judged; a documented hook for losses that are annealed."""
        return Rhythm()

    @classmethod
    def objection(cls, config: Config, dims: Dims) -> str | None:
        """Return why these settings cannot work on data of these sizes, ``what; fix``, or None; a documented hook."""
        return None

    @property
    def adds_up(self) -> bool:
        """Whether the loss of a batch is the sum of its parts', so that one too large for the memory may be cut; a
        documented hook for losses that compare rows, or read their neighbors."""
        return True

    def adopt(self, train: TrainConfig) -> None:
        """Take note of how training will run; a documented hook for settings of how things are computed, not what."""

    def parameter_groups(self, train: TrainConfig) -> list[dict]:
        """Return the optimizer's parameter groups; a documented hook for settings that differ by table."""
        return [{"params": list(self.parameters()), "lr": train.lr, "weight_decay": train.weight_decay}]


@runtime_checkable
class StartsFromData(Protocol):
    """A model whose first weights are taken from the data (ranges, PCA); not called on resume."""

    def start(self, table: Table, view: View) -> None:
        """Set the first weights from training rows."""


@runtime_checkable
class FitsNewRows(Protocol):
    """A model without an encoder: a new row's vector is found by optimization with all else frozen."""

    def fit_rows(self, x_ng: Tensor, known_ng: Tensor | None = None) -> Tensor:
        """Return the vectors (n, k) of new rows; `known_ng` marks the entries that may be looked at."""


@runtime_checkable
class Decodes(Protocol):
    """A model that gives expression values for any vector."""

    def decode(self, z_nk: Tensor) -> Tensor:
        """Return values (n, g) in units of the table."""


@runtime_checkable
class EmbedsGenes(Protocol):
    """A model with a vector per gene."""

    def gene_vectors(self) -> np.ndarray:
        """Return the vectors (g, k), in the order of the view's genes."""


@runtime_checkable
class KeepsRowVectors(Protocol):
    """A model that keeps a vector per training row as a parameter, so that a picture of them costs nothing."""

    def row_vectors(self) -> np.ndarray:
        """Return the vectors (n, k) of the training rows, in the order of the table."""


@runtime_checkable
class Measures(Protocol):
    """A model with measures of its own weights; the loop logs them after every epoch as ``model/<name>``."""

    def measures(self) -> dict[str, float]:
        """Return the measures by name."""
