"""A short walk of the fuzzers, the same one each time; `python tests/fuzz/run.py` goes on from there."""

from __future__ import annotations

import os
import random
from pathlib import Path

import launchers
import mutants
import pytest
import run as fuzz
import sets
import specs
import states
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

HERE = {"deadline": None, "database": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}


@pytest.fixture(scope="module", autouse=True)
def here(tmp_path_factory: pytest.TempPathFactory):
    """The folder that the fuzzers write to."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("fuzz"))
    yield
    os.chdir(before)


@settings(max_examples=250, **HERE)
@given(specs.spoiled())
@example(b"a: &a [*a]")
@example(b"\xff\xfe")
def test_any_search_space_is_taken_or_refused_in_lines(text):
    assert fuzz.check_spec(text) == "fine" or text


@settings(max_examples=80, **HERE)
@given(specs.sections())
def test_a_nearly_sound_search_space_reads_back_the_same(spec):
    text = yaml.safe_dump(spec).encode()

    assert fuzz.check_spec(text) == fuzz.check_spec(text)


@settings(max_examples=40, **HERE)
@given(st.tuples(sets.adatas(), sets.data_sections()))
def test_any_data_set_is_taken_or_refused_in_lines(drawn):
    assert len(fuzz.check_set(drawn)) >= 4


def test_damaged_h5ad_files_are_taken_or_refused():
    folder, ends = Path.cwd(), []
    seeds = [path.read_bytes() for path in mutants.write_seeds(folder)]
    for number in range(60):
        rng = random.Random(number)
        (folder / "case.h5ad").write_bytes(mutants.mutate(rng.choice(seeds), rng))
        ends.append(mutants.read(folder / "case.h5ad"))

    assert "fine" in ends and all(end == "fine" or end[:2] in ("E4", "E8") for end in ends)


def test_spoiled_cluster_files_are_taken_or_refused_in_lines():
    ends = [launchers.check(seed) for seed in range(150)]

    assert "fine" in ends and {end[:2] for end in ends} >= {"E3", "E8"}


def test_damaged_run_folders_are_read_or_refused():
    run, ends = states.made(Path.cwd()), []
    for seed in range(20):
        own, what = states.damaged(run, Path.cwd() / "own", random.Random(seed))
        for verb in ("status", "trials", "best"):
            ends.append(specs.verdict(*fuzz._read(specs.called(verb, str(own.path)))))

    assert "fine" in ends and any(end.startswith("E6") for end in ends)
