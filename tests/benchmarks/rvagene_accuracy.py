"""How RVAgene finds the six clusters of its simulation, reads real series against PCA, and what 20,000 genes cost.

    python tests/benchmarks/rvagene_accuracy.py six [--seeds 5] [--epochs 250]
    python tests/benchmarks/rvagene_accuracy.py memory [--genes 20000] [--times 100]
    python tests/benchmarks/rvagene_accuracy.py series DATA.h5ad [--time time] [--trials 24] [--latent 2]

`six` trains the default settings and measures, over all 120 genes, k-means of the vectors against the true clusters and
the mean squared error, beside k-means of the curves themselves and of PCA; the epoch is chosen on 10 % of the genes.
`memory` trains an epoch and tells the most memory that the process held. `series` searches at one latent size and
prints the best trial and PCA of that size on the same held-out genes; nothing was chosen on test genes.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from gxsearch import api
from gxsearch.data.prepare import prepare
from gxsearch.data.table import DataConfig, Split, Table
from gxsearch.results import leaderboard
from gxsearch.training.embedding import embed_table
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.session import Bench, Job, session

CPU = torch.device("cpu")
SPEC = """
gxsearch: 1
name: rvagene-accuracy
model: rvagene
data: {{path: {data}, time: {time}, split: {{val: 0.15, test: 0.15, seed: 0}}}}
objective: {{metric: val/mse}}
space:
  model:
    hidden_size: {{int: [16, 96], log: true}}
    latent_dim: {latent}
    bidirectional: {{choice: [false, true]}}
    skip: {{choice: [none, pca]}}
    beta: {{float: [1e-2, 1.0], log: true}}
    beta_warmup: {{float: [0.0, 0.3]}}
  train:
    lr: {{float: [1e-3, 1e-2], log: true}}
    batch_size: {{choice: [32, 64, 128]}}
    grad_clip: {{float: [0.5, 10.0], log: true}}
    weight_decay: {{float: [1e-6, 1e-2], log: true}}
search: {{startup: 8}}
stop: {{asha: {{grace: 25, reduction: 3}}}}
budget: {{trials: {trials}, epochs: 100}}
"""


def six(seeds: int, epochs: int) -> None:
    """Print a line per seed."""
    split = Split(val=0.1, test=0.0, stratify="cluster")
    config = DataConfig(path="sim_rvagene", orientation="genes", time="time", label="cluster", split=split)
    table = prepare(config, where="benchmark", allow_negative=True)
    for scaling in ("none", "zscore"):
        job = Job("rvagene", {}, {}, {"scaling": scaling}, epochs, 0, "val/elbo", "min")
        bench = Bench(table, CPU)
        x_nt, label_n = bench.view(job)[0].curves(table).x_nt, table.obs["cluster"]
        pca = PCA(3).fit(x_nt)
        error = np.square(pca.inverse_transform(pca.transform(x_nt)) - x_nt).mean()
        print(f"scaling {scaling}: within clusters {_within(x_nt, label_n):.4f}", end="")
        print(
            f", ARI of curves {_ari(x_nt, label_n):.3f}, PCA-3 {_ari(pca.transform(x_nt), label_n):.3f} mse {error:.4f}"
        )
        for seed in range(seeds):
            print(json.dumps({"seed": seed, **_trained(dataclasses.replace(job, seed=seed), bench, table)}), flush=True)


def _trained(job: Job, bench: Bench, table: Table) -> dict[str, float]:
    begun = time.process_time()
    best: dict[str, torch.Tensor] = {}
    for metrics, trained in session(job, bench, LocalRuntime()):
        model, last = trained, metrics
        if metrics["epoch"] == metrics["best_epoch"]:
            best = {name: value.clone() for name, value in model.state_dict().items()}
    seconds = time.process_time() - begun
    model.load_state_dict(best)
    view = bench.view(job)[0]
    z_nk = embed_table(model, view, table, CPU)
    with torch.no_grad():
        error_nt = np.square(model.decode(torch.from_numpy(z_nk)).numpy() - view.curves(table).x_nt)
    found = {
        "ari": _ari(z_nk, table.obs["cluster"]),
        "mse": error_nt.mean(),
        "held_out": error_nt[table.rows("val")].mean(),
    }
    return {name: round(float(value), 4) for name, value in found.items()} | {
        "cpu_s": round(seconds, 1),
        "best_epoch": int(last["best_epoch"]),
    }


def memory(genes: int, times: int) -> None:
    """Print seconds and memory of an epoch."""
    rng = np.random.default_rng(0)
    x_ng = rng.normal(size=(genes, times)).astype(np.float32)
    part_n = (np.arange(genes) % 10 == 0).astype(np.int8)
    names = (np.array([f"{stem}{i}" for i in range(n)]) for stem, n in (("gene", genes), ("sample", times)))
    facts = {"orientation": "genes", "time": "time", "batch": []}
    table = Table(x_ng, *names, part_n, var={"time": np.linspace(0, 1, times)}, facts=facts)
    before = _peak_gb()
    job = Job("rvagene", {}, {"batch_size": 256}, {}, 1, 0, "val/elbo", "min")
    bench = Bench(table, CPU)
    *_, (metrics, model) = session(job, bench, LocalRuntime())
    vectors = embed_table(model, bench.view(job)[0], table, CPU)
    print(f"{genes} genes x {times} times: an epoch {metrics['time/epoch_s']:.0f} s, {len(vectors)} vectors", end="")
    print(f", peak {_peak_gb():.2f} GB, of which {before:.2f} before training")


def series(data: str, time_column: str, trials: int, latent: int) -> None:
    """Print the best trial of a search, and PCA."""
    with tempfile.TemporaryDirectory() as folder:
        text = SPEC.format(data=Path(data).resolve(), time=time_column, trials=trials, latent=latent)
        (Path(folder) / "spec.yaml").write_text(text)
        run = api.tune(api.load_spec(Path(folder) / "spec.yaml"), out=folder, name="run", quiet=True)
        rows = [{"name": "rvagene", **leaderboard.at_best(leaderboard.best(run)), **leaderboard.scores(run)}]
        for row in rows + leaderboard.baselines(run):
            print(row["name"], {name: round(row[name], 4) for name in ("val/mse", "test/mse") if name in row})


def _ari(z_nk: np.ndarray, label_n: np.ndarray) -> float:
    return adjusted_rand_score(label_n, KMeans(6, n_init=20, random_state=0).fit_predict(z_nk))


def _within(x_nt: np.ndarray, label_n: np.ndarray) -> float:
    parts = [x_nt[label_n == name] for name in np.unique(label_n)]
    return float(np.concatenate([np.square(part - part.mean(0)) for part in parts]).mean())


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["six", "memory", "series"])
    parser.add_argument("data", nargs="?")
    for option, default in (
        ("seeds", 5),
        ("epochs", 250),
        ("genes", 20_000),
        ("times", 100),
        ("trials", 24),
        ("latent", 2),
    ):
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--time", default="time")
    given = parser.parse_args()
    if given.what == "six":
        six(given.seeds, given.epochs)
    elif given.what == "memory":
        memory(given.genes, given.times)
    else:
        series(given.data, given.time, given.trials, given.latent)
