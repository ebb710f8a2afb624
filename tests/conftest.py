"""Shared by all tests: the toy architecture joins the registry, here and in every process that a test starts."""

import os
from pathlib import Path

import pytest

os.environ["GXSEARCH_MODELS"] = str(Path(__file__).parent / "toy")  # read when gxsearch.models is first imported

TOY_SPEC = """\
gxsearch: 1
name: toy
model: toy
data: {path: "sim_bulk?n=120&g=40", label: cell_type}
objective: {metric: val/mse}
space:
  model: {latent_dim: {int: [1, 6]}}
  train: {lr: {float: [1e-4, 1e-1], log: true}, batch_size: 32}
search: {startup: 4}
stop: {asha: {grace: 2, reduction: 2}}
budget: {trials: 12, epochs: 8}
"""


@pytest.fixture
def toy_spec(tmp_path):
    """Return a function that reads the toy spec with changes, given as for --set."""
    path = tmp_path / "toy.yaml"
    path.write_text(TOY_SPEC)

    def read(*sets: str):
        from gxsearch.search.spec import load

        return load(path, sets)

    return read


@pytest.fixture(scope="session")
def toy_table(tmp_path_factory):
    """Return the toy spec's table."""
    from gxsearch.search.opening import read_table
    from gxsearch.search.spec import load

    path = tmp_path_factory.mktemp("toy") / "toy.yaml"
    path.write_text(TOY_SPEC)
    return read_table(load(path))
