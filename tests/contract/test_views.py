"""What every view promises, tested on the demo data of each architecture that reads it."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from rehearsal import CPU, make_job, train

from gxsearch.errors import DataError
from gxsearch.models import registry
from gxsearch.training.embedding import embed_table
from gxsearch.training.session import Bench

BATCH = 500


def examples_of(job, table):
    return Bench(table, CPU).view(job)[1]


def passes(examples, **share):
    return list(examples.train(BATCH, torch.Generator().manual_seed(0), **share))


def tensors(batch):
    return {name: value for name, value in vars(batch).items() if isinstance(value, torch.Tensor)}


def arrays(table) -> list[np.ndarray]:
    x_ng = table.x_ng
    return [x_ng] if isinstance(x_ng, np.ndarray) else [x_ng.data, x_ng.indices, x_ng.indptr]


def same(first, second) -> bool:
    pairs = list(zip(first, second, strict=True))
    return all(tensors(a).keys() == tensors(b).keys() for a, b in pairs) and all(
        torch.equal(value, tensors(b)[name]) for a, b in pairs for name, value in tensors(a).items()
    )


def test_the_state_is_json_and_rebuilds_the_view(job, table):
    view, _ = Bench(table, CPU).view(job)

    again = type(view).load(json.loads(json.dumps(view.state())))

    assert again.dims == view.dims and again.state() == view.state()
    assert np.array_equal(again.genes, view.genes)
    assert same(again.examples(table, CPU).validation(), view.examples(table, CPU).validation())


def test_validation_is_the_same_when_it_is_called_twice(job, table):
    examples = examples_of(job, table)

    assert same(examples.validation(), examples.validation())


def test_validation_is_the_same_for_every_trial(job, table):
    assert same(*(examples_of(job, table).validation() for _ in range(2)))


def test_steps_counts_the_batches_of_an_epoch(job, table):
    examples = examples_of(job, table)

    for batch_size in (1, 7, BATCH, 10**6):
        drawn = list(examples.train(batch_size, torch.Generator().manual_seed(0)))
        assert len(drawn) == examples.steps(batch_size)


def test_the_same_generator_draws_the_same_epoch_and_another_draws_another(job, table):
    examples = examples_of(job, table)
    other = list(examples.train(BATCH, torch.Generator().manual_seed(1)))

    assert same(passes(examples), passes(examples))
    assert not same(passes(examples), other)


def test_two_ranks_share_the_batches_of_one_worker(job, table):
    examples = examples_of(job, table)

    ranks = [passes(examples, rank=rank, world_size=2) for rank in (0, 1)]

    for whole, *parts in zip(passes(examples), *ranks, strict=True):
        assert sum(len(part.x) for part in parts) == len(whole.x)
        found = torch.cat([part.x for part in parts]).square().sum().item()
        assert found == pytest.approx(whole.x.square().sum().item(), rel=1e-4)
        assert all(part.total is not None for part in parts)


def test_genes_in_another_order_give_the_same_vectors(job, table):
    _, model, view = train(job, table)
    turned = dataclasses.replace(
        table,
        x_ng=table.x_ng[:, ::-1].copy(),
        var_names=table.var_names[::-1].copy(),
        var={name: values[::-1].copy() for name, values in table.var.items()},
    )

    z_nk, other_nk = (embed_table(model, view, data, CPU) for data in (table, turned))

    np.testing.assert_allclose(other_nk, z_nk, rtol=1e-4, atol=1e-4)


def test_a_table_without_the_models_genes_is_refused_by_name(job, table):
    _, model, view = train(job, table)
    if view.axis != "obs":
        pytest.skip("rows are genes, and samples are known by their times")
    genes = table.var_names.astype("U40")
    lost, genes[0] = str(genes[0]), "not-a-gene"

    with pytest.raises(DataError, match=f"E420.* 1 of {len(genes)} genes are missing: {lost}"):
        embed_table(model, view, dataclasses.replace(table, var_names=genes), CPU)


def test_the_table_is_never_written_to(name, table):
    frozen = dataclasses.replace(table, x_ng=table.x_ng.copy())
    for values in arrays(frozen):
        values.flags.writeable = False

    train(make_job(name, epochs=1), frozen)

    assert all(np.array_equal(*pair) for pair in zip(arrays(frozen), arrays(table), strict=True))


def test_a_view_says_which_axis_gets_vectors(name):
    assert registry.get(name).View.axis in ("obs", "var")
