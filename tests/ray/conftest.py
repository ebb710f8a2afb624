"""A small Ray session of two CPUs for all tests of a file; tests of other folders start and stop one themselves."""

import pytest

from gxsearch.search.sections import Resources


@pytest.fixture(scope="module")
def slots():
    """Start Ray; return how many trials fit side by side."""
    from gxsearch.search.launch import connected

    with connected("local", Resources(cpus=1.0), cpus=2) as fit:
        yield fit


@pytest.fixture(scope="module")
def fleet(slots):
    """Return what serves all searches of a file, as it does the searches of a comparison."""
    from gxsearch.search.fleet import Fleet

    with Fleet() as fleet:
        yield fleet


@pytest.fixture
def run_search(fleet, toy_table, tmp_path):
    """Return a function that runs a search of the toy model and returns its folder."""
    from gxsearch.search.deadline import Deadline
    from gxsearch.search.launch import fitting
    from gxsearch.search.opening import begin
    from gxsearch.search.tuner import search

    def run(spec, name="run", ticks=lambda: None, table=toy_table):
        opened = begin(spec, table, fitting(spec.resources), tmp_path / name)
        deadline = Deadline(spec.budget.time_s)
        given = {"slots": opened.slots, "deadline": deadline, "tick": ticks, "fleet": fleet}
        search(spec, opened.run, table, opened.referee, **given)
        opened.close("done")
        return opened.run

    return run
