"""RVAgene that is given batches: what they share leaves the vectors, and curves are decoded under any one of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from gxsearch.data.batch import Batch
from gxsearch.data.series import SeriesConfig, SeriesView
from gxsearch.data.simulate import series
from gxsearch.data.table import Table
from gxsearch.errors import DataError
from gxsearch.models.rvagene import RVAgene, RVAgeneConfig
from gxsearch.training.curves import decoded, generate
from gxsearch.training.embedding import embed_table
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.series_baselines import series_baselines
from gxsearch.training.session import Bench, Job, session

CPU = torch.device("cpu")
OFFSET = 2.0
"""By how many of its standard deviations a gene is higher in batch b."""


def offset_series(n: int = 20, genes: int = 120) -> Table:
    """Genes in six clusters at n times in batch a and, higher, at all but the last two in batch b."""
    drawn = series(n=n, g=genes)
    x_ng, time_n = np.asarray(drawn.X).T, drawn.obs["time"].to_numpy()
    noise = np.random.default_rng(1).normal(0, 0.1, x_ng.shape)[:, :-2]
    second = x_ng[:, :-2] + noise + OFFSET * x_ng.std(1, keepdims=True)
    x_ns = np.concatenate([x_ng, second], 1).astype(np.float32)
    names = [np.array([f"{stem}{i:03d}" for i in range(k)]) for stem, k in zip("gs", x_ns.shape, strict=True)]
    var = {"hour": np.concatenate([time_n, time_n[:-2]]), "lab": np.repeat(["a", "b"], [n, n - 2])}
    facts = {"orientation": "genes", "time": "hour", "batch": ["lab"], "source": "set"}
    obs = {"cluster": drawn.var["cluster"].to_numpy().astype(str)}
    return Table(x_ns, *names, (np.arange(genes) % 5 == 4).astype(np.int8), obs=obs, var=var, facts=facts)


@pytest.fixture(scope="module")
def table() -> Table:
    return offset_series()


@pytest.fixture(scope="module")
def view(table) -> SeriesView:
    return SeriesView.fit(table, SeriesConfig(batch="given"))


def model_of(view: SeriesView, table: Table, **config) -> RVAgene:
    torch.manual_seed(0)
    model = RVAgene(RVAgeneConfig(hidden_size=8, latent_dim=2, **config), view.dims)
    model.start(table, view)
    return model.eval()


@pytest.mark.parametrize("skip", ["none", "pca"])
@pytest.mark.parametrize("decoder_input", ["zero", "z_time"])
def test_the_times_of_a_batch_are_decoded_as_under_it(table, view, skip, decoder_input):
    model, z_nk = model_of(view, table, skip=skip, decoder_input=decoder_input), torch.randn(4, 2)
    torch.nn.init.normal_(model.out.weight)

    own, under = model.decode(z_nk), [model.decode(z_nk, b) for b in (0, 1)]

    for b in (0, 1):
        mine_t = torch.from_numpy(view.timeline.batch_t == "ab"[b])
        torch.testing.assert_close(own[:, mine_t], under[b][:, mine_t])
    assert (under[0] - under[1]).abs().max() > 1e-3


def test_under_one_batch_samples_of_one_time_are_one_value(table, view):
    y_nt = model_of(view, table, skip="pca").decode(torch.randn(4, 2), 1)

    _, first = np.unique(view.time_t, return_index=True)
    twice = np.setdiff1d(np.arange(len(view.time_t)), first)
    assert len(twice) == 18
    torch.testing.assert_close(y_nt[:, twice], y_nt[:, twice - 1])


def test_the_encoder_is_told_the_batch_of_each_time(table, view):
    model, x_nt = model_of(view, table), torch.randn(3, len(view.time_t))
    before = model.embed(Batch(x_nt))

    model.batch.copy_(1 - model.batch)

    assert model.encoder.input_size == 3 and not torch.allclose(before, model.embed(Batch(x_nt)))


def test_other_times_are_by_default_those_of_the_batch_that_has_most(table, view):
    model, z_nk = model_of(view, table), np.ones((2, 2), dtype=np.float32)
    times = view.time_t[[0, 5]] + 0.01

    time_q, y_nq = decoded(model, view, z_nk)

    assert np.array_equal(time_q, np.unique(view.time_t))
    assert np.array_equal(y_nq, decoded(model, view, z_nk, batch="a")[1])
    assert np.array_equal(decoded(model, view, z_nk, times)[1], decoded(model, view, z_nk, times, "a")[1])
    assert not np.allclose(y_nq, decoded(model, view, z_nk, batch="b")[1])


def test_new_curves_are_of_the_batch_asked_for(table, view):
    model, center_ck = model_of(view, table), np.ones((1, 2), dtype=np.float32)

    made = generate(model, view, center_ck, 3, batch="b")

    np.testing.assert_allclose(made.y_mq, decoded(model, view, made.z_mk, batch="b")[1], rtol=1e-5)
    with pytest.raises(DataError, match=r"E478\] batch: the model is given no batch 'c'"):
        generate(model, view, center_ck, 3, batch="c")


def test_a_batch_is_refused_where_the_model_is_given_none(table):
    view = SeriesView.fit(table, SeriesConfig())

    with pytest.raises(DataError, match="E478.*no batch 'a' - leave it out: only data.view.batch: given has"):
        decoded(model_of(view, table), view, np.ones((1, 2), dtype=np.float32), batch="a")


def test_a_linear_path_starts_at_pca_over_the_times_of_all_batches(table, view):
    model = model_of(view, table, skip="pca")

    with torch.no_grad():
        mse = model(next(iter(view.examples(table, CPU).validation())), 1.0).terms["mse"].item()

    assert mse == pytest.approx(series_baselines(view, table, None, 2)["pca-2"]["val/mse"], rel=1e-4)


def test_an_offset_between_batches_is_the_decoders_and_not_the_vectors(table):
    model_config, train = {"hidden_size": 32, "beta": 0.3}, {"lr": 1e-2}
    job = Job("rvagene", model_config, train, {"batch": "given"}, 120, 0, "val/elbo", "min")
    bench = Bench(table, CPU)

    *_, (_, model) = session(job, bench, LocalRuntime())

    view = bench.view(job)[0]
    z_nk, curves, in_a = embed_table(model, view, table, CPU), view.curves(table), view.timeline.batch_t == "a"
    found_n = KMeans(6, n_init=10, random_state=0).fit_predict(z_nk)
    a_nt, b_nt = (decoded(model, view, z_nk, view.time_t, name)[1] for name in "ab")
    offset_n = curves.x_nt[:, ~in_a].mean(1) - curves.x_nt[:, in_a][:, :-2].mean(1)
    without = np.where(in_a, curves.x_nt, curves.x_nt - offset_n[:, None])
    assert adjusted_rand_score(table.obs["cluster"], found_n) > 0.95  # as where batches are centered
    assert (b_nt - a_nt).mean() == pytest.approx(offset_n.mean(), rel=0.1) and offset_n.mean() > 1
    error = [np.square(a_nt - without)[:, mine].mean() for mine in (in_a, ~in_a)]
    assert max(error) < 0.1 < 1 < np.square(a_nt - curves.x_nt)[:, ~in_a].mean()
