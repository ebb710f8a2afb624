"""Annealing gives the published values, at the epochs of the source's log."""

import math

import pytest

from gxsearch.nn.anneal import Annealing, beta_of_weight, rise, weight_of_beta

EPOCHS = 160  # cycles of 40 epochs


@pytest.mark.parametrize(
    ("epoch", "weight"), [(0, 0.01), (8, 0.0955), (20, 0.5), (39, 0.9985), (40, 0.01), (79, 0.6989), (154, 0.3243)]
)
def test_cyclic_annealing_gives_the_weights_of_the_sources_log(epoch, weight):
    annealing = Annealing("cyclic", "cosine", cycles=4, decay=0.7)

    assert annealing.factor(epoch / EPOCHS) == pytest.approx(weight, abs=5e-5)


@pytest.mark.parametrize(("ramp", "weight"), [("linear", 0.25), ("cosine", 0.146447), ("exponential", 0.165296)])
def test_the_ramps_have_the_forms_of_the_source(ramp, weight):
    assert rise(ramp, 0.25) == pytest.approx(weight, abs=1e-6)
    assert (rise(ramp, 0.0), rise(ramp, 1.0), rise(ramp, 2.0)) == (0.0, 1.0, 1.0)
    assert Annealing(ramp, share=0.4).factor(0.1) == pytest.approx(weight, abs=1e-6)


def test_fu_rises_over_half_a_cycle_and_stays():
    annealing = Annealing("fu", cycles=4)

    found = [annealing.factor(epoch / 40) for epoch in (0, 1, 2, 4, 5, 9, 10, 12)]
    assert found == pytest.approx([0, 0.2, 0.4, 0.8, 1, 1, 0, 0.4], abs=1e-6)


def test_a_capacity_grows_in_nats_and_leaves_the_weight_alone():
    annealing = Annealing("capacity", share=0.5)

    assert [annealing.capacity(p, 25.0) for p in (0, 0.25, 0.5, 1)] == [0, 12.5, 25, 25]
    assert annealing.factor(0.1) == 1.0


@pytest.mark.parametrize("kind", ["none", "linear", "cosine", "exponential", "cyclic", "fu", "capacity"])
def test_the_end_of_every_schedule_is_the_whole_weight(kind):
    assert Annealing(kind).factor(1.0) == 1.0
    assert all(0 <= Annealing(kind).factor(p / 97) <= 1 for p in range(97))


def test_warm_up_ends_with_the_first_rise_or_cycle():
    assert [Annealing(kind, share=0.3, cycles=5).warmup for kind in ("none", "cosine", "fu")] == [0, 0.3, 0.2]
    assert [Annealing(kind, cycles=5).cycle for kind in ("none", "cosine", "cyclic")] == [0, 0, 0.2]


def test_beta_and_the_sources_weight_are_converted_both_ways():
    assert beta_of_weight(1.0, 64, 19797) == pytest.approx(154.7, abs=0.05)
    assert beta_of_weight(1.0, 19797, 19797) == 0.5
    assert weight_of_beta(1.0, 64, 19797) == pytest.approx(0.0065, abs=5e-5)
    assert beta_of_weight(weight_of_beta(0.37, 12, 900), 12, 900) == pytest.approx(0.37)
    assert math.isclose(weight_of_beta(2.0, 8, 100), 2 * weight_of_beta(1.0, 8, 100))
