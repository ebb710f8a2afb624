"""Shared by all tests: the toy architecture joins the registry, here and in every process that a test starts."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

TOY = Path(__file__).parent / "toy"
# Read when gxsearch.models is first imported. Who names a folder of models has the contract tests run on them too.
os.environ["GXSEARCH_MODELS"] = os.pathsep.join([str(TOY), os.environ.get("GXSEARCH_MODELS", "")])
os.environ.pop("COLUMNS", None)  # pytest-xdist says 80, and tables heed it
# Shells have what they start in the background ignore Ctrl-C, and commands inherit that from these tests.
signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("gxsearch", deadline=None)  # how long an example takes is the machine's affair
settings.load_profile("gxsearch")


@pytest.fixture
def toy_spec():
    """Return a function that reads the toy spec with changes, given as for --set."""
    from gxsearch.search.spec import load

    def read(*sets: str):
        return load(TOY / "toy.yaml", sets)

    return read


@pytest.fixture(scope="session")
def toy_table():
    """Return the toy spec's table."""
    from gxsearch.search.intake import read_table
    from gxsearch.search.spec import load

    return read_table(load(TOY / "toy.yaml"))


@pytest.fixture
def call(capsys) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs the command line here: its exit code, standard output and standard error."""
    from gxsearch.cli import main

    def run(*argv: object) -> tuple[int, str, str]:
        code = 0
        try:
            main([str(word) for word in argv])
        except SystemExit as stop:
            code = int(stop.code or 0)
        return (code, *capsys.readouterr())

    return run
