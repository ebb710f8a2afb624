"""Names regions of held-out tiles and sections: the equivariant network beside logistic regression, on the same rows.

Run by hand: python tests/benchmarks/spatial_accuracy.py her2st tiles [--seeds 3] [--set model.depth=1 ...]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gxsearch.config import read
from gxsearch.data.graph import GraphConfig, GraphView
from gxsearch.data.prepare import prepare
from gxsearch.data.split import tiled
from gxsearch.data.table import PARTS, DataConfig, Split, Table
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.session import Bench, Job, session
from gxsearch.training.spatial_baselines import spatial_baselines, spatial_scores

DATA = Path(__file__).parents[2] / "../shared/data"
SETS: dict[str, dict[str, Any]] = {
    "her2st": {"file": "her2st_spatial_hvg2000", "classes": "region", "unlabeled": "undetermined", "tiles": 4},
    "osmfish": {"file": "osmfish_spatial", "classes": "cell_type", "unlabeled": None, "tiles": 4},
}


def table_of(name: str, tiles: int) -> tuple[Table, np.ndarray]:
    """Return a set with the names of the tiles of its spots (n,)."""
    told = SETS[name]
    path = str((DATA / f"{told['file']}.h5ad").resolve())
    config = DataConfig(path=path, label=told["classes"], spatial="spatial")
    table = prepare(config, where="benchmark", extra_obs=("section", told["classes"]))
    split, columns = tiled(Split(tiles=tiles, group="section"), table.obs, table.obsm["spatial"])
    return table, columns[split.group]


def folds(block_n: np.ndarray, *, most: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return held-out rows of each fold, and rows of the next fold to validate on; blocks stay whole."""
    names = np.unique(block_n)
    order = np.random.default_rng(seed).permutation(len(names)) % most
    fold_n = order[np.searchsorted(names, block_n)]
    return [(np.flatnonzero(fold_n == i), np.flatnonzero(fold_n == (i + 1) % most)) for i in range(most)]


def split_as(table: Table, test: np.ndarray, val: np.ndarray, *, keep_val: bool) -> Table:
    """Return the table with these rows held out; without `keep_val` but every 50th row of `val` is trained on."""
    part_n = np.full(table.n_obs, PARTS.index("train"), dtype=np.int8)
    part_n[val if keep_val else val[::50]] = PARTS.index("val")
    part_n[test] = PARTS.index("test")
    return dataclasses.replace(table, part_n=part_n)


def fitted(table: Table, settings: dict[str, dict], epochs: int, seed: int) -> dict[str, float]:
    """Train one model for so many epochs; return its measures."""
    metric = ("val/balanced_accuracy", "max")
    job = Job("spatial", settings["model"], settings["train"], settings["view"], epochs, seed, *metric)
    bench = Bench(table, torch.device("cpu"))
    for metrics, model in session(job, bench, LocalRuntime()):  # noqa: B007 - the last is kept
        pass
    view, _ = bench.view(job)
    z_nk = np.zeros((table.n_obs, 2), dtype=np.float32)
    found = spatial_scores(model, view, table, None, z_nk)
    return found | {name: metrics[name] for name in ("val/nll", "val/balanced_accuracy")}


def main() -> None:
    """Print a line per fold and seed, and the means at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=SETS)
    parser.add_argument("held", choices=["tiles", "section"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--validate", action="store_true", help="choose settings: the next fold is held out as well")
    parser.add_argument("--no-baselines", action="store_true")
    parser.add_argument("--set", action="append", default=[], help="GROUP.NAME=JSON, of model, train or view")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    told = SETS[asked.name]
    settings: dict[str, dict] = {"model": {}, "train": {}, "view": {"section": "section", "classes": told["classes"]}}
    settings["view"]["unlabeled"] = told["unlabeled"]
    for text in asked.set:
        path, _, value = text.partition("=")
        group, name = path.split(".")
        settings[group][name] = json.loads(value)
    table, tile_n = table_of(asked.name, told["tiles"])
    block_n = tile_n if asked.held == "tiles" else table.obs["section"]
    most = asked.folds if asked.held == "tiles" else len(np.unique(block_n))
    rows: dict[str, list[dict[str, float]]] = {}
    for i, (test, val) in enumerate(folds(block_n, most=most, seed=0)):
        part = split_as(table, test, val, keep_val=asked.validate)
        if not asked.no_baselines:
            view = GraphView.fit(part, read(GraphConfig, settings["view"], "", ""))
            for method, scores in spatial_baselines(view, part, None, 20).items():
                rows.setdefault(method, []).append(scores)
        for seed in range(asked.seeds):
            begun = time.perf_counter()
            scores = fitted(part, settings, asked.epochs, seed)
            rows.setdefault("spatial", []).append(scores)
            shown = "  ".join(
                f"{k} {v:.4f}" for k, v in scores.items() if k.split("/")[1] in ("nll", "balanced_accuracy")
            )
            print(f"fold {i} seed {seed}  {shown}  {time.perf_counter() - begun:.0f} s", flush=True)
    for method, found in rows.items():
        for measure in sorted(
            {k for scores in found for k in scores if k.split("/")[1] in ("nll", "balanced_accuracy")}
        ):
            values = [scores[measure] for scores in found if measure in scores]
            print(f"{method:36s} {measure:24s} {np.mean(values):.4f} (sd {np.std(values):.4f}, n {len(values)})")


if __name__ == "__main__":
    main()
