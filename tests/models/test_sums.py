"""What an epoch adds up to, against numpy and scipy on all rows at once."""

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr

from gxsearch.models.base import Losses
from gxsearch.training import sums as module
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.sums import Sums

N, G, K = 57, 13, 5


@pytest.fixture
def arrays():
    draw = np.random.default_rng(0)
    x_ng = draw.normal(size=(N, G)) * draw.uniform(0.01, 3, G) + 100
    y_ng = x_ng + draw.normal(size=(N, G))
    z_nk = draw.normal(size=(N, K)) * np.array([1.0, 0.2, 0.09, 0.0, 0.11]) + 7
    return [a.astype(np.float32) for a in (x_ng, y_ng, z_nk)]


def batches(arrays, weight_ng=None, size=10):
    """Yield the losses of unequal batches: the last has seven rows."""
    x, y, z = (torch.from_numpy(a) for a in arrays)
    w = None if weight_ng is None else torch.from_numpy(weight_ng)
    for start in range(0, N, size):
        at = slice(start, start + size)
        terms = {"mse": (y[at] - x[at]).square().mean()}
        yield Losses(terms, {"mse": 1.0}, y[at], x[at], None if w is None else w[at], latent=z[at], by_gene=True)


def measures(losses, *, thorough=True):
    found = Sums(thorough=thorough)
    for batch in losses:
        found.add(batch)
    return found.metrics("val", LocalRuntime(), of_first=True)


@pytest.mark.parametrize("chunk", [1 << 20, 3 * G])
def test_measures_over_unequal_batches_are_those_of_all_rows_at_once(arrays, monkeypatch, chunk):
    monkeypatch.setattr(module, "_CHUNK", chunk)
    x_ng, y_ng, _ = (a.astype(np.float64) for a in arrays)

    found = measures(batches(arrays))

    by_gene = [pearsonr(x_ng[:, j], y_ng[:, j]).statistic for j in range(G)]
    assert found["val/gene_pearson"] == pytest.approx(np.median(by_gene), rel=1e-8)
    assert found["val/pearson"] == pytest.approx(pearsonr(x_ng.ravel(), y_ng.ravel()).statistic, rel=1e-8)
    assert found["val/mae"] == pytest.approx(np.abs(y_ng - x_ng).mean(), rel=1e-12)
    assert found["val/mse"] == pytest.approx(np.square(y_ng - x_ng).mean(), rel=1e-6)
    assert found["val/r2"] == pytest.approx(1 - np.square(y_ng - x_ng).mean() / x_ng.var(), rel=1e-8)


def test_a_gene_that_is_constant_in_target_or_prediction_counts_0(arrays):
    x_ng, y_ng, z_nk = arrays
    x_ng[:, :5], y_ng[:, 5:10] = 0.1, 1e4 / 3  # ten of thirteen: the median is one of them

    assert measures(batches((x_ng, y_ng, z_nk)))["val/gene_pearson"] == 0.0


def test_weights_of_0_leave_values_out(arrays):
    x_ng, y_ng, z_nk = arrays
    weight_ng = (np.random.default_rng(1).uniform(size=x_ng.shape) < 0.5).astype(np.float32)
    weight_ng[:, 0] = 0
    spoiled_ng = np.where(weight_ng > 0, y_ng, 1e3).astype(np.float32)

    found, spoiled = (measures(batches((x_ng, y, z_nk), weight_ng)) for y in (y_ng, spoiled_ng))

    seen = weight_ng > 0
    by_gene = [0.0] + [pearsonr(x_ng[seen[:, j], j], y_ng[seen[:, j], j]).statistic for j in range(1, G)]
    assert found["val/gene_pearson"] == pytest.approx(np.median(by_gene), rel=1e-6)
    for name in ("val/mae", "val/r2", "val/pearson", "val/gene_pearson"):
        assert found[name] == pytest.approx(spoiled[name], rel=1e-9)


def test_active_units_are_the_dimensions_whose_codes_vary_by_more_than_a_hundredth(arrays):
    z_nk = arrays[2]
    z_nk[:, 2] = 7 + 0.09 * np.sign(np.arange(N) % 2 - 0.5)
    z_nk[:, 4] = 7 + 0.11 * np.sign(np.arange(N) % 2 - 0.5)

    assert measures(batches(arrays))["val/active_units"] == 3.0


def test_training_batches_are_spared_the_measures_of_validation(arrays):
    found = measures(batches(arrays), thorough=False)

    assert {"val/mae", "val/gene_pearson", "val/active_units"}.isdisjoint(found) and "val/r2" in found


def test_a_term_that_only_some_batches_have_is_refused(arrays):
    first, second, *_ = batches(arrays)
    found = Sums()
    found.add(first)

    with pytest.raises(AssertionError, match=r"\['mse'\], got \['kl', 'mse'\]"):
        found.add(Losses({**second.terms, "kl": torch.tensor(1.0)}, {"mse": 1.0, "kl": 1.0}))


def test_all_workers_take_the_first_ones_measures(arrays):
    told = []

    class Rank:
        rank, world_size = 1, 2

        def sum(self, values):
            told.append(values)
            return torch.ones_like(values)

    found = Sums(thorough=True)
    for batch in batches(arrays):
        found.add(batch)

    assert found.metrics("val", Rank(), of_first=True)["val/mse"] == 1.0
    assert not told[0].any()
