"""The settings of `transformer`: its size, what it hides, its losses, its task, and how it is trained."""

from __future__ import annotations

from typing import Literal

import pydantic

from gxsearch.config import Config, knob
from gxsearch.data.view import Dims
from gxsearch.models.base import Precision, TrainConfig
from gxsearch.nn.ordinal import BinLoss
from gxsearch.nn.pretrained import settings
from gxsearch.nn.schedules import Schedule

Size = Literal["xs", "s", "m", "b", "large"]
SIZES: dict[str, tuple[int, int, int]] = {
    "xs": (64, 2, 2),
    "s": (128, 4, 4),
    "m": (256, 6, 8),
    "b": (768, 12, 12),
    "large": (1024, 24, 16),
}
"""Width, layers and heads. b is that of both originals, large that of PerturbGene's largest."""


class TransformerConfig(Config):
    """Size, what is hidden, losses, the task and the row's vector."""

    size: Size = knob("xs", doc="width x layers: xs 64x2, s 128x4, m 256x6, b 768x12 (the originals'), large 1024x24")
    ffn_mult: int = knob(4, doc="units of the feed-forward layers, as a multiple of the width", low=1, high=8)
    dropout: float = knob(0.0, doc="share of what each part adds that is dropped in training", low=0.0, below=1.0)
    attention_dropout: float = knob(0.0, doc="share of tokens that a head does not see in training", low=0.0, below=1.0)
    gene_mask: float = knob(0.15, doc="least share of a row's gene tokens hidden in training", low=0.0, high=1.0)
    gene_mask_width: float = knob(
        0.85, doc="how much larger that share may be, 1 at most; drawn for each row", low=0.0, high=1.0
    )
    mask_random: float = knob(0.0, doc="share of hidden gene tokens that show any bin in place of MASK", low=0, high=1)
    mask_keep: float = knob(0.0, doc="share of hidden gene tokens that show their own bin", low=0.0, high=1.0)
    phenotype_mask: float = knob(0.5, doc="share of phenotypes hidden in training", low=0.0, high=1.0)
    phenotype_drop: float = knob(0.1, doc="share of phenotypes shown as not specified in training", low=0.0, below=1.0)
    crop: int = knob(
        128, doc="gene tokens that a training step reads, drawn anew for each: fast on a CPU; 0 reads all", low=0
    )
    crop_share: float = knob(0.7, doc="share of the training that is cropped; its rest reads all", low=0, high=1)
    loss: BinLoss = knob("ce", doc="of bins: cross-entropy, or near bins nearly right (gauss); two bins: Bernoulli")
    gauss_sigma: float = knob(0.5, doc="spread over neighboring bins, in bins (loss: gauss)", above=0.0, high=100.0)
    smoothing: float = knob(
        0.0, doc="share of a bin's chance spread over all bins; the originals' is 0.5", low=0, below=1
    )
    label_smoothing: float = knob(0.0, doc="the same of phenotypes", low=0.0, below=1.0)
    gene_weight: float = knob(1.0, doc="weight of the genes' loss", low=0.0)
    phenotype_weight: float = knob(1.0, doc="weight of the phenotypes' loss", low=0.0)
    class_weighting: Literal["none", "sqrt"] = knob(
        "none", doc="weight of a category in the loss: sqrt, 1 / sqrt of its training share, 10 at most"
    )
    task: Literal["masked", "classify"] = knob("masked", doc="find what is hidden, or the class of a row from CLS")
    target: str = knob("", doc="the phenotype to find (task: classify); it is never read")
    pooling: Literal["cls", "mean"] = knob("mean", doc="a row's vector: that of CLS, or the mean over gene tokens")
    embed_phenotypes: list[str] = knob([], doc="phenotypes that a row's vector may read; all others are hidden")

    @pydantic.model_validator(mode="after")
    def _shares(self) -> TransformerConfig:
        if self.mask_random + self.mask_keep > 1.0 + 1e-9:
            raise ValueError("mask_random + mask_keep must be at most 1")
        if (self.task == "classify") != bool(self.target):
            raise ValueError("target is the phenotype of task classify: give both or neither")
        return self


class TransformerTrain(TrainConfig):
    """AdamW with a warm-up, the rate falling by a cosine."""

    lr: float = knob(3e-3, doc="learning rate of AdamW; 3e-3 suits xs, 1e-4 suits b", above=0.0, high=10.0)
    batch_size: int = knob(32, doc="rows per step, over all workers", low=1)
    weight_decay: float = knob(0.01, doc="decoupled decay of matrices; none of tables, norms and biases", low=0.0)
    grad_clip: float = knob(1.0, doc="largest norm of the gradient; 0 does not clip", low=0.0)
    schedule: Schedule = knob("cosine", doc="learning rate over the training")
    warmup: float = knob(0.1, doc="share of the training in which the rate rises from 0", low=0.0, high=0.9)
    precision: Precision = knob("auto", doc="auto: bf16 on a GPU that has it, else fp32; fp16 scales its loss")
    trunk_lr: float = knob(1.0, doc="rate of all but the heads, as a multiple of lr", low=0.0, high=100.0)
    checkpointing: bool = knob(False, doc="compute activations again in the backward pass: less memory, more time")


def unlike(config: TransformerConfig, dims: Dims) -> str | None:
    """Return which setting must be another for pre-trained weights to fit."""
    theirs = settings(dims.pretrained)
    if theirs["model"] != "transformer":
        return f"{dims.pretrained} is a model '{theirs['model']}'; name an exported transformer in data.view.pretrained"
    other = TransformerConfig(**theirs["params"])
    for name in ("size", "ffn_mult"):
        if getattr(config, name) != getattr(other, name):
            ours, value = getattr(config, name), getattr(other, name)
            return f"{name} is {ours}, that of the pre-trained weights {value}; set model.{name} to {value}"
    for name in ("n_genes", "n_bins"):
        if getattr(dims, name) != theirs["dims"][name]:
            what = f"{name} is {getattr(dims, name)}, that of the pre-trained weights {theirs['dims'][name]}"
            return f"{what}; set data.genes and data.view as for them"
    return None
