"""How a searched VAE compares with PCA of the same size on test rows, and what masks and contrast change.

    python tests/benchmarks/vae_accuracy.py DATA.h5ad --label COLUMN [--group COLUMN] [--sizes 20 50] [--trials 24]

For each size a search of search_spaces/vae.yaml's kind, then the best settings again on three splits (and seeds): as
they are, without masks in training, and with each contrast. Figures are of test rows, means (sd); the settings were
chosen on the validation rows of the first split.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path

import numpy as np
import torch

from gxsearch import api
from gxsearch.data.matrix import MatrixConfig, MatrixView
from gxsearch.data.table import Table
from gxsearch.results import leaderboard
from gxsearch.results.run_dir import RunDir
from gxsearch.search.intake import read_table
from gxsearch.search.spec import Spec
from gxsearch.training import checkpoint
from gxsearch.training.baselines import row_baselines, test_scores
from gxsearch.training.embedding import embed_table
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.session import Bench, Job, revive, session

MEASURES = ("test/recon_r2", "test/masked_mse", "test/knn", "test/logreg")
CPU = torch.device("cpu")
SPEC = """
gxsearch: 1
name: vae-accuracy
model: vae
data:
  path: {data}
  label: {label}
  split: {{val: 0.15, test: 0.15, group: {group}, stratify: {label}, seed: 0}}
  view: {{classes: {label}}}
objective: {{metric: val/masked_mse}}
space:
  model:
    latent_dim: {size}
    hidden: {{choice: [[512], [1024], [1024, 512]]}}
    dropout: {{float: [0.0, 0.3]}}
    beta: {{float: [1e-4, 1e-1], log: true}}
    mask_width: {{float: [0.1, 0.4]}}
    skip: {{choice: [none, pca]}}
  train:
    lr: {{float: [3e-4, 3e-3], log: true}}
    weight_decay: {{float: [1e-7, 1e-3], log: true}}
    batch_size: {{choice: [32, 64]}}
    schedule: cosine
search:
  startup: 8
  start:
    - {{hidden: [512], dropout: 0.1, beta: 1e-2, skip: none, lr: 1e-3, batch_size: 64}}
    - {{hidden: [1024, 512], dropout: 0.2, beta: 3e-3, skip: pca, lr: 1e-3, batch_size: 64}}
stop: {{asha: {{grace: 10, reduction: 3}}}}
budget: {{trials: {trials}, epochs: {epochs}}}
"""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--label", required=True)
    parser.add_argument("--group", default="null")
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 50])
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=120)
    parser.add_argument("--splits", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for size in given.sizes:
            text = SPEC.format(**{**vars(given), "data": Path(given.data).resolve(), "size": size})
            path = Path(folder) / f"vae{size}.yaml"
            path.write_text(text)
            one(api.load_spec(path), Path(folder), given.splits)


def one(spec: Spec, folder: Path, splits: int) -> None:
    """Search, and print the best trial beside PCA, and its variants."""
    run = api.tune(spec, out=folder / "runs", name=Path(spec.path).stem, quiet=True)
    size = spec.space.fixed["model.latent_dim"]
    best = leaderboard.best(run)
    print(f"\n{spec.data.path}  k={size}  trial {best.number} of {spec.budget.trials}: {json.dumps(best.params)}")
    print("".join(f"{name:>18s}" for name in ("", *MEASURES)))
    show("searched VAE", [leaderboard.scores(run)])
    for row in leaderboard.baselines(run):
        if row["name"].startswith("pca"):
            show(row["name"], [row])
    variants(spec, run, best.params, splits)


def variants(spec: Spec, run: RunDir, params: dict, splits: int) -> None:
    """Train the best settings on several splits and seeds, with one thing changed at a time; PCA on the same splits."""
    configs, tables = spec.space.configs(params), []
    for seed in range(splits):
        part = spec.data.split.model_copy(update={"seed": seed})
        tables.append(read_table(dataclasses.replace(spec, data=spec.data.model_copy(update={"split": part}))).dense())
    size = configs["model"]["latent_dim"]
    views = [MatrixView.fit(table, MatrixConfig()) for table in tables]
    rows = [row_baselines(view, table, spec.data.label, size) for view, table in zip(views, tables, strict=True)]
    show(f"pca, {splits} splits", [row[f"pca-{size}"] for row in rows])
    masks = {"mask_min": 0.0, "mask_width": 0.0}
    changes = {"as found": {}, "no masks": masks, "views": {"contrast": "views"}, "supcon": {"contrast": "supcon"}}
    for name, change in changes.items():
        head = ("vae", configs["model"] | change, configs["train"], spec.data.view, spec.budget.epochs)
        jobs = [Job(*head, seed, "val/masked_mse", "min") for seed in range(splits)]
        show(name, [trained(job, table, spec, run) for job, table in zip(jobs, tables, strict=True)])


def trained(job: Job, table: Table, spec: Spec, run: RunDir) -> dict[str, float]:
    """Return the test measures of a training's best epoch."""
    bench = Bench(table, CPU)
    with tempfile.TemporaryDirectory(dir=run.path) as work:
        for metrics, _ in session(job, bench, LocalRuntime(threads=1), Path(work)):
            last = metrics
        state = checkpoint.read(Path(work) / f"{int(last['best_epoch']):06d}")
    model, view, _ = revive(state.model, state.record)
    return test_scores(model, view, table, spec.data.label, embed_table(model, view, table, CPU))


def show(name: str, found: list[dict[str, float]]) -> None:
    """Print means, with standard deviations where there are several."""
    cells = []
    for measure in MEASURES:
        values = [row.get(measure, np.nan) for row in found]
        cells.append(f"{np.mean(values):.3f}" + (f" ({np.std(values, ddof=1):.3f})" if len(values) > 1 else ""))
    print("".join(f"{cell:>18s}" for cell in (name, *cells)), flush=True)


if __name__ == "__main__":
    main()
