"""Domains: what they hold, their ends and grids, and what is no domain."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gxsearch.errors import SpecError
from gxsearch.search.domain import Choice, Float, Int, from_json

WRONG = [
    ({"float": [1, 0]}, "low 1 is above high 0 - write [0, 1]"),
    ({"float": [1, 1]}, "both ends are 1"),
    ({"float": [0, 1], "log": True}, "log needs low > 0, got 0"),
    ({"float": [0.1, 1], "log": True, "step": 0.1}, "exclude each other"),
    ({"float": [0, 1], "step": 0.3}, "the last value would be 0.9"),
    ({"float": [0, 1], "step": -0.5}, "step must be a number above 0"),
    ({"float": [0, 1], "step": True}, "step must be a number above 0"),
    ({"float": [float("nan"), 1]}, "finite numbers, got nan"),
    ({"float": [0, True]}, "finite numbers, got True"),
    ({"float": [0, 1, 2]}, "float takes [low, high]"),
    ({"int": [0.5, 3]}, "write {float: [low, high]} for reals"),
    ({"int": [0, 8], "log": True}, "log needs low >= 1"),
    ({"int": [1, 8], "step": 3}, "does not lead from 1 to 8 - the last value would be 7"),
    ({"int": [1, 8], "step": 0.5}, "step must be a whole number"),
    ({"int": [1, 2**60]}, "beyond 2^53"),
    ({"int": [1, 8], "log": "yes"}, "log must be true or false"),
    ({"choice": []}, "has no options"),
    ({"choice": "ab"}, "choice takes a list"),
    ({"choice": [1, 2, 1.0]}, "lists 1.0 twice"),
    ({"choice": [1, True]}, "twice (true counts as 1)"),
    ({"choice": [[1, 2], [1, 2]]}, "twice"),
    ({"choice": [0.1, float("inf")]}, "must be finite"),
]


@pytest.mark.parametrize(("entry", "said"), WRONG, ids=[str(entry) for entry, _ in WRONG])
def test_what_is_no_domain_is_refused(entry, said):
    with pytest.raises(SpecError) as caught:
        from_json(entry)

    (fault,) = caught.value.faults
    assert fault.code == "E320"
    assert said in f"{fault.what} - {fault.fix}"


DESCRIBED = [
    (Int(2, 128, log=True), "whole 2 ... 128 log"),
    (Int(0, 8, step=2), "whole 0 ... 8 step 2"),
    (Float(1e-4, 0.1, log=True), "0.0001 ... 0.1 log"),
    (Float(0, 0.5, step=0.05), "0 ... 0.5 step 0.05"),
    (Choice(("adam", [1, 2])), "one of adam, [1, 2]"),
]


@pytest.mark.parametrize(("domain", "text"), DESCRIBED, ids=[text for _, text in DESCRIBED])
def test_a_domain_describes_itself_and_survives_json(domain, text):
    assert domain.describe() == text
    assert from_json(json.loads(json.dumps(domain.to_json()))) == domain


def test_grids_hold_both_ends_and_exact_values():
    assert list(Float(0, 0.5, step=0.1).grid()) == [0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert list(Int(1, 7, step=2).grid()) == [1, 3, 5, 7]
    assert list(Choice(("a", None)).grid()) == ["a", None]
    assert Int(1, 10**9).size == 10**9
    with pytest.raises(SpecError, match="has no step"):
        Float(0, 1).grid()


def test_options_that_are_lists_are_stored_as_text():
    domain = Choice(([100, 50], {"a": 1}, "x", 0.1, None))

    assert domain.labels == ("[100, 50]", '{"a": 1}', "x", 0.1, None)
    assert [domain.option(label) for label in domain.labels] == list(domain.options)


def test_middle_follows_the_scale():
    assert Int(1, 100, log=True).middle() == 10
    assert Float(1e-4, 1e-2, log=True).middle() == pytest.approx(1e-3)
    assert Float(0, 1).middle() == 0.5
    assert Choice(("a", "b")).middle() == "a"


ints = st.builds(lambda low, n, step, log: Int(low, low + n * step, log=log and step == 1, step=step),
                 st.integers(1, 100), st.integers(1, 50), st.integers(1, 5), st.booleans())  # fmt: skip
floats = st.builds(lambda low, width, log: Float(low, low + width, log=log),
                   st.floats(1e-6, 10), st.floats(1e-3, 10), st.booleans())  # fmt: skip
stepped = st.builds(
    lambda n, step: Float(0, round(n * step, 6), step=step), st.integers(1, 40), st.sampled_from([0.05, 0.1, 0.25])
)
choices = st.builds(
    lambda options: Choice(tuple(options)), st.lists(st.text(max_size=3), min_size=1, max_size=4, unique=True)
)


@given(ints | floats | stepped | choices, st.integers(0, 1000))
def test_ends_middle_grid_and_draws_lie_inside(domain, seed):
    rng = random.Random(seed)

    values = [*domain.ends(), domain.middle(), *(domain.sample(rng) for _ in range(5))]
    values += domain.grid() if domain.size is not None else []

    assert all(domain.contains(value) for value in values)
    assert len(values) == 6 + len(domain.ends()) + (domain.size or 0)


def test_what_lies_outside_is_not_contained():
    assert not Int(1, 7, step=2).contains(2)
    assert not Int(0, 7).contains(1.0)
    assert not Int(0, 7).contains(True)
    assert not Float(0, 1, step=0.25).contains(0.3)
    assert not Float(0, 1).contains("0.5")
    assert not Float(0, 1).contains(float("nan"))
    assert Float(0, 2).contains(1)
    assert not Choice((1, 2)).contains(True)
