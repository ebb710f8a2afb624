"""The tokenizer: bins against a scalar reference, edges by hand, JSON, levels, phenotypes, large tokens in files."""

import json

import numpy as np
import pytest
from scipy import sparse

from gxsearch.data import token_cache
from gxsearch.data.table import Table
from gxsearch.data.token_phenotypes import Phenotype, balance
from gxsearch.data.token_values import TokenValues
from gxsearch.data.tokenizer import Binning, Tokenizer, Tokens, fit_edges, occupancy
from gxsearch.errors import ResourceError

BINNINGS = [
    {"threshold": 0.0},
    {"threshold": 1.5},
    {"binning": "uniform", "n_bins": 6, "low": 0.5, "high": 4.0},
    {"binning": "uniform", "n_bins": 50, "low": 0.5, "high": 4.0},
    {"binning": "quantile", "n_bins": 5},
    {"binning": "quantile", "n_bins": 5, "per_gene": True},
]


def values(n: int = 60, g: int = 25) -> sparse.csr_matrix:
    """Return values of two decimals, of which some lie on edges and some zeros are stored."""
    rng = np.random.default_rng(0)
    x_ng = np.round(rng.gamma(1.0, 1.5, (n, g)), 2) * (rng.random((n, g)) < 0.4)
    x_ng[0, 0], x_ng[1, 1] = 0.5, 4.0
    x_ng = sparse.csr_matrix(x_ng.astype(np.float32))
    x_ng.data[5] = 0.0
    return x_ng


def tokenizer(x_ng: sparse.csr_matrix, **settings) -> Tokenizer:
    edges = fit_edges(x_ng, Binning(**settings))
    vocabulary = [Phenotype("sex", ("f", "m")), Phenotype("age", ("1-2", "3"), (2.5,))]
    genes = np.array([f"g{i}" for i in range(x_ng.shape[1])])
    return Tokenizer(genes, edges, occupancy([x_ng], edges)[1], vocabulary)


def kept(made: Tokenizer, x_ng: sparse.csr_matrix) -> Tokens:
    rows = np.array([f"r{i}" for i in range(x_ng.shape[0])])
    table = Table(x_ng, rows, made.genes, np.zeros(len(rows), np.int8))
    return token_cache.kept(made, TokenValues(table, made.genes))


def scalar(value: float, edges: np.ndarray) -> int:
    """Return the bin of one value: how many edges are at or below it."""
    found = 0
    for edge in edges:
        if value > 0 and value >= edge:
            found += 1
    return found


def by_hand(x_ng: sparse.csr_matrix, made: Tokenizer) -> np.ndarray:
    dense_ng = x_ng.toarray()
    edges_g = np.broadcast_to(made.edges, (x_ng.shape[1], made.n_bins - 1))
    return np.array([[scalar(x, edges_g[g]) for g, x in enumerate(row)] for row in dense_ng])


@pytest.mark.parametrize("settings", BINNINGS, ids=str)
def test_bins_are_those_of_the_scalar_reference(settings):
    x_ng = values()
    made = tokenizer(x_ng, **settings)

    tokens = made.encode(x_ng)

    assert np.array_equal(tokens.dense(), by_hand(x_ng, made))
    assert (tokens.bin > 0).all() and tokens.bin.dtype == np.uint8 and tokens.gene.dtype == np.int32
    rows = np.array([7, 0, 59, 7])
    assert np.array_equal(tokens.take(rows).dense(), tokens.dense()[rows])


@pytest.mark.parametrize("settings", BINNINGS, ids=str)
def test_json_gives_the_same_tokenizer_again(settings):
    made = tokenizer(values(), **settings)

    again = Tokenizer.from_json(made.to_json())

    assert again.to_json() == made.to_json() and again.phenotypes == made.phenotypes
    for one, other in ((again.edges, made.edges), (again.levels, made.levels), (again.genes, made.genes)):
        assert one.dtype == other.dtype and np.array_equal(one, other)
    assert again.vocabulary == made.vocabulary


def test_columns_in_no_order_give_the_same_tokens():
    x_ng, unsorted = values(), values()
    for start, end in zip(unsorted.indptr[:-1], unsorted.indptr[1:], strict=True):
        unsorted.data[start:end], unsorted.indices[start:end] = (
            part[start:end][::-1].copy() for part in (unsorted.data, unsorted.indices)
        )
    unsorted.has_sorted_indices = False
    made = tokenizer(x_ng, threshold=0.0)

    one, other = made.encode(x_ng), made.encode(unsorted)

    assert np.array_equal(one.gene, other.gene) and np.array_equal(one.bin, other.bin)


def test_uniform_edges_go_from_low_to_high_and_the_top_bin_is_open():
    edges = fit_edges(values(), Binning(binning="uniform", n_bins=10, low=0.1, high=9.0))

    np.testing.assert_allclose(edges, np.linspace(0.1, 9.0, 9), rtol=1e-6)
    assert scalar(0.05, edges) == 0 and scalar(9.0, edges) == scalar(99.0, edges) == 9


def test_quantile_bins_hold_about_the_same_number_of_values():
    x_ng = sparse.csr_matrix(np.random.default_rng(0).gamma(2.0, size=(200, 30)).astype(np.float32))

    times_b = occupancy([x_ng], fit_edges(x_ng, Binning(binning="quantile", n_bins=5)))[0].sum(0)
    times_gb = occupancy([x_ng], fit_edges(x_ng, Binning(binning="quantile", n_bins=5, per_gene=True)))[0]

    assert times_b.tolist() == [0, 1500, 1500, 1500, 1500]
    assert (times_gb[:, 1:] == 50).all()


def test_counts_that_are_alike_share_a_bin_and_leave_fewer():
    x_ng = sparse.csr_matrix(np.array([[1, 1, 1, 1, 1, 1, 2, 2, 5, 9]], dtype=np.float32))

    made = tokenizer(x_ng, binning="quantile", n_bins=6)

    assert made.n_bins == len(made.edges) + 1 < 6
    assert made.encode(x_ng).bin.tolist() == [1] * 6 + [2] * 2 + [3] * 2


def test_a_gene_without_values_has_the_edges_of_all():
    x_ng = values()
    x_ng = sparse.csr_matrix(x_ng.multiply(np.arange(25) != 3).astype(np.float32))

    edges = fit_edges(x_ng, Binning(binning="quantile", n_bins=4, per_gene=True))

    shared = np.quantile(x_ng.data[x_ng.data > 0], [1 / 3, 2 / 3])
    np.testing.assert_allclose(edges[3], [0, *shared], rtol=1e-6)


def test_levels_are_means_of_training_values_and_bins_decode_to_them():
    x_ng = values()
    made = tokenizer(x_ng, binning="uniform", n_bins=5, low=0.5, high=4.0)
    bin_ng, dense_ng = made.encode(x_ng).dense(), x_ng.toarray()

    decoded_ng = made.decode(bin_ng)

    for gene in (0, 7, 24):
        for b in np.unique(bin_ng[:, gene]):
            mine = bin_ng[:, gene] == b
            np.testing.assert_allclose(decoded_ng[mine, gene], dense_ng[mine, gene].mean(), rtol=1e-5)
    times_gb = occupancy([x_ng], made.edges)[0]
    assert np.array_equal(times_gb[4], np.bincount(bin_ng[:, 4], minlength=5))


def test_a_bin_that_a_gene_never_has_stands_for_that_of_other_genes_or_for_its_middle():
    x_ng = sparse.csr_matrix(np.array([[1.2, 0.0], [3.0, 1.4]], dtype=np.float32))

    _, levels = occupancy([x_ng], np.array([1.0, 2.0, 4.0, 8.0], dtype=np.float32))

    np.testing.assert_allclose(levels, [[0, 1.2, 3.0, 6.0, 8.0], [0, 1.4, 3.0, 6.0, 8.0]], rtol=1e-6)


def test_words_for_not_specified_are_no_category():
    sex = np.array(["m", "f", "", "Unknown", " NaN", "x"])

    made = Phenotype.fit("sex", sex[:5], 4, ["unknown", "nan"])

    assert made.categories == ("f", "m") and made.cuts is None
    assert made.codes(sex).tolist() == [1, 0, -1, -1, -1, -1]
    assert made.unseen(sex, ["unknown", "nan"]) == 1


def test_few_numbers_are_categories_and_many_are_cut_at_quantiles():
    day, age = np.array([1.0, 3.0, np.nan, 3.0]), np.append(np.arange(40, 80), np.nan)

    days, ages = Phenotype.fit("day", day, 4, []), Phenotype.fit("age", age, 4, [])

    assert days.categories == ("1", "3") and days.codes(day).tolist() == [0, 1, -1, 1]
    assert ages.categories == ("40-49", "50-59", "60-69", "70-79")
    assert np.bincount(ages.codes(age[:-1])).tolist() == [10] * 4
    assert ages.codes(np.array([12.0, 49, 50, 69, 70, 99, np.nan])).tolist() == [0, 0, 1, 2, 3, 3, -1]
    assert ages.codes(np.array(["55", "old", ""])).tolist() == [1, -1, -1]


def test_numbers_that_are_not_whole_are_cut_into_ranges_with_names_of_their_own():
    made = Phenotype.fit("score", np.random.default_rng(0).normal(1000, 1e-3, 200), 5, [])

    assert len(set(made.categories)) == 5 and len(made.cuts) == 4
    assert Phenotype.load(json.loads(json.dumps(made.state()))) == made


def test_weights_make_a_mean_over_known_rows_one_over_the_classes_there():
    code_np = np.array([[0, -1], [0, -1], [0, -1], [2, -1], [-1, -1], [1, 0]])
    right_n = np.array([1, 0, 0, 1, 1, 1])

    weight_np, known_p = balance(code_np, np.arange(5))

    assert (weight_np[:4, 0] * right_n[:4]).mean() == pytest.approx((1 / 3 + 1) / 2)
    assert known_p.tolist() == pytest.approx([0.8, 0.0])
    assert not weight_np[5].any() and not weight_np[:, 1].any()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GXSEARCH_CACHE", str(tmp_path))
    monkeypatch.setattr(token_cache, "LARGE", 100)
    return tmp_path / "tokens"


def test_many_tokens_are_mapped_from_a_file_and_few_are_not(cache):
    x_ng = values()
    made = tokenizer(x_ng, binning="quantile", n_bins=5)

    large, again, small = (kept(made, data) for data in (x_ng, x_ng, x_ng[:1]))

    assert isinstance(large.bin, np.memmap) and isinstance(again.gene, np.memmap)
    assert np.array_equal(large.dense(), by_hand(x_ng, made)) and np.array_equal(again.dense(), large.dense())
    assert not isinstance(small.bin, np.memmap)
    assert len(list(cache.iterdir())) == 1


def test_other_values_or_edges_have_a_file_of_their_own(cache):
    x_ng, other = values(), values()
    other.data[3] += 1

    for data in (x_ng, other):
        for threshold in (0.0, 1.0):
            made = tokenizer(data, threshold=threshold)
            assert np.array_equal(kept(made, data).dense(), made.encode(data).dense())

    assert len(list(cache.iterdir())) == 4


@pytest.mark.parametrize("damage", ["shorter", "flipped", "gone", "no sums"])
def test_a_damaged_file_is_never_trusted(cache, caplog, damage):
    x_ng = values()
    made = tokenizer(x_ng, threshold=0.0)
    kept(made, x_ng)
    folder = next(cache.iterdir())
    whole = (folder / "bin.npy").read_bytes()
    if damage == "shorter":
        (folder / "bin.npy").write_bytes(whole[:-1])
    elif damage == "flipped":
        (folder / "bin.npy").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    else:
        (folder / {"gone": "gene.npy", "no sums": "sums.json"}[damage]).unlink()

    again = kept(made, x_ng)

    assert np.array_equal(again.dense(), by_hand(x_ng, made))
    assert "encoded again" in caplog.text and (folder / "bin.npy").read_bytes() == whole


def test_nothing_is_left_of_a_file_that_could_not_be_written(cache, monkeypatch):
    x_ng = values()
    made = tokenizer(x_ng, threshold=0.0)

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(ResourceError, match="E511.*no space left.*GXSEARCH_CACHE"):
        kept(made, x_ng)

    assert not list(cache.iterdir())
