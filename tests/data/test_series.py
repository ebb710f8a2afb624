"""Genes over time: times from samples, replicates, windows, batches, gaps, and scales that leak nothing."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from gxsearch.data.series import SeriesConfig, SeriesView
from gxsearch.data.table import Table
from gxsearch.data.timeline import Timeline
from gxsearch.errors import DataError

CPU = torch.device("cpu")


def series(time=(0.0, 2.0, 5.0, 6.0), genes=30, *, batch=None, seed=0, x=None) -> Table:
    """A table of genes at these times, four fifths of them to train on."""
    rng, time = np.random.default_rng(seed), np.asarray(time, dtype=np.float64)
    x_ns = rng.gamma(3, 2, (genes, len(time))).astype(np.float32) if x is None else np.asarray(x, dtype=np.float32)
    names = np.array([f"sample{i:03d}" for i in range(len(time))])
    var = {"hour": time} | ({} if batch is None else {"lab": np.asarray(batch)})
    facts = {"orientation": "genes", "time": "hour", "batch": ["lab"] if batch is not None else [], "source": "set"}
    part_n = (np.arange(len(x_ns)) % 5 == 4).astype(np.int8)
    return Table(x_ns, np.array([f"g{i}" for i in range(len(x_ns))]), names, part_n, var=var, facts=facts)


def fitted(table: Table, **config) -> SeriesView:
    return SeriesView.fit(table, SeriesConfig(**config))


def curves(table: Table, **config) -> np.ndarray:
    return fitted(table, **config).curves(table).x_nt


def test_times_are_sorted_and_may_be_uneven():
    table = series((6.0, 0.5, 2.0))

    view = fitted(table, scaling="none")

    assert view.time_t.tolist() == [0.5, 2.0, 6.0] and view.genes.tolist() == ["0.5", "2", "6"]
    np.testing.assert_array_equal(view.curves(table).x_nt, table.x_ng[:, [1, 2, 0]])


def test_replicates_are_averaged_or_kept():
    table = series((3.0, 1.0, 3.0, 2.0))

    averaged, kept = curves(table, scaling="none"), curves(table, scaling="none", replicates="keep")

    np.testing.assert_allclose(averaged[:, 2], table.x_ng[:, [0, 2]].mean(1), rtol=1e-6)
    np.testing.assert_array_equal(kept, table.x_ng[:, [1, 3, 0, 2]])


def test_windows_average_equally_many_samples():
    table = series(np.arange(12.0)[::-1])

    view = fitted(table, scaling="none", windows=3)

    assert view.time_t.tolist() == [1.5, 5.5, 9.5]
    np.testing.assert_allclose(view.curves(table).x_nt[:, 0], table.x_ng[:, 8:].mean(1), rtol=1e-6)


def test_samples_of_one_time_are_in_one_window():
    line = Timeline.of(np.array([0.0, 1, 1, 1, 1, 2, 3, 4]), windows=4)

    assert len(set(line.place(np.ones(3), np.array(["a", "b", "c"])).tolist())) == 1
    assert len(line.time_t) == len(set(line.place(np.arange(5.0), np.arange(5).astype(str)).tolist())) == 3


def test_a_z_score_is_of_the_genes_own_times_and_can_be_undone():
    table = series(np.arange(9.0))

    found = fitted(table).curves(table)

    np.testing.assert_allclose(found.x_nt.mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(found.x_nt.std(1), 1, rtol=1e-4)
    np.testing.assert_allclose(found.shift_n, table.x_ng.mean(1), rtol=1e-5)
    np.testing.assert_allclose(found.restored(found.x_nt), table.x_ng, rtol=1e-4)


@pytest.mark.parametrize("scaling", ["zscore", "minmax", "log1p", "none"])
def test_no_scale_leaks_from_one_gene_to_another(scaling):
    table = series(np.arange(9.0))
    other = dataclasses.replace(table, x_ng=table.x_ng.copy())
    other.x_ng[4::5] *= 1000

    assert np.array_equal(curves(table, scaling=scaling)[:4], curves(other, scaling=scaling)[:4])


def test_minmax_goes_from_0_to_1_and_log1p_is_the_logarithm():
    table = series(np.arange(9.0))

    low, logs = curves(table, scaling="minmax"), fitted(table, scaling="log1p").curves(table)

    assert np.allclose(low.min(1), 0) and np.allclose(low.max(1), 1)
    np.testing.assert_allclose(logs.x_nt, np.log1p(table.x_ng), rtol=1e-5)
    np.testing.assert_allclose(logs.restored(logs.x_nt), table.x_ng, rtol=1e-4)


def test_a_constant_gene_becomes_0():
    table = series(np.arange(7.0))
    table.x_ng[3] = 0.1

    assert not curves(table)[3].any() and not curves(table, scaling="minmax")[3].any()


def test_batches_are_centered_gene_by_gene_and_the_mean_of_a_gene_stays():
    table = series((0.0, 0, 1, 2, 2, 3, 4), batch=list("abaabbb"))
    is_b = table.var["lab"] == "b"
    shifted = dataclasses.replace(table, x_ng=table.x_ng.copy())
    shifted.x_ng[:, is_b] += np.arange(30, dtype=np.float32)[:, None] + 5

    centered = curves(shifted, scaling="none", replicates="keep")

    np.testing.assert_allclose(centered.mean(1), shifted.x_ng.mean(1), rtol=1e-5)
    np.testing.assert_allclose(curves(shifted), curves(table), atol=1e-4)
    assert not np.allclose(curves(shifted, batch="none"), curves(table, batch="none"), atol=0.1)


def test_given_batches_keep_times_of_their_own_and_replicates_are_averaged_within_them():
    table = series((3.0, 1.0, 3.0, 3.0, 1.0), batch=list("baaba"))

    view = fitted(table, scaling="none", batch="given")

    assert view.time_t.tolist() == [1, 3, 3] and view.timeline.batch_t.tolist() == ["a", "a", "b"]
    assert view.dims.covariates == (2,) and view.dims.n_genes == 3 and view.genes.tolist()[1:] == ["3 of a", "3 of b"]
    wanted = [table.x_ng[:, [1, 4]].mean(1), table.x_ng[:, 2], table.x_ng[:, [0, 3]].mean(1)]
    np.testing.assert_allclose(view.curves(table).x_nt, np.stack(wanted, 1), rtol=1e-6)


def test_given_batches_may_keep_replicates_or_share_windows():
    table = series((3.0, 1.0, 3.0, 3.0, 1.0), batch=list("baaba"))

    kept = fitted(table, scaling="none", batch="given", replicates="keep")
    cut = fitted(series(np.arange(6.0), batch=list("ababaa")), scaling="none", batch="given", windows=2)

    assert kept.timeline.batch_t.tolist() == list("aaabb")
    np.testing.assert_array_equal(kept.curves(table).x_nt, table.x_ng[:, [1, 4, 2, 0, 3]])
    assert cut.time_t.tolist() == [1, 1, 4, 4] and cut.timeline.batch_t.tolist() == list("abab")
    samples = series(np.arange(6.0), batch=list("ababaa"))
    np.testing.assert_allclose(cut.curves(samples).x_nt[:, 2], samples.x_ng[:, [4, 5]].mean(1), rtol=1e-6)


@pytest.mark.parametrize("config", [{}, {"replicates": "keep"}, {"windows": 2}])
def test_a_view_of_given_batches_is_the_same_after_json(config):
    table = series((0.0, 0, 1, 2, 2, 3, 4), batch=list("abaabbb"))
    view = fitted(table, batch="given", **config)

    again = SeriesView.load(json.loads(json.dumps(view.state())))

    assert again.dims == view.dims and again.state() == view.state()
    assert np.array_equal(again.curves(table).x_nt, view.curves(table).x_nt)


def test_batches_of_several_columns_are_crossed():
    table = series((0.0, 1, 0, 1), batch=list("aabb"))
    table.var["run"] = np.array(["1", "2", "1", "1"])
    crossed = dataclasses.replace(table, facts={**table.facts, "batch": ["lab", "run"]})

    view = fitted(crossed, batch="given")

    assert view.timeline.batches == ["lab=a, run=1", "lab=a, run=2", "lab=b, run=1"]


def test_new_batches_and_times_that_a_batch_did_not_have_are_refused_together():
    view = fitted(series((0.0, 1, 2, 0, 1), batch=list("aaabb")), batch="given")

    with pytest.raises(DataError) as caught:
        view.curves(series((0.0, 1, 2, 1), batch=list("cabd")))

    told = str(caught.value)
    assert "set: batches that the model was not trained on: 'c', 'd'" in told and "it knows 'a', 'b'" in told
    assert "set: 1 time that the model was not trained on in their batch: '2.0'" in told
    with pytest.raises(DataError, match=r"E470\] set: the samples have no 'lab'"):
        view.curves(series((0.0, 1, 2, 1)))


def test_a_gap_is_filled_in_from_the_same_batch():
    table = series((0.0, 1, 2, 0, 1, 2), batch=list("aaabbb"))
    table.x_ng[:, 3:] += 100
    table.x_ng[2, 1] = table.x_ng[3, 4] = table.x_ng[4, 3:] = np.nan

    x_nt = fitted(table, scaling="none", missing="mask", batch="given").curves(table).x_nt

    assert x_nt[2, 2] == pytest.approx(table.x_ng[2, [0, 2]].mean(), rel=1e-5)
    assert x_nt[3, 3] == pytest.approx(table.x_ng[3, [3, 5]].mean(), rel=1e-5)
    np.testing.assert_allclose(x_nt[4, 1::2], table.x_ng[4, :3], rtol=1e-5)  # there is no other


def test_a_value_that_was_not_measured_has_no_weight_and_lies_between_its_neighbors():
    table = series((0.0, 1.0, 4.0, 5.0))
    table.x_ng[2, 1] = table.x_ng[7, 0] = np.nan

    found = fitted(table, scaling="none", missing="mask").curves(table)

    assert found.weight_nt[2].tolist() == [1, 0, 1, 1] and found.weight_nt.sum() == 118
    assert found.x_nt[2, 1] == pytest.approx(table.x_ng[2, 0] * 0.75 + table.x_ng[2, 2] * 0.25, rel=1e-5)
    assert found.x_nt[7, 0] == table.x_ng[7, 1] and np.isfinite(found.x_nt).all()


def test_scales_are_of_measured_values_only():
    table = series(np.arange(6.0))
    table.x_ng[0, 5] = np.nan

    found = fitted(table, missing="mask").curves(table)

    assert found.shift_n[0] == pytest.approx(table.x_ng[0, :5].mean(), rel=1e-5)
    assert found.scale_n[0] == pytest.approx(table.x_ng[0, :5].std(), rel=1e-5)


def test_new_samples_of_some_of_the_times_are_read_and_the_others_are_gaps():
    view = fitted(series((0.0, 1.0, 2.0, 3.0)), scaling="none")
    new = series((3.0, 1.0, 1.0), seed=1)

    found = view.curves(new)

    assert found.weight_nt[0].tolist() == [0, 1, 0, 1]
    np.testing.assert_allclose(found.x_nt[:, 1], new.x_ng[:, 1:].mean(1), rtol=1e-6)


def test_times_that_were_not_in_training_are_refused():
    view = fitted(series((0.0, 1.0, 2.0)))

    with pytest.raises(DataError, match=r"E471\] set: 1 time that the model was not trained on: '1.5'"):
        view.curves(series((0.0, 1.5, 2.0)))


def test_every_gene_is_in_one_batch_and_batches_are_even():
    examples = fitted(series(genes=53)).examples(series(genes=53), CPU)

    for size in (1, 8, 20, 42, 1000):
        batches = list(examples.train(size, torch.Generator().manual_seed(0)))
        sizes = [len(batch.x) for batch in batches]
        assert sum(sizes) == 43 and max(sizes) <= size and max(sizes) - min(sizes) <= 1
        assert torch.equal(torch.cat([b.x for b in batches]).sort(0)[0], examples._train.x.sort(0)[0])


@pytest.mark.parametrize(
    ("table", "config", "message"),
    [
        (series((1.0, 1.0)), {}, r"E473\] data.time: 1 times; a series needs 2 or more"),
        (series(genes=1), {}, r"E430\] data.split: 1 gene to train on and 0 to validate on; 2 and 1 are needed"),
        (series(batch=["a", "b", "c", "d"]), {}, r"E475\] data.view.batch: every batch has one time only"),
        (series(batch=list("abcd")), {"batch": "given"}, r"E475\] data.view.batch: every batch has one time only"),
        (
            series(batch=list("aaaa")),
            {"batch": "given"},
            r"E475\] data.view.batch: .* needs a data.batch of two batches",
        ),
        (
            series(),
            {"batch": "given"},
            r"E475\] data.view.batch: batch: given needs a data.batch of two batches or more",
        ),
        (series(x=-np.ones((9, 4))), {"scaling": "log1p"}, r"E474\] data.view.scaling: .* takes no values below 0"),
        (
            series(),
            {"windows": 2, "replicates": "keep"},
            r"E474\] data.view: replicates: keep, and windows average them",
        ),
        (dataclasses.replace(series(), facts={"time": None}), {}, r"E470\] data.time: a series needs the time of each"),
        (
            series(x=[[1, np.nan, np.nan, np.nan]] * 9),
            {"missing": "mask"},
            r"E472\] set: 8 genes measured at fewer than",
        ),
    ],
)
def test_a_table_that_is_no_series_is_refused(table, config, message):
    with pytest.raises(DataError, match=message):
        fitted(table, **config)
