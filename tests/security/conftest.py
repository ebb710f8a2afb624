"""A finished run, and the command line as a user calls it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from anndata import AnnData

from gxsearch import api
from gxsearch.cli import main

sys.path.append(
    str(Path(__file__).parents[1] / "results")
)  # test_names.py takes runs and pages of strangers from there
SPEC = """gxsearch: 1
name: case
model: fe
data: {{path: {data}, label: kind}}
space: {{model: {{sample_dim: 2, hidden: {{value: [4]}}}}}}
budget: {{trials: 1, epochs: 2}}
"""


@pytest.fixture(scope="package")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one training of two epochs, with its cells and spec beside it; it is shared, so copy it."""
    torch.set_num_threads(1)
    folder, draw = tmp_path_factory.mktemp("run"), np.random.default_rng(0)
    cells = AnnData(draw.poisson(3.0, (30, 8)).astype(np.float32) + 1, obs={"kind": ["a", "b", "c"] * 10})
    cells.obs_names, cells.var_names = [f"cell{i}" for i in range(30)], [f"gene{i}" for i in range(8)]
    cells.write_h5ad(folder / "cells.h5ad")
    (folder / "spec.yaml").write_text(SPEC.format(data=folder / "cells.h5ad"))
    return api.train(api.load_spec(str(folder / "spec.yaml")), out=folder, name="run", quiet=True).path


@pytest.fixture
def call(capsys: pytest.CaptureFixture) -> Callable[..., tuple[int, str]]:
    """Return a function that calls the command line; it gives the exit code and what went to standard error."""

    def made(*words: str) -> tuple[int, str]:
        status = 0
        try:
            main(words)
        except SystemExit as stop:
            status = int(stop.code or 0)
        return status, capsys.readouterr().err

    return made
