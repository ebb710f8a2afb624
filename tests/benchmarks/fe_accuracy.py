"""Factorized embeddings against SVD and PCA at the same number of dimensions, on real bulk data.

    python tests/benchmarks/fe_accuracy.py ../shared/data/gtex26_bulk.h5ad --label tissue
    python tests/benchmarks/fe_accuracy.py ../shared/data/tcga11_bulk_hvg2000.h5ad --label cancer --group patient

Two tables. Entries: R2 on 10 % held-out entries of the training rows, for the paper's model, the recipe of
search_spaces/fe.yaml, and the recipe with a bilinear term, beside iterative SVD. Rows: reconstruction, imputation
of 20 % hidden entries, and 15-NN balanced accuracy on test rows, whose vectors are fitted, beside PCA.
"""

from __future__ import annotations

import argparse
import time

import torch

from gxsearch.data.prepare import prepare
from gxsearch.data.table import DataConfig, Split, Table
from gxsearch.training.baselines import Scores, entry_baselines, row_baselines, test_scores
from gxsearch.training.embedding import embed_table
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.session import Bench, Job, session

RECIPE = {"init_std": 0.1, "gene_bias": True}
MODELS = {
    "fe (paper)": {},
    "fe (recipe)": RECIPE,
    "fe (recipe + bilinear)": {"gene_bias": True, "bilinear": True, "warm_start": "pca"},
}


def fit(model: dict, bench: Bench, k: int, args: argparse.Namespace) -> tuple[torch.nn.Module, Scores, float]:
    """Train; return the model after its last epoch, the scores of its best epoch and the seconds."""
    train = {"batch_size": args.pairs, "schedule": "cosine"}
    job = Job("fe", {**model, "sample_dim": k}, train, {}, args.epochs, args.seed, "val/entry_mse", "min")
    begun = time.perf_counter()
    history = []
    for metrics, trained in session(job, bench, LocalRuntime(threads=args.threads)):
        fitted = trained
        history.append(metrics)
    best = min(history, key=lambda metrics: metrics["val/entry_mse"])
    return fitted, {name: best[name] for name in ("val/entry_mse", "val/r2")}, time.perf_counter() - begun


def show(name: str, k: int, scores: Scores, seconds: float | None = None) -> None:
    """Print one line of the table."""
    measures = ("val/entry_mse", "val/r2", "test/recon_r2", "test/masked_r2", "test/knn")
    cells = [f"{scores[m]:10.4f}" if m in scores else " " * 10 for m in measures]
    print(f"{name:24s} {k:4d} {' '.join(cells)} {'' if seconds is None else f'{seconds:8.1f}'}", flush=True)


def table_of(args: argparse.Namespace) -> Table:
    """Read the data, 15 % of rows (or groups) for validation and 15 % for test."""
    split = Split(group=args.group, stratify=None if args.group else args.label)
    return prepare(DataConfig(path=args.data, label=args.label, split=split), where="command line", allow_negative=True)


def main() -> None:
    """Print both tables for every number of dimensions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--label", required=True)
    parser.add_argument("--group")
    parser.add_argument("--dims", type=int, nargs="+", default=[2, 8, 20, 32])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--pairs", type=int, default=4096)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    bench = Bench(table_of(args), torch.device("cpu"))
    print("method                      k  entry_mse         r2   recon_r2  masked_r2        knn  seconds")
    for k in args.dims:
        for name, model in MODELS.items():
            fitted, scores, seconds = fit(model, bench, k, args)
            view, _ = bench.view(Job("fe", {}, {}, {}, 1, 0, "val/loss", "min"))
            z_nk = embed_table(fitted, view, bench.table, bench.device)
            rows = test_scores(fitted, view, bench.table, args.label, z_nk)
            show(name, k, scores | rows, seconds)
        for name, scores in (
            entry_baselines(view, bench.table, k) | row_baselines(view, bench.table, args.label, k)
        ).items():
            show(name, k, scores)


if __name__ == "__main__":
    main()
