"""Imputation is measured on one scale and mask, whatever the architecture and the units of its table."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import sparse

from gxsearch.config import read
from gxsearch.data.prepare import prepare
from gxsearch.data.table import DataConfig
from gxsearch.errors import TrialError
from gxsearch.models import registry
from gxsearch.training.baselines import baselines
from gxsearch.training.embedding import embed_known
from gxsearch.training.imputation import Hidden, can_impute, imputation
from gxsearch.training.log_scale import LogScale
from gxsearch.training.probing import Probe
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.session import Bench, Job, session

COUNTS = "sim_counts?n=150&g=60"
SETTINGS = {
    "fe": ({"sample_dim": 3, "gene_bias": True, "bilinear": True, "warm_start": "pca"}, {"lr": 0.01}),
    "vae": ({"hidden": [32], "latent_dim": 4, "beta": 0.01}, {"batch_size": 10, "lr": 1e-2}),
    "transformer": ({}, {"batch_size": 10}),
    "nbvae": ({"latent_dim": 3, "hidden": [16]}, {"batch_size": 30}),
}


def table_of(transform: list[str]):
    return prepare(DataConfig(path=COUNTS, label="cell_type", transform=transform), where="test")


def trained(name: str, table, epochs: int, view: dict | None = None):
    table = table if registry.get(name).View.layout == "sparse" else table.dense()
    metric, mode = next(iter(registry.get(name).metrics.items()))
    job = Job(name, *SETTINGS[name], view or {}, epochs, 0, f"val/{metric}", mode)
    bench = Bench(table, torch.device("cpu"))
    last = [model for _, model in session(job, bench, LocalRuntime(threads=1))][-1]
    return last, bench.view(job)[0], table


def test_tables_of_the_same_counts_agree_on_the_log_scale_whatever_their_units():
    rows = np.arange(150)
    tables = [table_of(steps) for steps in ([], ["log1p"], ["log10p1"], ["normalize", "log1p"])]
    scales = [LogScale(table.dense())[rows] for table in tables]

    counts = tables[0].dense()
    target = np.median(counts.total_n[counts.rows("train")])
    wanted_ng = np.log1p(counts.x_ng / counts.total_n[:, None] * target)
    for found_ng in scales:
        np.testing.assert_allclose(found_ng, wanted_ng, atol=1e-5)
    thin = dataclasses.replace(counts, x_ng=sparse.csr_matrix(counts.x_ng))
    np.testing.assert_allclose(LogScale(thin)[rows].toarray(), wanted_ng, atol=1e-5)


def test_values_that_were_neither_counts_nor_transformed_stay_as_they_are():
    table = table_of([]).dense()
    moved = dataclasses.replace(table, x_ng=table.x_ng - 1, facts={})

    np.testing.assert_array_equal(LogScale(moved)[np.arange(5)], moved.x_ng[:5])
    assert not LogScale(moved).positive


def test_all_that_read_the_same_genes_are_asked_for_the_same_entries():
    found = []
    for name, steps in (("fe", ["log1p"]), ("vae", ["normalize", "log1p"]), ("transformer", [])):
        table = table_of(steps)
        kind = registry.get(name)
        table = table if kind.View.layout == "sparse" else table.dense()
        view = kind.View.fit(table, read(kind.View.Config, {}, "test", "data.view"))
        data, order = Hidden(view, table, "val"), np.argsort(view.genes)
        found.append((data.hidden_rg[:, order], data.values(data.rows)[:, order]))

    for hidden_rg, x_rg in found[1:]:
        np.testing.assert_array_equal(hidden_rg, found[0][0])
        np.testing.assert_allclose(x_rg, found[0][1], atol=1e-5)
    assert 0.15 < found[0][0].mean() < 0.25


def test_the_gene_means_score_zero_and_the_truth_scores_one():
    table = table_of(["log1p"]).dense()
    view = registry.get("vae").View.fit(table, read(registry.get("vae").View.Config, {}, "test", "data.view"))
    data = Hidden(view, table, "val")
    x_rg = data.values(data.rows)

    assert data.r2(x_rg) == 1.0
    assert data.r2(np.tile(data.values(data.train).mean(0), (len(x_rg), 1))) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", ["fe", "vae"])
def test_a_trained_model_finds_hidden_values(name):
    table = prepare(DataConfig(path="sim_bulk?n=150&g=60", label="cell_type"), where="test")
    model, view, table = trained(name, table, 20)

    found = imputation(model, view, table)

    assert 0.7 < found < 1
    assert found == imputation(model, view, table)
    assert Probe(table, ["val/imputation_r2"])(model, view, torch.device("cpu")) == {"val/imputation_r2": found}


def test_tokens_stand_for_the_mean_of_their_genes_in_their_bins(monkeypatch):
    model, view, table = trained("transformer", table_of([]), 1, {"binning": "quantile", "n_bins": 6})
    told = model.gene_chances

    def knowing(batch):
        assert not torch.equal(told(batch), told(dataclasses.replace(batch, x=1 - batch.x.clamp(max=1))))
        return torch.nn.functional.one_hot(batch.x[batch.hidden], view.dims.n_bins).float()

    untold = imputation(model, view, table)
    monkeypatch.setattr(model, "gene_chances", knowing)  # what is left are the means of bins

    assert untold < 0.5 < 0.8 < imputation(model, view, table) < 1


def test_hidden_values_are_not_looked_at():
    model, view, table = trained("vae", table_of(["log1p"]), 3)
    data, reads = Hidden(view, table, "val"), []
    spoiled = table.x_ng.copy()
    spoiled[data.rows] = np.where(data.hidden_rg, 9.0, spoiled[data.rows])
    for x_ng in (table.x_ng, spoiled):
        seen = dataclasses.replace(table, x_ng=x_ng)
        reads.append(embed_known(model, view, seen.take(data.rows), data.hidden_rg))

    np.testing.assert_array_equal(*reads)


def test_a_model_that_finds_no_hidden_values_has_no_such_measure():
    model, view, table = trained("nbvae", table_of([]), 1)

    assert not can_impute(model, view) and imputation(model, view, table) is None
    with pytest.raises(TrialError, match="E705.*finds no hidden values"):
        Probe(table, ["val/imputation_r2"])(model, view, torch.device("cpu"))


@pytest.mark.parametrize("metric", ["val/imputation_r2", "val/expression_r2", "val/logreg", "val/silhouette"])
def test_components_stand_beside_a_model_for_the_probe_that_is_its_objective(metric):
    table = table_of(["log1p"]).dense()
    for name in ("fe", "vae"):
        kind = registry.get(name)
        view = kind.View.fit(table, read(kind.View.Config, {}, "test", "data.view"))

        assert 0.05 < baselines(view, table, "cell_type", 4, metric)["pca-4"][metric] <= 1
