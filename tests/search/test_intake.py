"""The table of a spec has the columns that the model's view reads, and is laid out as the view wants it."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy import sparse

from gxsearch import api
from gxsearch.data.entries import EntriesView
from gxsearch.data.matrix import MatrixView
from gxsearch.errors import DataError, SpecError
from gxsearch.results import embed
from gxsearch.results.package import of_run
from gxsearch.search.intake import read_table
from gxsearch.search.spec import load

SPEC = """\
gxsearch: 1
name: pair
model: vae
data: {path: bulk.h5ad, transform: [normalize, log1p], split: {group: donor}, view: {group: donor}}
objective: {metric: val/masked_mse}
space:
  model: {latent_dim: {choice: [2, 3]}, hidden: {value: [8]}, contrast: pair}
budget: {trials: 1, epochs: 1}
"""


@pytest.fixture
def spec(tmp_path: Path):
    """Return a function that reads the spec of a contrast of pairs with changes; its data are pseudobulks."""
    api.pseudobulk("sim_phenotypes?n=200&g=30", tmp_path / "bulk.h5ad", donor="donor", cell_type="cell_type")
    (tmp_path / "pair.yaml").write_text(SPEC)
    return lambda *sets: load(tmp_path / "pair.yaml", sets)


def test_columns_that_only_the_view_reads_are_in_the_table(spec):
    table = read_table(spec())

    assert set(table.obs) == {"donor", "kind"} and set(table.obs["kind"]) == {"profile", "pseudobulk"}


def test_a_column_that_the_view_reads_and_the_data_lack_is_told(spec):
    with pytest.raises(DataError, match="E421.*the model reads: bulk.h5ad has no obs column 'kinds' - did you mean"):
        read_table(spec("data.view.kind=kinds"))


def test_wrong_settings_of_the_view_are_told_before_the_data_are_read(spec):
    with pytest.raises(SpecError, match="data.view.grop.*did you mean 'group'"):
        read_table(spec("data.view.grop=donor", "data.path=nowhere.h5ad"))


def test_the_table_is_laid_out_as_the_view_wants_it(spec, monkeypatch):
    monkeypatch.setattr(MatrixView, "layout", "sparse")

    assert isinstance(read_table(spec()).x_ng, sparse.csr_matrix)


def test_rows_are_genes_where_the_model_gives_vectors_to_genes(tmp_path, monkeypatch):
    monkeypatch.setattr(EntriesView, "axis", "var")
    text = SPEC.replace("vae", "fe").replace("masked_mse", "entry_mse").replace("latent_dim", "sample_dim")
    (tmp_path / "fe.yaml").write_text(text.replace(", contrast: pair", "").replace(", view: {group: donor}", ""))

    assert load(tmp_path / "fe.yaml").data.orientation == "genes"
    with pytest.raises(SpecError, match="E303.*the rows of fe are genes - leave data.orientation out"):
        load(tmp_path / "fe.yaml", ["data.orientation=samples"])


def test_results_read_the_columns_and_the_layout_too(spec, tmp_path, monkeypatch):
    run = api.train(spec(), out=tmp_path, name="run", quiet=True)
    found, adata = of_run(run), api.pseudobulk("sim_phenotypes?n=90&g=30", donor="donor", cell_type="cell_type")
    monkeypatch.setattr(MatrixView, "layout", "sparse")

    again, new = embed.again(run), found.read(adata)

    for table in (again, new):
        assert set(table.obs) == {"donor", "kind"} and isinstance(table.x_ng, sparse.csr_matrix)
    adata.obs = adata.obs[["donor"]]
    assert set(found.read(adata).obs) == {"donor"}
