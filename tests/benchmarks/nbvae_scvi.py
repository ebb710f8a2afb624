"""nbvae beside SCVI of scvi-tools: same rows, latent size, epochs and threads, one after the other in the same run.

    python tests/benchmarks/nbvae_scvi.py SCVI_PYTHON FILE.h5ad ... [--batch COLUMN] [--epochs 60] [--latent 10]

SCVI_PYTHON is the interpreter of an environment with scvi-tools, which is no dependency of gxsearch. Both have their
defaults, NB likelihood, one hidden layer of 128 and one thread; both are measured on the same held-out rows (20 %) at
their last epoch: the ELBO per cell with one draw of the latent, x! included, and the seconds of a training epoch.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def main() -> None:
    """Print a line a file, seed and model; the turns alternate so that both meet the same load."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scvi")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--batch", default="")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--latent", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=2)
    given = parser.parse_args()
    for path in given.files:
        for seed in range(given.seeds):
            with tempfile.TemporaryDirectory() as folder:
                rows = Path(folder) / "rows.npz"
                for name, row in (("nbvae", ours(path, given, seed, rows)), ("scvi", theirs(path, given, seed, rows))):
                    shown = {key: round(value, 4) for key, value in row.items()}
                    print(Path(path).stem, f"seed {seed}", name, shown, sep="  ", flush=True)


def ours(path: str, given: argparse.Namespace, seed: int, rows: Path) -> dict[str, float]:
    """Train nbvae, write which rows are which, and return its figures."""
    import torch

    from gxsearch.data.prepare import prepare
    from gxsearch.data.table import DataConfig
    from gxsearch.training.runtime import LocalRuntime
    from gxsearch.training.session import Bench, Job, session

    torch.set_num_threads(1)
    batch = [given.batch] if given.batch else []
    config = DataConfig(path=str(Path(path).resolve()), batch=batch, split={"val": 0.2, "test": 0.0, "seed": seed})
    table = prepare(config, where="benchmark", layout="sparse")
    np.savez(rows, train=table.rows("train"), val=table.rows("val"))
    bench = Bench(table, torch.device("cpu"))
    job = Job("nbvae", {"latent_dim": given.latent}, {}, {}, given.epochs, seed, "val/elbo", "min")
    n_values, train_s, begun = bench.view(job)[1].n_values, [], time.perf_counter()
    for metrics, _ in session(job, bench, LocalRuntime()):
        train_s.append(n_values / metrics["data/values_per_s"])
    whole = (time.perf_counter() - begun) / given.epochs
    told = {"elbo": metrics["val/elbo"], "best_elbo": metrics["best"], "nll": metrics["val/nll"]}
    return {**told, "train_s_per_epoch": sum(train_s) / given.epochs, "s_per_epoch_with_validation": whole}


def theirs(path: str, given: argparse.Namespace, seed: int, rows: Path) -> dict[str, float]:
    """Train SCVI in its own environment; return its figures."""
    told = json.dumps([path, given.batch, given.epochs, given.latent, seed, str(rows)])
    command = [given.scvi, "-W", "ignore", __file__, "--as-scvi", told]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def as_scvi(path: str, batch: str, epochs: int, latent: int, seed: int, rows: str) -> None:
    """Train SCVI, which must be installed where this runs, and print its figures."""
    import anndata
    import scvi
    import torch

    torch.set_num_threads(1)
    scvi.settings.seed = seed
    adata, part = anndata.read_h5ad(path), np.load(rows)
    train, val = (adata[part[name]].copy() for name in ("train", "val"))
    scvi.model.SCVI.setup_anndata(train, **({"batch_key": batch} if batch else {}))
    model = scvi.model.SCVI(train, n_latent=latent, gene_likelihood="nb")
    begun = time.perf_counter()
    model.train(epochs, accelerator="cpu", train_size=1.0, early_stopping=False, enable_progress_bar=False)
    seconds = (time.perf_counter() - begun) / epochs
    elbo = np.mean([abs(float(model.get_elbo(val))) for _ in range(5)])
    error = float(model.get_reconstruction_error(val)["reconstruction_loss"])
    print(json.dumps({"elbo": elbo, "nll": abs(error) / adata.n_vars, "train_s_per_epoch": seconds}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--as-scvi"]:
        as_scvi(*json.loads(sys.argv[2]))
    else:
        main()
