"""The spatial model does not see how a section lies, learns what it is told, and stands beside classical methods."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from gxsearch.config import read
from gxsearch.data.graph import GraphConfig, GraphView
from gxsearch.data.prepare import prepare
from gxsearch.data.table import DataConfig, Split, Table
from gxsearch.errors import DataError
from gxsearch.models.spatial import Spatial, SpatialConfig
from gxsearch.nn.equivariant import EGNN
from gxsearch.training.embedding import embed_table
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.session import Bench, Job, session
from gxsearch.training.spatial_baselines import spatial_baselines, spatial_scores

CPU = torch.device("cpu")
TOLD = {"section": "section", "classes": "region"}
TILES = DataConfig(
    path="sim_spatial?n=400&g=60", spatial="spatial", label="region", split=Split(tiles=4, group="section")
)


@pytest.fixture(scope="module")
def table() -> Table:
    return prepare(TILES, where="test", extra_obs=("section", "region"))


def moved(at_nd: np.ndarray, *, mirror: bool) -> np.ndarray:
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(2, 2)))[0]
    turn[:, 0] *= np.sign(np.linalg.det(turn)) * (-1 if mirror else 1)
    return 0.7 * at_nd @ turn.T + 123.0


def network(*, moves: bool) -> EGNN:
    torch.manual_seed(0)
    found = EGNN(16, 3, n_rbf=4, dropout=0.0, moves=moves)
    for layer in found.layers[:-1]:
        if moves:  # from the start they would hardly move
            torch.nn.init.normal_(layer.move.weight, std=0.5)
    return found


def cloud() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    edge = torch.randint(40, (2, 200), generator=draw)
    return torch.randn(40, 16, generator=draw), 2 * torch.randn(40, 2, generator=draw), edge[:, edge[0] != edge[1]]


@pytest.mark.parametrize("moves", [False, True])
@pytest.mark.parametrize("mirror", [False, True])
def test_turning_mirroring_and_moving_the_points_changes_no_feature(moves, mirror):
    (h, at, edge), layers = cloud(), network(moves=moves)
    angle = torch.tensor(1.1)
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
    turn = turn @ torch.diag(torch.tensor([1.0, -1.0])) if mirror else turn

    apart = (layers(h, at @ turn.T + 5.0, edge) - layers(h, at, edge)).abs().max()

    assert apart < 1e-4
    assert (layers(h, 1.5 * at, edge) - layers(h, at, edge)).abs().max() > 1e-3  # distances do count


def test_points_in_another_order_have_the_same_features_in_that_order():
    (h, at, edge), layers, order = cloud(), network(moves=True), torch.randperm(40)

    again = layers(h[order], at[order], torch.argsort(order)[edge])

    assert (again - layers(h, at, edge)[order]).abs().max() < 1e-4


def test_moving_points_move_with_the_section():
    (h, at, edge), layer = cloud(), network(moves=True).layers[0]
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]])

    there = layer(h, at @ turn.T + 2.0, edge)[1]

    assert (there - (layer(h, at, edge)[1] @ turn.T + 2.0)).abs().max() < 1e-4
    assert (layer(h, at, edge)[1] - at).abs().max() > 1e-2


@pytest.mark.parametrize("mirror", [False, True])
def test_a_section_that_lies_otherwise_has_the_same_vectors_through_the_view(table, mirror):
    view = GraphView.fit(table, GraphConfig(**TOLD))
    torch.manual_seed(0)
    model = Spatial(SpatialConfig(update_coords=True), view.dims)
    turned = dataclasses.replace(table, obsm={"spatial": moved(table.obsm["spatial"], mirror=mirror)})

    apart = np.abs(embed_table(model, view, turned, CPU) - embed_table(model, view, table, CPU)).max()

    assert apart < 1e-4


def test_what_a_hidden_spot_shows_does_not_reach_its_own_prediction(table):
    view = GraphView.fit(table, GraphConfig(**TOLD))
    model = Spatial(SpatialConfig(), view.dims).eval()
    batch = next(iter(view.heldout(table, "val", CPU)))
    other = dataclasses.replace(batch, node=batch.node.index_fill(0, batch.center, 99.0))

    first, second = (model(b, 1.0).terms for b in (batch, other))

    assert torch.equal(first["nll"], second["nll"]) and not torch.equal(first["label_nats"], second["label_nats"])


def test_the_start_is_one_profile_for_all_spots(table):
    view = GraphView.fit(table, GraphConfig(**TOLD))
    model = Spatial(SpatialConfig(), view.dims)
    model.start(table, view)
    torch.nn.init.zeros_(model.share.weight)

    told = spatial_scores(model, view, table, None, np.zeros((table.n_obs, 2), np.float32))

    profile = spatial_baselines(view, table, None, 8)["one profile"]
    assert told["test/nll"] == pytest.approx(profile["test/nll"], abs=1e-4)


def test_regions_of_held_out_tiles_are_named_as_well_as_by_logistic_regression_on_the_spots_alone(table):
    job = Job("spatial", {"dim": 32}, {"lr": 3e-3, "batch_size": 100}, TOLD, 12, 0, "val/balanced_accuracy", "max")
    bench = Bench(table, CPU)
    *_, (metrics, model) = session(job, bench, LocalRuntime())
    view = bench.view(job)[0]

    own = spatial_scores(model, view, table, "region", embed_table(model, view, table, CPU))
    classical = spatial_baselines(view, table, "region", 32, "val/knn")

    assert metrics["val/balanced_accuracy"] > 0.7
    assert own["test/balanced_accuracy"] > classical["logreg self"]["test/balanced_accuracy"] - 0.05
    assert own["test/nll"] < classical["one profile"]["test/nll"]
    assert {"test/knn", "val/knn"} <= classical["pca-32"].keys() and "test/knn" in own


def test_settings_that_reach_beyond_the_batches_or_leave_no_task_are_refused(table):
    dims = GraphView.fit(table, GraphConfig(section="section", hops=2)).dims

    assert "set data.view.hops to 3" in Spatial.objection(SpatialConfig(depth=3), dims)
    assert "no task" in Spatial.objection(SpatialConfig(nll_weight=0.0), dims)
    assert Spatial.objection(SpatialConfig(), dims) is None


def test_data_that_do_not_suit_are_refused_with_all_that_is_wrong(table):
    half = dataclasses.replace(table, x_ng=table.x_ng / 2, part_n=np.zeros_like(table.part_n))

    with pytest.raises(DataError) as caught:
        GraphView.fit(half, read(GraphConfig, {**TOLD, "features": "first"}, "", ""))

    assert {fault.code for fault in caught.value.faults} == {"E430", "E437", "E439"}
    with pytest.raises(DataError, match="E425.*the model reads coordinates - set data.spatial"):
        GraphView.fit(dataclasses.replace(table, obsm={}), GraphConfig())
