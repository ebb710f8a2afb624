"""Cells: new ones under chosen phenotypes from a run's best model of tokens, as expression values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from scipy import sparse

from gxsearch.config import Config, knob
from gxsearch.data.tokens import TokensView
from gxsearch.errors import DataError, Fault, SpecError
from gxsearch.models import registry
from gxsearch.results import package, tokens
from gxsearch.results.embed import PROVENANCE, again, provenance
from gxsearch.results.generate import Wish
from gxsearch.results.package import Package
from gxsearch.results.predict import category_faults, of_tokens
from gxsearch.results.run_dir import RunDir

_OPTIONS = {"phenotypes": "as"}
"""What the command line calls a setting otherwise."""


class CellWish(Config):
    """Which cells to draw."""

    n: int = knob(100, doc="cells", low=1, high=1_000_000)
    phenotypes: dict[str, str] = knob({}, doc="category of each phenotype that is asked for; '' leaves it open")
    steps: int = knob(16, doc="rounds in which the genes of a cell are drawn", low=1, high=10_000)
    temperature: float = knob(1.0, doc="below 1 likelier cells, above 1 more varied ones", above=0, high=100)
    seed: int = knob(0, doc="seed of the draws", low=0, high=2**32 - 1)


def suit(run: RunDir, wish: dict[str, Any]) -> bool:
    """Say whether a run's model draws cells, and not curves; its wishes must not be of the other kind.

    Raises:
        SpecError: E306 naming each that is.
    """
    name = run.facts()["spec"]["model"]
    of_cells = issubclass(registry.get(name).View, TokensView)
    own, other = (CellWish, Wish) if of_cells else (Wish, CellWish)
    foreign = [key for key in wish if key in other.model_fields and key not in own.model_fields]
    kinds = ("curves of a model of series", "cells of a model of tokens")
    what = f"is for {kinds[not of_cells]}, and this run's model is {name}"
    faults = [Fault("E306", f"--{_OPTIONS.get(key, key)}", what, "leave it out") for key in foreign]
    if faults:
        raise SpecError(faults)
    return of_cells


def new_cells(run: RunDir, wish: CellWish, number: int | None = None, *, device: str = "cpu") -> AnnData:
    """Draw cells gene by gene, in rounds, all genes being hidden at first; return them as an AnnData.

    X are values in units of the transformed data: the mean of training rows in each gene's bin. layers["bin"] are the
    bins; obs has the phenotypes. Those that are not asked for are those of training rows, drawn from among the rows
    that have what is asked for; where no row has it, they are left open (''), as is what a row does not tell.

    Args:
        number: the trial; the best by default.

    Raises:
        SpecError: naming every phenotype or category that the model does not know.
        DataError: when the model is none of tokens, has no phenotypes while some are asked for, or cannot draw cells.
    """
    found = package.of_run(run, number)
    if wish.phenotypes:
        of_tokens(found, str(run.path))
        faults = [f for name, c in wish.phenotypes.items() for f in category_faults(found.view, name, [c], "--as")]
        if faults:
            raise SpecError(faults)
    if found.model.config.task != "masked" or found.view.config.layout != "dense":
        what = "a model that classifies, or reads expressed genes only, draws no cells"
        raise DataError.one("E479", str(run.path), what, "give a run of model.task: masked, data.view.layout: dense")
    draw = np.random.default_rng(wish.seed)
    code_np = _codes(found, run, wish, draw)
    generator = torch.Generator().manual_seed(wish.seed)
    model = found.model.to(device).eval()
    settings = {"steps": wish.steps, "temperature": wish.temperature, "generator": generator}
    bin_ng = model.generate(torch.from_numpy(code_np).to(device), wish.n, **settings).cpu().numpy()
    return _anndata(found, bin_ng, code_np)


def _codes(found: Package, run: RunDir, wish: CellWish, draw: np.random.Generator) -> np.ndarray:
    """Return the category of each phenotype of the cells (n, P), int64; -1 leaves it open."""
    names = list(found.view.dims.phenotypes)
    known = found.view.tokenizer.phenotypes
    asked_p = np.full(len(names), -1, dtype=np.int64)
    for name, category in wish.phenotypes.items():
        asked_p[names.index(name)] = known[name].index(category) if category else -1
    code_np = np.tile(asked_p, (wish.n, 1))
    free = [p for p, name in enumerate(names) if name not in wish.phenotypes]
    if not free:
        return code_np
    table = again(run)
    trained_np = found.view.codes(table.take(table.rows("train")))
    like = np.flatnonzero(((trained_np == asked_p) | (asked_p < 0)).all(1))
    if len(like):
        code_np[:, free] = trained_np[draw.choice(like, wish.n)][:, free]
    return code_np


def _anndata(found: Package, bin_ng: np.ndarray, code_np: np.ndarray) -> AnnData:
    view, n = found.view, len(bin_ng)
    obs = pd.DataFrame(index=[f"{found.name}_{i}" for i in range(n)])
    for p, name in enumerate(view.dims.phenotypes):
        words = np.append(tokens.classes_of(view, name), "")  # -1 is the last
        obs[name] = pd.Categorical(words[code_np[:, p]], categories=[*words[:-1], ""])
        obs[name] = obs[name].cat.remove_unused_categories()
    var = pd.DataFrame(index=pd.Index(found.genes.astype(object)))
    values_ng = view.tokenizer.decode(bin_ng)
    adata = AnnData(sparse.csr_matrix(values_ng), obs=obs, var=var)
    adata.layers["bin"] = sparse.csr_matrix(bin_ng.astype(np.uint8))
    adata.uns[PROVENANCE] = {found.name: provenance(found)}
    return adata
