"""Spaces: draws, corners, grids and configs, with conditions honored."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gxsearch.errors import SpecError
from gxsearch.search.condition import Condition, witnesses
from gxsearch.search.domain import Choice, Float, Int
from gxsearch.search.space import Parameter, Space, resolve


def parameter(name, domain, *when, default=()):
    return Parameter(name, domain, tuple(when), default)


def make_space() -> Space:
    """Children stand before their parents; c hangs on b, b on a."""
    return Space(
        (
            parameter("model.c", Float(0, 1), Condition("model.b", limits=(("gt", 0.6), ("lt", 0.7)))),
            parameter("model.b", Float(0, 1), Condition("model.a", one_of=("on", "both")), default=(0.0,)),
            parameter("model.a", Choice(("off", "on", "both"))),
            parameter("train.lr", Float(1e-4, 1e-1, log=True)),
            parameter("train.n", Int(1, 4), Condition("train.mode", one_of=("x",))),
        ),
        {"train.mode": "x"},
    )


def test_parents_are_drawn_before_their_children():
    asked = []
    space = make_space()

    params = space.draw(lambda name, domain: asked.append(name) or domain.ends()[-1])

    assert asked == ["model.a", "model.b", "train.lr", "train.n"]
    assert params == {"model.a": "both", "model.b": 1.0, "train.lr": 0.1, "train.n": 4}


def test_an_inactive_parent_makes_its_children_inactive():
    pins = {"model.a": "off"}

    params = make_space().draw(lambda name, domain: pins.get(name, 0.65 if name == "model.b" else domain.middle()))

    assert set(params) == {"model.a", "train.lr", "train.n"}


def test_configs_join_fixed_values_defaults_and_draws():
    configs = make_space().configs({"model.a": "off", "train.lr": 0.01})

    assert configs == {"model": {"a": "off", "b": 0.0}, "train": {"mode": "x", "lr": 0.01}}


def test_configs_of_unknown_names_are_our_mistake():
    with pytest.raises(AssertionError, match="not in the space"):
        make_space().configs({"model.z": 1})


def test_corners_reach_every_end_and_option():
    space = make_space()

    corners = list(space.corners())

    for p in space.parameters:
        assert set(p.domain.ends()) <= {corner.get(p.name) for corner in corners}, p.name
    assert all(corner not in corners[:i] for i, corner in enumerate(corners))
    # In every corner exactly the active parameters stand.
    for corner in corners:
        again = space.draw(lambda name, domain, corner=corner: corner[name])
        assert again == corner


@given(st.integers(0, 10**6))
def test_draws_are_complete_and_inside(seed):
    space, rng = make_space(), random.Random(seed)

    params = space.draw(lambda name, domain: domain.sample(rng))

    assert all(space.domains[name].contains(value) for name, value in params.items())
    assert all((p.name in params) == space.active(p, params) for p in space.parameters)


def test_grid_lists_each_active_combination_once():
    space = Space(
        (
            parameter("model.k", Int(1, 3)),
            parameter("model.t", Choice(("a", "b")), Condition("model.k", limits=(("ge", 2),))),
            parameter("train.p", Float(0, 1, step=0.5)),
        )
    )

    grid = space.grid()

    assert len(grid) == (1 + 2 * 2) * 3
    assert {json.dumps(params) for params in grid} == {json.dumps(params) for params in grid[::-1]}
    assert len({json.dumps(params) for params in grid}) == len(grid)
    assert all(("model.t" in params) == (params["model.k"] >= 2) for params in grid)


def test_a_grid_that_is_too_large_tells_its_size():
    space = Space(tuple(parameter(f"model.k{i}", Int(1, 100)) for i in range(3)))

    with pytest.raises(SpecError, match="1,000,000 points, more than 10,000"):
        space.grid()


def test_conditions_in_a_circle_are_refused():
    parameters = (
        parameter("model.a", Int(1, 2), Condition("model.b", one_of=(1,))),
        parameter("model.b", Int(1, 2), Condition("model.a", one_of=(1,))),
        parameter("model.c", Int(1, 2), Condition("model.a", one_of=(1,))),
    )

    with pytest.raises(SpecError, match="model.a -> model.b -> model.a"):
        Space(parameters)


def test_active_share_estimates_how_often_a_parameter_counts():
    shares = make_space().active_share(4000)

    assert shares["model.b"] == pytest.approx(2 / 3, abs=0.03)
    assert shares["model.c"] == pytest.approx(2 / 3 * 0.1, abs=0.02)
    assert shares["train.n"] == 1
    assert "train.lr" not in shares


def test_a_space_survives_json_exactly():
    space = make_space()

    assert Space.from_json(json.loads(json.dumps(space.to_json()))) == space


def test_reach_knows_when_conditions_exclude_each_other():
    a, b = Condition("model.a", limits=(("ge", 3),)), Condition("model.a", limits=(("lt", 3),))
    space = Space(
        (
            parameter("model.a", Int(1, 4)),
            parameter("model.b", Int(1, 4), a),
            parameter("model.c", Int(1, 4), b, Condition("model.b", one_of=(2,))),
        )
    )

    assert space.reach("model.b") == {"model.a": 4}
    assert space.reach("model.c") is None


limits_of_a = st.tuples(st.sampled_from(["ge", "gt", "le", "lt"]), st.sampled_from([0, 0.25, 0.3, 0.5, 1, 5, 8.5, 9]))


@given(
    st.sampled_from([Int(1, 9), Int(1, 9, step=4), Int(1, 10**6), Float(0, 1), Float(0, 1, step=0.25)]),
    st.lists(limits_of_a, min_size=1, max_size=3),
)
def test_a_witness_is_found_whenever_there_is_one(domain, limits):
    condition = Condition("model.a", limits=tuple(dict(limits).items()))
    tried = domain.grid() if domain.size is not None else [i / 1000 for i in range(1001)]

    found = witnesses(domain, [condition])

    assert all(domain.contains(value) and condition.holds(value) for value in found)
    assert bool(found) >= any(condition.holds(value) for value in tried[:20_000])


def test_short_names_stand_for_dotted_ones_if_unique():
    names = ["model.dropout", "train.dropout", "train.lr"]

    assert resolve("lr", names) == "train.lr"
    assert resolve("train.dropout", names) == "train.dropout"
    assert resolve("dropout", names) == ("'dropout' may be model.dropout or train.dropout", "write model.dropout")
    assert resolve("lrr", names)[1] == "did you mean 'lr'?"


def test_descriptions_name_the_condition():
    c, b, *_ = make_space().parameters

    assert c.describe() == "0 ... 1 if b > 0.6 and b < 0.7"
    assert b.describe() == "0 ... 1 if a in on, both"
