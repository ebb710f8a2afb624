"""The transformer: what it may not read, what it computes only in part, what it loads, what it draws."""

import dataclasses
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from gxsearch.data.batch import Batch
from gxsearch.data.view import Dims, Examples
from gxsearch.errors import TrialError
from gxsearch.models.transformer import Transformer
from gxsearch.training.loop import epochs
from gxsearch.training.runtime import LocalRuntime

GENES, BINS = 12, 3
DIMS = Dims(100, GENES, n_bins=BINS, phenotypes={"cell.type": 4, "type": 2})


def make(dims: Dims = DIMS, **config) -> Transformer:
    torch.manual_seed(0)
    model = Transformer(Transformer.Config(**config), dims)
    for weight in model.parameters():  # first weights are too small for differences to be seen
        weight.data.add_(torch.randn_like(weight) * 0.3)
    return model.eval()


def rows(n: int = 6, seed: int = 0, **more) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randint(BINS, (n, GENES), generator=draw)
    kind = torch.stack([torch.randint(size, (n,), generator=draw) for size in (4, 2)], 1)
    return Batch(x, gene=torch.arange(GENES)[None], phenotype=kind, **more)


def test_recomputed_activations_give_the_same_gradients():
    found = []
    for recompute in (False, True):
        model = make(dropout=0.2, attention_dropout=0.2).train()
        model.adopt(Transformer.Train(checkpointing=recompute))
        torch.manual_seed(1)
        model(rows(), 0.5).total.backward()
        found.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert model.encoder.recompute
    torch.testing.assert_close(*found)


def test_the_order_of_tokens_and_what_lies_in_padding_change_nothing():
    model, batch = make(), rows(length=torch.tensor([12, 5, 7, 12, 9, 3]))
    gene = batch.gene.expand(6, -1)
    padded = torch.arange(GENES) >= batch.length.unsqueeze(1)
    other = dataclasses.replace(batch, x=batch.x.masked_fill(padded, 1), gene=gene.masked_fill(padded, 0))
    order = torch.randperm(GENES)
    whole = dataclasses.replace(batch, length=None)
    turned = dataclasses.replace(whole, x=batch.x[:, order], gene=batch.gene[:, order])

    torch.testing.assert_close(model.embed(other), model.embed(batch))
    torch.testing.assert_close(model.embed(turned), model.embed(whole), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(model.embed(whole), model.embed(batch), atol=1e-3)


def test_what_is_hidden_is_never_read():
    model, hidden = make(), torch.rand(6, GENES, generator=torch.Generator().manual_seed(1)) < 0.4
    batch = rows(hidden=hidden)
    other = dataclasses.replace(batch, x=torch.where(hidden, (batch.x + 1) % BINS, batch.x))
    shown = dataclasses.replace(batch, x=torch.where(hidden, batch.x, (batch.x + 1) % BINS))

    first, second, third = (model(b, 1.0).terms for b in (batch, other, shown))

    assert first["pheno_nll"] == second["pheno_nll"] != third["pheno_nll"]
    assert first["gene_nll"] != second["gene_nll"]  # what is to be found has changed
    assert torch.equal(model.embed(batch), model.embed(other))


def test_phenotypes_are_hidden_in_evaluation_and_read_where_they_are_given():
    model, batch = make(), rows()
    other = dataclasses.replace(batch, phenotype=torch.stack([batch.phenotype[:, 0], 1 - batch.phenotype[:, 1]], 1))

    hidden, swapped = (model.phenotype_logits(b, []) for b in (batch, other))
    given, flipped = (model.phenotype_logits(b, ["type"]) for b in (batch, other))

    assert set(hidden) == {"cell.type", "type"} and set(given) == {"cell.type"}
    assert torch.equal(hidden["cell.type"], swapped["cell.type"])
    assert not torch.allclose(given["cell.type"], flipped["cell.type"], atol=1e-3)
    assert not torch.allclose(given["cell.type"], hidden["cell.type"], atol=1e-3)


def test_a_classifier_never_reads_its_target():
    model, batch = make(task="classify", target="type", phenotype_drop=0.0, phenotype_mask=0.0), rows()
    other = dataclasses.replace(batch, phenotype=torch.stack([batch.phenotype[:, 0], 1 - batch.phenotype[:, 1]], 1))

    for given in ([], ["type", "cell.type"]):
        first, second = (model.phenotype_logits(b, given) for b in (batch, other))
        assert all(torch.equal(first[name], second[name]) for name in first)
    model.train()
    told, other_told = (model._told(b)[0] for b in (batch, other))
    assert torch.equal(told, other_told) and (told[:, 0] >= 0).all()


def test_phenotypes_that_are_not_known_count_for_nothing():
    model, batch = make(), rows(known=torch.tensor([0.5, 1.0]))
    half = torch.arange(6) < 3
    unknown = batch.phenotype.clone()
    unknown[~half, 0] = -1

    whole = model(dataclasses.replace(batch, phenotype=unknown), 1.0).terms
    some = model(Batch(batch.x[:3], gene=batch.gene, phenotype=batch.phenotype[:3]), 1.0).terms

    assert whole["accuracy_cell.type"] == pytest.approx(some["accuracy_cell.type"])


def test_the_first_prediction_of_a_gene_is_its_frequency():
    torch.manual_seed(0)
    model = Transformer(Transformer.Config(), DIMS).eval()
    frequency = torch.tensor(np.random.default_rng(0).dirichlet(np.ones(BINS), GENES))
    model.gene_head.start(frequency)

    at = torch.ones(6, GENES, dtype=torch.bool)
    found = model(rows(hidden=at), 1.0).terms["gene_nll"]

    wanted = -frequency.log()[torch.arange(GENES), rows().x].mean()
    assert found.item() == pytest.approx(float(wanted), rel=0.05)


def test_the_optimizer_is_adamw_with_matrices_alone_decayed():
    ours, theirs = make(), make()
    train = Transformer.Train(lr=0.01, weight_decay=0.1, trunk_lr=0.5)
    groups = ours.parameter_groups(train)
    own = dict(theirs.named_parameters())
    names = {id(p): name for name, p in ours.named_parameters()}
    same = [{**g, "params": [own[names[id(p)]] for p in g["params"]]} for g in groups]
    optimizers = [torch.optim.Adam(groups, fused=True)]
    optimizers += [torch.optim.AdamW([{k: v for k, v in g.items() if k != "decoupled_weight_decay"} for g in same])]
    for model, optimizer in zip((ours, theirs), optimizers, strict=True):
        torch.manual_seed(2)
        model.train()(rows(), 0.5).total.backward()
        optimizer.step()

    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, theirs.state_dict()[name])
    decayed = {names[id(p)] for g in groups if g["weight_decay"] for p in g["params"]}
    assert decayed and not [n for n in decayed if "norm" in n or "bias" in n or n.startswith("embedding")]
    assert {g["lr"] for g in groups} == {0.01, 0.005}


class Slices(Examples):
    """All rows of one batch in order, `size` at a time."""

    def __init__(self, batch: Batch, size: int):
        self.batch, self.size, self.n_values = batch, size, batch.x.numel()

    def steps(self, batch_size):
        return -(-len(self.batch.x) // self.size)

    def train(self, batch_size, generator, *, rank=0, world_size=1):
        for i in range(0, len(self.batch.x), self.size):
            part = slice(i, i + self.size)
            yield dataclasses.replace(self.batch, x=self.batch.x[part], phenotype=self.batch.phenotype[part])

    def validation(self):
        yield self.batch


def trained(size: int, length: int = 1, **train) -> tuple[Transformer, dict]:
    model = make(dims=dataclasses.replace(DIMS, phenotypes={"type": 2}), task="classify", target="type")
    batch = rows(12)
    batch = dataclasses.replace(batch, phenotype=batch.phenotype[:, 1:])
    config = Transformer.Train(schedule="constant", warmup=0.0, **train)
    for found, _ in epochs(LocalRuntime(), model, Slices(batch, size), config, length=length, seed=0):
        metrics = found
    return model, metrics


def test_accumulated_batches_step_like_one_of_all_their_rows():
    whole, _ = trained(12, precision="fp32")
    parts, _ = trained(4, precision="fp32", accumulate=3)
    alone, _ = trained(4, precision="fp32", accumulate=1)
    rest, _ = trained(4, precision="fp32", accumulate=99)  # fewer batches than are asked for

    for (name, one), other, third in zip(whole.named_parameters(), parts.parameters(), rest.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None), name
        if one.grad is not None:
            torch.testing.assert_close(other.grad, one.grad, rtol=1e-3, atol=1e-6)
        assert torch.equal(other, third)
    assert not torch.allclose(alone.classifier.out.weight, whole.classifier.out.weight, atol=1e-4)


def test_bf16_trains_weights_that_stay_fp32():
    model, metrics = trained(4, 3, precision="bf16")
    _, exact = trained(4, 3, precision="fp32")

    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert metrics["train/loss"] != exact["train/loss"]
    assert metrics["train/loss"] == pytest.approx(exact["train/loss"], rel=0.2)


def test_cells_are_drawn_with_their_phenotypes_and_repeat_with_their_generator():
    model = make()
    kind = torch.tensor([[2, -1]])
    drawn = [model.generate(kind, 50, steps=4, generator=torch.Generator().manual_seed(s)) for s in (0, 0, 1)]
    other = model.generate(torch.tensor([[0, -1]]), 50, steps=4, generator=torch.Generator().manual_seed(0))

    assert drawn[0].shape == (50, GENES) and drawn[0].min() >= 0 and drawn[0].max() < BINS
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], other)


def test_a_model_of_expressed_genes_or_a_classifier_draws_no_cells():
    model = make()
    model.dense.fill_(False)
    for unable in (model, make(task="classify", target="type")):
        with pytest.raises(TrialError, match="cannot draw cells"):
            unable.generate(torch.zeros(1, 2, dtype=torch.int64), 1, generator=torch.Generator())


def test_contextual_vectors_are_summed_by_gene():
    model, batch = make(), rows(length=torch.tensor([12, 5, 7, 12, 9, 3]))

    sums, counts = model.contextual(batch)

    assert torch.equal(counts, (batch.length[:, None] > torch.arange(GENES)).sum(0))
    one = Batch(batch.x[1:2, :5], gene=batch.gene[:, :5])
    alone, _ = model.contextual(one)
    rest, _ = model.contextual(
        dataclasses.replace(batch, x=batch.x[[0, 2, 3, 4, 5]], phenotype=None, length=batch.length[[0, 2, 3, 4, 5]])
    )
    torch.testing.assert_close(alone + rest, sums, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpu_gives_the_losses_of_the_cpu(precision):
    from gxsearch.training.precision import precise

    batch = rows(hidden=torch.rand(6, GENES) < 0.4)
    on_gpu = {f.name: getattr(batch, f.name) for f in dataclasses.fields(batch)}
    on_gpu = Batch(**{k: v.cuda() if isinstance(v, torch.Tensor) else v for k, v in on_gpu.items()})
    device = torch.device("cuda")
    with precise(device, precision) if precision == "bf16" else nullcontext():
        found = make().cuda()(on_gpu, 1.0).terms
    for name, value in make()(batch, 1.0).terms.items():
        assert float(found[name]) == pytest.approx(float(value), rel=1e-3 if precision == "fp32" else 0.1, abs=0.2)
