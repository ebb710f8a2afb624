"""Makes the model of the spec tests known while they run, and to nobody else."""

import pytest
from spec_model import ToySpecModel

from gxsearch.models import registry


@pytest.fixture(autouse=True)
def _toy_spec(monkeypatch):
    monkeypatch.setitem(registry._registered, "toy_spec", ToySpecModel)
