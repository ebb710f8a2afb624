"""The map of a two-dimensional embedding."""

import numpy as np
import pytest
import torch

from gxsearch.data.entries import EntriesConfig, EntriesView
from gxsearch.errors import DataError
from gxsearch.models.fe import FactorizedEmbeddings, FEConfig
from gxsearch.results.grid import draw
from gxsearch.training.embedding import reconstruct
from gxsearch.training.grid import grid


@pytest.fixture
def fitted(table):
    torch.manual_seed(0)
    view = EntriesView.fit(table, EntriesConfig())
    return FactorizedEmbeddings(FEConfig(), view.dims), view


def test_decoding_at_a_rows_own_coordinates_is_its_reconstruction(fitted, table):
    model, view = fitted
    row, gene = torch.arange(view.dims.n_rows)[None], torch.arange(view.dims.n_genes)[None]

    decoded_ng = reconstruct(model, model.row_vectors())

    np.testing.assert_allclose(decoded_ng, model.predict(row, gene)[0].detach().numpy(), atol=1e-5)


def test_the_map_holds_the_correlation_of_decoded_profiles_with_class_means(fitted, table):
    model, view = fitted
    train = table.take(table.rows("train"))
    labels = train.obs["side"]

    found = grid(model, view, train, model.row_vectors(), labels, nodes=7)

    node = np.array([[found.x[2], found.y[5]]])
    for c, name in enumerate(found.classes):
        mean_g = train.x_ng[labels == name].mean(0)
        wanted = np.corrcoef(reconstruct(model, node)[0], mean_g)[0, 1]
        assert found.pearson[c, 5, 2] == pytest.approx(wanted, abs=1e-5)


def test_the_map_spans_the_vectors(fitted, table):
    model, view = fitted
    z_nk = 3 * model.row_vectors()

    found = grid(model, view, table.take(table.rows("train")), z_nk, np.array(["a"] * len(z_nk)), nodes=5)

    assert (found.x[0], found.x[-1]) == pytest.approx((z_nk[:, 0].min(), z_nk[:, 0].max()))
    assert (found.y[0], found.y[-1]) == pytest.approx((z_nk[:, 1].min(), z_nk[:, 1].max()))


def test_a_map_of_three_dimensions_is_refused(fitted, table):
    model, view = fitted

    with pytest.raises(DataError, match="a map needs vectors of length 2, got 3"):
        grid(model, view, table, np.zeros((4, 3)), np.array(list("aabb")))


def test_the_drawing_has_a_panel_for_each_class(fitted, table, tmp_path):
    model, view = fitted
    train = table.take(table.rows("train"))
    found = grid(model, view, train, model.row_vectors(), train.obs["side"], nodes=5)

    figure = draw(found, tmp_path / "map.png")

    assert [axis.get_title() for axis in figure.axes[:2]] == ["left", "right"]
    assert (tmp_path / "map.png").stat().st_size > 5000
