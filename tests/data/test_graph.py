"""Neighbors are those of a section, however it lies; batches hold all that a vector depends on, and no label else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from gxsearch.data.features import Features
from gxsearch.data.graph import GraphConfig, GraphView
from gxsearch.data.neighbors import Neighbors, patches
from gxsearch.data.prepare import prepare
from gxsearch.data.table import DataConfig, Table
from gxsearch.errors import DataError

CPU = torch.device("cpu")
ONE = np.full(60, "a")


@pytest.fixture(scope="module")
def table() -> Table:
    config = DataConfig(path="sim_spatial?n=300&g=40", spatial="spatial", label="region")
    return prepare(config, where="test", extra_obs=("section", "region"))


def spots(n: int = 60) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 10, (n, 2))


def of_spot(graph: Neighbors, i: int) -> set[int]:
    return set(graph.sender_e[graph.start_n[i] : graph.start_n[i + 1]].tolist())


def test_neighbors_are_the_nearest_of_the_same_section():
    at_nd, section_n = spots(), np.array(["a", "b"] * 30)

    graph = Neighbors.of(at_nd, section_n, 4)

    for i in (0, 7, 59):
        same = [j for j in range(60) if section_n[j] == section_n[i] and j != i]
        assert of_spot(graph, i) == set(sorted(same, key=lambda j: np.linalg.norm(at_nd[j] - at_nd[i]))[:4])


def test_on_a_grid_all_that_are_as_near_as_the_last_are_neighbors_and_the_unit_is_its_step():
    at_nd = 100.0 * np.stack(np.meshgrid(np.arange(5), np.arange(5)), -1).reshape(-1, 2)

    graph = Neighbors.of(at_nd, np.full(25, "a"), 6)

    assert of_spot(graph, 12) == {6, 7, 8, 11, 13, 16, 17, 18}
    assert np.linalg.norm(graph.at_nd[12] - graph.at_nd[13]) == pytest.approx(1.0)


def test_a_radius_counts_in_steps_between_neighbors_of_the_section():
    at_nd = np.array([[0.0, 0], [50, 0], [100, 0], [150, 0], [300, 0]])

    graph = Neighbors.of(at_nd, np.full(5, "a"), 6, radius=2.0)

    assert of_spot(graph, 0) == {1, 2} and of_spot(graph, 4) == set()


def test_spots_within_reach_are_those_that_a_search_by_breadth_finds():
    graph, found = Neighbors.of(spots(), ONE, 3), {5, 6}

    for hops in range(4):
        assert set(graph.within(np.array([5, 6]), hops).tolist()) == found
        found = found | {j for i in found for j in of_spot(graph, i)}


def test_edges_among_some_spots_are_those_of_all_between_them():
    graph = Neighbors.of(spots(), ONE, 4)
    node_p = np.array([2, 3, 10, 11, 30, 45, 59])

    sender, receiver = node_p[graph.edges(node_p)]

    wanted = {(j, i) for i in node_p.tolist() for j in of_spot(graph, i) if j in node_p}
    assert set(zip(sender.tolist(), receiver.tolist(), strict=True)) == wanted


def test_patches_hold_every_row_once_in_compact_pieces_of_one_section():
    at_nd, section_n = spots(), np.array(["a", "b"] * 30)

    cut = patches(at_nd, section_n, np.arange(50), 8)

    assert sorted(np.concatenate(cut).tolist()) == list(range(50))
    assert all(len(rows) <= 8 and len(set(section_n[rows])) == 1 for rows in cut)
    assert np.mean([at_nd[rows].std(0).mean() for rows in cut]) < 0.6 * at_nd.std(0).mean()


def test_spots_in_the_place_of_others_are_refused():
    with pytest.raises(DataError, match="E438.*most spots of section 'a' have exactly the place of another"):
        Neighbors.of(np.repeat(spots(30), 2, axis=0), ONE, 4)


def test_labels_of_held_out_rows_do_not_reach_training(table):
    view = GraphView.fit(table, GraphConfig(section="section", classes="region"))
    other = dataclasses.replace(table, obs={**table.obs, "region": table.obs["region"].copy()})
    other.obs["region"][table.part_n != 0] = "region0"
    changed = GraphView.fit(other, GraphConfig(section="section", classes="region"))

    seen, again = (
        list(v.examples(t, CPU).train(50, torch.Generator().manual_seed(0)))
        for v, t in ((view, table), (changed, other))
    )

    assert view.state() == changed.state()
    for a, b in zip(seen, again, strict=True):
        assert all(torch.equal(getattr(a, name), getattr(b, name)) for name in ("x", "node", "label", "balance"))


def test_with_parts_kept_apart_held_out_spots_change_nothing_in_training(table):
    config = GraphConfig(section="section", classes="region", neighbors="part")
    other = dataclasses.replace(table, x_ng=table.x_ng.copy())
    other.x_ng[table.part_n != 0] *= 3
    batches = []
    for data in (table, other):
        view = GraphView.fit(data, config)
        batches.append(list(view.examples(data, CPU).train(50, torch.Generator().manual_seed(0))))

    assert all(torch.equal(a.node, b.node) and torch.equal(a.edge, b.edge) for a, b in zip(*batches, strict=True))


def test_every_training_row_is_an_example_once_and_lies_at_its_place(table):
    view = GraphView.fit(table, GraphConfig(section="section"))

    batches = list(view.examples(table, CPU).train(40, torch.Generator().manual_seed(0)))

    x = torch.cat([batch.x for batch in batches])
    assert torch.equal(x.sum(1).sort()[0], torch.from_numpy(table.x_ng[table.rows("train")]).sum(1).sort()[0])
    points = torch.from_numpy(view.points(table))
    for batch in batches:
        rows = [int(np.flatnonzero((table.x_ng == row.numpy()).all(1))[0]) for row in batch.x]
        assert torch.equal(batch.node[batch.center], points[rows])


def test_balance_makes_classes_count_alike_and_unlabeled_rows_not_at_all(table):
    view = GraphView.fit(table, GraphConfig(section="section", classes="region", unlabeled="region1"))

    batches = list(view.examples(table, CPU).validation())

    label, balance = (torch.cat([getattr(b, name) for b in batches]) for name in ("label", "balance"))
    per_class = [balance[label == c].sum().item() for c in label[label >= 0].unique()]
    assert len(view.names) == 3 and balance[label < 0].abs().sum() == 0
    assert per_class == pytest.approx([len(label) / len(per_class)] * len(per_class), rel=1e-5)


def test_components_are_those_of_centered_log_shares_of_training_rows():
    x_ng = np.random.default_rng(0).poisson(3.0, (80, 12)).astype(np.float32)
    section_n, train = np.array(["a", "b"] * 40), np.arange(50)

    features = Features.fit("pca", x_ng, train, section_n, k=5, by_section=True)
    z_nf = features(x_ng, section_n)

    np.testing.assert_allclose(z_nf[train].std(0, ddof=1), 1.0, rtol=1e-4)
    np.testing.assert_allclose(Features.load(features.state())(x_ng, section_n), z_nf)
