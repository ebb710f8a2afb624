"""`gxsearch init`: what it sees, what it recommends, and that what it writes passes `check` as it is."""

import json
import os
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from gxsearch import api, drafting
from gxsearch.data import simulate
from gxsearch.data.roles import Wish
from gxsearch.errors import DataError
from gxsearch.models import registry
from gxsearch.search.spec import load

REAL = Path(__file__).resolve().parents[2] / "../shared/data"
SETS = ("pbmc68k", "pbmc68k_counts", "sim_bulk", "sim_counts", "sim_series", "sim_rvagene", "sim_spatial")
SETS += ("sim_phenotypes",)
MODELS = ("fe", "vae", "nbvae", "spatial", "rvagene", "transformer")
FITS = {
    "pbmc68k": {"fe", "vae", "transformer"},
    "sim_counts": {"fe", "vae", "nbvae", "transformer"},
    "sim_series": {"fe", "vae", "rvagene", "transformer"},
    "sim_rvagene": {"fe", "vae", "rvagene"},
    "sim_spatial": {"fe", "vae", "nbvae", "spatial", "transformer"},
}


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def counts(n: int = 60, g: int = 30, **obs) -> ad.AnnData:
    x = np.random.default_rng(0).poisson(2.0, (n, g)).astype(np.float32)
    frame = pd.DataFrame(obs, index=[f"cell{i}" for i in range(n)])
    return ad.AnnData(x, obs=frame, var=pd.DataFrame(index=[f"gene{j}" for j in range(g)]))


def save(adata: ad.AnnData, path: str = "cells.h5ad") -> drafting.Look:
    adata.write_h5ad(path)
    return drafting.look(path, Wish())


def fits(seen: drafting.Look) -> set[str]:
    return {one.model for one in seen.advice if one.fits}


def drafted(seen: drafting.Look, model: str, out: str | None = None):
    return load(drafting.write(seen, model, out, force=True))


@pytest.mark.parametrize("name", SETS)
def test_a_spec_of_a_built_in_set_passes_check_for_every_model_that_fits(name, home):
    seen = drafting.look(name, Wish())

    assert fits(seen) == FITS.get(name, fits(seen)) and len(seen.advice) == len(MODELS)
    for model in fits(seen):
        spec = drafted(seen, model)
        assert spec.data.path == name and len(spec.search.start) > 0


@pytest.mark.parametrize(
    "file", ["osmfish_spatial", "pbmc_3chem_batches", "esc_timeseries", "motrpac_rat_bulk_hvg2000"]
)
def test_a_spec_of_real_data_passes_check(file, home):
    if not (REAL / f"{file}.h5ad").exists():
        pytest.skip("the folder of real data is not beside this one")
    seen = drafting.look(str(REAL / f"{file}.h5ad"), Wish())

    for model in fits(seen):
        assert drafted(seen, model).model == model  # `write` checks it first, data and all


def test_real_columns_are_what_they_are():
    path = REAL / "tcga11_bulk_hvg2000.h5ad"
    if not path.exists():
        pytest.skip("the folder of real data is not beside this one")
    found = drafting.look(str(path), Wish()).found

    assert (found.label, found.group, found.time, found.stratify) == ("cancer", "patient", None, True)


def test_counts_of_cells_ask_for_nbvae_and_logged_values_for_vae(home):
    cells = simulate.counts(n=80, g=40)
    logged = cells.copy()
    logged.X = np.log1p(cells.X.toarray() / 7)
    del logged.layers["counts"]

    assert save(cells).advice[0].model == "nbvae"
    assert save(logged).advice[0].model == "vae" and "nbvae" not in fits(save(logged))


def test_a_layer_of_counts_is_read_by_models_of_counts_and_x_by_the_others(home):
    cells = simulate.counts(n=80, g=40)
    cells.X = sparse.csr_matrix(np.log1p(cells.X.toarray() / 7))
    seen = save(cells)

    assert drafted(seen, "nbvae").data.layer == "counts"
    assert drafted(seen, "vae").data.layer is None and drafted(seen, "vae").data.transform == []


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda x: x, "counts"),
        (lambda x: np.log1p(x / 3), "logged"),
        (lambda x: x * 37.5, "linear"),
        (lambda x: (x - x.mean(0)) / x.std(0), "scaled"),
        (lambda x: x / 3 - 4, "signed"),
        (lambda x: x * 0, "none"),
        (lambda x: x * np.nan, "none"),
    ],
)
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_values_are_told_apart(make, kind, form, home):
    cells = counts()
    cells.X = form(make(cells.X.astype(np.float64)))
    seen = save(cells)
    if kind == "scaled" and form is not np.asarray:
        kind = "signed"  # nobody stores z-scores so

    assert seen.seen.numbers[0].kind == kind


def test_of_large_data_some_values_are_looked_at(home, monkeypatch):
    monkeypatch.setattr("gxsearch.data.units.WHOLE", 500)
    for form in (np.asarray, sparse.csr_matrix, sparse.csc_matrix):
        cells = counts()
        cells.X = form(cells.X)
        seen = save(cells)
        assert seen.seen.numbers[0].kind == "counts" and seen.seen.numbers[0].total_n is None

        written = drafting.write(seen, "nbvae", None, force=True)

        assert load(written).data.layer is None


def test_donors_are_kept_together_unless_they_are_too_few(home):
    many = counts(donor=[f"d{i % 8}" for i in range(60)], cell_type=["a", "b", "c"] * 20)
    few = counts(donor=[f"d{i % 3}" for i in range(60)])
    unique = counts(sample_id=[f"s{i}" for i in range(60)])

    assert drafted(save(many), "vae").data.split.group == "donor"
    assert save(few).found.group is None and "3 groups only" in save(few).found.told["group"]
    assert save(unique).found.group is None


def test_a_batch_that_cannot_be_told_from_the_label_is_none(home):
    kind = ["a", "b", "c", "d"] * 15
    same = counts(cell_type=kind, batch=[f"of {k}" for k in kind])
    other = counts(cell_type=kind, batch=[f"b{i % 3}" for i in range(60)])

    assert save(same).found.batch == [] and "cannot be told" in save(same).found.told["batch"]
    assert save(other).found.batch == ["batch"]


def test_a_column_of_totals_is_taken_where_it_is_more_than_the_rows_add_up_to(home):
    cells = counts()
    cells.obs["n_counts"] = cells.X.sum(1) + 100.0
    less = counts(n_counts=np.ones(60))

    assert drafted(save(cells), "nbvae").data.view == {"total": "n_counts"}
    assert save(less).found.total is None


def test_wide_data_are_narrowed_and_tissue_is_cut_into_tiles(home):
    wide = counts(40, 6000)
    tissue = drafting.look("sim_spatial?n=400&g=20", Wish())

    assert drafted(save(wide), "fe").data.genes.top_variable == 2000
    assert drafted(tissue, "spatial").data.split.tiles == 4


ODD = {
    "no columns": counts(),
    "three rows": counts(3),
    "four rows": counts(4, kind=["a", "b", "a", "b"]),
    "seven rows": counts(7),
    "a label of one class": counts(cell_type=["a"] * 60),
    "a label with singletons": counts(cell_type=["a"] * 40 + ["b"] * 19 + ["c"]),
    "a column of NaN": counts(cell_type=[np.nan] * 60),
    "a label with gaps": counts(cell_type=["a", "b", None] * 20),
    "odd names": counts(**{"cell type": ["a", "b"] * 30, "a.b": ["x"] * 60, "Ünïcode": ["ä", "ö", "ü"] * 20}),
    "YAML words": counts(yes=["a", "b"] * 30, null=["a", "b"] * 30, **{"1e3": ["a", "b"] * 30, "~": ["c", "d"] * 30}),
    "odd letters": counts(
        **{'say "hi": #1': ["a", "b"] * 30, "back\\slash": ["c", "d"] * 30, "${HOME}": ["e", "f"] * 30}
    ),
    "a label of flags": counts(is_type=[True, False] * 30),
    "integers as classes": counts(leiden=[0, 1, 2] * 20),
    "a batch with spaces": counts(**{"seq run": ["r 1", "r 2"] * 30}),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_data_give_specs_that_pass_check(name, home):
    seen = save(ODD[name].copy())

    assert {"fe", "vae", "nbvae", "transformer"} <= fits(seen)
    for model in fits(seen):
        assert drafted(seen, model).model == model  # `write` checks it first, data and all


@pytest.mark.parametrize(
    "column", ["yes", "null", "1e3", "~", "cell type", "a.b", "Ünïcode", 'say "hi": #1', "-", "on"]
)
def test_any_column_can_be_the_label(column, home):
    counts(**{column: ["a", "b"] * 30}).write_h5ad("cells.h5ad")
    seen = drafting.look("cells.h5ad", Wish(label=column, batch=[column]))
    spec = drafted(seen, "vae")

    assert spec.data.label == column and spec.data.batch == [column]


def test_values_below_zero_are_allowed_where_the_model_takes_them(home):
    cells = counts()
    cells.X = cells.X / 3 - 4
    seen = save(cells)

    assert fits(seen) == {"fe", "vae"}
    assert api.check(drafted(seen, "fe"))["facts"]["allow_negative"]


def test_rows_of_zeros_are_not_normalized(home):
    cells = counts()
    cells.X[5] = 0
    seen = save(cells)

    assert drafted(seen, "vae").data.transform == ["log1p"]


def test_a_label_with_gaps_is_passed_over_and_that_is_told(home):
    seen = save(counts(cell_type=["a", "b", None] * 20, sex=["f", "m"] * 30))

    assert seen.found.label == "sex" and "'cell_type' has 20 rows without a value" in seen.found.told["label"]


def test_infinite_values_suit_no_model(home, call):
    cells = counts()
    cells.X[3, 4] = np.inf

    assert fits(save(cells)) == set()
    assert "no architecture fits" in call("init", "-d", "cells.h5ad")[1]


def test_names_that_are_used_twice_are_told_and_end_in_the_line_of_check(home, call):
    cells = counts()
    cells.obs_names = ["same"] * 60
    cells.write_h5ad("cells.h5ad")

    code, out, _ = call("init", "-d", "cells.h5ad")
    refused = call("init", "fe", "-d", "cells.h5ad")

    assert code == 0 and "obs_names_make_unique" in out
    assert refused[0] == 4 and "error[E416]" in refused[2] and not list(home.glob("*.yaml"))


def test_without_a_model_nothing_is_written_and_the_command_is_told(home, call):
    code, out, err = call("init", "-d", "sim_bulk?n=40&g=20")

    assert (code, err) == (0, "") and "gxsearch init vae -d 'sim_bulk?n=40&g=20'" in out
    assert "does not fit" in out and not list(home.iterdir())


def test_a_path_is_written_from_the_folder_of_the_spec(home, call):
    (home / "data").mkdir()
    (home / "specs").mkdir()
    counts().write_h5ad("data/cells.h5ad")

    code, out, _ = call("init", "vae", "-d", "data/cells.h5ad", "-o", "specs/mine.yaml")

    assert code == 0 and load("specs/mine.yaml").data.path == os.path.join("..", "data", "cells.h5ad")
    assert "gxsearch tune specs/mine.yaml" in out
    assert call("check", "specs/mine.yaml")[0] == 0


def test_a_folder_of_shards_is_looked_at(home):
    (home / "shards").mkdir()
    for i in range(3):
        counts(cell_type=["a", "b"] * 30).write_h5ad(f"shards/s{i}.h5ad")
    seen = drafting.look("shards", Wish())

    assert seen.seen.shape == (180, 30) and seen.seen.shards == 3
    assert "facts" in api.check(drafted(seen, "nbvae"))


@pytest.mark.parametrize("ending", ["zarr", "csv"])
def test_other_formats_are_looked_at(ending, home):
    cells = counts(cell_type=["a", "b"] * 30)
    if ending == "zarr":
        cells.write_zarr("cells.zarr")
    else:
        cells.to_df().to_csv("cells.csv")
    seen = drafting.look(f"cells.{ending}", Wish())

    assert seen.seen.numbers[0].kind == "counts" and "facts" in api.check(drafted(seen, "nbvae"))


def test_json_says_the_same(home, call):
    code, out, _ = call("init", "fe", "-d", "sim_bulk?n=40&g=20", "--json")
    found = json.loads(out)

    assert code == 0 and found["written"] == "fe-sim_bulk.yaml" and found["columns"]["label"] == "cell_type"
    assert [one["model"] for one in found["models"] if one["fits"]] == ["vae", "fe", "transformer"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["-d", "none.h5ad"], "E401"),
        (["-d", "cells.txt"], "E401"),
        (["fee", "-d", "cells.h5ad"], "E310"),
        (["rvagene", "-d", "cells.h5ad"], "E465"),
        (["fe", "-d", "cells.h5ad", "--label", "kinds"], "E421"),
        (["fe", "-d", "cells.h5ad", "--layer", "counts"], "E464"),
        (["fe", "-d", "cells.h5ad", "--spatial", "spatial"], "E464"),
        (["fe", "-d", "cells.h5ad", "--label", "${x}"], "E463"),
        (["fe", "-d", "${HOME}/cells.h5ad"], "E463"),
        (["fe", "-d", "cells.h5ad", "-o", "taken.yaml"], "E352"),
        (["fe", "-d", "cells.h5ad", "-o", "fe.h5ad"], "E351"),
        (["fe", "-d", "cells.h5ad", "-o", "nowhere/fe.yaml"], "E351"),
        (["fe", "-d", "cells.h5ad", "-o", "link.yaml", "--force"], "E811"),
        (["fe", "-d", "empty.h5ad"], "E462"),
        (["fe", "-d", "text.h5ad"], "E402"),
        (["fe", "-d", "nan.h5ad"], "E465"),
        (["toy", "-d", "cells.h5ad"], "E465"),
        (["fe"], ""),
        (["-d", "cells.h5ad", "-o", "fe.yaml"], ""),
    ],
)
def test_wrong_input_is_one_line_and_nothing_is_written(words, code, home, call):
    counts(kind=["a", "b"] * 30, **{"${x}": ["a", "b"] * 30}).write_h5ad("cells.h5ad")
    counts()[:0].copy().write_h5ad("empty.h5ad")
    Path("text.h5ad").write_text("no HDF5")
    missing = counts()
    missing.X[3, 4] = np.nan
    missing.write_h5ad("nan.h5ad")
    Path("taken.yaml").write_text("mine")
    Path("link.yaml").symlink_to("taken.yaml")
    before = sorted(home.iterdir())

    status, out, err = call("init", *words)

    assert status == (int(code[1]) if code else 2) and out == "", err
    assert [line[6:10] for line in err.splitlines() if line.startswith("error[")] == [code or "E200"]
    assert sorted(home.iterdir()) == before and Path("taken.yaml").read_text() == "mine"


def test_a_file_is_replaced_when_that_is_asked_for(home, call):
    Path("fe-sim_bulk.yaml").write_text("mine")

    assert call("init", "fe", "-d", "sim_bulk?n=40&g=20", "--force")[0] == 0
    assert load("fe-sim_bulk.yaml").model == "fe"


def test_missing_values_suit_series_alone(home):
    course = simulate.series(n=20, g=30)
    course.X[3, 4] = np.nan
    seen = save(course)

    assert fits(seen) == {"rvagene"} and drafted(seen, "rvagene").data.view["missing"] == "mask"


def test_every_shipped_architecture_is_judged():
    shipped = {path.stem for path in (Path(__file__).parents[2] / "search_spaces").glob("*.yaml")}

    assert set(MODELS) == shipped & set(registry.names())


def test_a_model_of_ones_own_is_told_so(home):
    with pytest.raises(DataError) as error:
        drafting.write(save(counts()), "toy", None, force=False)

    assert error.value.faults[0].code == "E465"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "data"),
    [
        ("fe", "sim_bulk?n=60&g=40"),
        ("vae", "sim_bulk?n=60&g=40"),
        ("nbvae", "sim_counts?n=80&g=40"),
        ("spatial", "sim_spatial?n=400&g=40"),
        ("rvagene", "sim_series?n=20&g=60"),
        ("transformer", "sim_phenotypes?n=80&g=40"),
    ],
)
def test_a_spec_trains(model, data, home):
    path = drafting.write(drafting.look(data, Wish()), model, None, force=True)
    run = api.train(api.load_spec(path, "budget.epochs=1", "stop=none"), quiet=True, say=lambda text: None)

    assert (run.path / "results" / "leaderboard.csv").exists()
