"""A search of nbvae beside one of SCVI by scvi-tools' autotune: same cells, space, trials, epochs and cores.

    python tests/benchmarks/autotune_scvi.py SCVI_PYTHON COUNTS.h5ad [--trials 8] [--epochs 10] [--turns 2]

SCVI_PYTHON is the interpreter of an environment with scvi-tools[autotune], which is no dependency of gxsearch. Each is
one command, timed from its start to its last trial's end; nothing is stopped early. Ours then goes on to make what
autotune does not have (model, embeddings, report), which is timed beside it. One core a trial; the turns alternate.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

SPEC = """\
gxsearch: 1
name: autotune
model: nbvae
data: {{path: "{path}", split: {{val: 0.15, test: 0.0}}}}
objective: {{metric: val/elbo}}
space:
  model:
    latent_dim: {{choice: [5, 10, 20, 30]}}
    hidden: {{choice: [[64], [128], [256]]}}
  train:
    lr: {{float: [1e-4, 1e-2], log: true}}
    batch_size: 128
search: {{sampler: {sampler}, seed: {seed}}}
stop: none
budget: {{trials: {trials}, epochs: {epochs}}}
resources: {{cpus: 1, concurrent: {cores}}}
"""
THEIRS = """
import sys, time, warnings, logging
warnings.filterwarnings("ignore")
import anndata, scvi, scvi.autotune
from ray import tune
path, trials, epochs, seed, folder, searcher = sys.argv[1:]
scvi.settings.seed = int(seed)
scvi.settings.logging_dir = folder
adata = anndata.read_h5ad(path)
scvi.model.SCVI.setup_anndata(adata)
found = scvi.autotune.run_autotune(
    scvi.model.SCVI, adata, metrics="elbo_validation", mode="min", num_samples=int(trials), scheduler="fifo",
    searcher=searcher, seed=int(seed), resources={"cpu": 1, "gpu": 0}, logging_dir=folder,
    search_space={
        "model_params": {"n_latent": tune.choice([5, 10, 20, 30]), "n_hidden": tune.choice([64, 128, 256])},
        "train_params": {"max_epochs": int(epochs), "plan_kwargs": {"lr": tune.loguniform(1e-4, 1e-2)},
                         "train_size": 0.85, "check_val_every_n_epoch": 1},
    },
)
print("ENDED", time.time(), len(found.result_grid), found.result_grid.num_errors)
"""


def main() -> None:
    """Print a line a search, and the ratio of the means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scvi")
    parser.add_argument("path")
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--turns", type=int, default=2)
    given = parser.parse_args()
    ours_s, theirs_s = [], []
    for turn in range(given.turns):
        with tempfile.TemporaryDirectory() as folder:
            took, whole = ours(given, turn, Path(folder))
            ours_s.append(took)
            print(
                f"gxsearch tune     turn {turn}   {took:6.1f} s to the last trial's end, {whole:.1f} s with results",
                flush=True,
            )
        for searcher in ("hyperopt", "random"):
            with tempfile.TemporaryDirectory() as folder:
                took, failed = theirs(given, turn, folder, searcher)
            theirs_s.append(took)
            print(f"autotune {searcher:<8} turn {turn}   {took:6.1f} s, {failed} of its trials failed", flush=True)
    ratio = sum(theirs_s) / len(theirs_s) * len(ours_s) / sum(ours_s)
    print(f"autotune takes {ratio:.2f} times as long for {given.trials} trials of {given.epochs} epochs")


def ours(given: argparse.Namespace, seed: int, folder: Path) -> tuple[float, float]:
    """Return the seconds of the search, and those with its results."""
    from gxsearch.results.ledger import events

    spec, cores = folder / "spec.yaml", os.cpu_count()
    values = {"trials": given.trials, "epochs": given.epochs, "seed": seed, "cores": cores, "sampler": "tpe"}
    spec.write_text(SPEC.format(path=Path(given.path).resolve(), **values))
    begun = time.time()
    command = [sys.executable, "-m", "gxsearch.cli", "tune", str(spec), "--out", str(folder), "--name", "run", "-q"]
    subprocess.run(command, check=True, capture_output=True)
    ended = [event["time"] for event in events(folder / "run" / "ledger.jsonl") if event["event"] == "trial_ended"]
    assert len(ended) == given.trials, ended
    return datetime.fromisoformat(ended[-1]).timestamp() - begun, time.time() - begun


def theirs(given: argparse.Namespace, seed: int, folder: str, searcher: str) -> tuple[float, int]:
    """Return the seconds of a search by autotune, and how many of its trials failed."""
    values = map(str, (Path(given.path).resolve(), given.trials, given.epochs, seed, folder, searcher))
    begun = time.time()
    told = subprocess.run([given.scvi, "-c", THEIRS, *values], capture_output=True, text=True, check=False)
    if told.returncode:
        sys.exit(told.stderr[-3000:])
    words = next(line for line in told.stdout.splitlines() if line.startswith("ENDED")).split()
    assert int(words[2]) == given.trials, words
    return float(words[1]) - begun, int(words[3])


if __name__ == "__main__":
    main()
