"""A run of transformer: predictions, confusion tables, cells under chosen phenotypes, fine-tuning; refusals."""

import json

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

from gxsearch import api
from gxsearch.cli import cli
from gxsearch.data.tokenizer import Tokenizer
from gxsearch.errors import DataError, GxError, SpecError
from gxsearch.results import leaderboard, phenotypes, predict, report
from gxsearch.results.embed import again
from gxsearch.results.package import of_run
from gxsearch.results.run_dir import RunDir
from gxsearch.training import hidden_tokens
from gxsearch.training.token_baselines import token_scores

SPEC = """\
gxsearch: 1
name: tokens
model: transformer
data:
  path: cells.h5ad
  label: cell_type
  genes: {top_variable: 20}
  split: {val: 0.2, test: 0.2, group: donor}
  view: {binning: quantile, n_bins: 3, phenotypes: [cell_type, sex]}
objective: {metric: val/balanced_accuracy}
space:
  model: {size: xs, gene_mask_width: 0.85}
  train: {lr: {value: 3e-3}, batch_size: 16}
budget: {trials: 1, epochs: 80}
"""


def cells(n: int = 400, seed: int = 0) -> anndata.AnnData:
    """Draw cells of three types, whose five genes are on, and of donors, whose sex turns on three."""
    draw = np.random.default_rng(seed)
    donor_n, type_n, gene_g = draw.integers(20, size=n), draw.integers(3, size=n), np.arange(24)
    on_ng = np.where(gene_g // 5 == type_n[:, None], 0.9, 0.08)
    on_ng[:, 15:18] = np.where(donor_n[:, None] % 2, 0.95, 0.05)
    x_ng = (draw.random(on_ng.shape) < on_ng) * (0.5 + draw.gamma(4.0, 0.4, on_ng.shape))
    words = {"cell_type": np.array(["B", "NK", "T"])[type_n], "sex": np.array(["female", "male"])[donor_n % 2]}
    words |= {"donor": np.char.add("d", donor_n.astype(str)), "age_bin": np.array(["old", "young"])[donor_n // 2 % 2]}
    obs = pd.DataFrame(words, index=[f"cell{i:03d}" for i in range(n)])
    return anndata.AnnData(x_ng.astype(np.float32), obs=obs, var=pd.DataFrame(index=[f"gene{g:02d}" for g in gene_g]))


def train(home, name: str, *sets: str) -> RunDir:
    """Train once; the report's maps are of two dimensions: a UMAP takes long to compile."""
    with pytest.MonkeyPatch.context() as patch:
        for way in ("umap", "tsne"):
            patch.setattr(f"gxsearch.results.projection.{way}", lambda vectors: vectors[:, :2])
        made = api.train(api.load_spec(home / "tokens.yaml", *sets), out=home, name=name, quiet=True)
    return RunDir.open(made.path)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("tokens")
    (folder / "tokens.yaml").write_text(SPEC)
    cells().write_h5ad(folder / "cells.h5ad")
    cells(80, seed=1).write_h5ad(folder / "new.h5ad")
    return folder


@pytest.fixture(scope="module")
def run(home):
    return train(home, "run")


@pytest.fixture
def new(tmp_path, home):
    """New cells that a test may change, and where it writes them."""
    return cells(40, seed=1), tmp_path / "own.h5ad"


def call(*argv: object) -> str:
    """Return what the command line prints, and its errors."""
    done = CliRunner().invoke(cli, [str(word) for word in argv])
    if isinstance(done.exception, GxError):
        return str(done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.output


def test_embeddings_hold_predictions_and_vectors_of_genes(run):
    written = anndata.read_h5ad(run.embeddings)

    assert written.obsm["X_transformer"].shape == (400, 64) and written.obsm["X_pca"].shape[0] == 400
    for name, classes in (("cell_type", 3), ("sex", 2)):
        chance_nc = written.obsm[f"transformer_{name}_probabilities"]
        named = np.asarray(written.uns[f"transformer_{name}_classes"])[chance_nc.argmax(1)]
        assert chance_nc.shape == (400, classes) and np.allclose(chance_nc.sum(1), 1, atol=1e-5)
        assert (named == written.obs[f"transformer_{name}"].astype(str)).all()
    assert (written.obs["transformer_cell_type"].astype(str) == written.obs["cell_type"].astype(str)).mean() > 0.7
    assert written.varm["transformer"].shape == written.varm["transformer_contextual"].shape == (20, 64)
    assert np.isfinite(written.varm["transformer_contextual"]).all()


def test_baselines_and_scores_are_in_the_same_measures(run):
    rows, own = {row["name"]: row for row in leaderboard.baselines(run)}, leaderboard.scores(run)

    assert {"test/gene_nll", "test/gene_auroc", "test/gene_mae"} <= set(own) & set(rows["frequency"])
    shared = {f"test/{m}{end}" for m in phenotypes.OF_PHENOTYPES for end in ("", "_cell_type", "_sex")}
    assert shared <= set(own) & set(rows["logistic regression"]) & set(rows["majority class"])
    assert {"test/knn", "test/logreg"} <= set(own) & set(rows["pca-64"])
    assert {"val/balanced_accuracy", "val/pheno_nll"} <= set(rows["logistic regression"])


def test_hidden_genes_are_measured_as_the_training_loop_measures_them(run):
    found, table = of_run(run), again(run)
    as_test = np.where(table.part_n == 1, 2, np.where(table.part_n == 2, 1, table.part_n)).astype(np.int8)
    table.part_n[:] = as_test  # validation rows in place of test rows
    tokens = hidden_tokens.judged(found.view, table, "test")

    scores = token_scores(found.model, found.view, table, None, np.zeros((400, 2)))

    told = leaderboard.at_best(leaderboard.best(run))
    assert scores["test/gene_nll"] == pytest.approx(told["val/gene_nll"], rel=1e-4)
    assert len(tokens.bin_m) == len(table.rows("test")) * 3


def test_confusion_tables_count_the_test_rows(run):
    tables = phenotypes.confusions(run)
    own, n_test = leaderboard.scores(run), run.facts()["data"]["split"]["test"]

    assert set(tables) == {"cell_type", "sex"}
    for name, frame in tables.items():
        assert frame.to_numpy().sum() == n_test
        shares = [frame.loc[c, c] if c in frame.columns else 0 for c in frame.index]
        assert sum(shares) / n_test == pytest.approx(own[f"test/accuracy_{name}"])


def test_the_report_shows_phenotypes_beside_baselines(run):
    page = run.report.read_text()

    assert "<h2>Phenotypes</h2>" in page and "logistic regression" in page and "taken for" in page
    assert "no donors were held out" not in page and phenotypes.split_warning({"spec": {"data": {}}})
    assert "the model was told `cell_type` in training" in page


def test_a_static_report_draws_confusion_tables_too(run, tmp_path):
    before = run.report.read_bytes()
    page = report.write(run, static=True).read_text()
    run.report.write_bytes(before)

    assert page.count("<img alt=") >= 2 and "<script" not in page
    assert 'alt="sex: of the test rows of each true category' in page


def test_rare_categories_share_a_row_of_the_picture():
    names = [f"c{i:02d}" for i in range(40)]
    count_cc = np.diag(np.arange(1, 41))

    shown = phenotypes.fewer(pd.DataFrame(count_cc, index=names, columns=names))

    assert shown.shape == (30, 30) and shown.to_numpy().sum() == count_cc.sum()
    assert shown.loc[phenotypes.REST, phenotypes.REST] == np.arange(1, 12).sum()


def test_the_export_has_the_tokenizer_as_a_file_of_its_own(run):
    read = Tokenizer.from_json((run.best / "tokenizer.json").read_text())

    assert "tokenizer.json" in json.loads((run.best / "manifest.json").read_text())
    assert read.phenotypes == of_run(run).view.tokenizer.phenotypes


def test_new_cells_get_vectors_predictions_and_contextual_genes(home, run, tmp_path):
    call("embed", run.best, home / "new.h5ad", "-o", tmp_path / "new.h5ad")

    new = anndata.read_h5ad(tmp_path / "new.h5ad")
    assert np.isfinite(new.obsm["X_transformer"]).all() and new.obs["transformer_sex"].isin(["female", "male"]).all()
    assert np.isnan(new.varm["transformer_contextual"]).all(1).sum() == 4


def test_phenotypes_of_the_test_rows_are_predicted_without_naming_data(run, tmp_path):
    out = call("predict", run.path, "-o", tmp_path / "all.csv")

    frame, own = pd.read_csv(tmp_path / "all.csv"), leaderboard.scores(run)
    assert len(frame) == run.facts()["data"]["split"]["test"]
    assert (frame["cell_type"] == frame["cell_type_known"]).mean() == pytest.approx(own["test/accuracy_cell_type"])
    chances = frame[[c for c in frame if c.startswith("cell_type=")]]
    assert np.allclose(chances.sum(axis=1), 1, atol=1e-4) and np.allclose(
        chances.max(axis=1), frame.cell_type_probability
    )
    assert f"{own['test/accuracy_sex']:.1%} of them right" in out


def test_rows_are_chosen_by_all_phenotypes_and_only_those_asked_for_are_inferred(home, run):
    where = {"cell_type": ["B", "T"], "sex": ["female"]}

    asked = {"phenotypes": ["cell_type"], "given": ["sex"], "where": where}
    made = predict.frame(api.predict(run.path, home / "new.h5ad", **asked))

    obs = cells(80, seed=1).obs
    kept = obs[obs["cell_type"].isin(["B", "T"]) & (obs["sex"] == "female")]
    assert made["row"].tolist() == kept.index.tolist()
    assert "sex" not in made and made["cell_type_known"].tolist() == kept["cell_type"].tolist()


def test_what_is_given_is_read_and_nothing_else(run, new):
    adata, path = new
    chances = {}
    for sex in ("female", "male"):
        adata.obs["sex"] = sex
        adata.write_h5ad(path)
        for given in ((), ("sex",)):
            made = api.predict(run.path, path, phenotypes=["cell_type"], given=given)
            chances[sex, given] = made.chances["cell_type"]

    assert np.array_equal(chances["female", ()], chances["male", ()])
    assert np.abs(chances["female", ("sex",)] - chances["male", ("sex",)]).max() > 1e-4


def test_rows_whose_phenotype_is_not_specified_are_chosen_by_nothing(run, new, tmp_path):
    adata, path = new
    adata.obs.iloc[:7, adata.obs.columns.get_loc("sex")] = "unknown"
    adata.write_h5ad(path)

    out = call("predict", run.path, path, "-o", tmp_path / "p.h5ad", "--where", "sex=")

    done = anndata.read_h5ad(tmp_path / "p.h5ad")
    assert "sex: 7 rows, 0 of which say it themselves" in out
    assert done.obs_names.tolist() == adata.obs_names[:7].tolist() and done.n_vars == 24
    assert done.obsm["transformer_sex_probabilities"].shape == (7, 2) and "transformer" in done.uns["gxsearch"]


def test_unknown_names_are_told_all_at_once_before_the_data_are_read(run, tmp_path):
    wrong = ["--phenotype", "cell_typ", "--given", "sexx", "--where", "sex=fmale", "-o", tmp_path / "p.csv"]

    out = call("predict", run.path, "nowhere.h5ad", *wrong)

    assert out.count("error[E304]") == 3 and "did you mean 'cell_type'?" in out and "did you mean 'female'?" in out
    assert not (tmp_path / "p.csv").exists()


REFUSED = {
    "both inferred and given": ({"phenotypes": ["sex"], "given": ["sex"]}, SpecError, "inferred and given"),
    "nothing left": ({"given": ["sex", "cell_type"]}, SpecError, "none is left to infer"),
    "no such rows": ({"where": {"sex": [""]}}, DataError, "none of .* rows"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_predicted_is_refused(run, case):
    asked, kind, words = REFUSED[case]
    with pytest.raises(kind, match=words):
        api.predict(run.path, **asked)


def test_a_column_that_is_read_must_be_there(run, new):
    adata, path = new
    del adata.obs["sex"]
    adata.write_h5ad(path)

    with pytest.raises(DataError, match="E421.*no column obs/sex"):
        api.predict(run.path, path, given=["sex"])
    assert len(api.predict(run.path, path).names) == 40


def test_cells_are_drawn_under_chosen_phenotypes(run, tmp_path):
    out = tmp_path / "cells.h5ad"
    asked = ("generate", run.path, "-o", out, "-n", "60", "--as", "cell_type=NK", "--as", "sex=female")

    assert call(*asked) == f"{out}: 60 cells x 20 genes\n"

    made, found = anndata.read_h5ad(out), of_run(run)
    assert (made.obs["cell_type"] == "NK").all() and (made.obs["sex"] == "female").all()
    bin_ng = made.layers["bin"].toarray()
    assert np.array_equal(made.X.toarray(), found.view.levels[np.arange(20), bin_ng])
    table = again(run)
    real_ng, type_n = found.view.bins(table), table.obs["cell_type"]
    apart = {name: np.abs(bin_ng.mean(0) - real_ng[type_n == name].mean(0)).mean() for name in ("B", "NK", "T")}
    assert min(apart, key=apart.get) == "NK"


def test_phenotypes_that_are_not_asked_for_are_those_of_training_rows(run):
    made, twice = (api.generate(run.path, n=100, phenotypes={"cell_type": "B"}, steps=4) for _ in range(2))

    table = again(run)
    mine = (table.obs["cell_type"] == "B") & (table.part_n == 0)
    assert (made.obs["sex"] == "male").mean() == pytest.approx((table.obs["sex"][mine] == "male").mean(), abs=0.15)
    assert np.array_equal(made.X.toarray(), twice.X.toarray())


def test_a_combination_that_no_training_row_has_leaves_the_rest_open(run, monkeypatch):
    table = again(run)
    monkeypatch.setattr("gxsearch.results.cells.again", lambda run: table.take(table.obs["cell_type"] != "B"))

    made = {name: api.generate(run.path, n=30, phenotypes={"cell_type": name}, steps=2) for name in ("B", "")}

    assert (made["B"].obs["sex"] == "").all() and (made["B"].obs["cell_type"] == "B").all()
    assert set(made[""].obs["sex"]) == {"female", "male"} and (made[""].obs["cell_type"] == "").all()


def test_options_of_curves_are_refused_for_cells(run, tmp_path):
    out = call("generate", run.path, "-o", tmp_path / "x.h5ad", "--cluster", "0", "--at", "0,1")

    assert out.count("error[E306]") == 2 and "--cluster: is for curves" in out


@pytest.mark.parametrize("wish", [{"phenotypes": {"cell_typ": "NK"}}, {"phenotypes": {"sex": "femal"}}])
def test_cells_of_unknown_phenotypes_are_refused(run, wish):
    with pytest.raises(SpecError, match=r"E304\] --as.*did you mean"):
        api.generate(run.path, **wish)


def test_a_pretrained_model_is_fine_tuned_to_classify(home, run):
    sets = [
        f"data.view={{pretrained: {run.best}, phenotypes: [age_bin]}}",
        "data.path=new.h5ad",
        "data.split={val: 0.2, test: 0.2}",
        f"data.genes={{file: {run.best / 'genes.txt'}}}",
        "space.model={task: classify, target: age_bin, size: xs}",
        "budget.epochs=3",
    ]

    tuned = train(home, "tuned", *sets)

    found, first = of_run(tuned), of_run(run)
    assert np.array_equal(found.genes, first.genes) and np.array_equal(found.view.levels, first.view.levels)
    assert {"test/accuracy_age_bin"} <= set(leaderboard.scores(tuned))
    measured = [leaderboard.scores(tuned), *leaderboard.baselines(tuned)]
    assert not [name for row in measured for name in row if "/gene_" in name]
    assert list(api.predict(tuned.path).chances) == ["age_bin"]
    with pytest.raises(DataError, match="draws no cells"):
        api.generate(tuned.path, n=2)
    with pytest.raises(SpecError, match="trained to tell age_bin only"):
        api.predict(tuned.path, phenotypes=["cell_type"])


def test_measures_of_phenotypes_need_phenotypes(home):
    with pytest.raises(SpecError, match=r"E311.*needs phenotypes to be told.*data.view.phenotypes: \[COLUMN\]"):
        api.load_spec(home / "tokens.yaml", "data.view={binning: binary}")
