"""Calls that must be refused: by the words of the call (exit 2), or for what they name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import anndata
import pytest
from case import Home, cells

from gxsearch import api

WORDS = {
    "no such verb": (["tun", "spec.yaml"], "no verb 'tun'; did you mean 'tune'?"),
    "no such option": (["tune", "spec.yaml", "--trails", "3"], "--trials"),
    "no spec": (["tune"], "Missing argument 'SPEC'"),
    "no trials": (["tune", "spec.yaml", "-n", "0"], "x>=1"),
    "trials in words": (["tune", "spec.yaml", "-n", "many"], "'many' is not a valid integer"),
    "no epochs": (["tune", "spec.yaml", "--epochs", "0"], "x>=1"),
    "fewer than no GPUs": (["tune", "spec.yaml", "--gpus", "-1"], "x>=0"),
    "a seed below zero": (["tune", "spec.yaml", "--seed", "-1"], "x>=0"),
    "none at once": (["tune", "spec.yaml", "-j", "0"], "x>=1"),
    "no workers": (["train", "spec.yaml", "--workers", "0"], "x>=1"),
    "an argument too many": (["status", "a", "b"], "unexpected extra argument"),
    "a format that there is not": (["best", "run", "--format", "toml"], "'yaml', 'json'"),
    "nowhere to write": (["generate", "run"], "--out"),
    "a donor without a name": (["data", "pseudobulk", "cells.h5ad", "-o", "x.h5ad", "--cell-type", "kind"], "--donor"),
    "no such verb of data": (["data", "pseudobluk"], "did you mean 'pseudobulk'?"),
}


@pytest.mark.parametrize("case", WORDS)
def test_a_call_that_cannot_be_read_is_refused_with_what_can_be(home: Home, case: str):
    words, told = WORDS[case]

    status, out, err = home.call(*words)

    assert status == 2 and told in err and out == "" and "Traceback" not in err


NAMED = {
    "no spec file": (["check", "spce.yaml"], "E300", "did you mean 'spec.yaml'?"),
    "a folder for a spec": (["check", "."], "E300", ""),
    "an option without a value": (["check", "spec.yaml", "-s", "budget.trials"], "E324", "budget.trials"),
    "an option of nothing": (["check", "spec.yaml", "-s", "bugdet.trials=3"], "E324", "budget"),
    "an option of a wrong kind": (["check", "spec.yaml", "-s", "budget.trials=many"], "E303", "many"),
    "a time in words": (["tune", "spec.yaml", "--time", "soon"], "E303", "write 90s, 30m, 12h or 2d"),
    "more GPUs than there are": (["tune", "spec.yaml", "--gpus", "64"], "E502", "64 GPUs"),
    "more CPUs than there are": (["tune", "spec.yaml", "-s", "resources.cpus=4096"], "E501", "4096 CPUs"),
    "more workers than fit": (["tune", "spec.yaml", "-s", "resources.workers=4096"], "E501", ""),
    "a model that there is not": (["models", "transfromer"], "E310", ""),
    "a run that there is not": (["status", "nowhere"], "E601", "nowhere"),
    "a run to go on with that there is not": (["resume", "nowhere"], "E601", "nowhere"),
    "trials of no run": (["trials", "home"], "E601", "home"),
    "the best of no run": (["best", "home"], "E601", "home"),
    "a report of no run": (["report", "home"], "E601", "home"),
    "an export of no run": (["export", "home"], "E601", "home"),
    "genes of no run": (["genes", "home", "CD3E"], "E622", "home"),
    "a model folder that is none": (["embed", "home", "cells.h5ad", "-o", "x.h5ad"], "E622", "home"),
    "a trial that is no number": (["export", "home/abc"], "E601", ""),
    "a trial of no run": (["train", "spec.yaml", "--trial", "home/003"], "E601", ""),
    "cells that there are not": (["data", "pseudobulk", "cels.h5ad", "-o", "x.h5ad", "--donor", "donor", "--cell-type", "kind"], "E401", "did you mean 'cells.h5ad'"),
    "a donor that there is not": (["data", "pseudobulk", "cells.h5ad", "-o", "x.h5ad", "--donor", "doner", "--cell-type", "kind"], "E421", "did you mean 'donor'?"),
    "an output of another kind": (["data", "pseudobulk", "cells.h5ad", "-o", "x.loom", "--donor", "donor", "--cell-type", "kind"], "E453", "x.loom"),
    "an output that is there": (["data", "pseudobulk", "cells.h5ad", "-o", "cells.h5ad", "--donor", "donor", "--cell-type", "kind"], "E454", "--force"),
    "an output that is a link": (["data", "pseudobulk", "cells.h5ad", "-o", "link.h5ad", "--donor", "donor", "--cell-type", "kind"], "E811", "link"),
}  # fmt: skip


@pytest.mark.parametrize("case", NAMED)
def test_what_a_call_names_must_be_there(home: Home, case: str):
    words, code, told = NAMED[case]
    cells().write_h5ad("cells.h5ad")
    home.spec()
    Path("home").mkdir()
    os.symlink("cells.h5ad", "link.h5ad")

    found = home.refused(*words)

    assert any(got == code and told in line for got, line in found), found
    assert cells().X.sum() == anndata.read_h5ad("cells.h5ad").X.sum(), "what was there is as it was"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run of one training of one epoch."""
    folder = tmp_path_factory.mktemp("run")
    cells().write_h5ad(folder / "cells.h5ad")
    text = f"gxsearch: 1\nname: case\nmodel: fe\ndata: {{path: {folder / 'cells.h5ad'}, label: kind}}\nbudget: {{trials: 1, epochs: 1}}\n"
    (folder / "spec.yaml").write_text(text + "space: {model: {sample_dim: 2, hidden: {value: [4]}}}\n")
    yield api.train(api.load_spec(str(folder / "spec.yaml")), out=folder / "done", name="run", quiet=True).path


OF_A_RUN = {
    "a run of that name": (["tune", "spec.yaml", "-o", "RUN/..", "--name", "run"], "E603", "run"),
    "a trial beyond the last": (["export", "RUN/007"], "E630", "7"),
    "a budget that is spent": (["resume", "RUN", "-n", "0"], "E303", ""),
    "an output that is there": (["embed", "RUN", "cells.h5ad", "-o", "cells.h5ad"], "E454", "--force"),
    "an output of another kind": (["embed", "RUN", "cells.h5ad", "-o", "out.csv"], "E453", "out.csv"),
    "an output that is a folder": (["embed", "RUN", "cells.h5ad", "-o", "full.h5ad"], "E454", "full.h5ad"),
    "new data that are not there": (["embed", "RUN", "cels.h5ad", "-o", "out.h5ad"], "E401", "did you mean 'cells.h5ad'"),
    "new data of other genes": (["embed", "RUN", "sim_counts?n=20&g=30", "-o", "out.h5ad"], "E420", "10 of 12 genes are missing"),
    "a batch of a model without": (["embed", "RUN", "cells.h5ad", "-o", "out.h5ad", "--as-batch", "x"], "E451", "leave it out"),
    "genes that there are not": (["genes", "RUN", "gene77"], "E420", "gene77"),
    "curves of no series": (["generate", "RUN", "-o", "out.csv"], "E479", "fe"),
    "an export into the run": (["export", "RUN", "-o", "RUN"], "E636", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", OF_A_RUN)
def test_what_a_run_cannot_do_is_refused_and_leaves_it_as_it_was(home: Home, run: Path, case: str):
    words, code, told = OF_A_RUN[case]
    cells().write_h5ad("cells.h5ad")
    Path("full.h5ad").mkdir()
    home.spec()
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}

    found = home.refused(*(word.replace("RUN", str(run)) for word in words))

    assert any(got == code and told in line for got, line in found), found
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
