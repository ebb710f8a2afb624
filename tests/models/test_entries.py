"""The view of entries: what is held out, and how the rest is cut."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from gxsearch.data.entries import EntriesConfig, EntriesView
from gxsearch.errors import DataError

CPU = torch.device("cpu")


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def pairs(batch) -> list[tuple[int, int]]:
    row, gene = torch.broadcast_tensors(batch.row[:, :, None], batch.gene[:, None, :])
    return list(zip(row.flatten().tolist(), gene.flatten().tolist(), strict=True))


def test_a_pass_visits_each_pair_at_most_once_and_nearly_all(table):
    examples = EntriesView.fit(table, EntriesConfig(tile=16)).examples(table, CPU)

    seen = [pair for batch in examples.train(1000, seeded()) for pair in pairs(batch)]

    assert len(seen) == len(set(seen)) == examples.n_values
    assert len(seen) > 0.9 * examples.n_rows * examples.n_genes


def test_steps_counts_the_batches_of_a_pass(table):
    examples = EntriesView.fit(table, EntriesConfig(tile=8)).examples(table, CPU)

    for batch_size in (1, 64, 500, 1000, 10**6):
        batches = list(examples.train(batch_size, seeded()))
        assert len(batches) == examples.steps(batch_size)
        assert all(batch.x.numel() <= max(batch_size, 64) for batch in batches)


def test_tiles_carry_the_values_of_the_table_and_no_held_out_entry(table):
    view = EntriesView.fit(table, EntriesConfig())
    x_ng, held_ng = table.x_ng[table.rows("train")], view.heldout()

    for batch in view.examples(table, CPU).train(1000, seeded()):
        row, gene = batch.row[:, :, None].numpy(), batch.gene[:, None, :].numpy()
        assert np.array_equal(batch.x.numpy(), x_ng[row, gene])
        assert np.array_equal(batch.weight.numpy() == 0, held_ng[row, gene])


def test_validation_is_exactly_the_held_out_entries(table):
    view = EntriesView.fit(table, EntriesConfig())
    batches = list(view.examples(table, CPU).validation())

    row, gene = torch.cat([b.row for b in batches]), torch.cat([b.gene for b in batches])

    assert np.array_equal(np.stack([row, gene]), np.stack(view.heldout().nonzero()))
    assert np.array_equal(torch.cat([b.x for b in batches]).numpy(), table.x_ng[table.rows("train")][row, gene])


def test_held_out_entries_do_not_depend_on_the_order_of_rows(table):
    view = EntriesView.fit(table, EntriesConfig())
    turned = EntriesView.fit(table.take(np.arange(table.n_obs)[::-1]), EntriesConfig())

    assert np.array_equal(view.heldout(), turned.heldout()[::-1])
    assert 0.08 < view.heldout().mean() < 0.12


def test_another_seed_holds_out_other_entries(table):
    first, second = (EntriesView.fit(table, EntriesConfig(seed=seed)).heldout() for seed in (0, 1))

    assert 0.15 < (first ^ second).mean() < 0.21


def test_the_range_ignores_held_out_entries(table):
    held_ng = EntriesView.fit(table, EntriesConfig()).heldout()
    x_ng = table.x_ng.copy()
    x_ng[table.rows("train")] = np.where(held_ng, 1000.0, x_ng[table.rows("train")])

    view = EntriesView.fit(dataclasses.replace(table, x_ng=x_ng), EntriesConfig())

    assert view.dims.high < 10


def test_data_smaller_than_a_tile_is_one_tile(table):
    small = table.take(np.arange(5))
    examples = EntriesView.fit(small, EntriesConfig(tile=16)).examples(small, CPU)

    (batch,) = examples.train(10**6, seeded())

    assert batch.x.shape[1] == 5
    assert sorted(set(batch.row.flatten().tolist())) == list(range(5))


@pytest.mark.parametrize("world_size", [2, 3])
def test_the_shares_of_ranks_make_up_the_batch_of_one_worker(table, world_size):
    examples = EntriesView.fit(table, EntriesConfig()).examples(table, CPU)
    alone = list(examples.train(1000, seeded()))

    ranks = [list(examples.train(1000, seeded(), rank=r, world_size=world_size)) for r in range(world_size)]

    for whole, *parts in zip(alone, *ranks, strict=True):
        assert sorted(pairs(whole)) == sorted(pair for part in parts for pair in pairs(part))
        assert all(part.total * world_size == whole.weight.sum() for part in parts)


def test_the_state_is_json_and_rebuilds_the_view(table):
    view = EntriesView.fit(table, EntriesConfig(holdout=0.2))

    again = EntriesView.load(json.loads(json.dumps(view.state())))

    assert again.dims == view.dims and again.state() == view.state()
    assert np.array_equal(again.heldout(), view.heldout())


def test_a_row_is_known_by_its_name_and_its_values(table):
    view = EntriesView.fit(table, EntriesConfig())
    x_ng = table.x_ng.copy()
    x_ng[0] += 1

    known_n = view.known(dataclasses.replace(table, x_ng=x_ng))

    assert known_n[0] == -1 and known_n[1] == 1
    assert np.array_equal(known_n >= 0, (table.part_n == 0) & (np.arange(table.n_obs) > 0))


def test_examples_refuse_a_table_without_the_training_rows(table):
    view = EntriesView.fit(table, EntriesConfig())

    with pytest.raises(DataError, match="1 of 80 training rows are missing or changed: row0"):
        view.examples(table.take(np.arange(1, table.n_obs)), CPU)


def test_constant_data_is_refused(table):
    flat = dataclasses.replace(table, x_ng=np.full_like(table.x_ng, 2.0))

    with pytest.raises(DataError, match=r"error\[E433\] data: all values of the training rows are 2"):
        EntriesView.fit(flat, EntriesConfig())


def test_values_that_are_not_finite_are_refused(table):
    x_ng = table.x_ng.copy()
    x_ng[0, :] = np.nan

    with pytest.raises(DataError, match="E432"):
        EntriesView.fit(dataclasses.replace(table, x_ng=x_ng), EntriesConfig())


def test_too_few_rows_and_genes_are_both_named(table):
    one = dataclasses.replace(table.take(np.array([0])), x_ng=table.x_ng[:1, :1], var_names=table.var_names[:1])

    with pytest.raises(DataError) as caught:
        EntriesView.fit(one, EntriesConfig())

    assert "1 training rows" in str(caught.value) and "1 genes" in str(caught.value)
