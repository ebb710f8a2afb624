"""A sound data set, and a working folder in which every case goes through the command line, as a user's would."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from anndata import AnnData

from gxsearch.cli import main

FAULT = re.compile(r"error\[(E\d{3})\] \S.*")
"""How every fault is told: code, place, what, and how to fix it, in one line."""
ENTRY = {
    "fe": "val/entry_mse",
    "nbvae": "val/elbo",
    "rvagene": "val/elbo",
    "spatial": "val/loss",
    "transformer": "val/loss",
    "vae": "val/masked_mse",
}


def cells(n: int = 48, g: int = 12) -> AnnData:
    """Return sound counts with all that the models ask for."""
    draw = np.random.default_rng(0)
    kind = np.tile(["a", "b", "c"], n // 3)
    obs = {"kind": kind, "batch": np.tile(["x", "y"], n // 2), "donor": [f"d{i % 8}" for i in range(n)]}
    obs |= {"age": np.linspace(20, 80, n), "time": np.arange(n, dtype=float)}
    adata = AnnData(
        draw.poisson(3.0, (n, g)).astype(np.float32) + (np.arange(g) % 3 == 0),
        obs=pd.DataFrame(obs, index=[f"cell{i}" for i in range(n)]),
        var=pd.DataFrame(index=[f"gene{j}" for j in range(g)]),
    )
    adata.obsm["spatial"] = draw.normal(size=(n, 2))
    adata.layers["counts"] = adata.X.copy()
    return adata


class Home:
    """The working folder of a case."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture):
        self.path, self._capsys = path, capsys

    def spec(self, model: str = "fe", **data: Any) -> str:
        """Write a search space file with these settings of `data`; return its name."""
        sections = {
            "gxsearch": 1,
            "name": "case",
            "model": model,
            "data": {"path": "cells.h5ad", **data},
            "objective": {"metric": ENTRY[model]},
            "budget": {"trials": 2, "epochs": 2},
        }
        (self.path / "spec.yaml").write_text(yaml.safe_dump(sections, sort_keys=False))
        return "spec.yaml"

    def call(self, *argv: str) -> tuple[int, str, str]:
        """Run the command line; return its exit code, standard output and standard error."""
        code = 0
        try:
            main(argv)
        except SystemExit as stop:
            code = stop.code
        return (code, *self._capsys.readouterr())

    def refused(self, *argv: str) -> list[tuple[str, str]]:
        """Run what must be refused by faults of one line each; return their codes and lines, the caret's left out.

        Whatever is refused starts nothing, and the exit code is the first digit of the codes.
        """
        status, out, err = self.call(*argv)
        lines = [line for line in err.splitlines() if line.startswith("error")]
        assert status in (3, 4, 5, 6, 7, 8) and lines, f"exit {status}\n{out}\n{err}"
        assert all(FAULT.fullmatch(line) for line in lines), err
        assert {line[7] for line in lines} == {str(status)} and "Traceback" not in err
        assert not (self.path / "runs").exists()
        return [(line[6:10], line) for line in lines]
