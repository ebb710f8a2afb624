"""Front, hypervolume, knee and choice, by cases made by hand."""

import itertools

import numpy as np
import pytest

from gxsearch.results.pareto import chosen, depth, front, growth, hypervolume

BENT = np.array([[0.0, 10.0], [1.0, 3.0], [4.0, 1.0], [9.0, 0.0], [5.0, 5.0], [9.0, 10.0]])
"""Four points of a front whose knee is the second, and two that are dominated."""


def union(key_nm: np.ndarray, reference_m: np.ndarray) -> float:
    """Return the volume of the union of the boxes by inclusion and exclusion."""
    total = 0.0
    for size in range(1, len(key_nm) + 1):
        for some in itertools.combinations(key_nm, size):
            sides = np.clip(reference_m - np.max(some, axis=0), 0.0, None)
            total += (-1) ** (size + 1) * float(np.prod(sides))
    return total


def test_the_front_is_what_nothing_dominates():
    assert front(BENT).tolist() == [True, True, True, True, False, False]
    assert front(np.array([[3.0, 1.0]])).tolist() == [True]
    assert front(np.zeros((0, 2))).tolist() == []


def test_equal_points_share_their_place():
    assert front(np.array([[1.0, 2.0], [1.0, 2.0], [2.0, 1.0], [2.0, 2.0]])).tolist() == [True, True, True, False]
    assert front(np.array([[1.0, 2.0], [1.0, 3.0]])).tolist() == [True, False]


def test_of_three_objectives_one_may_save_a_point():
    key_nm = np.array([[1.0, 1.0, 1.0], [2.0, 2.0, 0.5], [2.0, 2.0, 1.0]])

    assert front(key_nm).tolist() == [True, True, False]


def test_the_hypervolume_of_a_staircase_is_the_sum_of_its_steps():
    key_nm = np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]])

    assert hypervolume(key_nm, np.array([4.0, 4.0])) == 3 + 2 + 1
    assert hypervolume(key_nm[:1], np.array([4.0, 4.0])) == 3
    assert hypervolume(key_nm, np.array([1.0, 4.0])) == 0.0


@pytest.mark.parametrize("m", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_the_hypervolume_is_that_of_the_union_of_boxes(m, seed):
    key_nm = np.random.default_rng(seed).integers(0, 6, (7, m)).astype(float)
    reference_m = np.full(m, 5.0)

    assert hypervolume(key_nm, reference_m) == pytest.approx(union(key_nm, reference_m))


def test_the_growth_never_falls_and_ends_at_the_share_of_all():
    share_n = growth(BENT)

    assert (np.diff(share_n) >= 0).all()
    assert share_n[-1] == pytest.approx(hypervolume(BENT, np.array([9.0, 10.0])) / 90)
    assert share_n[0] == 0.0 and share_n[1] == pytest.approx(8 * 7 / 90)
    assert share_n[4] == share_n[3], "a dominated point adds nothing"


def test_without_a_range_there_is_no_box():
    assert growth(np.array([[1.0, 2.0], [1.0, 3.0]])).tolist() == [0.0, 0.0]


def test_the_ends_of_a_front_lie_on_the_line_and_the_knee_is_deepest():
    deep_f = depth(BENT[:4])

    assert deep_f[0] == deep_f[3] == 0.0
    assert deep_f[1] == pytest.approx((1 - 1 / 9 - 3 / 10) / np.sqrt(2))
    assert chosen(BENT, "knee") == 1


def test_a_straight_front_has_no_knee_and_gives_its_best_by_the_first_objective():
    line = np.array([[0.3, 0.7], [0.0, 1.0], [1.0, 0.0], [0.1, 0.9]])

    assert chosen(line, "knee") == 1
    assert chosen(np.array([[2.0, 5.0]]), "knee") == 0


def test_the_knee_does_not_depend_on_units_or_on_what_is_dominated():
    scaled = BENT * np.array([1e-3, 40.0]) + np.array([7.0, -3.0])

    assert chosen(scaled, "knee") == chosen(BENT[:4], "knee") == chosen(BENT[::-1], "knee") - 3 == 1


def test_the_knee_of_three_objectives_is_the_balanced_point():
    key_nm = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.4, 0.4, 0.4], [0.1, 0.9, 0.9]])

    assert chosen(key_nm, "knee") == 3


def test_the_first_rule_takes_the_best_by_the_first_objective_and_of_equal_ones_the_better_by_the_second():
    assert chosen(BENT, "first") == 0
    assert chosen(np.array([[1.0, 3.0], [1.0, 2.0], [2.0, 0.0]]), "first") == 1


@pytest.mark.parametrize(("within", "expected"), [(0.0, 0), (0.1, 0), (0.12, 1), (0.5, 2), (1.0, 3)])
def test_the_second_objective_decides_among_those_near_the_best(within, expected):
    assert chosen(BENT, "within", within) == expected


def test_what_is_near_is_measured_by_the_front_and_not_by_its_outliers():
    assert chosen(np.vstack([BENT, [1e6, 1e6]]), "within", 0.12) == 1
