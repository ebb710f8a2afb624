"""The transformer: what it may not read, what it computes only in part, what it loads, what it draws."""

import dataclasses
import json
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from scipy import sparse

from gxsearch.data.batch import Batch
from gxsearch.data.table import Table
from gxsearch.data.view import Dims, Examples
from gxsearch.errors import RunError, TrialError
from gxsearch.models.transformer import HEADS, Transformer
from gxsearch.nn.filling import Filling, fill
from gxsearch.nn.masking import crop, hide, read, tell
from gxsearch.nn.pretrained import load_into
from gxsearch.nn.transformer import Encoder
from gxsearch.training import checkpoint
from gxsearch.training.loop import epochs
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.session import Bench, Job, build, session

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


def test_the_last_block_gives_what_is_asked_for_as_if_it_computed_all():
    torch.manual_seed(0)
    encoder = Encoder(32, 3, 4, 64, dropout=0.0, attention_dropout=0.0)
    h, asked = torch.randn(5, 9, 32), torch.rand(5, 9) < 0.4
    for length in (None, torch.tensor([9, 5, 7, 9, 6])):
        torch.testing.assert_close(encoder(h, length, asked), encoder(h, length)[asked])
    assert encoder(h, None, asked & False).shape == (0, 32)


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


def test_hiding_draws_the_shares_that_are_asked_for():
    torch.manual_seed(0)
    batch = Batch(torch.randint(BINS, (400, 200)), length=torch.full((400,), 150))
    asked = hide(batch, 0.2, 0.0)
    assert asked[:, :150].float().mean() == pytest.approx(0.2, abs=0.01) and not asked[:, 150:].any()
    spread = hide(dataclasses.replace(batch, length=None), 0.2, 0.6).float().mean(1)
    assert spread.min() < 0.3 and spread.max() > 0.7

    shown = read(batch.x, asked, BINS, random=0.3, keep=0.2)
    assert torch.equal(shown[~asked], batch.x[~asked])
    assert (shown[asked] == BINS).float().mean() == pytest.approx(0.5, abs=0.02)
    assert (shown[asked] == batch.x[asked]).float().mean() == pytest.approx(0.2 + 0.3 / BINS, abs=0.02)

    kind = torch.randint(3, (20_000, 1)) - 1
    told, found = tell(kind, 0.5, 0.1)
    assert (told == -2).float().mean() == pytest.approx(0.45, abs=0.01)
    assert torch.equal(found, (told == -2) & (kind >= 0))
    assert (told[kind >= 0] == -1).float().mean() == pytest.approx(0.1, abs=0.01)


def test_a_crop_keeps_tokens_beside_their_genes():
    batch = rows(length=torch.tensor([12, 5, 7, 12, 9, 3]))
    cut = crop(batch, 5)

    assert cut.x.shape == (6, 5) and cut.gene.shape == (1, 5)
    assert torch.equal(cut.x, batch.x[:, cut.gene[0]])
    assert torch.equal(cut.length, (cut.gene[0] < batch.length[:, None]).sum(1))
    assert crop(batch, 0) is batch and crop(batch, GENES) is batch


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
    assert metrics["train/loss"] == pytest.approx(exact["train/loss"], rel=0.05)


def exported(folder, model: Transformer, **change):
    """Write what an export holds of the weights; `change` replaces or, with None, removes tensors."""
    weights = {**model.state_dict(), **change}
    weights = {name: value for name, value in weights.items() if value is not None}
    told = {"model": "transformer", "params": model.config.model_dump(), "dims": dataclasses.asdict(model.dims)}
    checkpoint.publish(folder, {"model.safetensors": weights, "config.json": json.dumps(told).encode()})
    return str(folder)


def test_a_pretrained_trunk_is_taken_and_a_classifier_drawn(tmp_path):
    trunk = make()
    folder = exported(tmp_path / "best", trunk)
    torch.manual_seed(5)
    model = Transformer(Transformer.Config(task="classify", target="type"), DIMS)

    loaded = load_into(model, folder, HEADS)

    assert all(n.startswith("classifier.") for n in loaded.drawn) and len(loaded.drawn) == 4
    assert any(n.startswith("gene_head.") for n in loaded.left)
    assert all(torch.equal(model.state_dict()[name], trunk.state_dict()[name]) for name in loaded.taken)
    assert "encoder.blocks.0.qkv.weight" in loaded.taken and "newly drawn: classifier" in str(loaded)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"encoder.blocks.1.up.weight": None}, "'encoder.blocks.1.up.weight' is not in the file"),
        ({"encoder.extra": torch.ones(2)}, "'encoder.extra' is unknown"),
        ({"embedding.gene.weight": torch.ones(5, 64)}, "'embedding.gene.weight' is 5 x 64, the model's is 12 x 64"),
    ],
)
def test_weights_that_are_missing_unknown_or_misshapen_are_refused(tmp_path, change, said):
    folder, model = exported(tmp_path / "best", make(), **change), make()
    before = {name: value.clone() for name, value in model.state_dict().items()}

    with pytest.raises(RunError, match=said):
        load_into(model, folder, HEADS)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_folder_that_is_damaged_or_holds_no_model_is_refused(tmp_path):
    folder = exported(tmp_path / "best", make())
    path = tmp_path / "best" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + b"abcd")

    with pytest.raises(RunError, match="E623"):
        load_into(make(), folder, HEADS)
    with pytest.raises(RunError, match="E622"):
        load_into(make(), str(tmp_path / "none"), HEADS)


def test_settings_that_cannot_work_are_told_before_a_trial(tmp_path):
    config, objection = Transformer.Config, Transformer.objection
    folder = exported(tmp_path / "best", make())
    tuned = dataclasses.replace(DIMS, pretrained=folder)

    assert objection(config(), DIMS) is None and objection(config(), tuned) is None
    assert "name it in data.view.phenotypes" in objection(config(task="classify", target="age"), DIMS)
    assert "never read" in objection(config(task="classify", target="type", embed_phenotypes=["type"]), DIMS)
    assert "set model.size to xs" in objection(config(size="s"), tuned)
    assert "set model.ffn_mult to 4" in objection(config(ffn_mult=2), tuned)
    assert "n_genes is 10" in objection(config(), dataclasses.replace(tuned, n_genes=10))


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


@pytest.mark.parametrize("order", ["random", "confident"])
def test_filling_draws_what_is_hidden_from_the_chances_and_leaves_the_rest(order):
    chance = torch.tensor([0.1, 0.6, 0.3])
    asked_of = []

    def predict(bin_ng, asked_ng):
        asked_of.append(int(asked_ng.sum()))
        return chance.expand(asked_of[-1], 3)

    start = torch.full((500, 40), 3)
    start[:, :4] = 2
    found = fill(predict, start, 3, Filling(5, 1.0, order, torch.Generator().manual_seed(0)))

    assert (found[:, :4] == 2).all() and asked_of[0] == 500 * 36 and len(asked_of) == 5
    assert asked_of == sorted(asked_of, reverse=True) and (found < 3).all()
    if order == "random":
        share = torch.bincount(found[:, 4:].flatten(), minlength=3) / found[:, 4:].numel()
        torch.testing.assert_close(share, chance, atol=0.02, rtol=0)


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
    from gxsearch.training.loop import precise

    batch = rows(hidden=torch.rand(6, GENES) < 0.4)
    on_gpu = {f.name: getattr(batch, f.name) for f in dataclasses.fields(batch)}
    on_gpu = Batch(**{k: v.cuda() if isinstance(v, torch.Tensor) else v for k, v in on_gpu.items()})
    device = torch.device("cuda")
    with precise(device, precision) if precision == "bf16" else nullcontext():
        found = make().cuda()(on_gpu, 1.0).terms
    for name, value in make()(batch, 1.0).terms.items():
        assert float(found[name]) == pytest.approx(float(value), rel=1e-3 if precision == "fp32" else 0.1, abs=0.2)


def table_of(n: int = 90, genes: int = GENES) -> Table:
    """Cells of two types that differ in most genes."""
    draw = np.random.default_rng(0)
    kind_n = np.arange(n) % 2
    rate_ng = np.where((np.arange(genes) % 2 == kind_n[:, None]), 2.5, 0.4)
    x_ng = np.log1p(draw.poisson(rate_ng)).astype(np.float32)
    part_n = np.zeros(n, dtype=np.int8)
    part_n[2 * n // 3 :], part_n[5 * n // 6 :] = 1, 2
    names = [np.array([f"{stem}{i:03d}" for i in range(size)]) for stem, size in (("cell", n), ("gene", genes))]
    obs = {"kind": np.array(["a", "b"])[kind_n]}
    return Table(sparse.csr_matrix(x_ng), *names, part_n, obs, facts={"transform": ["log1p"]})


def test_fine_tuning_starts_from_the_exported_weights_and_says_so(tmp_path):
    table, bench = table_of(), Bench(table_of(), torch.device("cpu"))
    job = Job("transformer", {}, {"lr": 1e-2, "batch_size": 16}, {"phenotypes": ["kind"]}, 3, 0, "val/loss", "min")
    *_, (_, first) = session(job, bench, LocalRuntime())
    view = bench.view(job)[0]
    files = {
        "model.safetensors": first.state_dict(),
        "config.json": json.dumps(
            {"model": "transformer", "params": {}, "dims": dataclasses.asdict(view.dims)}
        ).encode(),
        "view.json": json.dumps({"data": {"transform": ["log1p"]}, "state": view.state()}).encode(),
    }
    checkpoint.publish(tmp_path / "best", files)
    view_config = {"phenotypes": ["kind"], "pretrained": str(tmp_path / "best")}
    tuned = dataclasses.replace(
        job, model_config={"task": "classify", "target": "kind"}, view_config=view_config, metric="val/accuracy"
    )

    model, _ = build(tuned, bench.view(tuned)[0], table, started=False)
    *_, (metrics, _) = session(tuned, bench, LocalRuntime())

    weights = first.state_dict()
    trunk = [name for name in model.state_dict() if name.startswith(("embedding.", "encoder."))]
    assert all(torch.equal(model.state_dict()[name], weights[name]) for name in trunk)
    assert metrics["model/drawn"] == 4 and metrics["model/pretrained"] >= len(trunk)
    assert metrics["val/accuracy"] == metrics["val/accuracy_kind"] > 0.9
    with pytest.raises(TrialError, match="no measure 'val/gene_nll'"):
        next(session(dataclasses.replace(tuned, metric="val/gene_nll"), bench, LocalRuntime()))
