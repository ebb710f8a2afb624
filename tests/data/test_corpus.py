"""Shards are one data set: the same table as one file of all rows, in bounded memory, and faults named by shard."""

from __future__ import annotations

import pickle
import shutil
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from anndata import AnnData, read_h5ad
from scipy import sparse

from gxsearch import api
from gxsearch.data import shard as shard_file
from gxsearch.data.blocks import batches, in_order, shuffled
from gxsearch.data.cache import MappedCSR
from gxsearch.data.corpus import Corpus
from gxsearch.data.counts import CountsConfig, CountsView
from gxsearch.data.prepare import prepare
from gxsearch.data.sources import load
from gxsearch.data.table import DataConfig, Genes, Split, Table
from gxsearch.errors import DataError, GxError, UnsafeError
from gxsearch.results.embed import embeddings

COUNTS = DataConfig(
    path="shards/*.h5ad",
    transform=["normalize", "log1p"],
    genes=Genes(top_variable=20, min_cells=3, min_detected=0.02),
    label="cell_type",
    batch=["batch"],
    split=Split(group="donor", stratify="cell_type"),
)
CUTS = (0, 50, 51, 120)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the cache of each test to itself, and blocks so small that every shard has several."""
    monkeypatch.setenv("GXSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shard_file, "VALUES", 400)
    return tmp_path / "cache" / "corpora"


@pytest.fixture
def whole() -> AnnData:
    """Return 120 cells with an exact copy, a constant gene and categories that not every shard has."""
    adata = load("sim_counts?n=120&g=60")
    x_ng = adata.X.toarray()
    x_ng[70], x_ng[:, 7] = x_ng[3], 1
    adata.X = sparse.csr_matrix(x_ng)
    adata.obs["age"] = np.where(np.arange(120) % 3, np.arange(120), np.nan)
    return adata


def cut(whole: AnnData, folder: Path, ending: str = "h5ad") -> list[AnnData]:
    """Write an AnnData as shards; return them."""
    folder.mkdir(parents=True, exist_ok=True)
    cuts = [*CUTS[:-1], whole.n_obs]
    parts = [whole[a:b].copy() for a, b in zip(cuts, cuts[1:], strict=False)]
    for i, part in enumerate(parts):
        write(part, folder / f"part{i}.{ending}")
    return parts


def write(adata: AnnData, path: Path) -> None:
    if path.suffix == ".zarr":
        shutil.rmtree(path, ignore_errors=True)
        adata.write_zarr(path)
    else:
        adata.write_h5ad(path)


def prepared(base: Path, config: DataConfig = COUNTS, **options) -> Table:
    return prepare(config, where="spec.yaml", base=base, **options)


def faults_of(base: Path, config: DataConfig = COUNTS, **options) -> list[str]:
    with pytest.raises(GxError) as caught:
        prepared(base, config, **options)
    return [str(fault) for fault in caught.value.faults]


def assert_same(got: Table, want: Table) -> None:
    assert np.array_equal(got.dense().x_ng, want.dense().x_ng) and got.x_ng.dtype == np.float32
    for name in ("obs_names", "var_names", "part_n", "total_n"):
        values, wanted = getattr(got, name), getattr(want, name)
        assert np.array_equal(values, wanted) and values.dtype == wanted.dtype
    for field in ("obs", "obsm"):
        values, wanted = getattr(got, field), getattr(want, field)
        assert values.keys() == wanted.keys()
        for name in wanted:
            np.testing.assert_array_equal(values[name], wanted[name])
            assert values[name].dtype == wanted[name].dtype
    assert {**got.facts, "source": ""} == {**want.facts, "source": ""}


VARIANTS = {
    "normalized, most variable genes": {},
    "counts, all genes": {"transform": [], "genes": Genes()},
    "logs": {"transform": ["log1p"], "genes": Genes(min_cells=40)},
}


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("ending", ["h5ad", "zarr"])
@pytest.mark.parametrize("layout", ["sparse", "dense"])
def test_shards_give_the_table_of_the_file_that_they_were_cut_from(tmp_path, whole, name, ending, layout):
    config = COUNTS.model_copy(update=VARIANTS[name])
    whole.write_h5ad(tmp_path / "whole.h5ad")
    cut(whole, tmp_path / "shards", ending)

    want = prepared(tmp_path, config.model_copy(update={"path": "whole.h5ad"}), layout=layout, extra_obs=["age"])
    got = prepared(tmp_path, config.model_copy(update={"path": "shards"}), layout=layout, extra_obs=["age"])

    assert_same(got, want)
    assert any("exactly the values" in text for text in got.facts["warnings"])
    assert isinstance(got.x_ng, MappedCSR if layout == "sparse" else np.ndarray)


def test_dense_shards_and_shards_by_columns_give_the_same(tmp_path, whole):
    kinds = [np.asarray, sparse.csc_matrix, lambda x: sparse.csr_matrix(x.astype(np.int64))]
    (tmp_path / "shards").mkdir()
    for i, (a, b) in enumerate(zip(CUTS, CUTS[1:], strict=False)):
        part = whole[a:b].copy()
        part.X = kinds[i](part.X.toarray())
        part.write_h5ad(tmp_path / f"shards/part{i}.h5ad")
    whole.write_h5ad(tmp_path / "whole.h5ad")

    got = prepared(tmp_path, layout="sparse")

    assert_same(got, prepared(tmp_path, COUNTS.model_copy(update={"path": "whole.h5ad"}), layout="sparse"))


def test_a_layer_tiles_and_genes_of_a_file_are_as_of_one_file(tmp_path):
    whole = load("sim_spatial")
    whole.layers["raw"] = whole.X.copy()
    whole.write_h5ad(tmp_path / "whole.h5ad")
    cut(whole, tmp_path / "shards")
    (tmp_path / "genes.txt").write_text("\n".join(whole.var_names[5:25]))
    tiles = Split(tiles=4, group="section")
    config = DataConfig(path="shards", layer="raw", spatial="spatial", genes=Genes(file="genes.txt"), split=tiles)

    got = prepared(tmp_path, config, layout="sparse")

    assert_same(got, prepared(tmp_path, config.model_copy(update={"path": "whole.h5ad"}), layout="sparse"))


def test_genes_in_another_order_are_aligned_to_the_first_shard(tmp_path, whole):
    parts = cut(whole, tmp_path / "shards")
    want = prepared(tmp_path, layout="sparse")
    order = np.random.default_rng(0).permutation(60)

    write(parts[2][:, order].copy(), tmp_path / "shards/part2.h5ad")

    got = prepared(tmp_path, layout="sparse")
    assert_same(got, want)
    assert got.x_ng.has_sorted_indices and (np.diff(got.x_ng[3].indices) > 0).all()


def test_a_column_that_only_the_model_reads_may_be_absent_from_a_shard(tmp_path, whole):
    parts = cut(whole, tmp_path / "shards")
    parts[0].obs = parts[0].obs.drop(columns=["age", "cell_type"]).assign(cell_type="x")
    write(parts[0], tmp_path / "shards/part0.h5ad")
    parts[2].obs["note"] = "seen"
    write(parts[2], tmp_path / "shards/part2.h5ad")

    obs = prepared(tmp_path, COUNTS.model_copy(update={"split": Split()}), extra_obs=["age", "note"]).obs

    assert np.isnan(obs["age"][:50]).all() and obs["age"][50] == 50
    assert obs["note"].tolist() == [""] * 51 + ["seen"] * 69 and obs["cell_type"][0] == "x"


def test_rows_of_one_name_in_two_shards_are_called_by_their_shards(tmp_path, whole):
    for folder in ("a", "b"):
        cut(whole[:60].copy(), tmp_path / "shards" / folder)

    table = prepared(tmp_path, COUNTS.model_copy(update={"path": "shards/**/*.h5ad"}))

    assert table.n_obs == 120 and table.obs_names[[0, 60]].tolist() == ["a/part0:cell000", "b/part0:cell000"]
    assert "rows of different shards have one name" in table.facts["warnings"][0]


def test_values_are_written_once_and_again_when_a_shard_or_a_setting_changes(tmp_path, whole, cache):
    def made() -> set[str]:
        return {path.name for path in cache.iterdir() if path.is_dir()}

    parts = cut(whole, tmp_path / "shards")
    first = prepared(tmp_path, layout="sparse")
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*.npy")}

    again = prepared(tmp_path, COUNTS.model_copy(update={"label": None}), layout="sparse")

    assert again.facts["sha256"] == first.facts["sha256"] and len(made()) == 1
    assert before == {path: path.stat().st_mtime_ns for path in cache.rglob("*.npy")}

    prepared(tmp_path, COUNTS.model_copy(update={"transform": ["log1p"]}))
    prepared(tmp_path, COUNTS.model_copy(update={"split": Split(seed=1)}))
    assert len(made()) == 3

    parts[1].X = parts[1].X + sparse.csr_matrix(np.eye(1, 60))
    write(parts[1], tmp_path / "shards/part1.h5ad")
    assert prepared(tmp_path).facts["sha256"] != first.facts["sha256"] and len(made()) == 4


@pytest.mark.parametrize("harm", ["cut", "zeros", "gone", "no manifest", "half a manifest"])
def test_a_damaged_cache_is_made_again(tmp_path, whole, cache, harm):
    cut(whole, tmp_path / "shards")
    want = prepared(tmp_path, layout="dense")
    (data,) = cache.glob("*/data.npy")
    manifest = data.with_name("manifest.json")
    content = data.read_bytes()
    if harm == "cut":
        data.write_bytes(content[:-40])
    elif harm == "zeros":
        data.write_bytes(content[:200] + bytes(len(content) - 200))
    elif harm == "gone":
        data.unlink()
    elif harm == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text(manifest.read_text()[:100])
    data.parent.with_name(f"{data.parent.name}.part").mkdir()  # of a process that was killed

    assert_same(prepared(tmp_path, layout="dense"), want)


def test_nothing_is_left_behind_by_a_corpus_that_is_faulty(tmp_path, whole, cache):
    whole.X.data[5] = np.nan
    cut(whole, tmp_path / "shards")

    faults_of(tmp_path)

    assert not [path for path in cache.iterdir() if path.is_dir()]


def test_a_cache_that_cannot_be_written_is_told(tmp_path, whole, monkeypatch):
    cut(whole, tmp_path / "shards")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GXSEARCH_CACHE", str(tmp_path / "file"))
    assert "error[E511]" in faults_of(tmp_path)[0]

    monkeypatch.setenv("GXSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 10}))
    assert "E511" in (fault := faults_of(tmp_path)[0]) and "GiB are free - set GXSEARCH_CACHE" in fault


@pytest.fixture
def mapped(tmp_path, whole) -> MappedCSR:
    cut(whole, tmp_path / "shards")
    return prepared(tmp_path, layout="sparse").x_ng


def test_a_mapped_matrix_is_handed_on_by_its_path(mapped):
    copy = pickle.loads(pickle.dumps(mapped))  # noqa: S301 - what Ray does with a table

    assert isinstance(copy, MappedCSR) and (copy != mapped).nnz == 0 and len(pickle.dumps(mapped)) < 600
    assert not copy.data.flags.writeable and isinstance(copy.data.base, np.memmap)


def test_rows_of_a_mapped_matrix_are_ordinary(mapped):
    rows = np.array([7, 3, 3, 119])
    dense = mapped.toarray()

    for cut_out, want in (
        (mapped[rows], dense[rows]),
        (mapped[10:20], dense[10:20]),
        (mapped[:, [1, 4]], dense[:, [1, 4]]),
    ):
        assert type(cut_out) is sparse.csr_matrix and np.array_equal(cut_out.toarray(), want)
    assert np.array_equal(pickle.loads(pickle.dumps(mapped[rows])).toarray(), dense[rows])  # noqa: S301
    assert np.array_equal((mapped.power(2).sum(0) + mapped.sum(0)).A1, (dense**2).sum(0) + dense.sum(0))


def test_a_mapped_matrix_whose_folder_is_not_on_this_machine_is_told(mapped):
    sent = pickle.dumps(mapped)
    shutil.rmtree(mapped.folder)

    with pytest.raises(GxError, match="E512.*set GXSEARCH_CACHE to a folder that all machines see"):
        pickle.loads(sent)  # noqa: S301


def test_an_epoch_takes_every_row_once_on_one_rank_in_equal_steps():
    rows = torch.arange(0, 2000, 2)

    for world_size in (1, 2, 3):
        given = {"block": 16, "pool": 4, "world_size": world_size}
        ranks = [
            list(shuffled(rows, 25, torch.Generator().manual_seed(5), rank=rank, **given)) for rank in range(world_size)
        ]

        assert sorted(torch.cat([part for rank in ranks for part, _ in rank]).tolist()) == rows.tolist()
        assert {len(rank) for rank in ranks} == {25}
        sizes = torch.tensor([[len(part) for part, _ in rank] for rank in ranks]).double()
        assert sizes.max() - sizes.min() <= 1
        assert all(np.allclose([size for _, size in rank], sizes.mean(0)) for rank in ranks)


def test_batches_of_a_corpus_read_a_few_blocks_at_a_time_and_another_order_each_epoch():
    rows, told = torch.arange(6400), []

    def epoch(seed: int) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        given = {"block": 64, "pool": 5, "expect": lambda first, last: told.append((first, last))}
        return [part for part, _ in shuffled(rows, 100, generator, **given)]

    first = epoch(1)

    assert all(len(set((part // 64).tolist())) <= 10 for part in first)  # of two pools at most
    assert np.mean([len(set((part // 64).tolist())) for part in first]) > 3  # and not of one block
    assert sorted(told) == [(a, a + 64) for a in range(0, 6400, 64)]
    assert all(torch.equal(a, b) for a, b in zip(first, epoch(1), strict=True))
    assert not torch.equal(torch.cat(first), torch.cat(epoch(2)))


def test_batches_of_a_matrix_in_memory_are_any_rows_the_same_for_all_ranks(mapped):
    rows = torch.arange(100)
    whole = [part for part, _ in batches(np.zeros((1, 1)), rows, 7, torch.Generator().manual_seed(0))]

    for rank in range(2):
        given = {"rank": rank, "world_size": 2}
        mine = batches(np.zeros((1, 1)), rows, 7, torch.Generator().manual_seed(0), **given)
        assert all(torch.equal(part, all_[rank::2]) for (part, _), all_ in zip(mine, whole, strict=True))
    order = in_order(mapped, rows, torch.Generator().manual_seed(0))
    assert sorted(order.tolist()) == rows.tolist() and order.tolist() != rows.tolist()


def test_counts_of_a_corpus_are_batched_like_those_of_a_file(tmp_path, whole):
    config = COUNTS.model_copy(update={"transform": [], "genes": Genes()})
    whole.write_h5ad(tmp_path / "whole.h5ad")
    cut(whole, tmp_path / "shards")
    tables = [
        prepared(tmp_path, config.model_copy(update={"path": p}), layout="sparse") for p in ("shards", "whole.h5ad")
    ]
    views = [CountsView.fit(table, CountsConfig()) for table in tables]

    assert views[0].state() == views[1].state()
    seen = []
    for view, table in zip(views, tables, strict=True):
        examples = view.examples(table, torch.device("cpu"))
        epoch = list(examples.train(16, torch.Generator().manual_seed(0)))
        assert len(epoch) == examples.steps(16)
        rows = np.concatenate([batch.x.numpy() for batch in epoch])
        seen.append(rows[np.lexsort(rows.T)])
        held = torch.cat([batch.x for batch in examples.validation()])
        assert np.array_equal(held.numpy(), table.x_ng[table.rows("val")].toarray())
    assert np.array_equal(*seen)


def changed(adata: AnnData, how: str) -> AnnData:
    """Return a shard with one thing wrong."""
    x_ng = adata.X.toarray()
    if how == "nan":
        x_ng[2, 3], x_ng[4, 4] = np.nan, np.inf
    elif how == "negative":
        x_ng[1, 1] = -1
    elif how == "zeros":
        x_ng[5] = 0
    adata.X = sparse.csr_matrix(x_ng)
    if how == "gene":
        return adata[:, :-1].copy()
    if how == "genes":
        adata.var_names = [*adata.var_names[:-1], "other"]
    elif how == "names":
        adata.obs_names = ["twice", "twice", *adata.obs_names[2:]]
    elif how == "column":
        del adata.obs["donor"]
    elif how == "gap":
        adata.obs["donor"] = [None, *adata.obs["donor"][1:].astype(str)]
    elif how == "empty":
        adata.X = None
    return adata


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("nan", "error[E412] shards/part2.h5ad!/X: 2 values NaN or infinite: row 'cell053' gene 'gene03' is nan, row"),
        ("negative", "error[E413] shards/part2.h5ad!/X: 1 value negative: row 'cell052' gene 'gene01' is -1"),
        ("zeros", "error[E415] shards/*.h5ad!/X: 1 row of zeros only: 'cell056'"),
        ("gene", "error[E444] shards/part2.h5ad!/var: lacks 1 gene of shards/part0.h5ad: 'gene59' - give all"),
        ("genes", "lacks 1 gene of shards/part0.h5ad: 'gene59'; has 1 gene that it lacks: 'other'"),
        ("names", "error[E416] shards/part2.h5ad!/obs_names: 1 name used more than once: 'twice'"),
        ("column", "error[E421] spec.yaml: data.split.group: shards/part2.h5ad has no obs column 'donor'"),
        ("gap", "error[E422] shards/*.h5ad!/obs/donor: 1 row without a value: 'cell051'"),
        ("empty", "error[E410] shards/part2.h5ad!/X: X is empty"),
    ],
)
def test_a_fault_of_one_shard_is_told_with_its_name(tmp_path, whole, how, told):
    parts = cut(whole, tmp_path / "shards")
    write(changed(parts[2], how), tmp_path / "shards/part2.h5ad")

    faults = faults_of(tmp_path)

    assert any(told in fault for fault in faults), faults
    assert len(faults) == 1


def test_shards_that_are_no_anndata_are_told_together(tmp_path, whole):
    cut(whole, tmp_path / "shards")
    with h5py.File(tmp_path / "shards/part0.h5ad", "w") as file:
        file["x"] = np.ones(3)
    content = (tmp_path / "shards/part2.h5ad").read_bytes()
    (tmp_path / "shards/part2.h5ad").write_bytes(content[:3000])

    faults = faults_of(tmp_path)

    assert [fault.split(":")[0] for fault in faults] == [f"error[E402] shards/part{i}.h5ad" for i in (0, 2)]
    assert "is no AnnData: it has no obs" in faults[0]


def test_a_damaged_sparse_structure_is_told_by_shard(tmp_path, whole):
    cut(whole, tmp_path / "shards")
    for i, (part, value) in enumerate((("indices", 999), ("indptr", 7), ("indices", -1))):
        with h5py.File(tmp_path / f"shards/part{i}.h5ad", "a") as file:
            file["X"][part][0] = value

    faults = faults_of(tmp_path)

    assert [fault[:31] for fault in faults] == [f"error[E411] shards/part{i}.h5ad!/" for i in range(3)]


def test_a_shard_that_links_elsewhere_is_refused(tmp_path, whole):
    cut(whole, tmp_path / "shards")
    with h5py.File(tmp_path / "shards/part1.h5ad", "a") as file:
        file["uns/link"] = h5py.ExternalLink("part0.h5ad", "X")

    with pytest.raises(UnsafeError, match="E801.*shards/part1.h5ad"):
        prepared(tmp_path)


def test_a_shard_that_changes_while_it_is_read_is_told(tmp_path, whole, monkeypatch):
    cut(whole, tmp_path / "shards")
    close = Corpus.transformed

    def touching(self, config, target):
        yield from close(self, config, target)
        (tmp_path / "shards/part0.h5ad").touch()

    monkeypatch.setattr(Corpus, "transformed", touching)

    assert "error[E446] shards/*.h5ad: a shard was changed while it was read" in faults_of(tmp_path)[0]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("none/*.h5ad", "error[E443] none/*.h5ad: no file fits this pattern"),
        ("empty", "error[E443] empty: there are no shards in this folder - shards end in .h5ad or .zarr"),
        ("both", "error[E443] both: shards of two kinds: 'part0.h5ad', ..., 'part0.zarr', ... - name one"),
        ("both/*", "shards of two kinds"),
        ("*.txt", "error[E443] *.txt: shards end in .h5ad or .zarr, not as 'a.txt' - narrow the pattern"),
        ("store", "it looks like zarr: rename it to end in .zarr"),
    ],
)
def test_a_path_without_shards_of_one_kind_is_told(tmp_path, whole, path, told):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").write_text("")
    cut(whole, tmp_path / "both")
    cut(whole, tmp_path / "both", "zarr")
    shutil.copytree(tmp_path / "both/part0.zarr", tmp_path / "store")

    assert told in faults_of(tmp_path, COUNTS.model_copy(update={"path": path}))[0]


def test_what_needs_all_values_at_once_is_refused_for_shards(tmp_path, whole):
    cut(whole, tmp_path / "shards")
    config = DataConfig(path="shards", orientation="genes", view={"missing": "mask"})

    assert [fault[:11] for fault in faults_of(tmp_path, config)] == ["error[E445]"] * 2
    with pytest.raises(DataError, match="E447.*here one file is needed"):
        load(str(tmp_path / "shards"))


def test_memory_does_not_grow_with_the_corpus(tmp_path, monkeypatch):
    monkeypatch.setattr(shard_file, "VALUES", 20_000)
    rng, shards = np.random.default_rng(0), tmp_path / "shards"
    shards.mkdir()
    names = [f"gene{i}" for i in range(1500)]
    for i in range(8):
        x_ng = sparse.random(400, 1500, 0.3, "csr", np.float32, random_state=rng)
        x_ng.data = np.ceil(9 * x_ng.data)
        adata = AnnData(x_ng, obs={"donor": np.full(400, f"d{i}")})
        adata.obs_names, adata.var_names = [f"{i}-{j}" for j in range(400)], names
        adata.write_h5ad(shards / f"part{i:02}.h5ad")
    config = DataConfig(
        path="shards", split=Split(group="donor"), transform=["normalize", "log1p"], genes=Genes(top_variable=1200)
    )
    tracemalloc.start()

    table = prepared(tmp_path, config, layout="sparse")

    peak, size = tracemalloc.get_traced_memory()[1], table.x_ng.data.nbytes + table.x_ng.indices.nbytes
    tracemalloc.stop()
    assert table.x_ng.shape == (3200, 1200) and size > 9e6
    assert peak < 0.4 * size


@pytest.mark.slow
def test_two_ranks_search_on_a_corpus_and_its_results_are_made(tmp_path, whole):
    cut(whole, tmp_path / "shards")
    space = Path(__file__).parents[2] / "search_spaces/nbvae_smoke.yaml"
    sets = [f"data.path={tmp_path}/shards/*.h5ad", "budget.trials=1", "budget.epochs=2", "resources.workers=2"]
    spec = api.load_spec(space, *sets, "search.start=[]", "search.startup=1")

    run = api.tune(spec, out=tmp_path / "runs", name="corpus", quiet=True)

    assert read_h5ad(run.embeddings).obsm["X_nbvae"].shape[0] == 120
    assert embeddings(run).shape == (120, 60)  # the data are prepared again, and are those of the run
