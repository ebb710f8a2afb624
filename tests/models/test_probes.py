"""Probes measure the vectors of held-out rows by those of training rows."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import balanced_accuracy_score, calinski_harabasz_score, silhouette_samples
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from gxsearch.data.prepare import prepare
from gxsearch.data.table import DataConfig
from gxsearch.errors import DataError, TrialError
from gxsearch.models import registry
from gxsearch.results.evaluation import GLOSSARY
from gxsearch.search.intake import dims
from gxsearch.search.spec import load
from gxsearch.training.objectives import NEEDS, PROBES, lacking, measures
from gxsearch.training.probes import BY_ROW, Yardstick
from gxsearch.training.probing import Probe, yardstick
from gxsearch.training.ridge import ridge
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.session import Bench, Job, session
from gxsearch.training.silhouettes import silhouettes
from gxsearch.training.votes import knn_accuracy

BATCHES = Path(__file__).parents[2] / "../shared/data/pbmc_3chem_batches.h5ad"


class Cells:
    """Rows of four classes in three batches, with vectors, expression and parts."""

    def __init__(self, n: int = 300, seed: int = 0):
        rng = np.random.default_rng(seed)
        self.class_n, self.batch_n = rng.integers(0, 4, n), rng.integers(0, 3, n)
        self.z_nk = rng.normal(size=(n, 5)) + 2 * np.eye(4, 5)[self.class_n] + rng.normal(size=(3, 5))[self.batch_n]
        self.x_ng = self.z_nk @ rng.normal(size=(5, 40)) + rng.normal(size=(n, 40))
        self.part_n = rng.choice([0, 1, 2], n, p=[0.5, 0.3, 0.2]).astype(np.int8)

    def told(self) -> dict:
        """Return what a yardstick is told."""
        names = {"label_n": np.array(list("abcd"))[self.class_n], "batch_n": np.array(list("xyz"))[self.batch_n]}
        return {**names, "x_ng": self.x_ng}

    def yardstick(self) -> Yardstick:
        return Yardstick(self.part_n, **self.told())

    @property
    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Training and validation rows."""
        return np.flatnonzero(self.part_n == 0), np.flatnonzero(self.part_n == 1)


@pytest.fixture(scope="module")
def cells():
    return Cells()


@pytest.fixture(scope="module")
def found(cells):
    return cells.yardstick()(cells.z_nk)


def test_the_accuracy_of_neighbors_is_balanced_over_classes():
    train_nk = np.repeat([[0.0], [10.0]], 20, axis=0)
    known_n = np.repeat(["a", "b"], 20)
    test_nk = np.array([[0.1]] * 9 + [[0.2]])  # all of them near a, and one is a b

    assert knn_accuracy(train_nk, known_n, test_nk, np.array(["a"] * 9 + ["b"])) == 0.5


def test_all_probes_of_vectors_can_be_taken_where_there_are_labels_batches_and_expression(cells, found):
    assert list(found) == [name for name in PROBES if name != "imputation_r2"]
    assert cells.yardstick().names == tuple(found)
    assert np.isfinite(list(found.values())).all()


def test_neighbors_and_regression_are_those_of_scikit_learn(cells, found):
    train, val = cells.rows
    z_train, z_val, known_n, true_n = cells.z_nk[train], cells.z_nk[val], cells.class_n[train], cells.class_n[val]
    vote = KNeighborsClassifier(15).fit(z_train, known_n)
    of_batch = KNeighborsClassifier(15).fit(z_train, cells.batch_n[train])
    scaler = StandardScaler().fit(z_train)
    linear = LogisticRegression(class_weight="balanced", max_iter=2000).fit(scaler.transform(z_train), known_n)

    assert found["knn"] == pytest.approx(balanced_accuracy_score(true_n, vote.predict(z_val)))
    assert found["batch_knn"] == pytest.approx(balanced_accuracy_score(cells.batch_n[val], of_batch.predict(z_val)))
    assert found["logreg"] == pytest.approx(balanced_accuracy_score(true_n, linear.predict(scaler.transform(z_val))))


def test_leaving_a_batch_out_leaves_out_its_own_training_rows(cells, found):
    train, val = cells.rows
    told_n = np.empty(len(val), dtype=int)
    for batch in range(3):
        others, own = train[cells.batch_n[train] != batch], cells.batch_n[val] == batch
        vote = KNeighborsClassifier(15).fit(cells.z_nk[others], cells.class_n[others])
        told_n[own] = vote.predict(cells.z_nk[val[own]])

    assert found["lobo"] == pytest.approx(balanced_accuracy_score(cells.class_n[val], told_n))


def test_ridge_is_that_of_scikit_learn_at_the_strength_that_leaving_one_out_chooses(cells, found):
    train, val = cells.rows
    scaler, mean_g = StandardScaler().fit(cells.z_nk[train]), cells.x_ng[train].mean(0)
    model = RidgeCV(len(train) * 10.0 ** np.arange(-6, 3)).fit(
        scaler.transform(cells.z_nk[train]), cells.x_ng[train] - mean_g
    )
    error = np.square(cells.x_ng[val] - mean_g - model.predict(scaler.transform(cells.z_nk[val]))).sum()

    assert found["expression_r2"] == pytest.approx(1 - error / np.square(cells.x_ng[val] - mean_g).sum(), abs=1e-9)
    assert 0.5 < found["expression_r2"] < 1


def test_ridge_learns_nothing_of_noise_and_all_of_what_the_vectors_hold():
    rng = np.random.default_rng(0)
    z_nk, other_nk = rng.normal(size=(80, 40)), rng.normal(size=(50, 40))
    noise_ng = rng.normal(size=(80, 3))

    assert np.abs(ridge(z_nk, noise_ng - noise_ng.mean(0), other_nk)).mean() < 0.2
    y_ng = z_nk @ np.ones((40, 2))
    told_ng = ridge(z_nk, y_ng - y_ng.mean(0), other_nk)
    np.testing.assert_allclose(told_ng, other_nk @ np.ones((40, 2)) - y_ng.mean(0), atol=0.01)


def test_silhouettes_are_those_of_scikit_learn(cells, found):
    _, val = cells.rows
    z_nk, class_n = cells.z_nk[val], cells.class_n[val].copy()
    assert found["silhouette"] == pytest.approx((silhouette_samples(z_nk, class_n).mean() + 1) / 2)
    assert found["calinski_harabasz"] == pytest.approx(calinski_harabasz_score(z_nk, class_n))

    class_n[0] = 9  # alone in its class
    d_nn = np.linalg.norm(z_nk[:, None] - z_nk, axis=2)
    np.testing.assert_allclose(silhouettes(d_nn, class_n), silhouette_samples(z_nk, class_n), atol=1e-12)


def test_clusters_far_apart_are_found_and_batches_that_are_mixed_are_called_mixed():
    rng = np.random.default_rng(0)
    class_n, batch_n = np.repeat([0, 1, 2], 80), np.tile([0, 1], 120)
    z_nk = rng.normal(size=(240, 3)) + 100 * np.eye(3)[class_n]
    part_n = np.tile(np.repeat([0, 1], 2), 60).astype(np.int8)
    apart_nk = z_nk + 30 * batch_n[:, None] * rng.normal(size=3)
    judge = Yardstick(part_n, label_n=class_n, batch_n=batch_n)

    mixed, apart = judge(z_nk), judge(apart_nk)

    ones = ("knn", "logreg", "lobo", "ari", "nmi")
    assert [mixed[name] for name in ones] == pytest.approx([1.0] * 5)
    assert mixed["batch_knn"] < 0.7 and apart["batch_knn"] == pytest.approx(1)
    assert mixed["batch_silhouette"] > 0.7 > 0.3 > apart["batch_silhouette"]
    assert mixed["ilisi"] > 0.9 > 0.5 > apart["ilisi"]


@pytest.mark.parametrize("name", BY_ROW)
def test_a_mean_over_rows_is_the_measure(cells, found, name):
    by_row = cells.yardstick().by_row(cells.z_nk, "val", name)

    assert (by_row.scores * by_row.weights).sum() == pytest.approx(found[name], abs=1e-12)
    assert by_row.weights.sum() == pytest.approx(1) and len(by_row.weights) == len(cells.rows[1])


def test_scores_by_row_stand_in_the_order_of_the_rows(cells):
    _, val = cells.rows
    z_nk = cells.z_nk.copy()
    before = cells.yardstick().by_row(z_nk, "val", "expression_r2").scores
    z_nk[val[7]] += 50  # one row is moved, and no other row's score with it

    after = cells.yardstick().by_row(z_nk, "val", "expression_r2").scores

    assert np.flatnonzero(~np.isclose(before, after)).tolist() == [7]


def test_the_same_vectors_have_the_same_measures_whatever_the_order_of_rows(cells, found):
    assert cells.yardstick()(cells.z_nk) == found
    order = np.random.default_rng(1).permutation(len(cells.part_n))
    told = {name: values[order] for name, values in cells.told().items()}
    again = Yardstick(cells.part_n[order], **told)(cells.z_nk[order])

    assert again == pytest.approx(found, rel=1e-12)


def test_ties_do_not_hang_on_the_order_of_rows():
    rng = np.random.default_rng(0)
    z_nk, class_n = rng.integers(0, 2, (200, 2)).astype(float), rng.integers(0, 3, 200)  # four places for all rows
    part_n, order = np.tile([0, 1], 100).astype(np.int8), rng.permutation(200)

    told = [
        Yardstick(part_n[rows], label_n=class_n[rows])(z_nk[rows], names=["knn", "ari"])
        for rows in (np.arange(200), order)
    ]

    assert told[0] == told[1]


def test_held_out_rows_do_not_change_what_is_fitted(cells):
    _, val = cells.rows
    told = cells.told()
    swapped_n = told["label_n"].copy()
    swapped_n[val[20:]] = np.roll(swapped_n[val[20:]], 1)  # other truths, of other rows
    z_nk = cells.z_nk.copy()
    z_nk[val[20:]] += 7
    for name in ("knn", "logreg"):
        before = cells.yardstick().by_row(cells.z_nk, "val", name).scores
        after = Yardstick(cells.part_n, **{**told, "label_n": swapped_n}).by_row(z_nk, "val", name).scores
        assert (before[:20] == after[:20]).all()


def test_a_class_that_no_training_row_has_counts_as_wrong():
    z_nk = np.array([[0.0]] * 20 + [[5.0]] * 20 + [[0.0], [5.0], [9.0]])
    label_n = np.array(["a"] * 20 + ["b"] * 20 + ["a", "b", "new"])
    part_n = np.array([0] * 40 + [1] * 3, dtype=np.int8)

    assert Yardstick(part_n, label_n=label_n)(z_nk, names=["knn", "logreg"]) == pytest.approx(
        {"knn": 2 / 3, "logreg": 2 / 3}
    )


def test_rows_without_a_label_are_passed_over(cells):
    told, (train, val) = cells.told(), cells.rows
    label_n = told["label_n"].copy()
    label_n[[*train[::5], *val[::4]]] = ""
    kept = label_n != ""

    some = Yardstick(cells.part_n, label_n=label_n)
    fewer = Yardstick(cells.part_n[kept], label_n=label_n[kept])

    assert some(cells.z_nk) == pytest.approx(fewer(cells.z_nk[kept]))
    assert (some.by_row(cells.z_nk, "val", "knn").weights[::4] == 0).all()


def test_what_a_second_class_or_batch_is_needed_for_is_not_offered(cells):
    one = np.full(len(cells.part_n), "only")
    label_n = cells.told()["label_n"]
    shares = np.random.default_rng(0).random(len(label_n))

    assert Yardstick(cells.part_n).names == ()
    assert Yardstick(cells.part_n, x_ng=cells.x_ng, label_n=one, batch_n=one).names == ("expression_r2",)
    assert Yardstick(cells.part_n, x_ng=np.ones((len(one), 4))).names == ()
    assert Yardstick(cells.part_n, label_n=shares).names == ()  # numbers are no classes
    assert Yardstick(cells.part_n, label_n=np.arange(len(one)).astype(str)).names == ()  # nor are names of rows
    assert "lobo" not in Yardstick(cells.part_n, label_n=label_n, batch_n=label_n).names  # no class is elsewhere
    assert Yardstick(cells.part_n * 0, label_n=label_n).names == ()  # no row is held out


def test_a_measure_that_cannot_be_taken_is_refused(cells):
    with pytest.raises(DataError, match="E448.*do not allow knn"):
        Yardstick(cells.part_n, x_ng=cells.x_ng)(cells.z_nk, names=["knn"])


def test_vectors_that_are_not_finite_are_refused(cells):
    z_nk = cells.z_nk.copy()
    z_nk[cells.rows[1][3], 2] = np.nan

    with pytest.raises(TrialError, match=r"E701.*1 of \d+ val rows"):
        cells.yardstick()(z_nk)


def test_vectors_that_are_all_the_same_have_finite_measures(cells):
    found = cells.yardstick()(np.ones_like(cells.z_nk))

    assert np.isfinite(list(found.values())).all()
    assert found["knn"] == found["logreg"] == 0.25 and found["expression_r2"] == pytest.approx(0, abs=0.02)


def test_sparse_expression_is_told_like_dense(cells):
    x_ng = np.where(cells.x_ng > 0, cells.x_ng, 0.0)
    dense, thin = (Yardstick(cells.part_n, x_ng=x)(cells.z_nk) for x in (x_ng, sparse.csr_matrix(x_ng)))

    assert dense == pytest.approx(thin)


def test_of_many_rows_the_same_two_thousand_of_a_part_are_read():
    part_n = np.repeat([0, 1], 2500).astype(np.int8)
    judge = Yardstick(part_n, label_n=np.arange(5000) % 3)
    z_nk = np.random.default_rng(0).normal(size=(5000, 2))
    spoiled_nk = np.full_like(z_nk, np.nan)
    for part in ("train", "val"):
        assert len(judge.rows(part)) == 2000
        spoiled_nk[judge.rows(part)] = z_nk[judge.rows(part)]

    assert judge(z_nk, names=["knn"]) == judge(spoiled_nk, names=["knn"])


def test_every_probe_has_a_meaning_and_says_what_it_needs():
    assert set(PROBES) <= set(GLOSSARY) and set(NEEDS) <= set(PROBES)
    assert lacking("val/knn", []) == ["label"] and lacking("val/lobo", ["label"]) == ["batch"]
    assert not lacking("val/expression_r2", []) and not lacking("val/loss", [])


@pytest.mark.parametrize("name", registry.names())
def test_every_model_offers_probes_of_vectors_after_its_own_measures(name):
    kind = registry.get(name)
    offered = measures(kind)

    assert next(iter(offered)) == f"val/{next(iter(kind.metrics))}"
    assert {f"val/{probe}" for probe in PROBES if probe != "imputation_r2"} <= set(offered)
    assert ("val/imputation_r2" in offered) == (name in ("fe", "vae", "transformer"))


@pytest.mark.parametrize("metric", ["val/knn", "val/expression_r2", "val/batch_knn", "val/imputation_r2"])
def test_an_objective_may_be_a_probe_and_is_that_of_the_model_at_each_epoch(metric):
    data = DataConfig(path="sim_counts?n=120&g=50&batches=2", label="cell_type", batch=["batch"], transform=["log1p"])
    table = prepare(data, where="test").dense()
    mode = PROBES[metric.removeprefix("val/")]
    job = Job("vae", {"hidden": [16], "latent_dim": 3}, {"batch_size": 30}, {}, 2, 0, metric, mode)
    bench = Bench(table, torch.device("cpu"))

    for metrics, model in session(job, bench, LocalRuntime(threads=1)):
        view = bench.view(job)[0]
        assert metrics[metric] == Probe(table, [metric])(model, view, bench.device)[metric]
        assert metrics["best"] == metrics[metric] or (metrics["best"] > metrics[metric]) == (mode == "max")


def test_a_probe_that_the_data_do_not_allow_is_refused_before_a_trial_starts(tmp_path):
    head = 'gxsearch: 1\nname: probe\nmodel: vae\ndata: {path: "sim_bulk?n=60&g=30", label: kind}\n'
    rest = "objective: {metric: val/knn}\nbudget: {trials: 1, epochs: 1}\n"
    (tmp_path / "spec.yaml").write_text(head + rest)
    spec = load(tmp_path / "spec.yaml")
    table = prepare(DataConfig(path="sim_bulk?n=60&g=30"), where="test").dense()
    one = dataclasses.replace(table, obs={"kind": np.full(60, "only")}, facts={**table.facts, "label": "kind"})

    with pytest.raises(DataError, match="E448.*val rows and training rows do not allow knn.*they allow no measure"):
        dims(spec, one)


@pytest.mark.skipif(not BATCHES.exists(), reason="the data folder is not there")
def test_components_of_real_cells_tell_types_and_batches():
    data = DataConfig(path=str(BATCHES), label="cell_type", batch=["batch"])
    table = prepare(data, where="test")
    judge = yardstick(table)
    x_ng = np.log1p(table.dense().x_ng / table.total_n[:, None] * 1e4)
    z_nk = np.linalg.svd(x_ng - x_ng.mean(0), full_matrices=False)[0][:, :20]

    found = judge(z_nk)

    assert judge.names == tuple(name for name in PROBES if name != "imputation_r2")
    assert found["logreg"] > 0.9 and found["knn"] > 0.8 and found["batch_knn"] > 0.85
    assert found["expression_r2"] > 0.3 and found["ilisi"] < 0.4
