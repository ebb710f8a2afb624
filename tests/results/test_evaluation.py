import json

import anndata
import numpy as np
import pandas as pd
import pytest

from gxsearch import listing
from gxsearch.errors import RunError
from gxsearch.results import evaluation, report, tables
from gxsearch.results.run_dir import RunDir, write_atomic
from gxsearch.results.verdict import verdict

MANY = ("knn", "logreg", "recon_r2", "masked_r2", "mse", "kl", "masked_mse", "mae", "gene_pearson", "active_units")


@pytest.fixture
def scored(own) -> RunDir:
    """A run with as many scores as a VAE has."""
    scores = {f"test/{name}": 0.1 * i for i, name in enumerate(MANY)} | {"test/contrast_effect": 1.0, "test/list": [1]}
    write_atomic(own.scores, json.dumps(scores).encode())
    own.embeddings.unlink(missing_ok=True)  # where another test embedded the run that this is a copy of
    return own


def test_every_measure_on_test_rows_has_a_meaning_of_one_line(scored):
    told = tables.tests(scored)

    parts = [part for part in (told["first"], told["more"]) if part["rows"]]
    rows = [row for part in parts for row in part["rows"]]
    assert {name for name, _, _ in rows} == {f"test/{name}" for name in MANY}
    assert all(meaning and len(meaning) < 110 for _, _, meaning in rows)
    assert told["head"] == ["measure", "best trial", "pca-8"]
    assert all(len(values) == len(part["names"]) for part in parts for _, values, _ in part["rows"])


def test_the_end_of_a_search_shows_what_fits_and_what_baselines_have_too(scored):
    text = listing.ending(scored)

    table = text.split("\n\n")[1].splitlines()
    assert len(table[0].split()) <= 5 and max(map(len, table)) <= 100
    assert "test/recon_r2" in table[0] and "test/knn" in table[0]
    assert table[-1] == "6 more measures of test rows are in the report"


def test_few_measures_are_all_shown_at_the_end_of_a_search(own):
    text = listing.ending(own)

    assert "test/recon_r2" in text and "test/knn" in text and "more measures" not in text


def test_a_model_that_was_told_classes_is_said_to_be(scored):
    assert evaluation.told_classes(scored.facts()) == "" and "was told" not in "".join(verdict(scored).notes)
    facts = scored.facts()
    facts["spec"]["data"]["view"] = {"classes": "cancer"}
    write_atomic(scored.run, json.dumps(facts).encode())

    html = report.write(scored, static=True).read_text()

    sentence = "he model was told `cancer` in training: its label scores are not unsupervised"
    assert f"T{sentence}." in verdict(scored).notes and html.count(sentence) == 2


def sample(labels) -> anndata.AnnData:
    draw = np.random.default_rng(0)
    n = len(labels)
    vectors = draw.normal(size=(n, 3)) + 9 * (np.arange(n) % 3)[:, None]
    obs = pd.DataFrame({"kind": labels}, index=[f"r{i}" for i in range(n)])
    return anndata.AnnData(obs=obs, obsm={"X_fe": vectors, "X_pca": draw.normal(size=(n, 3))})


def test_clusters_are_read_as_they_were_written(tmp_path):
    run = RunDir(tmp_path)
    evaluation.write_clusters(run, sample(["a", "b", "c"] * 10), "fe", "kind")

    frame = evaluation.read_clusters(run)
    model, control = evaluation.class_rows(frame)

    assert frame["vectors"].tolist() == ["fe"] * 9 + ["pca"] * 9 and frame["k"].tolist() == [*range(2, 11)] * 2
    assert model == {"vectors": "fe", "classes": 3, "ari": 1.0, "nmi": 1.0, "best_k": 3, "best_ari": 1.0}
    assert control["ari"] < 0.5


@pytest.mark.parametrize("labels", [["a"] * 30, [f"name{i}" for i in range(30)]])
def test_without_classes_clusters_are_compared_with_none(tmp_path, labels):
    run = RunDir(tmp_path)
    evaluation.write_clusters(run, sample(labels), "fe", "kind")

    frame = evaluation.read_clusters(run)

    assert list(frame) == list(evaluation.COLUMNS) and evaluation.class_rows(frame) == []


def test_too_few_rows_for_clusters_are_no_fault_and_a_damaged_table_is_one(tmp_path):
    run = RunDir(tmp_path)
    evaluation.write_clusters(run, sample(["a", "b"]), "fe", "kind")
    assert evaluation.read_clusters(run) is None

    run.clusters.write_text("vectors,k\nfe,x\n")
    with pytest.raises(RunError, match="clusters.csv"):
        evaluation.read_clusters(run)


def test_a_run_of_genes_as_rows_is_concluded_and_its_report_shows_genes(genes_as_rows):
    html, frame = genes_as_rows.report.read_text(), evaluation.read_clusters(genes_as_rows)

    assert "Vectors of the best trial, one a gene" in html and "k-means of all genes" in html
    assert "40 genes of 120 samples" in html and set(frame["vectors"]) == {"toy", "pca"}
