"""A run to ask, in a folder of its own, and a way to call the command line as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gxsearch.cli import main

TOY = Path(__file__).parents[1] / "toy" / "toy.yaml"


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


def process(*words: str, **how: Any) -> subprocess.CompletedProcess:
    """Run the command line as a process of its own; variables of the environment that are None are taken away."""
    changed = {**os.environ, **how.pop("env", {})}
    env = {name: value for name, value in changed.items() if value is not None}
    command = [sys.executable, "-m", "gxsearch.cli", *map(str, words)]
    return subprocess.run(command, env=env, check=False, **{"capture_output": True, **how})


def strict(text: str) -> Any:
    """Read JSON as a strict reader does: NaN and Infinity, which Python would take, are refused."""

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)
