"""Simple methods on the tokens and phenotypes that models of tokens are judged by."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from gxsearch.data.prepare import prepare
from gxsearch.data.table import DataConfig
from gxsearch.data.tokens import TokensConfig, TokensView
from gxsearch.training import hidden_tokens, token_baselines
from gxsearch.training.hidden_tokens import Tokens
from gxsearch.training.token_baselines import Told

DATA = {
    "path": "sim_phenotypes?n=400&g=80",
    "label": "cell_type",
    "transform": ["normalize", "log1p"],
    "split": {"val": 0.2, "test": 0.2},
}
PHENOTYPES = ["cell_type", "sex"]


@pytest.fixture(scope="module")
def table():
    return prepare(DataConfig(**DATA), where="test", layout="sparse", extra_obs=PHENOTYPES)


def view_of(table, **settings) -> TokensView:
    return TokensView.fit(table, TokensConfig(phenotypes=PHENOTYPES, **settings))


@pytest.fixture(scope="module", params=[{}, {"binning": "quantile", "n_bins": 4}], ids=["binary", "quantile"])
def view(request, table):
    return view_of(table, **request.param)


def test_tokens_are_judged_that_the_view_hides(view, table):
    rows = table.rows("val")
    row, gene = np.nonzero(view.hidden(table.obs_names[rows]))

    found = hidden_tokens.judged(view, table, "val")

    assert np.array_equal(found.row_m, rows[row]) and np.array_equal(found.gene_m, gene)
    assert np.array_equal(found.bin_m, view.bins(table)[rows][row, gene])


def test_frequencies_of_dense_tokens_are_those_of_the_view(view, table):
    known, asked = hidden_tokens.learned(view, table), hidden_tokens.judged(view, table, "test")

    chance_mb = hidden_tokens.frequency(view, known, asked)

    np.testing.assert_allclose(chance_mb, view.frequency[asked.gene_m])


def test_a_class_that_training_has_not_gets_the_frequencies_of_all(view, table):
    known, asked = hidden_tokens.learned(view, table), hidden_tokens.judged(view, table, "test")
    class_n = np.where(np.isin(np.arange(table.n_obs), table.rows("train")), 0, -1)

    chance_mb = hidden_tokens.frequency(view, known, asked, class_n)

    np.testing.assert_allclose(chance_mb, view.frequency[asked.gene_m])


def test_depth_is_read_by_the_logistic_regression_of_each_gene(table):
    view = view_of(table)
    known, asked = hidden_tokens.learned(view, table), hidden_tokens.judged(view, table, "test")
    log_n = np.log(hidden_tokens.row_totals(table))
    train = table.rows("train")
    depth_n = (log_n - log_n[train].mean()) / log_n[train].std()
    gene = 7
    expressed_n = view.bins(table)[train, gene] > 0
    fitted = LogisticRegression(C=1.0, tol=1e-8).fit(  # the prior of the slope, and half a token of either kind
        np.append(depth_n[train], [0, 0])[:, None],
        np.append(expressed_n, [False, True]),
        sample_weight=np.append(np.ones(len(train)), [0.5, 0.5]),
    )

    chance_mb = hidden_tokens.depth_aware(view, table, known, asked)

    mine = asked.gene_m == gene
    expected = fitted.predict_proba(depth_n[asked.row_m[mine], None])
    np.testing.assert_allclose(chance_mb[mine], expected, atol=1e-4)


def test_chances_add_up_to_one_and_what_is_told_helps(view, table):
    known, asked = hidden_tokens.learned(view, table), hidden_tokens.judged(view, table, "test")
    class_n = np.unique(table.obs["cell_type"], return_inverse=True)[1]
    by_name = {
        "frequency": hidden_tokens.frequency(view, known, asked),
        "depth": hidden_tokens.depth_aware(view, table, known, asked),
        "class": hidden_tokens.frequency(view, known, asked, class_n),
    }

    found = {name: hidden_tokens.measured(view, asked, chance_mb) for name, chance_mb in by_name.items()}

    assert all(np.allclose(chance_mb.sum(1), 1) for chance_mb in by_name.values())
    for name in ("depth", "class"):
        assert found[name]["gene_nll"] < found["frequency"]["gene_nll"]
        assert found[name]["gene_mae"] < found["frequency"]["gene_mae"]
        assert found[name]["gene_auroc"] > found["frequency"]["gene_auroc"]


def test_frequencies_of_expressed_tokens_are_those_of_tokens_that_are_hidden_alike(table):
    view = view_of(table, layout="expressed", absent=0.3)
    known, asked = hidden_tokens.learned(view, table), hidden_tokens.judged(view, table, "test")

    chance_mb = hidden_tokens.frequency(view, known, asked)

    expressed = (asked.bin_m > 0).mean()
    assert 0.2 < expressed < 0.5  # .15 of the expressed, and absent ones of .3 of them
    assert (1 - chance_mb[:, 0]).mean() == pytest.approx(expressed, abs=0.03)


def test_measures_of_tokens_are_those_of_their_definitions(table):
    view = view_of(table)
    tokens = Tokens(np.zeros(3, int), np.array([0, 1, 2]), np.array([0, 1, 1]))
    chance_mb = np.array([[0.5, 0.5], [0.2, 0.8], [0.6, 0.4]])

    found = hidden_tokens.measured(view, tokens, chance_mb, np.zeros(3))

    assert found["gene_nll"] == pytest.approx(-np.log([0.5, 0.8, 0.4]).mean())
    assert found["gene_auroc"] == pytest.approx(0.5)  # of the two pairs .8 > .5, and .4 < .5
    assert found["gene_mae"] == pytest.approx((chance_mb * view.levels[:3]).sum(1).mean(), rel=1e-5)


def test_measures_of_a_phenotype_leave_out_rows_that_do_not_tell_it():
    chance_nc = np.array([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])

    found = Told(chance_nc.argmax(1), chance_nc).measures(np.array([0, 1, 1, -1]))

    assert found["accuracy"] == pytest.approx(2 / 3) and found["balanced_accuracy"] == pytest.approx(0.75)
    assert found["macro_f1"] == pytest.approx(2 / 3)
    assert found["pheno_nll"] == pytest.approx(-np.log([0.7, 0.2, 0.8]).mean())


def test_baselines_are_in_the_order_of_what_they_read(view, table):
    found = token_baselines.token_baselines(view, table, "cell_type", 16, "val/knn")

    assert {"frequency", "depth-aware", "true cell_type frequency", "majority class", "15-NN"} < set(found)
    assert {"logistic regression", "pca-16"} < set(found)
    assert found["majority class"]["test/balanced_accuracy_cell_type"] == pytest.approx(0.25)
    assert found["logistic regression"]["test/balanced_accuracy_cell_type"] > 0.8
    assert found["logistic regression"]["val/pheno_nll"] < found["majority class"]["val/pheno_nll"]
    assert found["logistic regression"]["test/accuracy"] == pytest.approx(
        np.mean([found["logistic regression"][f"test/accuracy_{name}"] for name in PHENOTYPES])
    )
    assert set(found["pca-16"]) == {"val/knn", "test/knn", "test/logreg"}


def test_components_of_counts_are_those_of_their_logarithms(view, table):
    raw = prepare(DataConfig(**{**DATA, "transform": []}), where="test", layout="sparse", extra_obs=PHENOTYPES)

    z_nk, other_nk = (token_baselines.components(view, one, 5) for one in (table, raw))

    np.testing.assert_allclose(np.abs(z_nk), np.abs(other_nk), rtol=1e-2, atol=1e-2)


def test_without_test_rows_a_model_has_no_scores(view, table):
    part_n = np.where(table.part_n == 2, 1, table.part_n).astype(np.int8)
    alone = dataclasses.replace(table, part_n=part_n)

    assert token_baselines.token_scores(torch.nn.Identity(), view, alone, None, np.zeros((400, 2))) == {}
