"""The view of tokens: order of genes, layouts, what is hidden, absent genes, phenotypes, ranks, refusals, exports."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from scipy import sparse

from gxsearch.data import token_cache, tokens
from gxsearch.data.cache import MappedCSR, Writer
from gxsearch.data.entries import row_keys, scramble
from gxsearch.data.prepare import prepare
from gxsearch.data.table import DataConfig, Table
from gxsearch.data.tokens import TokensConfig, TokensView
from gxsearch.errors import DataError, RunError
from gxsearch.training.checkpoint import publish

CPU = torch.device("cpu")


def told_rows(batch) -> list[list[int]]:
    """Return the bins of all genes of each row of a batch of 40 genes."""
    bin_ng = torch.zeros(len(batch.x), 40, dtype=torch.int64)
    return bin_ng.scatter_reduce_(1, batch.gene.expand_as(batch.x), batch.x, "amax").tolist()


def make(n: int = 60, g: int = 40, **obs) -> Table:
    """Return counts of which gene 3 varies most and training rows never have gene 5; columns that are given."""
    rng = np.random.default_rng(0)
    x_ng = rng.poisson(rng.gamma(0.6, 1.0, g), (n, g)).astype(np.float32)
    x_ng[:, 3] *= 20
    part_n = np.zeros(n, dtype=np.int8)
    part_n[n // 2 : 3 * n // 4], part_n[3 * n // 4 :] = 1, 2
    x_ng[part_n == 0, 5], x_ng[part_n > 0, 5] = 0, 4
    names = [np.array([f"{kind}{i}" for i in range(m)]) for kind, m in (("r", n), ("g", g))]
    columns = {name: np.asarray(values) for name, values in obs.items()}
    return Table(sparse.csr_matrix(x_ng), *names, part_n, columns, facts={"transform": []})


def fit(table: Table, **settings) -> TokensView:
    return TokensView.fit(table, TokensConfig(**settings))


def epoch(view: TokensView, table: Table, size: int = 8, seed: int = 0, **share) -> list:
    return list(view.examples(table, CPU).train(size, torch.Generator().manual_seed(seed), **share))


def validation(view: TokensView, table: Table) -> list:
    return list(view.examples(table, CPU).validation())


def told_by(batch, row: int) -> dict[int, int]:
    """Return the tokens of a row as gene: bin, and check that none is there twice."""
    length = int(batch.length[row])
    gene = batch.gene[row, :length].tolist()
    assert len(set(gene)) == len(gene)
    return dict(zip(gene, batch.x[row, :length].tolist(), strict=True))


def test_genes_stand_by_decreasing_variance_of_training_rows_whatever_the_order_of_the_table():
    table = make()
    turned = dataclasses.replace(table, x_ng=table.x_ng[:, ::-1].copy(), var_names=table.var_names[::-1].copy())
    held = table.x_ng.toarray()
    held[table.part_n > 0] *= 9

    view = fit(table)

    variance_g = table.x_ng.toarray()[table.rows("train")].var(0)
    place_g = [int(name[1:]) for name in view.genes]
    assert view.genes[0] == "g3" and (np.diff(variance_g[place_g]) <= 1e-4).all()
    assert np.array_equal(fit(turned).genes, view.genes)
    assert np.array_equal(fit(dataclasses.replace(table, x_ng=sparse.csr_matrix(held))).genes, view.genes)
    assert np.array_equal(view.bins(turned), view.bins(table))


def test_what_is_learnt_is_learnt_from_training_rows_alone():
    table = make(sex=["f", "m", ""] * 20)
    x_ng = table.x_ng.toarray()
    x_ng[table.part_n > 0] = 7
    sex_n = np.where(table.part_n > 0, "x", table.obs["sex"])
    changed = dataclasses.replace(table, x_ng=sparse.csr_matrix(x_ng), obs={"sex": sex_n})

    for binning in ("binary", "uniform", "quantile"):
        settings = {"binning": binning, "n_bins": 4, "phenotypes": ["sex"]}
        assert fit(changed, **settings).state() == fit(table, **settings).state()


def test_the_state_is_json_and_rebuilds_the_view():
    table = make(sex=["f", "m", ""] * 20, age=np.arange(60.0))
    view = fit(table, binning="quantile", per_gene=True, phenotypes=["sex", "age"], layout="expressed")

    again = TokensView.load(json.loads(json.dumps(view.state())))

    assert again.state() == view.state() and again.dims == view.dims
    for one, other in zip(validation(again, table), validation(view, table), strict=True):
        assert torch.equal(one.x, other.x) and torch.equal(one.hidden, other.hidden)


def test_frequencies_are_shares_of_training_rows_with_half_a_row_more():
    table = make(sex=["f", "f", "m"] * 20)
    view = fit(table, threshold=0.0, phenotypes=["sex"])

    found_g = (view.bins(table)[table.rows("train")] > 0).sum(0)

    np.testing.assert_allclose(view.frequency[:, 1], (found_g + 0.5) / 31)
    np.testing.assert_allclose(view.phenotype_share["sex"], [20.5 / 31, 10.5 / 31])
    assert view.dims.n_rows == 30 and view.dims.phenotypes == {"sex": 2} and view.dims.n_bins == 2


def test_a_dense_batch_is_the_bins_of_its_rows_for_all_genes():
    table = make()
    view = fit(table, binning="quantile", n_bins=4)

    batches = epoch(view, table)

    x = torch.cat([batch.x for batch in batches]).numpy()
    expected = view.bins(table)[table.rows("train")]
    assert np.array_equal(np.unique(x, axis=0), np.unique(expected, axis=0))
    assert sorted(map(tuple, x.tolist())) == sorted(map(tuple, expected.tolist()))
    assert all(b.hidden is None and b.length is None and b.phenotype is None for b in batches)
    assert all(torch.equal(b.gene, torch.arange(40)[None]) for b in batches)


def test_many_rows_are_made_dense_a_batch_at_a_time(monkeypatch, tmp_path):
    table = make()
    view = fit(table)
    whole = epoch(view, table)
    monkeypatch.setenv("GXSEARCH_CACHE", str(tmp_path))
    monkeypatch.setattr(token_cache, "LARGE", 10)

    mapped = epoch(view, table)

    assert all(torch.equal(one.x, other.x) for one, other in zip(whole, mapped, strict=True))
    assert list((tmp_path / "tokens").iterdir())


@pytest.mark.parametrize("layout", ["dense", "expressed"])
def test_a_corpus_on_disk_gives_the_tokens_of_the_same_rows_in_memory(layout, monkeypatch, tmp_path):
    monkeypatch.setenv("GXSEARCH_CACHE", str(tmp_path))
    table = make(n=3000)
    table.x_ng.sort_indices()
    writer = Writer(tmp_path, 40, most=table.x_ng.nnz)
    for start in range(0, 3000, 700):
        writer.add(table.x_ng[start : start + 700])
    writer.close({})
    corpus = dataclasses.replace(table, x_ng=MappedCSR.open(tmp_path))
    settings = {"layout": layout, "binning": "quantile", "n_bins": 4}
    view = fit(table, **settings)
    monkeypatch.setattr(token_cache, "LARGE", 10)

    mapped = fit(corpus, **settings)

    assert mapped.state() == view.state()
    assert np.array_equal(mapped.bins(corpus), view.bins(table))
    one, other = (sorted(tuple(row) for b in epoch(view, t, 100) for row in told_rows(b)) for t in (corpus, table))
    assert one == other


def test_quantiles_of_very_many_values_are_those_of_some_rows(monkeypatch):
    table = make(n=3000)
    exact = fit(table, binning="quantile", n_bins=4)
    monkeypatch.setattr(tokens, "_SAMPLE", 5000)

    view = fit(table, binning="quantile", n_bins=4)

    assert view.times_gb.sum() == exact.times_gb.sum()
    np.testing.assert_allclose(view.tokenizer.edges, exact.tokenizer.edges, rtol=0.2)


def test_hidden_tokens_are_a_share_of_each_row_by_names_of_row_and_gene_alone():
    table = make()
    view = fit(table, seed=3)

    hidden_ng = view.hidden(table.obs_names)

    assert (hidden_ng.sum(1) == 6).all()
    key_g = scramble(row_keys(np.array(["r7"]), 3) ^ row_keys(view.genes, 3))
    assert set(np.flatnonzero(hidden_ng[7])) == set(np.argsort(key_g)[:6])
    assert np.array_equal(view.hidden(table.obs_names[::-1]), hidden_ng[::-1])
    assert not np.array_equal(fit(table, seed=4).hidden(table.obs_names), hidden_ng)


@pytest.mark.parametrize("layout", ["dense", "expressed"])
def test_validation_and_cut_hide_the_same_tokens_of_a_row(layout):
    table = make()
    view = fit(table, layout=layout, absent=0.5)
    val = table.take(table.rows("val"))

    def hidden(batches) -> list:
        found = []
        for batch in batches:
            gene = batch.gene.expand_as(batch.x)
            found += [sorted(gene[i][batch.hidden[i]].tolist()) for i in range(len(batch.x))]
        return sorted(found)

    assert hidden(validation(view, table)) == hidden(view.cut(val, CPU, hidden=True))
    assert all(batch.hidden is None for batch in view.cut(val, CPU))


def test_expressed_tokens_are_the_most_variable_expressed_genes_up_to_the_longest_length():
    table = make()
    view = fit(table, layout="expressed", threshold=0.0, absent=0.0, max_length=7)
    bins = view.bins(table)

    rows = [told_by(batch, i) for batch in view.cut(table, CPU) for i in range(len(batch.x))]

    for row, told in enumerate(rows):
        assert list(told) == np.flatnonzero(bins[row])[:7].tolist()
        assert set(told.values()) <= {1}
    assert max(map(len, rows)) == 7


def test_padding_is_zeros_after_the_length_and_as_wide_as_the_longest_row():
    table = make()
    for batch in epoch(fit(table, layout="expressed", absent=0.3), table):
        beyond = torch.arange(batch.x.shape[1]) >= batch.length[:, None]
        assert batch.x.shape[1] == int(batch.length.max())
        assert not batch.x[beyond].any() and not batch.gene[beyond].any() and not batch.hidden[beyond].any()


@pytest.mark.parametrize("part", ["train", "val"])
def test_absent_genes_are_hidden_and_never_ones_that_are_expressed_or_that_training_never_expressed(part):
    n = np.arange(60)
    table = make(one=np.char.mod("%d", n % 6), two=np.char.mod("%d", n % 10))
    names = ["one", "two"]  # which together tell the row among those of its part
    view = fit(table, layout="expressed", threshold=0.0, absent=1.0, max_length=3, phenotypes=names)
    place = {tuple(code): row for row, code in enumerate(view.codes(table).tolist()) if row in table.rows(part)}
    bins, never, seen = view.bins(table), int(np.flatnonzero(view.genes == "g5")[0]), set()

    for batch in epoch(view, table) if part == "train" else validation(view, table):
        for i in range(len(batch.x)):
            row, told = place[tuple(batch.phenotype[i].tolist())], told_by(batch, i)
            absent = [gene for gene, b in told.items() if b == 0]
            assert [gene for gene, b in told.items() if b] == np.flatnonzero(bins[row])[:3].tolist()
            assert len(absent) == max(1, len(told) - len(absent))
            assert not bins[row, absent].any() and never not in absent
            assert batch.hidden[i][: len(told)][batch.x[i, : len(told)] == 0].all()
            assert part == "val" or int(batch.hidden[i].sum()) == len(absent)
            seen.add(row)
    assert seen == set(table.rows(part).tolist())


def test_absent_genes_are_drawn_as_often_as_training_rows_express_them():
    n, g = 4000, 6
    rng = np.random.default_rng(0)
    share_g = np.array([0.05, 0.1, 0.2, 0.3, 0.4, 0.0])
    x_ng = (rng.random((n, g)) < share_g).astype(np.float32)
    x_ng[: n // 2, 5] = np.arange(n // 2) % 2  # a gene that half of the rows have
    names = [np.array([f"{kind}{i:04}" for i in range(m)]) for kind, m in (("r", n), ("g", g))]
    part_n = np.repeat(np.array([0, 1], dtype=np.int8), n // 2)
    x_ng[part_n == 1] = 0  # rows without tokens, which get one absent gene each
    table = Table(sparse.csr_matrix(x_ng), *names, part_n)
    view = fit(table, layout="expressed", threshold=0.0, absent=0.1)

    drawn = torch.cat([batch.gene[:, 0] for batch in validation(view, table)])

    chance_g = (view.bins(table)[: n // 2] > 0).sum(0)
    expected_g = chance_g / chance_g.sum() * len(drawn)
    found_g = np.bincount(drawn.numpy(), minlength=g)
    assert len(drawn) == n // 2
    assert ((found_g - expected_g) ** 2 / expected_g).sum() < 20.5  # chi-square of 5 degrees: chance 0.001


def test_the_generator_draws_the_absent_genes_again_and_another_draws_others():
    table = make()
    view = fit(table, layout="expressed", absent=1.0)

    one, same, other = (epoch(view, table, 100, seed) for seed in (0, 0, 1))

    assert torch.equal(one[0].gene, same[0].gene) and not torch.equal(one[0].gene, other[0].gene)


@pytest.mark.parametrize("layout", ["dense", "expressed"])
def test_every_row_is_read_once_an_epoch_and_ranks_share_its_batches(layout):
    table = make(name=[f"r{i}" for i in range(60)], n=60)
    view = fit(table, layout=layout, absent=0.4)
    plain = view.bins(table)[table.rows("train")].tolist()

    whole, ranks = epoch(view, table), [epoch(view, table, rank=r, world_size=3) for r in range(3)]

    assert sorted(row for batch in whole for row in told_rows(batch)) == sorted(plain)
    assert len({len(batch.x) for batch in whole}) <= 2 and len(whole) == 4
    for batch, *parts in zip(whole, *ranks, strict=True):
        assert sorted(row for part in parts for row in told_rows(part)) == sorted(told_rows(batch))
        assert sum(float(part.total) for part in parts) == pytest.approx(len(batch.x))
        if layout == "expressed":
            absent = sorted(gene for part in parts for gene in part.gene[part.hidden].tolist())
            assert absent == sorted(batch.gene[batch.hidden].tolist())


def test_buckets_by_length_leave_little_padding():
    n, g = 2000, 300
    rng = np.random.default_rng(0)
    x_ng = (rng.random((n, g)) < rng.beta(1, 4, (n, 1))).astype(np.float32)
    names = [np.array([f"{kind}{i}" for i in range(m)]) for kind, m in (("r", n), ("g", g))]
    table = Table(sparse.csr_matrix(x_ng), *names, (np.arange(n) % 10 == 0).astype(np.int8))
    view = fit(table, layout="expressed", threshold=0.0)

    batches = epoch(view, table, 32)
    padded = 1 - sum(int(b.length.sum()) for b in batches) / sum(b.x.numel() for b in batches)

    assert padded < 0.1  # lengths are 0 to 230; rows in random order leave two thirds
    mean = [float(b.length.float().mean()) for b in batches]
    assert abs(np.corrcoef(mean, np.arange(len(mean)))[0, 1]) < 0.4  # short and long batches are mixed


def test_phenotypes_are_told_by_name_and_others_kept_back():
    table = make(sex=["f", "m", "unknown"] * 20, age=np.arange(60.0))
    view = fit(table, phenotypes=["sex", "age"], phenotype_bins=3)

    everything, sex, nothing = (
        torch.cat([b.phenotype for b in view.cut(table, CPU, told=told)]) for told in (None, ("sex",), ())
    )

    assert everything[:6].tolist() == [[0, 0], [1, 0], [-1, 0], [0, 0], [1, 0], [-1, 0]]
    assert torch.equal(everything[:, 0], sex[:, 0]) and (sex[:, 1] == -1).all() and (nothing == -1).all()
    assert view.tokenizer.phenotypes == {"sex": ["f", "m"], "age": ["0-9", "10-19", "20-29"]}


def test_new_data_without_a_column_or_with_other_categories_leave_the_phenotype_open_and_are_counted():
    table = make(sex=["f", "m", "unknown"] * 20, age=np.arange(60.0))
    view = fit(table, phenotypes=["sex", "age"])

    new = dataclasses.replace(table, obs={"sex": np.array(["f", "hermaphrodite", ""] * 20)})

    assert view.codes(new)[:3].tolist() == [[0, -1], [-1, -1], [-1, -1]]
    assert view.unseen(new) == {"sex": 20} and view.unseen(table) == {"sex": 0, "age": 0}
    batch = next(view.cut(new, CPU))
    assert batch.known.tolist() == pytest.approx([1 / 3, 0.0])


def test_batches_carry_weights_of_the_training_rows_and_the_share_known():
    table = make(sex=["f", "f", "m", ""] * 15)
    view = fit(table, phenotypes=["sex"])

    batches = epoch(view, table)

    balance, code = (torch.cat([getattr(b, name) for b in batches])[:, 0] for name in ("balance", "phenotype"))
    sizes = [int((code == c).sum()) for c in (0, 1)]
    assert balance[code == 0].sum() == pytest.approx(sum(sizes) / 2)
    assert balance[code == 1].sum() == pytest.approx(sum(sizes) / 2)
    assert not balance[code < 0].any() and batches[0].known[0] == pytest.approx(sum(sizes) / 30)


REFUSALS = {
    "values below zero": ({"low": -1.0}, {}, r"E486\] .*the smallest is -1 .*z-scores"),
    "nothing expressed": ({}, {"threshold": 1e6}, r"E487\] data.view.binning: binary: no value .* is expressed"),
    "all expressed": ({"add": 1.0}, {"threshold": 0.0}, r"E487\] .*all values of the training rows are in bin 1"),
    "low above high": (
        {},
        {"binning": "uniform", "low": 9.0, "high": 3.0},
        r"E489\] data.view.low: low 9 is not below",
    ),
    "one category": (
        {},
        {"phenotypes": ["same"]},
        r"E488\] .*1 categories of 'same', which tells nothing - leave it out",
    ),
    "names": ({}, {"phenotypes": ["name"]}, r"E488\] .*30 categories of 'name', and there are 30 rows"),
    "twice": ({}, {"phenotypes": ["sex", "sex"]}, r"E489\] data.view.phenotypes: 'sex' is named more than once"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_read_as_tokens_is_refused_in_one_line(case):
    change, settings, line = REFUSALS[case]
    table = make(same=["a"] * 60, name=[f"n{i}" for i in range(60)], sex=["f", "m"] * 30)
    x_ng = table.x_ng.toarray() + change.get("add", 0.0)
    x_ng[0, 0] = change.get("low", x_ng[0, 0])

    with pytest.raises(DataError, match=line) as caught:
        fit(dataclasses.replace(table, x_ng=sparse.csr_matrix(x_ng)), **settings)

    assert len(caught.value.faults) == 1


def test_too_few_rows_and_all_else_that_is_wrong_are_told_together():
    table = dataclasses.replace(make(), part_n=np.full(60, 2, dtype=np.int8))
    table.facts["orientation"] = "genes"

    with pytest.raises(DataError) as caught:
        fit(table, binning="uniform", low=5.0, high=1.0)

    assert [fault.code for fault in caught.value.faults] == ["E486", "E430", "E430", "E489"]


def test_a_column_that_the_data_lack_is_refused_before_anything_is_read(tmp_path):
    obs = pd.DataFrame({"cell_type": ["a", "b"] * 20}, index=[f"c{i}" for i in range(40)])
    AnnData(np.ones((40, 5), dtype=np.float32), obs=obs).write_h5ad(tmp_path / "x.h5ad")
    columns = TokensView.columns(TokensConfig(phenotypes=["cell_typ"]))

    with pytest.raises(DataError, match="E421.*no obs column 'cell_typ' - did you mean 'cell_type'?"):
        prepare(DataConfig(path=str(tmp_path / "x.h5ad")), where="test", extra_obs=columns)


def export(folder, view: TokensView, transform: tuple = ()) -> str:
    told = {"state": view.state(), "data": {"transform": list(transform)}, "facts": {}}
    publish(folder, {"view.json": json.dumps(told).encode()})
    return str(folder)


def test_a_pretrained_tokenizer_is_taken_with_genes_bins_and_categories(tmp_path):
    first = fit(make(sex=["f", "m", "x"] * 20), binning="quantile", n_bins=4, phenotypes=["sex"])
    table = make(n=80, sex=["m", "f"] * 40, organ=["liver", "lung"] * 40)
    more = sparse.hstack([sparse.csr_matrix(np.full((80, 2), 9.0, np.float32)), table.x_ng[:, ::-1] * 3], "csr")
    table = dataclasses.replace(
        table, x_ng=more, var_names=np.append(["new1", "new2"], table.var_names[::-1].astype("U9"))
    )

    view = fit(table, pretrained=export(tmp_path / "best", first), phenotypes=["organ", "sex"])

    assert np.array_equal(view.genes, first.genes) and np.array_equal(view.levels, first.levels)
    assert np.array_equal(view.tokenizer.edges, first.tokenizer.edges) and view.dims.n_rows == 40
    assert view.tokenizer.phenotypes == {"sex": ["f", "m", "x"], "organ": ["liver", "lung"]}
    assert view.codes(table)[:2].tolist() == [[1, 0], [0, 1]]
    assert not np.array_equal(view.frequency, first.frequency)


def test_a_phenotype_of_the_pretrained_model_that_is_not_named_is_left_open(tmp_path):
    first = fit(make(sex=["f", "m", "x"] * 20), phenotypes=["sex"])

    view = fit(make(), pretrained=export(tmp_path / "best", first))

    assert view.dims.phenotypes == {"sex": 3}
    assert epoch(view, make())[0].known.tolist() == [0.0]
    np.testing.assert_allclose(view.phenotype_share["sex"], [1 / 3] * 3)


def test_what_does_not_suit_a_pretrained_model_is_refused(tmp_path):
    first = fit(make(sex=["f", "m"] * 30), binning="quantile", n_bins=4, phenotypes=["sex"])
    path = export(tmp_path / "best", first, ("log1p",))
    plain = export(tmp_path / "plain", first)
    other = make(sex=["f", "q", "unknown"] * 20)
    lacking = dataclasses.replace(other, var_names=np.char.add("x", other.var_names))
    (tmp_path / "odd").mkdir()
    publish(tmp_path / "odd", {"view.json": b'{"state": {"mean": []}, "data": {}}'})

    with pytest.raises(
        DataError, match=r"E491\] data.transform: \[\] here, \['log1p'\] in the pretrained model"
    ) as caught:
        fit(other, pretrained=path, binning="uniform", n_bins=4)
    assert "E491] data.view.binning: 'uniform' here, 'quantile'" in str(caught.value)
    with pytest.raises(DataError, match="E492.*10 training rows have categories of 'sex' that the pretrained"):
        fit(other, pretrained=plain, phenotypes=["sex"])
    with pytest.raises(DataError, match="E420.*40 of 40 genes are missing"):
        fit(lacking, pretrained=plain)
    with pytest.raises(DataError, match="E490.*holds no exported model of tokens"):
        fit(other, pretrained=str(tmp_path / "odd"))
    with pytest.raises(RunError, match="E622"):
        fit(other, pretrained=str(tmp_path / "nothing"))


def test_a_pretrained_model_whose_file_is_changed_is_refused(tmp_path):
    path = tmp_path / "best"
    export(path, fit(make()))
    (path / "view.json").write_bytes((path / "view.json").read_bytes() + b" ")

    with pytest.raises(RunError, match="E623.*view.json.*damaged"):
        fit(make(), pretrained=str(path))
