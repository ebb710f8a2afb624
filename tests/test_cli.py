"""The command line as a user meets it: verbs, exit codes, one line an error, nothing started by a bad input."""

import io
import json
import subprocess
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from gxsearch import listing
from gxsearch.console import Progress
from gxsearch.results.run_dir import RunDir
from gxsearch.search.deadline import Deadline
from gxsearch.search.launch import slots
from gxsearch.search.opening import begin, reopen
from gxsearch.search.sections import Resources

TOY_SPEC = (Path(__file__).parent / "toy" / "toy.yaml").read_text()
FE_SPEC = """\
gxsearch: 1
name: fe
model: fe
data: {path: cells.h5ad, label: kind, split: {stratify: kind}}
objective: {metric: val/entry_mse}
space:
  model: {sample_dim: {int: [2, 4]}, hidden: {value: [8]}, gene_dim: 8}
  train: {lr: {float: [1e-3, 1e-2], log: true}, batch_size: 512}
search: {startup: 2, start: [{sample_dim: 2}]}
budget: {trials: 6, epochs: 3}
"""


def cells(n=60, g=30) -> ad.AnnData:
    draw = np.random.default_rng(0)
    kind = np.repeat(["a", "b", "c"], n // 3)
    x = draw.gamma(2.0, 0.5, (n, g)).astype(np.float32) + (kind[:, None] == "a") * 1.0
    obs = pd.DataFrame({"kind": kind}, index=[f"cell{i}" for i in range(n)])
    return ad.AnnData(x, obs=obs, var=pd.DataFrame(index=[f"gene{j}" for j in range(g)]))


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder with a data set and a spec, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    cells().write_h5ad("cells.h5ad")
    (tmp_path / "fe.yaml").write_text(FE_SPEC)
    return tmp_path


def change(**fields) -> None:
    adata = cells()
    for name, value in fields.items():
        setattr(adata, name, value)
    adata.write_h5ad("cells.h5ad")


def spoiled(value: float) -> np.ndarray:
    x = cells().X
    x[3, 4] = value
    return x


BAD_DATA = {
    "negative values": (lambda: change(X=spoiled(-1.0)), "E413", ["negative", "cell3", "gene4"]),
    "NaN": (lambda: change(X=spoiled(np.nan)), "E412", ["NaN", "cell3", "gene4"]),
    "no rows": (lambda: cells()[:0].copy().write_h5ad("cells.h5ad"), "E4", ["cells.h5ad"]),
    "no such column": (lambda: change(obs=cells().obs.rename(columns={"kind": "kinds"})), "E42", ["kind", "kinds"]),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_are_told_in_a_line_and_start_nothing(home, call, case):
    spoil, code, words = BAD_DATA[case]
    spoil()

    status, out, err = call("tune", "fe.yaml")

    assert status == 4
    assert err.startswith(f"error[{code}") and all(word in err for word in words)
    assert "Traceback" not in err and out == ""
    assert not (home / "runs").exists()


BAD_OPTIONS = {
    "unknown setting": (["-s", "space.model.sample_dm={int: [2, 4]}"], 3, ["sample_dm", "sample_dim"]),
    "impossible range": (["-s", "space.train.lr={float: [1e-2, 1e-3]}"], 3, ["lr"]),
    "log of zero": (["-s", "space.train.lr={float: [0, 1e-3], log: true}"], 3, ["log"]),
    "unknown model": (["-s", "model=fee"], 3, ["fee", "did you mean 'fe'"]),
    "unknown metric": (["-s", "objective.metric=val/entry_mze"], 3, ["entry_mse"]),
    "too many GPUs": (["--gpus", "8"], 5, ["8 GPUs", "there are 0"]),
    "too many CPUs": (["-s", "resources.cpus=4000"], 5, ["4000 CPUs"]),
    "no trials": (["-n", "0"], 2, ["trials"]),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_bad_options_are_told_in_a_line_and_start_nothing(home, call, case):
    options, expected, words = BAD_OPTIONS[case]

    status, out, err = call("tune", "fe.yaml", *options)

    assert status == expected
    assert all(word in err for word in words)
    assert "Traceback" not in err and out == ""
    assert not (home / "runs").exists()


def test_an_unknown_verb_is_answered_with_the_nearest(call):
    status, _, err = call("tone", "fe.yaml")

    assert status == 2 and "did you mean 'tune'" in err


def test_a_file_error_points_at_the_place(home, call):
    (home / "fe.yaml").write_text(FE_SPEC.replace("1e-3, 1e-2", "1e-2, 1e-3"))

    _, _, err = call("check", "fe.yaml")

    first, line, caret = err.rstrip("\n").split("\n")[:3]
    assert first.startswith("error[E320] fe.yaml:8:")
    assert "1e-2, 1e-3" in line and caret.strip(" |") == "^"


def test_check_says_what_would_be_searched(home, call):
    status, out, _ = call("check", "fe.yaml")

    assert status == 0
    assert "60 rows x 30 genes" in out and "train 42" in out and out.endswith("ok\n")


def test_models_lists_every_setting_with_a_sentence(call):
    _, listed, _ = call("models")
    _, out, _ = call("models", "fe", "--json")

    assert "fe" in listed
    assert all(row["meaning"] for row in json.loads(out))
    assert "model.sample_dim" in {row["setting"] for row in json.loads(out)}


def test_train_makes_a_run_that_every_reading_verb_understands(home, call):
    status, out, _ = call("train", "fe.yaml", "--name", "one", "-q")
    run = RunDir.open("runs/one")
    assert status == 0
    for path in (run.leaderboard, run.best / "model.safetensors", run.embeddings, run.report):
        assert path.exists()
        assert str(path.relative_to(home)).replace("/model.safetensors", "") in out

    assert "done" in call("status", "runs/one")[1]
    assert json.loads(call("status", "runs/one", "--json")[1])["trials"] == {"complete": 1}
    assert "svd-2" in call("trials", "runs/one")[1]
    assert json.loads(call("best", "runs/one", "--format", "json")[1])["trial"] == 0
    assert call("export", "runs/one", "-o", "model")[0] == 0

    new = cells()[:7].copy()
    new.obs_names = [f"new{i}" for i in range(7)]
    new.write_h5ad("new.h5ad")
    assert "obsm['X_fe'] (7, 2)" in call("embed", "model", "new.h5ad", "-o", "out.h5ad")[1]
    assert call("embed", "runs/one", "new.h5ad")[0] == 0
    embedded = ad.read_h5ad("out.h5ad")
    assert np.array_equal(ad.read_h5ad("new_fe.h5ad").obsm["X_fe"], embedded.obsm["X_fe"])
    assert np.isfinite(embedded.obsm["X_fe"]).all() and np.array_equal(embedded.X, new.X)

    status, _, err = call("embed", "model", "new.h5ad", "-o", "new.h5ad")
    assert status == 4 and "E454" in err and "X_fe" not in ad.read_h5ad("new.h5ad").obsm
    assert call("embed", "model", "new.h5ad", "-o", "out.h5ad", "--force")[0] == 0


def test_pseudobulks_are_made_of_cells_and_searched(home, call):
    asked = ("data", "pseudobulk", "sim_phenotypes?n=300&g=30", "-o", "bulk.h5ad", "--donor", "donor")

    status, out, err = call(*asked, "--cell-type", "cell_type", "--mixtures", "2")

    assert (status, out, err) == (0, "bulk.h5ad: 16 donors, 64 profiles, 32 mixtures x 30 genes\n", "")
    data = "data={path: bulk.h5ad, label: cell_type, split: {group: donor}}"
    assert "96 rows x 30 genes" in call("check", "fe.yaml", "-s", data)[1]
    status, _, err = call(*asked, "--cell-type", "celltype")
    assert status == 4 and err.startswith("error[E454] bulk.h5ad: this file exists already")
    status, _, err = call(*asked, "--cell-type", "celltype", "--force")
    assert status == 4 and err.startswith("error[E421] pseudobulk: --cell-type:") and "did you mean 'cell_type'" in err


def test_reading_a_folder_that_is_no_run_is_an_error_of_its_own(home, call):
    for verb in ("status", "trials", "best", "report", "resume", "export"):
        status, _, err = call(verb, "nowhere")

        assert (status, err.startswith("error[E601] nowhere")) == (6, True), verb


def test_more_trials_are_counted_from_those_that_were_asked_for(tmp_path, toy_spec, toy_table):
    opened = begin(toy_spec(), toy_table, 1, tmp_path / "run")
    opened.referee.create()
    opened.close("interrupted")

    change = listing.budget_change(str(opened.run.path), "+4", None)
    reopen(opened.run, change).close("interrupted")

    assert change == {"trials": 16}
    assert "1/16 trials" in listing.status(str(opened.run.path), as_json=False)


def test_a_message_in_brackets_is_shown_and_not_taken_for_markup(tmp_path, toy_spec, toy_table):
    opened = begin(toy_spec(), toy_table, 1, tmp_path / "run")
    with opened:
        opened.referee.create()
        opened.referee.ended(0, "failed", "KeyError: [/name]")

    terminal = Console(width=120, file=io.StringIO())
    terminal.print(Progress(opened.referee, Deadline(None), quiet=True)._screen())

    assert "KeyError: [/name]" in terminal.file.getvalue()


def test_a_resume_that_finds_no_room_leaves_the_search_free(tmp_path, toy_spec, toy_table, call):
    opened = begin(toy_spec("resources.cpus=4000"), toy_table, 1, tmp_path / "run")
    opened.close("interrupted")

    first, second = (call("resume", str(opened.run.path)) for _ in range(2))

    assert first[0] == second[0] == 5 and "E501" in second[2]


def test_an_existing_folder_is_told_before_anything_is_read(home, call):
    (home / "runs" / "one").mkdir(parents=True)
    (home / "cells.h5ad").unlink()

    status, _, err = call("tune", "fe.yaml", "--name", "one")
    assert status == 6 and err.startswith("error[E603]") and "no search is in it" in err

    (home / "runs" / "one" / "run.json").write_text("{}")
    status, _, err = call("tune", "fe.yaml", "--name", "one")
    assert status == 6 and err.startswith("error[E603]") and "gxsearch resume runs/one" in err


@pytest.mark.parametrize(("need", "have", "fit"), [(0.1, 1, 10), (0.2, 1, 5), (0.3, 0.9, 3), (1, 2, 2), (1.5, 4, 2)])
def test_shares_of_a_machine_are_counted_as_people_count(need, have, fit):
    assert slots(Resources(cpus=need), have, 0) == fit
    assert slots(Resources(gpus=need), 99, have) == fit


def test_a_search_whose_trials_all_fail_says_so(home, call):
    (home / "toy.yaml").write_text(TOY_SPEC.replace("latent_dim: {int: [1, 6]}", "fail: true"))

    status, out, err = call("train", "toy.yaml", "-q")

    assert status == 7 and "E710" in err and "told to fail" in err


def test_the_command_exits_with_the_codes_of_its_errors(home):
    done = subprocess.run(
        [sys.executable, "-m", "gxsearch.cli", "check", "nowhere.yaml"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 3
    assert done.stderr.startswith("error[E300] nowhere.yaml") and "Traceback" not in done.stderr
