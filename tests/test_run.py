"""A run as Python has it says what its files say."""

import shutil
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest

import gxsearch as gx
from gxsearch.errors import RunError, SpecError

TOY = Path(__file__).parent / "toy" / "toy.yaml"
SETS = ("budget.trials=3", "budget.epochs=3", "stop=none")


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> gx.Run:
    """A finished search of three trials, which tests do not change."""
    from gxsearch.results.run_dir import RunDir
    from gxsearch.search.intake import read_table
    from gxsearch.search.local import search_here
    from gxsearch.search.opening import begin
    from gxsearch.steps import concluded

    spec, folder = gx.load_spec(TOY, *SETS), tmp_path_factory.mktemp("runs") / "toy"
    with begin(spec, read_table(spec), 1, folder) as opened:
        search_here(opened.spec, opened.run, opened.table, opened.referee, lambda: None)
        opened.close("done")
    concluded(RunDir(folder), opened.table, lambda text: None)
    return gx.Run(folder)


def test_the_table_of_trials_has_what_the_leaderboard_has(shared):
    board = pd.read_csv(shared.path / "results" / "leaderboard.csv")
    board = board[board["state"] != "baseline"].astype({"trial": int}).set_index("trial").sort_index()

    frame = shared.trials.set_index("number")

    assert frame["state"].tolist() == ["complete"] * 3 and (frame["error"] == "").all()
    assert frame["rank"].tolist() == board["rank"].tolist()
    assert np.allclose(frame["val/mse"], board["val/mse"])
    assert np.allclose(frame["params.train.lr"], board["train.lr"])
    assert frame["params.model.latent_dim"].tolist() == board["model.latent_dim"].tolist()
    assert (frame["seconds"] > 0).all()


def test_the_best_trial_is_that_of_rank_one_and_has_its_model_and_epochs(shared):
    best = shared.best
    first = shared.trials.set_index("rank").loc[1]

    assert (best.number, best.metrics["val/mse"]) == (first["number"], first["val/mse"])
    assert best.params["train.lr"] == first["params.train.lr"]
    assert {"test/knn", "val/mse"} <= set(best.metrics)
    assert best.history["epoch"].tolist() == [1, 2, 3] and best.history["val/mse"].min() == first["val/mse"]
    assert best.model().origin["trial"] == best.number


def test_any_other_trial_has_a_model_of_its_own(shared):
    other = next(number for number in range(3) if number != shared.best.number)

    trial = shared.trial(other)

    assert trial.model().origin["trial"] == gx.open_model(trial).origin["trial"] == other
    assert gx.open_model(f"{shared.path}/{other:03d}").origin["trial"] == other
    assert not [name for name in trial.metrics if name.startswith("test/")]
    with pytest.raises(RunError, match="E630.*no trial 7"):
        shared.trial(7)


def test_the_study_is_a_copy_that_tells_what_the_run_tells(shared):
    before = (shared.path / "study.journal").read_bytes()

    study = shared.study
    study.add_trial(optuna.trial.create_trial(value=-1.0))

    assert study.best_value == -1.0 and shared.study.best_value == shared.best.value
    assert len(shared.study.trials) == 3
    assert (shared.path / "study.journal").read_bytes() == before


def test_a_journal_that_is_gone_is_an_error_and_none_is_made(shared, tmp_path):
    copy = gx.Run(shutil.copytree(shared.path, tmp_path / "copy"))
    (copy.path / "study.journal").unlink()

    with pytest.raises(RunError, match="E614.*missing"):
        copy.study  # noqa: B018 - it is read when asked for
    assert not (copy.path / "study.journal").exists()
    (copy.path / "study.journal").write_bytes(b'{"op_code": 0}\nnonsense\n{}\n')
    with pytest.raises(RunError, match="E614.*cannot be read"):
        copy.study  # noqa: B018


def test_vectors_are_read_once_and_those_of_an_unfinished_search_are_an_error(shared, tmp_path):
    run = gx.Run(str(shared.path))
    run.embeddings.obs["mine"] = 1

    assert run.embeddings.obsm["X_toy"].shape[0] == 120 and "mine" in run.embeddings.obs
    assert "mine" not in gx.Run(run).embeddings.obs
    copy = gx.Run(shutil.copytree(shared.path, tmp_path / "copy", ignore=shutil.ignore_patterns("results")))
    with pytest.raises(RunError, match="E615.*no vectors yet"):
        copy.embeddings  # noqa: B018
    assert copy.baselines.empty


def test_a_run_shows_in_few_lines_where_it_stands(shared):
    text = repr(shared)

    assert shared.status == "done" and text.splitlines()[0] == "toy   done"
    assert "3/3 trials   3 complete" in text and f"best {shared.best.number:03d}" in text
    assert repr(shared.best).startswith(f"trial {shared.best.number:03d} of toy   complete   val/mse")


def test_a_folder_that_is_no_run_is_told_at_once(tmp_path):
    with pytest.raises(RunError, match="E601"):
        gx.Run(tmp_path)


def test_a_spec_is_changed_in_a_copy_which_is_checked():
    spec = gx.load_spec(TOY)

    changed = spec.set("budget.trials", 20).set("train.lr", {"float": [np.float64(1e-3), 1e-2], "log": True})

    assert (spec.budget.trials, changed.budget.trials) == (12, 20)
    assert changed.space.domains["train.lr"].low == 1e-3
    assert changed == gx.load_spec(TOY, "budget.trials=20", 'train.lr={"float": [0.001, 0.01], "log": true}')
    with pytest.raises(SpecError, match="E301.*did you mean 'trials'"):
        spec.set("budget.trails", 20)
    with pytest.raises(SpecError, match="E344.*cannot be written"):
        spec.set("budget.trials", {1, 2})


def test_the_spec_of_a_run_is_that_which_was_searched_and_can_be_changed(shared):
    spec = shared.spec

    assert (spec.budget.epochs, spec.stop.kind) == (3, "none")
    assert spec.set("budget.trials", 5).budget.model_dump() == {"trials": 5, "epochs": 3, "time_s": None}


def test_a_spec_that_something_else_has_changed_is_not_changed_by_its_file(shared):
    warmed = gx.warmed(gx.load_spec(TOY), [shared.path])

    with pytest.raises(SpecError, match="E345"):
        warmed.set("budget.trials", 5)
