"""A search that builds on another runs that one first, on the same rows, and goes on with it when it was stopped."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import anndata
import numpy as np
import pytest

from gxsearch import api, steps
from gxsearch.errors import RunError, SpecError
from gxsearch.results.embed import again
from gxsearch.results.ledger import trials
from gxsearch.results.package import of_run
from gxsearch.results.run_dir import RunDir
from gxsearch.search import stages
from gxsearch.search.spec import Spec

FIRST = """
gxsearch: 1
name: first
model: nbvae
data: {path: "sim_counts?n=60&g=30", label: cell_type}
space: {model: {latent_dim: {int: [3, 5]}, hidden: {value: [16]}}}
budget: {trials: 2, epochs: 2}
"""
SECOND = """
gxsearch: 1
name: second
model: spatial
first: first.yaml
data:
  path: "sim_spatial?n=120&g=30"
  label: region
  spatial: spatial
  split: {tiles: 3, group: section}
  view: {section: section, features: first, classes: region}
objective: {metric: val/balanced_accuracy}
space: {model: {dim: 16}}
budget: {trials: 1, epochs: 2}
"""


@pytest.fixture(scope="module", autouse=True)
def _no_pictures():
    """Leave out what takes long and is tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gxsearch.results.conclude.report.write", lambda run, **how: None)
        patch.setattr("gxsearch.results.conclude.evaluation.write_clusters", lambda *args: None)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> RunDir:
    folder = tmp_path_factory.mktemp("finished")
    return api.train(written(folder), out=folder, name="run", quiet=True)


@pytest.fixture
def spec(tmp_path: Path) -> Spec:
    return written(tmp_path)


def written(tmp_path: Path) -> Spec:
    (tmp_path / "first.yaml").write_text(FIRST)
    (tmp_path / "second.yaml").write_text(SECOND)
    return api.load_spec(tmp_path / "second.yaml")


def test_the_first_search_runs_on_the_same_rows_and_its_vectors_are_what_the_second_reads(finished):
    run = finished
    first = RunDir(run.first)
    embedded = anndata.read_h5ad(first.embeddings)
    table = again(run)
    assert run.facts()["data"]["split_sha256"] == first.facts()["data"]["split_sha256"]
    assert embedded.obsm["X_nbvae"].shape == table.obsm["first"].shape and table.obsm["first"].std() > 0
    assert np.array_equal(embedded.obs_names.to_numpy(str), table.obs_names)
    assert of_run(run).view.dims.n_features == table.obsm["first"].shape[1]


def test_new_spots_are_embedded_with_the_vectors_that_the_first_model_gave_them(finished, tmp_path):
    run = finished
    api.embed(run.first, "sim_spatial?n=120&g=30", tmp_path / "first.h5ad")

    second = api.embed(run.path, tmp_path / "first.h5ad", tmp_path / "second.h5ad")

    own = anndata.read_h5ad(run.embeddings).obsm["X_spatial"]
    np.testing.assert_allclose(second.obsm["X_spatial"], own, atol=1e-4)


def test_a_run_that_was_stopped_in_its_first_search_goes_on_with_it(spec, tmp_path, monkeypatch):
    conclude = steps.concluded

    def killed(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, "concluded", killed)
    with pytest.raises(RunError, match="stopped; .*go on with: gxsearch resume"):
        api.train(spec, out=tmp_path, name="run", quiet=True)
    run = RunDir.open(tmp_path / "run")
    assert not trials(run.ledger) and len(trials(RunDir(run.first).ledger)) == 1
    with pytest.raises(RunError, match="E608.*the search that comes first has not ended - go on with: gxsearch resume"):
        again(run)
    monkeypatch.setattr(steps, "concluded", conclude)

    def here(opened, quiet, fleet):  # without Ray
        from gxsearch.search.local import search_here

        search_here(opened.spec, opened.run, opened.table, opened.referee, lambda: None)
        opened.close("done")

    monkeypatch.setattr(api, "run_search", here)
    monkeypatch.setattr("gxsearch.search.launch.connected", lambda *args: nullcontext())
    api.resume(run.path, quiet=True)

    assert [t.state for t in trials(run.ledger)] == ["complete"] and len(trials(RunDir(run.first).ledger)) == 1
    assert again(run).obsm["first"].std() > 0


def test_a_first_search_that_is_not_there_or_that_nothing_reads_is_refused(spec, tmp_path):
    path = tmp_path / "second.yaml"

    with pytest.raises(SpecError, match="E326.*'other.yaml' is no file beside this one"):
        api.load_spec(path, "first=other.yaml")
    with pytest.raises(SpecError, match="E326.*nothing reads what comes first - set data.view.features: first"):
        api.load_spec(path, "data.view.features=pca")
    path.write_text(SECOND.replace("first: first.yaml\n", ""))
    with pytest.raises(SpecError, match="E326.*there is no search that comes first - add first: nbvae.yaml"):
        api.load_spec(path)


def test_a_fault_of_the_first_file_is_told_before_anything_starts(spec, tmp_path):
    (tmp_path / "first.yaml").write_text(FIRST.replace("latent_dim", "latent_dimm"))

    with pytest.raises(SpecError, match="first.yaml.*unknown setting 'space.model.latent_dimm'"):
        stages.first_spec(spec)


def test_the_spec_of_a_run_of_two_survives_json(spec):
    assert Spec.from_json(spec.to_json()).first == "first.yaml"
    assert stages.first_spec(spec).data.split == spec.data.split
