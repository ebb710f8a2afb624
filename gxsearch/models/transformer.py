"""Transformer over tokens of genes and phenotypes, some of which are hidden and found from the others.

    h = Encoder([CLS] [phenotypes] [E_gene * S_bin + E_bin]),      no positions: a set, not a sentence
    loss = gene_weight mean_hidden -log p(bin | h) + phenotype_weight mean_phenotypes mean_hidden -log p(category | h)

A token's chances are over the bins of its gene, or over the categories of its phenotype, alone. After Transformerics
(Polygene, PerturbGene: BERT over expression bins), whose encoder is that of Devlin et al. 2018; drawing whole cells
after Chang et al. 2022 (MaskGIT). What the originals do by mistake is not repeated: pre-trained weights are loaded.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from gxsearch.data.batch import Batch
from gxsearch.data.table import Table
from gxsearch.data.tokens import TokensView
from gxsearch.data.view import Dims
from gxsearch.errors import TrialError
from gxsearch.models.base import GeneModel, Losses
from gxsearch.models.registry import register
from gxsearch.models.transformer_config import SIZES, TransformerConfig, TransformerTrain, unlike
from gxsearch.nn.filling import Filling, Order, fill
from gxsearch.nn.masking import HIDDEN, crop, given, hide, read, tell, there
from gxsearch.nn.ordinal import bin_nll, chances, wanted
from gxsearch.nn.phenotypes import Weights, judge, key, mean
from gxsearch.nn.pretrained import Loaded, load_into
from gxsearch.nn.tokens import ClassHead, GeneHead, TokenEmbedding
from gxsearch.nn.transformer import Encoder, head

HEADS = ("gene_head.", "phenotype_heads.", "classifier.", "embedding.phenotypes.", "levels", "weights.", "dense")
"""Weights that a model may have beside its pre-trained trunk, or lack."""
_ROWS = 128
"""Rows of cells that are drawn at a time."""


@register("transformer")
class Transformer(GeneModel):
    """One encoder; a head for the genes' bins, one for each phenotype, or a classifier."""

    Config = TransformerConfig
    Train = TransformerTrain
    View = TokensView
    metrics = {"gene_nll": "min", "gene_mae": "min", "loss": "min"}
    class_metrics = {"pheno_nll": "min", "accuracy": "max", "balanced_accuracy": "max"}
    told_by = "phenotypes"
    reference = "Transformerics (Polygene, PerturbGene); Devlin et al. 2018; MaskGIT: Chang et al. 2022"
    demo = {
        "path": "sim_phenotypes?n=400&g=100",
        "label": "cell_type",
        "transform": ["normalize", "log1p"],
        "view": {"phenotypes": ["cell_type", "sex"]},
    }

    def __init__(self, config: TransformerConfig, dims: Dims):
        super().__init__(config, dims)
        width, layers, heads = SIZES[config.size]
        self.names = tuple(dims.phenotypes)
        self.embedding = TokenEmbedding(dims.n_genes, dims.n_bins, dims.phenotypes, width)
        drops = {"dropout": config.dropout, "attention_dropout": config.attention_dropout}
        self.encoder = Encoder(width, layers, heads, config.ffn_mult * width, **drops)
        masked = config.task == "masked"
        self.gene_head = GeneHead(dims.n_genes, dims.n_bins, width) if masked else None
        asked = dims.phenotypes if masked else {}
        self.phenotype_heads = nn.ModuleDict({key(name): head(width, size) for name, size in asked.items()})
        self.classifier = None if masked else ClassHead(width, dims.phenotypes[config.target], config.dropout)
        self.weights = nn.ModuleDict({key(name): Weights(size) for name, size in dims.phenotypes.items()})
        self.register_buffer("levels", torch.arange(float(dims.n_bins)).repeat(dims.n_genes, 1))
        self.register_buffer("dense", torch.ones((), dtype=torch.bool))
        table = wanted(dims.n_bins, config.loss, config.gauss_sigma, config.smoothing)
        self.register_buffer("wanted", table, persistent=False)
        self.loaded: Loaded | None = None

    def forward(self, batch: Batch, progress: float) -> Losses:
        """Return gene_nll (nats per hidden token), pheno_nll (nats, mean over phenotypes) and accuracies.

        In training tokens and phenotypes are hidden at random; what it smooths or weighs is a term of its own
        (gene_loss, pheno_loss). In evaluation `batch.hidden` says which genes are, all phenotypes are, and gene_mae
        is the error of the expected level in units of the table.
        """
        if self.training and progress < self.config.crop_share:
            batch = crop(batch, self.config.crop)
        told_np, *asked = self._told(batch)
        if self.classifier is not None:
            return self._phenotype_terms(self._logits(self._cls(batch, told_np)), batch, *asked)
        random, keep = (self.config.mask_random, self.config.mask_keep) if self.training else (0.0, 0.0)
        if self.training:
            asked_nl = hide(batch, self.config.gene_mask, self.config.gene_mask_width)
        else:
            asked_nl = torch.zeros_like(batch.x, dtype=torch.bool) if batch.hidden is None else batch.hidden
        bin_nl = read(batch.x, asked_nl, self.dims.n_bins, random=random, keep=keep)
        h_md, h_npd = self._found(batch, bin_nl, told_np, asked_nl)
        genes = self._gene_terms(h_md, batch, asked_nl)
        return genes.beside(self._phenotype_terms(self._logits(h_npd), batch, *asked)) if self.names else genes

    def embed(self, batch: Batch) -> Tensor:
        """Return a vector per row (n, d), from all genes and the phenotypes of `embed_phenotypes`."""
        bin_nl = batch.x if batch.hidden is None else read(batch.x, batch.hidden, self.dims.n_bins)
        h = self._encode(batch, bin_nl, self._given(batch, self.config.embed_phenotypes))
        if self.config.pooling == "cls":
            return h[:, 0]
        real_nl = there(batch).unsqueeze(2)
        return (h[:, self._genes] * real_nl).sum(1) / real_nl.sum(1).clamp_min(1)

    def phenotype_logits(self, batch: Batch, given: list[str]) -> dict[str, Tensor]:
        """Return the logits (n, c) of all phenotypes that are not given, by name; of a classifier, of its target.

        Those in `given` are read from the batch (-1 is not specified), all others hidden. No gene is.
        """
        told_np, none_nl = self._given(batch, given), torch.zeros_like(batch.x, dtype=torch.bool)
        one = self.classifier is not None
        h = self._cls(batch, told_np) if one else self._found(batch, batch.x, told_np, none_nl)[1]
        return {self.names[p]: found for p, found in self._logits(h).items() if self.names[p] not in given}

    def gene_chances(self, batch: Batch) -> Tensor:
        """Return the chances of the bins (m, b) of the tokens that the batch hides, row by row; all phenotypes are."""
        at = batch.hidden.nonzero(as_tuple=True)
        h = self._encode(batch, read(batch.x, batch.hidden, self.dims.n_bins), self._given(batch, []))
        gene_m = batch.gene.expand_as(batch.x)[at]
        return chances(self.gene_head(h[:, self._genes][at], gene_m, self.embedding.gene.weight))

    def gene_vectors(self) -> np.ndarray:
        """Return the static vector of each gene (g, d): its embedding."""
        return self.embedding.gene.weight.detach().cpu().numpy()

    @torch.no_grad()
    def contextual(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the sum over the batch of each gene's last hidden states (g, d), and of how many (g,)."""
        h = self._encode(batch, batch.x, self._given(batch, self.config.embed_phenotypes))[:, self._genes]
        real_nl = there(batch).expand_as(batch.x)
        gene_m = batch.gene.expand_as(batch.x)[real_nl]
        sum_gd = h.new_zeros(self.dims.n_genes, h.shape[2]).index_add_(0, gene_m, h[real_nl])
        return sum_gd, torch.bincount(gene_m, minlength=self.dims.n_genes)

    @torch.no_grad()
    def generate(
        self,
        phenotype_np: Tensor,
        n: int,
        *,
        steps: int = 16,
        temperature: float = 1.0,
        generator: torch.Generator,
        order: Order = "random",
    ) -> Tensor:
        """Draw the bins of n cells (n, g) that have these phenotypes: (n, P) or (1, P), -1 for one that is free.

        Raises:
            TrialError: when the model reads expressed genes alone, or classifies: it cannot tell all genes' bins.
        """
        if not self.dense or self.gene_head is None:
            fix = "train with data.view.layout: dense and model.task: masked"
            raise TrialError.one("E704", "", "this model cannot draw cells: it does not find whole panels", fix)
        told_np = phenotype_np.to(self.levels.device).expand(n, len(self.names))
        told_np = told_np.masked_fill(told_np < 0, HIDDEN)
        gene_nl = torch.arange(self.dims.n_genes, device=self.levels.device).unsqueeze(0)
        how, found = Filling(steps, temperature, order, generator), []
        for told in told_np.split(_ROWS):

            def predict(bin_ng: Tensor, asked_ng: Tensor, told: Tensor = told) -> Tensor:
                h_md, _ = self._found(Batch(bin_ng, gene=gene_nl), bin_ng, told, asked_ng)
                return chances(self.gene_head(h_md, asked_ng.nonzero()[:, 1], self.embedding.gene.weight))

            blank_ng = torch.full((len(told), self.dims.n_genes), self.dims.n_bins, device=told.device)
            found.append(fill(predict, blank_ng, self.dims.n_bins, how))
        return torch.cat(found)

    @torch.no_grad()
    def start(self, table: Table, view: TokensView) -> None:
        """Take pre-trained weights where the view names them; start genes at their frequency; weigh categories."""
        if view.config.pretrained:
            self.loaded = load_into(self, view.config.pretrained, HEADS)
        self.levels.copy_(torch.from_numpy(view.levels))
        self.dense.fill_(view.config.layout == "dense")
        if self.gene_head is not None and (self.loaded is None or "gene_head.bias" not in self.loaded.taken):
            self.gene_head.start(torch.from_numpy(view.frequency))
        if self.config.class_weighting == "sqrt":
            for name, weights in zip(self.names, self.weights.values(), strict=True):
                weights.start(torch.from_numpy(view.phenotype_share[name]))

    def measures(self) -> dict[str, float]:
        """Return how many tensors pre-trained weights gave, and how many were drawn anew; nothing without them."""
        if self.loaded is None:
            return {}
        return {"pretrained": float(len(self.loaded.taken)), "drawn": float(len(self.loaded.drawn))}

    def adopt(self, train: TransformerTrain) -> None:
        """Recompute activations where the training is to."""
        self.encoder.recompute = train.checkpointing

    def parameter_groups(self, train: TransformerTrain) -> list[dict]:
        """Return trunk and heads, each in two: matrices, which decay, and tables, norms and biases."""
        groups: dict[tuple[float, float], list[Tensor]] = {}
        for name, weight in self.named_parameters():
            lr = train.lr * (train.trunk_lr if name.startswith(("embedding.", "encoder.")) else 1.0)
            decays = name.endswith("weight") and "norm" not in name and not name.startswith("embedding.")
            groups.setdefault((lr, train.weight_decay if decays else 0.0), []).append(weight)
        own = {"decoupled_weight_decay": True}
        return [{"params": params, "lr": lr, "weight_decay": decay, **own} for (lr, decay), params in groups.items()]

    @classmethod
    def cost(cls, config: TransformerConfig, train: TransformerTrain, dims: Dims) -> float:
        """Return the multiplications of an epoch: per token and layer 12 d^2 + 2 l d, thrice for training."""
        width, layers, _ = SIZES[config.size]
        tokens = 1 + len(dims.phenotypes) + (min(config.crop, dims.n_genes) or dims.n_genes)
        return 3.0 * dims.n_rows * tokens * layers * ((4 + 2 * config.ffn_mult) * width**2 + 2 * tokens * width)

    @classmethod
    def objection(cls, config: TransformerConfig, dims: Dims) -> str | None:
        """Return which phenotypes the view does not tell, or how pre-trained weights do not fit."""
        for name in [config.target] * bool(config.target) + config.embed_phenotypes:
            if name not in dims.phenotypes:
                told = ", ".join(dims.phenotypes) or "none"
                return f"'{name}' is no phenotype of the tokens ({told}); name it in data.view.phenotypes"
        if config.target in config.embed_phenotypes:
            return f"embed_phenotypes has the target '{config.target}', which is never read; leave it out"
        return unlike(config, dims) if dims.pretrained else None

    @property
    def _genes(self) -> slice:
        """The places of gene tokens in the sequence."""
        return slice(1 + len(self.names), None)

    def _encode(self, batch: Batch, bin_nl: Tensor, told_np: Tensor, asked: Tensor | None = None) -> Tensor:
        h = self.embedding(bin_nl, batch.gene, told_np, there(batch))
        return self.encoder(h, None if batch.length is None else batch.length + self._genes.start, asked)

    def _found(self, batch: Batch, bin_nl: Tensor, told_np: Tensor, asked_nl: Tensor) -> tuple[Tensor, Tensor]:
        """Return the last hidden states of gene tokens asked for (m, d), row by row, and of phenotypes (n, P, d)."""
        first_l = torch.arange(self._genes.start, device=bin_nl.device) > 0  # not CLS, but all phenotypes
        asked = torch.cat([first_l.expand(len(bin_nl), -1), asked_nl], 1)
        h = self._encode(batch, bin_nl, told_np, asked)
        gene_m = asked.nonzero()[:, 1] >= self._genes.start
        return h[gene_m], h[~gene_m].view(len(bin_nl), len(self.names), h.shape[1])

    def _cls(self, batch: Batch, told_np: Tensor) -> Tensor:
        """Return the last hidden state of CLS (n, d), read from all genes."""
        asked_l = torch.arange(self._genes.start + batch.x.shape[1], device=batch.x.device) == 0
        return self._encode(batch, batch.x, told_np, asked_l.expand(len(batch.x), -1))

    def _given(self, batch: Batch, names: list[str]) -> Tensor:
        return given(batch, [name in names and name != self.config.target for name in self.names])

    def _logits(self, h: Tensor) -> dict[int, Tensor]:
        """Return logits (n, c) of the phenotypes found, by column, from their states (n, P, d), or from CLS (n, d)."""
        if self.classifier is not None:
            return {self.names.index(self.config.target): self.classifier(h)}
        return {p: self.phenotype_heads[key(name)](h[:, p]) for p, name in enumerate(self.names)}

    def _told(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return what is told of the phenotypes, which are asked for (n, P), and the share that these are (P,)."""
        mask, drop = (self.config.phenotype_mask, self.config.phenotype_drop) if self.training else (1.0, 0.0)
        known_np = given(batch, [True] * len(self.names))
        told_np, asked_np = tell(known_np, mask, drop)
        share_p = torch.as_tensor(batch.known, device=told_np.device).expand(len(self.names)) * (mask * (1.0 - drop))
        if self.classifier is not None:
            p = self.names.index(self.config.target)
            told_np[:, p], asked_np[:, p] = HIDDEN, known_np[:, p] >= 0
            share_p = torch.as_tensor(batch.known, device=told_np.device).expand(len(self.names))
        return told_np, asked_np, share_p

    def _gene_terms(self, h_md: Tensor, batch: Batch, asked_nl: Tensor) -> Losses:
        """Return means over the gene tokens asked for, which alone are projected."""
        at = asked_nl.nonzero(as_tuple=True)
        gene_m, bin_m = batch.gene.expand_as(batch.x)[at], batch.x[at]
        logits = self.gene_head(h_md, gene_m, self.embedding.gene.weight)
        # A worker with fewer rows of a batch than the others counts for less.
        share = (1.0 if batch.total is None else len(batch.x) / batch.total) / max(len(bin_m), 1)
        terms, weights = {"gene_nll": bin_nll(logits, bin_m).sum() * share}, {"gene_nll": self.config.gene_weight}
        if self.training and (self.config.loss == "gauss" or self.config.smoothing > 0):
            terms["gene_loss"] = bin_nll(logits, bin_m, self.wanted).sum() * share
            weights = {"gene_nll": 0.0, "gene_loss": self.config.gene_weight}
        if not self.training:
            level_mb = self.levels[gene_m]
            error_m = (chances(logits) * level_mb).sum(1) - level_mb.gather(1, bin_m.unsqueeze(1)).squeeze(1)
            terms["gene_mae"], weights["gene_mae"] = error_m.abs().sum() * share, 0.0
        return Losses(terms, weights, sizes=dict.fromkeys(terms, float(len(bin_m))))

    def _phenotype_terms(self, logits: dict[int, Tensor], batch: Batch, asked_np: Tensor, share_p: Tensor) -> Losses:
        """Return means over rows, as expected of each phenotype's share, and the mean of these over phenotypes."""
        weights = [made.value for made in self.weights.values()]
        smoothing, rows = self.config.label_smoothing, float(len(batch.x) if batch.total is None else batch.total)
        found = judge(logits, weights, batch, asked_np, share_p, smoothing)
        terms = {"pheno_nll": mean(found["nll"], share_p)}
        for measure in ("accuracy", "balanced_accuracy"):
            terms |= {f"{measure}_{self.names[p]}": value for p, value in found[measure].items()}
            terms[measure] = mean(found[measure], share_p)
        heed = dict.fromkeys(terms, 0.0) | {"pheno_nll": self.config.phenotype_weight}
        if self.training and (smoothing > 0 or self.config.class_weighting != "none"):
            terms["pheno_loss"] = mean(found["loss"], share_p)
            heed |= {"pheno_nll": 0.0, "pheno_loss": self.config.phenotype_weight}
        return Losses(terms, heed, sizes=dict.fromkeys(terms, rows))
