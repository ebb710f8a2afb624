"""A run to ask, in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import TOY


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one training of two epochs."""
    from gxsearch import api

    out = tmp_path_factory.mktemp("runs")
    return api.train(api.load_spec(str(TOY), "budget.epochs=2", "stop=none"), out=out, name="one", quiet=True).path
