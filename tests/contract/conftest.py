"""Runs the contract on every architecture that is registered."""

import pytest
from rehearsal import demo_table, make_job

from gxsearch.data.table import Table
from gxsearch.models import registry
from gxsearch.training.session import Job


def pytest_generate_tests(metafunc):
    """Give every test that asks for `name` the names of all architectures in turn."""
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", registry.names())


@pytest.fixture
def table(name) -> Table:
    return demo_table(name)


@pytest.fixture
def job(name) -> Job:
    return make_job(name)
