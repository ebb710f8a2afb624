"""The view of whole rows: scales of training rows, hidden values, groups and classes."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from gxsearch.data.matrix import MatrixConfig, MatrixView
from gxsearch.data.table import Table
from gxsearch.errors import DataError

CPU = torch.device("cpu")


def make(n: int = 40, g: int = 30, **obs) -> Table:
    x_ng = np.random.default_rng(0).gamma(2.0, size=(n, g)).astype(np.float32)
    names = [np.array([f"{kind}{i}" for i in range(m)]) for kind, m in (("r", n), ("g", g))]
    part_n = np.zeros(n, dtype=np.int8)
    part_n[n // 2 : 3 * n // 4], part_n[3 * n // 4 :] = 1, 2
    return Table(x_ng, *names, part_n, {name: np.asarray(values) for name, values in obs.items()})


def donors(n: int = 40) -> dict:
    """Ten donors: one mixture and three parts each, whole donors in one part of the split."""
    return {
        "donor": [f"d{i // 4}" for i in range(n)],
        "kind": ["pseudobulk" if i % 4 == 0 else "profile" for i in range(n)],
    }


def test_scales_are_those_of_training_rows_alone():
    table = make()
    changed = dataclasses.replace(table, x_ng=np.where(table.part_n[:, None] > 0, 100.0, table.x_ng).astype(np.float32))

    view, other = (MatrixView.fit(data, MatrixConfig()) for data in (table, changed))

    assert np.array_equal(view.mean_g, other.mean_g) and np.array_equal(view.sd_g, other.sd_g)
    x_ng = view.scaled(table.x_ng[table.rows("train")])
    np.testing.assert_allclose((x_ng.mean(0), x_ng.std(0)), (np.zeros(30), np.ones(30)), atol=1e-5)


def test_a_gene_seen_in_one_row_is_clipped_and_a_constant_one_is_zero():
    table = make(n=400)
    table.x_ng[:, 0], table.x_ng[0, 0], table.x_ng[:, 1] = 0.0, 5.0, 3.0
    view = MatrixView.fit(table, MatrixConfig())

    x_ng = view.scaled(table.x_ng)

    assert view.scaled(table.x_ng)[0, 0] == 10.0 and not x_ng[:, 1].any() and np.isfinite(x_ng).all()
    assert MatrixView.fit(table, MatrixConfig(clip=0.0)).scaled(table.x_ng)[0, 0] > 13


def test_hidden_values_are_a_fixed_share_of_each_row_whatever_the_order():
    view, turned = MatrixView.fit(make(), MatrixConfig()), make()
    turned = dataclasses.replace(turned, x_ng=turned.x_ng[:, ::-1].copy(), var_names=turned.var_names[::-1].copy())
    names = make().obs_names

    hidden_ng = view.hidden(names)

    assert (hidden_ng.sum(1) == round(0.15 * 30)).all() and len(np.unique(hidden_ng, axis=0)) > 30
    assert np.array_equal(view.hidden(names[::-1]), hidden_ng[::-1])
    assert np.array_equal(MatrixView.fit(turned, MatrixConfig()).hidden(names)[:, ::-1], hidden_ng)
    assert not np.array_equal(MatrixView.fit(make(), MatrixConfig(seed=1)).hidden(names), hidden_ng)


def test_an_epoch_has_every_training_row_once_and_no_batch_of_one():
    table = make(n=62)
    view = MatrixView.fit(table, MatrixConfig(scale="none", clip=0.0))
    examples = view.examples(table, CPU)
    wanted = np.sort(table.x_ng[table.rows("train"), 0])

    for size in (2, 3, 5, 30, 31, 1000):
        batches = list(examples.train(size, torch.Generator().manual_seed(0)))
        assert min(len(batch.x) for batch in batches) >= 2
        np.testing.assert_array_equal(np.sort(np.concatenate([batch.x[:, 0] for batch in batches])), wanted)


def test_classes_are_numbered_on_training_rows_and_others_are_unknown():
    table = make(type=["b", "a", "", "b"] * 5 + ["a", "z"] * 10)
    view = MatrixView.fit(table, MatrixConfig(classes="type"))

    assert view.dims.n_classes == 2 and MatrixView.columns(view.config) == ("type",)
    assert view.classes(table)[:4].tolist() == [1, 0, -1, 1] and set(view.classes(table)[20:].tolist()) == {0, -1}
    batch = next(iter(view.examples(table, CPU).train(1000, torch.Generator().manual_seed(0))))
    assert sorted(batch.label.tolist()) == sorted(view.classes(table)[:20].tolist())


def test_batches_hold_whole_donors_and_number_them():
    table = make(**donors())
    view = MatrixView.fit(table, MatrixConfig(group="donor"))
    examples = view.examples(table, CPU)

    assert view.dims.n_groups == 5 and MatrixView.columns(view.config) == ("donor", "kind")
    for batch in examples.train(8, torch.Generator().manual_seed(0)):
        assert torch.bincount(batch.group).tolist() == [4] * (len(batch.x) // 4) and len(batch.x) >= 8
        assert batch.anchor.sum() == len(batch.x) // 4
    val = next(iter(examples.validation()))
    assert torch.bincount(val.group).numel() == 3  # donors 5, 6 and half of 7


def test_a_row_without_a_donor_is_a_group_of_its_own():
    told = donors()
    told["donor"][1] = told["donor"][2] = ""
    table = make(**told)

    batch = next(
        iter(MatrixView.fit(table, MatrixConfig(group="donor")).examples(table, CPU).train(100, torch.Generator()))
    )

    assert sorted(torch.bincount(batch.group).tolist()) == [1, 1, 2, 4, 4, 4, 4]


@pytest.mark.parametrize(
    ("table", "config", "told"),
    [
        (make(type=["a"] * 40), {"classes": "type"}, "E435.*1 classes of 'type'"),
        (make(**{**donors(), "kind": ["bulk"] * 40}), {"group": "donor"}, "E436.*0 groups of 'donor'.*bulk"),
        (dataclasses.replace(make(), part_n=np.zeros(40, np.int8)), {}, "E430.*no rows to validate on"),
        (dataclasses.replace(make(), x_ng=np.full((40, 30), np.inf, np.float32)), {}, "E432.*not finite"),
    ],
)
def test_data_that_do_not_suit_are_refused_in_a_line(table, config, told):
    with pytest.raises(DataError, match=told):
        MatrixView.fit(table, MatrixConfig(**config))


def test_the_state_is_json_and_holds_scales_and_sizes():
    view = MatrixView.fit(make(**donors()), MatrixConfig(group="donor"))

    again = MatrixView.load(json.loads(json.dumps(view.state())))

    assert again.dims == view.dims and again.config == view.config
    assert np.array_equal(again.mean_g, view.mean_g) and np.array_equal(again.sd_g, view.sd_g)
