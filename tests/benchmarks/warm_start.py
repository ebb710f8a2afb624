"""What a search gains from beginning with the best settings of a search of other data.

    python tests/benchmarks/warm_start.py GTEX.h5ad --label tissue TCGA.h5ad --label2 cancer --seeds 3

For each seed: a search of the first set; one of the second, cold; and one of the second with `--from` the first, with
the same seed and number of trials. Told are the best value of both and after how many trials each has reached the best
of the cold one. Trials run one after the other, in this process and without early stopping, so that they can be
counted; the start draws of the file, which were found on bulk data, are left out.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path

import torch

from gxsearch.results.ledger import trials
from gxsearch.results.run_dir import RunDir
from gxsearch.search.intake import read_table
from gxsearch.search.local import search_here
from gxsearch.search.opening import begin
from gxsearch.search.spec import Spec, load
from gxsearch.search.warm import warmed

SPACE = Path(__file__).parents[2] / "search_spaces" / "fe.yaml"


def main() -> None:
    """Print a line a seed, and the means."""
    asked = argparse.ArgumentParser()
    asked.add_argument("first")
    asked.add_argument("second")
    asked.add_argument("--label", required=True)
    asked.add_argument("--label2", required=True)
    asked.add_argument("--seeds", type=int, default=3)
    asked.add_argument("--trials", type=int, default=16)
    asked.add_argument("--epochs", type=int, default=5)
    asked.add_argument("--genes", type=int, default=500)
    asked.add_argument("--top", type=int, default=3)
    told = asked.parse_args()
    torch.set_num_threads(1)
    print("seed   cold best   warm best   cold at   warm at   best after the first trials: cold, warm")
    for seed in range(told.seeds):
        with tempfile.TemporaryDirectory() as work:
            folder = Path(work)
            older = searched(spec_of(told, told.first, told.label, seed), folder / "older")
            second = spec_of(told, told.second, told.label2, seed)
            cold = best_so_far(searched(second, folder / "cold"))
            warm = best_so_far(searched(warmed(second, [older.path], top=told.top), folder / "warm"))
        reached = [next((i for i, v in enumerate(curve, 1) if v <= cold[-1]), math.inf) for curve in (cold, warm)]
        first = told.top - 1
        row = f"{seed:4}   {cold[-1]:9.5f}   {warm[-1]:9.5f}   {reached[0]:7}   {reached[1]:7}"
        print(f"{row}   {cold[first]:.5f}, {warm[first]:.5f}", flush=True)


def spec_of(told: argparse.Namespace, path: str, label: str, seed: int) -> Spec:
    """Return the space of factorized embeddings on a data set."""
    data = [f"data.path={Path(path).resolve()}", f"data.label={label}", f"data.split.stratify={label}"]
    data += [
        "search.startup=5",
        f"data.genes.top_variable={told.genes}",
        "stop=none",
        "search.start=[]",
        f"search.seed={seed}",
    ]
    return load(SPACE, (*data, f"budget.trials={told.trials}", f"budget.epochs={told.epochs}"))


def searched(spec: Spec, folder: Path) -> RunDir:
    """Run a search in this process."""
    table = read_table(spec)
    with begin(spec, table, 1, folder) as opened:
        search_here(spec, opened.run, table, opened.referee, lambda: None)
        opened.close("done")
    return opened.run


def best_so_far(run: RunDir) -> list[float]:
    """Return the least value of the objective after each trial."""
    found, least = [], math.inf
    for trial in trials(run.ledger):
        least = min(least, trial.best if trial.ranked else math.inf)
        found.append(least)
    return found


if __name__ == "__main__":
    main()
