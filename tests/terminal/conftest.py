"""A run to ask, in a folder of its own, and a way to call the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from command_line import TOY

from gxsearch.cli import main


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one training of two epochs."""
    from gxsearch import api

    out = tmp_path_factory.mktemp("runs")
    return api.train(api.load_spec(str(TOY), "budget.epochs=2", "stop=none"), out=out, name="one", quiet=True).path


@pytest.fixture
def call(capsys: pytest.CaptureFixture) -> Any:
    """A function that runs the command line here; it returns the exit code, standard output and standard error."""

    def run(*words: str) -> tuple[int, str, str]:
        code = 0
        try:
            main([str(word) for word in words])
        except SystemExit as stop:
            code = stop.code
        return (code, *capsys.readouterr())

    return run
