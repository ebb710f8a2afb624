"""Paired tests against hand-made cases and other libraries, and how often they are wrong."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from gxsearch.results.paired import called, holm, over_trainings, over_trainings_and_rows
from gxsearch.results.stability import cka, neighbors_kept

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "verdict_errors.py"


def test_over_trainings_alone_it_is_the_paired_t_test():
    a, b = np.array([0.81, 0.84, 0.8, 0.86]), np.array([0.8, 0.8, 0.79, 0.83])
    expected = stats.ttest_rel(a, b)
    found = over_trainings((a - b).tolist())
    low, high = expected.confidence_interval()
    assert (found.p, found.low, found.high) == pytest.approx((expected.pvalue, low, high))


def test_splits_that_share_rows_widen_the_interval_as_nadeau_and_bengio_say():
    d = [0.02, 0.03, 0.01, 0.04]
    plain, wider = over_trainings(d), over_trainings(d, overlap=0.25)
    assert (wider.high - wider.low) / (plain.high - plain.low) == pytest.approx(np.sqrt((1 / 4 + 0.25) / (1 / 4)))


def test_rows_alone_give_the_test_of_a_mean_over_rows():
    rng = np.random.default_rng(0)
    d_r = rng.normal(0.1, 1, 50)
    found = over_trainings_and_rows(d_r[None], np.full(50, 1 / 50))
    assert found.p == pytest.approx(stats.ttest_1samp(d_r, 0).pvalue)
    assert found.effect is None and found.rows == 50


def test_one_training_of_no_rows_tells_no_chance():
    found = over_trainings([0.1])
    assert found.p is None and found.low is None and called(found, found.p) == "tie"


def test_holm_corrects_as_statsmodels_does():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": None}) == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06, "d": None}
    )


def test_a_planted_tie_is_called_a_tie_and_a_planted_winner_is_found():
    rates = runpy.run_path(str(BENCHMARK))["rates"]
    tie, winner = rates(60, (1.0, 1.0)), rates(30, (1.0, 2.0))
    assert tie["tie"] >= 0.85  # 0.94 of 200 in the benchmark
    assert winner["better"] >= 0.9 and winner["worse"] == 0
    assert tie["naive"] > 1 - tie["tie"]  # trainings alone, on the same rows, are told apart too often


def test_stability_is_one_for_turned_maps_and_low_for_unlike_ones():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(200, 5))
    turn = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    assert cka(z, 3 * z @ turn + 1) == pytest.approx(1) and neighbors_kept(z, 3 * z @ turn) == pytest.approx(1)
    other = rng.normal(size=(200, 5))
    assert cka(z, other) < 0.1 and neighbors_kept(z, other) < 0.2
