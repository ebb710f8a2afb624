"""A finished run for the tests of results, trained once."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from synthetic_run import DATA, train_all, write_run

from gxsearch.data.prepare import prepare
from gxsearch.data.table import DataConfig
from gxsearch.results.run_dir import RunDir, write_atomic


@pytest.fixture(scope="session")
def table():
    return prepare(DataConfig(**DATA), where="spec.yaml")


@pytest.fixture(scope="session")
def finished(tmp_path_factory, table) -> RunDir:
    """A finished run, shared: tests that change it must copy it."""
    torch.set_num_threads(1)
    run = write_run(tmp_path_factory.mktemp("runs") / "fe-sim", table.facts)
    train_all(run, table)
    rows = [
        {"name": "gene mean", "val/entry_mse": 0.5, "val/r2": 0.4},
        {"name": "pca-8", "dims": 8, "test/recon_r2": 0.7, "test/knn": 0.8},
        {"name": "hopeless", "val/entry_mse": 1e6, "val/r2": -9.0},
    ]
    write_atomic(run.baselines, json.dumps(rows).encode())
    write_atomic(run.scores, json.dumps({"test/recon_r2": 0.75, "test/knn": 0.9}).encode())
    return run


@pytest.fixture
def own(finished, tmp_path) -> RunDir:
    """A copy of the finished run that a test may change."""
    return RunDir(shutil.copytree(finished.path, tmp_path / "run"))


@pytest.fixture(scope="session")
def samples_only(tmp_path_factory) -> RunDir:
    """A concluded run of the toy, whose model gives vectors to samples only."""
    return _toy(tmp_path_factory, "model.latent_dim=2")


@pytest.fixture(scope="session")
def genes_as_rows(tmp_path_factory) -> RunDir:
    """A concluded run of the toy on genes as rows."""
    return _toy(tmp_path_factory, "model.latent_dim=2", "data.orientation=genes", "data.label=null")


def _toy(tmp_path_factory, *sets: str) -> RunDir:
    from gxsearch import api
    from gxsearch.search.spec import load

    spec = load(Path(__file__).parents[1] / "toy" / "toy.yaml", ("budget.epochs=3", *sets))
    return api.train(spec, out=tmp_path_factory.mktemp("toys"), name="toy", quiet=True)
