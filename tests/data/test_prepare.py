"""A table is what the spec says, the same from any layout and order, and new rows are read alike."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from gxsearch.data.prepare import like, prepare
from gxsearch.data.sources import load
from gxsearch.data.table import DataConfig, Genes, Split
from gxsearch.errors import DataError, ResourceError

REAL = Path(__file__).resolve().parents[2] / "../shared/data"
COUNTS = DataConfig(
    path="sim_counts?n=120&g=60",
    transform=["normalize", "log1p"],
    genes=Genes(top_variable=20),
    label="cell_type",
    batch=["batch"],
    split=Split(group="donor", stratify="cell_type"),
)


def prepared(config: DataConfig = COUNTS, **options):
    return prepare(config, where="spec.yaml", **options)


def saved(adata: AnnData, tmp_path: Path, **settings) -> DataConfig:
    adata.write_h5ad(tmp_path / "set.h5ad")
    return COUNTS.model_copy(update={"path": str(tmp_path / "set.h5ad"), **settings})


def test_a_table_has_the_types_that_it_promises():
    table = prepared()

    assert table.x_ng.shape == (120, 20) and table.x_ng.dtype == np.float32 and table.x_ng.flags.c_contiguous
    assert table.obs_names.dtype.kind == table.var_names.dtype.kind == "U" and table.part_n.dtype == np.int8
    assert set(table.obs) == {"cell_type", "batch", "donor"} and table.obs["batch"].dtype.kind == "U"


def test_facts_are_json_and_tell_what_was_done():
    facts = prepared().facts

    assert json.loads(json.dumps(facts)) == facts
    assert facts["source"] == COUNTS.path and (facts["n_obs"], facts["n_vars"], facts["n_genes_before"]) == (
        120,
        20,
        60,
    )
    assert sum(facts["split"].values()) == sum(facts["classes"].values()) == 120
    assert facts["transform"] == ["normalize", "log1p"] and len(facts["sha256"]) == 64 and facts["whole"] is True


def test_the_target_and_the_genes_come_from_training_rows():
    table, raw = prepared(), load(COUNTS.path).X.toarray()
    train = table.rows("train")

    target = np.median(raw[train].sum(1))

    assert table.facts["normalize_target"] == target
    whole_ng = np.log1p(raw * (target / raw.sum(1, keepdims=True)))
    best = np.sort(np.argsort(-whole_ng[train].var(0))[:20])
    np.testing.assert_allclose(table.x_ng, whole_ng[:, best], rtol=1e-5)


def test_values_of_held_out_rows_do_not_reach_the_training_rows(tmp_path: Path):
    adata = load(COUNTS.path)
    before = prepared(saved(adata, tmp_path))
    held = np.flatnonzero(before.part_n)
    x_ng = adata.X.toarray()
    x_ng[held] = x_ng[held] * 7 + 3
    adata.X = x_ng

    after = prepared(saved(adata, tmp_path))

    train = before.rows("train")
    assert np.array_equal(after.part_n, before.part_n) and np.array_equal(after.var_names, before.var_names)
    assert np.array_equal(after.x_ng[train], before.x_ng[train])


def test_layouts_hold_the_same_values_and_have_one_fingerprint():
    dense, rows = prepared(layout="dense"), prepared(layout="sparse")

    assert isinstance(rows.x_ng, sparse.csr_matrix) and np.array_equal(rows.x_ng.toarray(), dense.x_ng)
    assert rows.facts == dense.facts


@pytest.mark.parametrize(
    "make", [np.asarray, sparse.csc_matrix, lambda x: x.astype(np.float64), lambda x: x.astype(np.int32)]
)
def test_the_kind_of_storage_makes_no_difference(tmp_path: Path, make):
    adata, want = load(COUNTS.path), prepared()
    adata.X = make(adata.X.toarray())

    got = prepared(saved(adata, tmp_path))

    assert np.array_equal(got.x_ng, want.x_ng) and got.facts["sha256"] == want.facts["sha256"]


def test_a_changed_value_or_name_changes_the_fingerprint(tmp_path: Path):
    adata, prints = load(COUNTS.path), {prepared().facts["sha256"]}
    adata.X[0, 0] += 1
    prints.add(prepared(saved(adata, tmp_path)).facts["sha256"])
    adata.obs_names = ["new", *adata.obs_names[1:]]
    prints.add(prepared(saved(adata, tmp_path)).facts["sha256"])

    assert len(prints) == 3


def test_shuffled_rows_give_the_same_parts_genes_and_values(tmp_path: Path):
    want, order = prepared(), np.random.default_rng(0).permutation(120)

    got = prepared(saved(load(COUNTS.path)[order].copy(), tmp_path))

    assert np.array_equal(got.part_n, want.part_n[order]) and np.array_equal(got.var_names, want.var_names)
    assert np.array_equal(got.x_ng, want.x_ng[order]) and got.facts["split_sha256"] == want.facts["split_sha256"]


def test_columns_are_text_for_classes_and_numbers_for_time(tmp_path: Path):
    adata = load("sim_series")
    adata.obs["plate"] = [1.0, 2.0] * 20
    adata.obs["dose"] = np.linspace(0, 1, 40)
    adata.obs["note"] = ["x", None] * 20
    config = saved(adata, tmp_path, label="plate", batch=[], time="time", transform=[], split=Split())

    obs = prepared(config, extra_obs=["dose", "note"]).obs

    assert obs["plate"][:2].tolist() == ["1", "2"] and obs["note"][:2].tolist() == ["x", ""]
    assert obs["time"].dtype == obs["dose"].dtype == np.float64


def test_whole_numbers_with_gaps_in_categories_are_read(tmp_path: Path):
    adata = load(COUNTS.path)
    adata.obs["age"] = [30, None] * 60
    adata.obs["age"] = adata.obs["age"].astype("Int64").astype("category")

    age_n = prepared(saved(adata, tmp_path), extra_obs=["age"]).obs["age"]

    assert age_n[0] == 30 and np.isnan(age_n[1])


def test_coordinates_come_along():
    table = prepared(DataConfig(path="sim_spatial", spatial="spatial"))

    assert table.obsm["spatial"].shape == (400, 2) and table.obsm["spatial"].dtype == np.float64


def test_exact_copies_of_rows_are_remarked(tmp_path: Path):
    adata = load(COUNTS.path)
    adata.X[7] = adata.X[3]

    assert (
        "1 row with exactly the values of an earlier row: 'cell007'"
        in prepared(saved(adata, tmp_path)).facts["warnings"]
    )


def test_a_class_that_is_missing_from_a_part_is_remarked(tmp_path: Path):
    adata = load(COUNTS.path)
    adata.obs["cell_type"] = ["rare", "rare", *["a", "b"] * 59]
    config = saved(adata, tmp_path, split=Split(stratify="cell_type"))

    assert any("'cell_type' without test rows: 'rare'" in text for text in prepared(config).facts["warnings"])


def test_all_faults_are_raised_at_once_with_the_place_of_the_spec():
    config = COUNTS.model_copy(update={"label": "celltype", "genes": Genes(top_variable=999)})

    with pytest.raises(DataError) as caught:
        prepared(config)

    assert len(caught.value.faults) == 2 and {fault.where for fault in caught.value.faults} == {"spec.yaml"}


def test_dense_values_beyond_the_memory_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.sysconf", lambda name: {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 9000}[name])

    with pytest.raises(ResourceError, match="120 x 20 dense values need"):
        prepared()


@pytest.mark.parametrize("layout", ["dense", "sparse"])
def test_the_rows_of_a_table_prepared_as_new_are_the_same(layout: str):
    table = prepared()

    new = like(COUNTS, table.facts, COUNTS.path, table.var_names, where="new", layout=layout)

    assert np.array_equal(new.dense().x_ng, table.x_ng) and set(new.part_n) == {2}
    assert new.facts["sha256"] == table.facts["sha256"]


def test_new_rows_are_aligned_and_keep_the_target_of_the_training_rows():
    table = prepared()
    deeper = load(COUNTS.path)[:5, ::-1].copy()
    deeper.X = deeper.X * 10

    new = like(COUNTS, table.facts, deeper, table.var_names, where="new.h5ad")

    np.testing.assert_allclose(new.x_ng, table.x_ng[:5], rtol=1e-5)


def test_new_rows_need_no_label_but_all_genes():
    table, new = prepared(), load(COUNTS.path)
    new.obs = new.obs[[]]

    assert like(COUNTS, table.facts, new, table.var_names, where="new").obs == {}
    with pytest.raises(DataError, match="genes are missing"):
        like(COUNTS, table.facts, new[:, :30].copy(), table.var_names, where="new")


def test_new_rows_of_another_panel_are_remarked_when_totals_are_used():
    table = prepared()
    new = load(COUNTS.path)[:, table.var_names].copy()

    warnings = like(COUNTS, table.facts, new, table.var_names, where="new").facts["warnings"]

    assert any("row totals are over 20 genes, in training over 60" in text for text in warnings)


def test_faulty_new_rows_are_refused():
    table, new = prepared(), load(COUNTS.path)
    new.X.data[3] = np.nan

    with pytest.raises(DataError, match="1 value NaN or infinite"):
        like(COUNTS, table.facts, new, table.var_names, where="new")


def test_the_readme_way_works_on_the_set_inside_scanpy():
    config = DataConfig(
        path="pbmc68k", genes=Genes(top_variable=200), label="bulk_labels", split=Split(stratify="bulk_labels")
    )

    table = prepared(config)

    assert table.x_ng.shape == (700, 200) and table.facts["split"] == {"train": 490, "val": 105, "test": 105}


STEPS = ["normalize", "log1p"]
SETS = {
    "tcga11_bulk_hvg2000": {"label": "cancer", "split": Split(group="patient", stratify="cancer")},
    "gtex26_bulk": {"label": "tissue", "split": Split(stratify="tissue")},
    "motrpac_rat_bulk_hvg2000": {"label": "tissue", "transform": STEPS, "split": Split(group="animal")},
    "pbmc3k_counts_hvg2000": {"label": "cell_type", "transform": STEPS, "genes": Genes(top_variable=500)},
    "zeisel3_counts": {"label": "cell_type"},
    "pbmc_3chem_batches": {"label": "cell_type", "batch": ["batch"]},
    "esc_timeseries": {"time": "time", "transform": ["log1p"]},
    "worm_embryo_timeseries_hvg2000": {"time": "time"},
    "her2st_spatial_hvg2000": {"label": "region", "spatial": "spatial", "split": Split(group="section")},
    "osmfish_spatial": {"label": "cell_type", "spatial": "spatial", "transform": STEPS},
    "onek1k_phenotypes": {"label": "cell_type", "transform": STEPS, "split": Split(group="donor")},
}


@pytest.mark.parametrize("name", SETS)
def test_real_sets_are_prepared(name: str):
    if not (REAL / f"{name}.h5ad").exists():
        pytest.skip(f"no {name}.h5ad beside the project")

    table = prepared(DataConfig(path=f"{name}.h5ad", **SETS[name]), base=REAL)

    assert np.isfinite(table.x_ng).all() and min(table.facts["split"].values()) > 0


def test_tiles_of_a_section_are_held_out_whole_and_need_coordinates():
    config = DataConfig(path="sim_spatial", spatial="spatial", split=Split(tiles=4, group="section", val=0.2, test=0.2))

    facts = prepared(config).facts

    assert sum(facts["groups"].values()) == 32 and min(facts["groups"].values()) > 3
    with pytest.raises(DataError, match=r"E430.*data.split.tiles cuts tiles by coordinates - set data.spatial"):
        prepared(config.model_copy(update={"spatial": None}))
