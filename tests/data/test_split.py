"""Splits depend on names alone, keep groups whole and classes in proportion."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gxsearch.data.split import TILE, sizes, split, tiled
from gxsearch.data.table import PARTS, Split

NAMES = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), min_size=4, max_size=60, unique=True
)
SHARES = st.floats(0.0, 0.45)
fast = settings(max_examples=30, deadline=None, database=None)


def cells(n: int) -> np.ndarray:
    return np.array([f"cell{i}" for i in range(n)])


def drawn(n: int, kinds: int, seed: int = 0) -> np.ndarray:
    return np.array([f"k{i}" for i in np.random.default_rng(seed).integers(kinds, size=n)])


@fast
@given(names=NAMES, val=SHARES, test=SHARES, seed=st.integers(0, 9), shuffle=st.randoms())
def test_the_order_of_the_rows_has_no_influence(names: list[str], val: float, test: float, seed: int, shuffle):
    config = Split(val=val, test=test, stratify="kind", seed=seed)
    names, kinds = np.array(names), drawn(len(names), 3)
    order = np.array(shuffle.sample(range(len(names)), len(names)))

    part_n = split(names, config, {"kind": kinds})

    assert np.array_equal(split(names[order], config, {"kind": kinds[order]}), part_n[order])


@fast
@given(
    n=st.integers(12, 80),
    groups=st.integers(3, 12),
    val=st.floats(0.01, 0.45),
    test=st.floats(0.01, 0.45),
    seed=st.integers(0, 9),
)
def test_groups_stay_whole_and_each_part_has_one(n: int, groups: int, val: float, test: float, seed: int):
    group_n = np.array([f"d{i % groups}" for i in range(n)])
    order = np.random.default_rng(seed).permutation(n)
    config = Split(val=val, test=test, group="donor", stratify="kind", seed=seed)
    columns = {"donor": group_n, "kind": drawn(n, 3, seed)}

    part_n = split(cells(n), config, columns)

    assert all(len(set(part_n[group_n == name])) == 1 for name in set(group_n))
    assert set(part_n) == {0, 1, 2}
    shuffled = split(cells(n)[order], config, {name: values[order] for name, values in columns.items()})
    assert np.array_equal(shuffled, part_n[order])


@fast
@given(n=st.integers(8, 200), kinds=st.integers(1, 8), val=SHARES, test=SHARES, seed=st.integers(0, 9))
def test_each_class_has_its_share_within_a_row_and_a_half_and_the_sizes_are_exact(n, kinds, val, test, seed):
    config = Split(val=val, test=test, stratify="kind", seed=seed)
    kind_n = drawn(n, kinds, seed)

    part_n = split(cells(n), config, {"kind": kind_n})

    assert {part: int((part_n == i).sum()) for i, part in enumerate(PARTS)} == sizes(n, config)
    for kind in set(kind_n):
        of_kind = part_n[kind_n == kind]
        assert abs((of_kind == PARTS.index("test")).sum() - test * len(of_kind)) <= 1.5
        assert abs((of_kind == PARTS.index("train")).sum() - (1 - val - test) * len(of_kind)) <= 1.5


def test_a_row_more_moves_few_others():
    before = split(cells(500), Split(), {})

    after = split(cells(501), Split(), {})[:500]

    assert (before != after).sum() <= 2


def test_growth_by_half_leaves_nearly_all_rows_where_they_were():
    before = split(cells(1000), Split(), {})

    after = split(cells(1500), Split(), {})[:1000]

    assert (before != after).mean() < 0.05


def test_test_rows_do_not_depend_on_the_share_of_validation():
    few, many = split(cells(300), Split(val=0.05), {}), split(cells(300), Split(val=0.4), {})

    assert np.array_equal(few == PARTS.index("test"), many == PARTS.index("test"))


def test_seeds_give_different_splits_and_the_same_seed_the_same():
    first, second = split(cells(300), Split(seed=0), {}), split(cells(300), Split(seed=1), {})

    assert (first != second).any() and np.array_equal(first, split(cells(300), Split(seed=0), {}))


def test_the_split_of_known_names_is_the_one_of_every_machine():
    assert split(cells(12), Split(), {}).tolist() == [2, 1, 0, 1, 0, 0, 2, 0, 0, 0, 0, 0]


def test_shares_of_many_groups_come_near_the_wanted_ones():
    donor_n, kind_n = drawn(4000, 80), drawn(4000, 5, 1)

    part_n = split(cells(4000), Split(group="donor", stratify="kind"), {"donor": donor_n, "kind": kind_n})

    for kind in set(kind_n):
        share = np.bincount(part_n[kind_n == kind], minlength=3) / (kind_n == kind).sum()
        assert share == pytest.approx([0.7, 0.15, 0.15], abs=0.04)


def test_a_group_of_most_rows_goes_to_training():
    donor_n = np.array(["large"] * 60 + [f"d{i % 8}" for i in range(40)])

    for seed in range(10):
        part_n = split(cells(100), Split(group="donor", seed=seed), {"donor": donor_n})
        assert part_n[0] == PARTS.index("train")


def test_a_part_without_a_share_has_no_rows():
    assert set(split(cells(50), Split(test=0.0), {})) == {0, 1}
    assert set(split(cells(50), Split(val=0.0, test=0.0), {})) == {0}
    groups = {"donor": np.array([f"d{i % 5}" for i in range(50)])}
    assert set(split(cells(50), Split(test=0.0, group="donor"), groups)) == {0, 1}


def test_spots_of_a_tile_stay_together_and_tiles_are_cut_in_each_section():
    rng = np.random.default_rng(0)
    at_nd, section_n = rng.uniform(0, 9, (600, 2)), np.array([f"s{i % 2}" for i in range(600)])
    config = Split(tiles=4, group="section")

    blocks, columns = tiled(config, {"section": section_n}, at_nd)
    part_n = split(cells(600), blocks, columns)

    tile_n = columns[blocks.group]
    assert len(set(tile_n)) == 32
    assert all(len(set(part_n[tile_n == tile])) == 1 for tile in set(tile_n))
    assert all(len(set(section_n[tile_n == tile])) == 1 for tile in set(tile_n))
    assert set(part_n[section_n == "s0"]) == {0, 1, 2}
    assert 0.1 < (part_n == PARTS.index("val")).mean() < 0.2


def test_tiles_do_not_depend_on_the_order_of_the_spots_nor_on_where_the_section_lies():
    at_nd, order = np.random.default_rng(0).uniform(0, 9, (300, 2)), np.random.default_rng(1).permutation(300)

    whole, turned, moved = (tiled(Split(tiles=3), {}, at)[1][TILE] for at in (at_nd, at_nd[order], 50 + 7 * at_nd))

    assert np.array_equal(whole[order], turned) and np.array_equal(whole, moved)


def test_dividing_anew_keeps_the_test_rows_and_the_sizes():
    names = np.array([f"cell{i}" for i in range(400)])
    rows = range(400)
    columns = {"type": np.array([f"t{i % 3}" for i in rows]), "donor": np.array([f"d{i % 40}" for i in rows])}
    for how in ({"stratify": "type"}, {"group": "donor"}, {}):
        first = split(names, Split(val=0.15, test=0.2, **how), columns)
        again = [split(names, Split(val=0.15, test=0.2, val_seed=i, **how), columns) for i in (7, 8)]
        for other in again:
            assert np.array_equal(other == 2, first == 2)
            assert abs((other == 1).sum() - (first == 1).sum()) <= 10
            assert ((other == 1) != (first == 1)).any()
        assert (again[0] != again[1]).any()
    donors = columns["donor"]
    grouped = split(names, Split(group="donor", val_seed=7), columns)
    assert all(len(set(grouped[donors == donor])) == 1 for donor in np.unique(donors))
