"""Factorized embeddings: the mathematics of the model and of fitting new rows."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from gxsearch.data.batch import Batch
from gxsearch.data.entries import EntriesConfig, EntriesView
from gxsearch.data.table import Table
from gxsearch.data.view import Dims
from gxsearch.models.fe import FactorizedEmbeddings, FEConfig, FETrain
from gxsearch.training.baselines import iterative_svd
from gxsearch.training.embedding import embed_table, fit_vectors, reconstruct
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.session import Bench, Job, session

CPU = torch.device("cpu")
FAST = {"batch_size": 1000, "schedule": "cosine"}


def naive(model: FactorizedEmbeddings, row: torch.Tensor, gene: torch.Tensor) -> torch.Tensor:
    """The plain module: concatenated vectors of pairs through a stack of layers, from the same weights."""
    h = torch.cat([model.samples.weight[row], model.genes.weight[gene]], dim=-1)
    act = {"relu": torch.relu, "tanh": torch.tanh}[model.config.activation]
    for layer in model.layers[:-1]:
        h = act(nn.functional.linear(h, layer.weight, layer.bias))
    y = nn.functional.linear(h, model.layers[-1].weight, model.layers[-1].bias)[..., 0]
    if model.bias is not None:
        y = y + model.bias[gene]
    if model.loadings is not None:
        y = y + (model.samples.weight[row] * model.loadings[gene]).sum(-1)
    if model.config.head == "linear":
        return y
    low, high = model.dims.low, model.dims.high
    pad = model.config.range_pad * (high - low)
    return torch.sigmoid(y) * (high - low + 2 * pad) + low - pad


def gradients(model: nn.Module, loss: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, list(model.parameters())))


def trained(table, model=None, train=None, epochs: int = 20, seed: int = 0):
    job = Job("fe", model or {}, {**FAST, **(train or {})}, {}, epochs, seed, "val/entry_mse", "min")
    bench = Bench(table, CPU)
    *_, (metrics, fitted) = session(job, bench, LocalRuntime())
    return fitted.eval(), bench.view(job)[0], metrics


CONFIGS = [
    {},
    {"hidden": [10], "activation": "tanh"},
    {"head": "sigmoid_range", "range_pad": 0.1},
    {"gene_bias": True, "bilinear": True, "sample_dim": 5},
]


@pytest.mark.parametrize(("config", "n_rows"), itertools.product(CONFIGS, [8, 300]))
def test_tiles_equal_the_plain_module_in_outputs_and_gradients(config, n_rows):
    torch.manual_seed(0)
    model = FactorizedEmbeddings(FEConfig(**config), Dims(n_rows, 40, -1.0, 5.0)).double()
    for p in model.parameters():  # biases and loadings that start at zero would hide a fault
        nn.init.normal_(p, std=0.5)
    row, gene = torch.randint(n_rows, (6, 4)), torch.randint(40, (6, 3))
    weight = torch.rand(6, 4, 3, dtype=torch.float64)

    tiles = model.predict(row, gene)
    plain = naive(model, row[:, :, None].expand(6, 4, 3), gene[:, None, :].expand(6, 4, 3))
    ours, theirs = (gradients(model, (weight * y.square()).sum()) for y in (tiles, plain))

    # the terms are summed in another order, by which processors differ by some 1e-12
    torch.testing.assert_close(tiles, plain, rtol=1e-10, atol=1e-10)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("config", CONFIGS)
def test_pairs_and_decoding_equal_the_plain_module(config):
    torch.manual_seed(0)
    model = FactorizedEmbeddings(FEConfig(**config), Dims(7, 9, -1.0, 5.0)).double()
    row, gene = torch.arange(7).repeat_interleave(9), torch.arange(9).repeat(7)

    plain = naive(model, row, gene)

    torch.testing.assert_close(model.predict(row, gene), plain, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(model.decode(model.samples.weight).flatten(), plain, rtol=1e-10, atol=1e-10)


def test_weight_decay_is_the_explicit_penalty_on_every_weight():
    train, batch = FETrain(l2_rel=0.5), _batch()
    decayed, penalized = (_small() for _ in range(2))
    ours = torch.optim.Adam(decayed.parameter_groups(train))
    plain = [{**group, "weight_decay": 0.0} for group in penalized.parameter_groups(train)]
    theirs = torch.optim.Adam(plain)

    for _ in range(3):
        ours.zero_grad()
        decayed(batch, 0.0).total.backward()
        ours.step()
        theirs.zero_grad()
        l2 = train.l2_rel / penalized.dims.n_rows
        squares = sum(p.square().sum() for p in penalized.parameters())
        (penalized(batch, 0.0).total + l2 * squares).backward()
        theirs.step()

    for a, b in zip(decayed.parameters(), penalized.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_the_mean_gradient_over_two_ranks_is_that_of_one_worker(table):
    examples = EntriesView.fit(table, EntriesConfig()).examples(table, CPU)
    torch.manual_seed(0)
    model = FactorizedEmbeddings(FEConfig(), Dims(examples.n_rows, examples.n_genes))
    shares = [{"rank": 0, "world_size": 1}, *({"rank": rank, "world_size": 2} for rank in (0, 1))]
    batches = [next(examples.train(1000, torch.Generator().manual_seed(0), **share)) for share in shares]

    alone, *ranks = [gradients(model, model(batch, 0.0).total) for batch in batches]

    for whole, *parts in zip(alone, *ranks, strict=True):
        torch.testing.assert_close(sum(parts) / 2, whole, rtol=1e-4, atol=1e-6)


def test_two_dimensions_hold_curved_data_better_than_two_components(table):
    model, view, metrics = trained(table, epochs=60, train={"batch_size": 500})
    x_ng, held_ng = table.x_ng[table.rows("train")], view.heldout()

    linear_ng = iterative_svd(x_ng.astype(float), ~held_ng, 2)

    assert metrics["best"] < 0.5 * np.square(linear_ng - x_ng)[held_ng].mean()


def test_fitting_new_rows_leaves_the_model_as_it_was_and_improves_on_the_start(table):
    model, view, _ = trained(table, {"fit_steps": 10}, {"batch_size": 500}, epochs=60)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = torch.from_numpy(table.x_ng[table.rows("test")])

    start_nk = model.nearest(x, torch.ones_like(x))
    z_nk = model.fit_rows(x)

    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    errors = [(model.decode(z) - x).square().mean(1) for z in (start_nk, z_nk)]
    assert (errors[1] <= errors[0] * 1.001).all() and errors[1].mean() < 0.9 * errors[0].mean()


def test_the_start_of_a_new_row_is_the_nearest_reconstruction(table):
    model, view, _ = trained(table, epochs=3)
    x_ng = table.x_ng[table.rows("test")]

    found = model.nearest(torch.from_numpy(x_ng), torch.ones(x_ng.shape)).numpy()

    y_ng = reconstruct(model, model.row_vectors())
    wanted = np.square(x_ng[:, None] - y_ng[None]).sum(2).argmin(1)
    assert np.array_equal(found, model.row_vectors()[wanted])


def test_a_fitted_vector_does_not_depend_on_hidden_entries_or_on_the_rows_beside_it(table):
    model, _, _ = trained(table, {"fit_steps": 6})
    x_ng = table.x_ng[table.rows("test")]
    known_ng = np.random.default_rng(0).random(x_ng.shape) < 0.7

    all_nk = fit_vectors(model, x_ng, known_ng)
    other_nk = fit_vectors(model, np.where(known_ng, x_ng, 99.0)[3:5], known_ng[3:5])

    np.testing.assert_allclose(other_nk, all_nk[3:5], rtol=1e-4, atol=1e-4)


def test_fitting_twice_gives_the_same_vectors(table):
    model, view, _ = trained(table, epochs=3)
    new = table.take(table.rows("test"))

    assert np.array_equal(*(embed_table(model, view, new, CPU) for _ in range(2)))


def test_rows_of_training_keep_their_vectors_in_any_order(table):
    model, view, _ = trained(table, epochs=3)
    rows = table.rows("train")[::-1]

    z_nk = embed_table(model, view, table.take(rows), CPU)

    assert np.array_equal(z_nk, model.row_vectors()[::-1])


@pytest.mark.parametrize("bilinear", [False, True])
def test_a_warm_start_reads_no_held_out_entry(table, bilinear):
    config = {"warm_start": "pca", "gene_bias": True, "bilinear": bilinear}
    view = EntriesView.fit(table, EntriesConfig())
    x_ng = table.x_ng.copy()
    rows = table.rows("train")
    x_ng[rows] = np.where(view.heldout(), 7.0, x_ng[rows])
    changed = Table(x_ng, table.obs_names, table.var_names, table.part_n)

    states = []
    for data in (table, changed):
        torch.manual_seed(0)
        model = FactorizedEmbeddings(FEConfig(**config), view.dims)
        model.start(data, EntriesView.fit(data, EntriesConfig()))
        states.append(model.state_dict())

    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_bilinear_warm_start_begins_at_the_principal_components(table):
    torch.manual_seed(0)
    view = EntriesView.fit(table, EntriesConfig())
    config = FEConfig(sample_dim=3, warm_start="pca", gene_bias=True, bilinear=True)
    model = FactorizedEmbeddings(config, view.dims)
    nn.init.zeros_(model.layers[-1].weight)

    model.start(table, view)

    x_ng, known_ng = table.x_ng[table.rows("train")], ~view.heldout()
    mean_g = x_ng.mean(0, where=known_ng)
    filled_ng = np.where(known_ng, x_ng - mean_g, 0)
    u, s, v = np.linalg.svd(filled_ng - filled_ng.mean(0), full_matrices=False)
    centered = reconstruct(model, model.row_vectors()) - mean_g
    np.testing.assert_allclose(centered, (u[:, :3] * s[:3]) @ v[:3], atol=1e-3)
    np.testing.assert_allclose(model.row_vectors().std(0, ddof=1), 1.0, rtol=1e-3)


def test_the_sigmoid_head_stays_within_the_padded_range():
    model = FactorizedEmbeddings(FEConfig(head="sigmoid_range", range_pad=0.1), Dims(4, 5, 0.0, 10.0))

    y = model.decode(100 * torch.randn(50, 2))

    assert y.min() >= -1.0 and y.max() <= 11.0


def _small() -> FactorizedEmbeddings:
    torch.manual_seed(0)
    return FactorizedEmbeddings(FEConfig(hidden=[8, 4]), Dims(10, 12)).double()


def _batch() -> Batch:
    torch.manual_seed(1)
    x = torch.randn(3, 2, 2, dtype=torch.float64)
    return Batch(x, torch.randint(10, (3, 2)), torch.randint(12, (3, 2)), torch.ones_like(x))


def test_another_sample_table_leaves_genes_and_network_and_the_model_itself_as_they_are(table):
    model, _, _ = trained(table, epochs=2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    z_nk = torch.randn(7, model.config.sample_dim)

    given, drawn = model.reset_sample_table(z_nk), model.reset_sample_table(5)

    assert torch.equal(given.samples.weight, z_nk) and drawn.samples.weight.shape == (5, model.config.sample_dim)
    for name, value in before.items():
        assert torch.equal(model.state_dict()[name], value)
        assert name == "samples.weight" or torch.equal(given.state_dict()[name], value)
    assert torch.equal(given.decode(given.samples.weight), model.decode(z_nk))
    with pytest.raises(ValueError, match="vectors must be"):
        model.reset_sample_table(torch.zeros(3, model.config.sample_dim + 1))
