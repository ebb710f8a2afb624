"""How transformer compares on held-out cells: hidden genes, phenotypes, and cells that it draws.

    python tests/benchmarks/transformer_accuracy.py tokens FILE.h5ad [--group donor] [--genes 500]
    python tests/benchmarks/transformer_accuracy.py phenotypes FILE.h5ad --group donor [--phenotype cell_type ...]
    python tests/benchmarks/transformer_accuracy.py generated FILE.h5ad [--group donor]

Files hold counts. tokens and generated read the genes most variable in log1p(counts per 10,000) over training rows, as
binary tokens (> 0); figures are of test rows, validation rows chose the epoch. One line a method and seed. `--model`,
`--train` and `--view` take settings as JSON, `--device cuda` trains on a GPU.

generated draws a cell for every test cell, of its phenotypes, and tells: in how many a logistic regression on 20
principal components of real training cells names the type that was asked for; and how well 15 nearest neighbors on 20
components tell drawn cells from real test cells (5 folds; .5 is chance). Real cells are tokenized too, as a mean value
for each bin would give any drawn cell away. The control is other real cells, of training, of the same phenotypes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from gxsearch.data.prepare import prepare
from gxsearch.data.table import DataConfig, Table
from gxsearch.data.tokens import TokensConfig, TokensView
from gxsearch.models.transformer import Transformer
from gxsearch.training.embedding import embed_table
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.session import Bench, Job, session
from gxsearch.training.token_baselines import token_baselines, token_scores

WIDE = {"gene_mask_width": 0.85}
"""Cells are drawn from nothing, so a model must have seen rows with nearly all genes hidden."""


def main() -> None:
    """Print one line a file, seed and method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=["tokens", "phenotypes", "generated"])
    parser.add_argument("files", nargs="+")
    parser.add_argument("--group", help="obs column whose rows stay together: donor")
    parser.add_argument("--label", default="cell_type")
    parser.add_argument("--phenotype", action="append", help="by default the label")
    parser.add_argument("--genes", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--model", type=json.loads, default={})
    parser.add_argument("--train", type=json.loads, default={})
    parser.add_argument("--view", type=json.loads, default={})
    given = parser.parse_args()
    torch.set_num_threads(1)
    for path in given.files:
        for seed in range(given.seeds):
            globals()[given.task](path, given, seed)


def tokens(path: str, given: argparse.Namespace, seed: int) -> None:
    """Print what is told of hidden genes by the model, without phenotypes, and by simple methods."""
    table = read(path, given, seed)
    model, view, _ = trained(table, given, seed, [], "val/gene_nll", "min", {})
    compare(path, given, seed, table, model, view, ("gene_nll", "gene_auroc", "gene_mae"))


def phenotypes(path: str, given: argparse.Namespace, seed: int) -> None:
    """Print what is told of phenotypes from all genes."""
    table, names = read(path, given, seed), given.phenotype or [given.label]
    model, view, _ = trained(table, given, seed, names, "val/balanced_accuracy", "max", {})
    measures = [f"{m}_{name}" for name in names for m in ("balanced_accuracy", "accuracy", "macro_f1")]
    compare(path, given, seed, table, model, view, ("pheno_nll", *measures, "gene_nll", "knn", "logreg"))


def generated(path: str, given: argparse.Namespace, seed: int) -> None:
    """Print how drawn cells agree with what was asked for, and how they differ from real ones."""
    table, names = read(path, given, seed), given.phenotype or [given.label]
    model, view, seconds = trained(table, given, seed, names, "val/gene_nll", "min", WIDE)
    code_np, bin_ng, draw = view.codes(table), view.bins(table), np.random.default_rng(seed)
    train, test = table.rows("train"), table.rows("test")
    asked = torch.from_numpy(code_np[test])
    begun = time.perf_counter()
    drawn = model.generate(asked, len(test), generator=torch.Generator().manual_seed(seed)).cpu().numpy()
    took = time.perf_counter() - begun
    like = np.array([draw.choice(train[(code_np[train] == code).all(1)]) for code in code_np[test]])
    real, made, other = (view.tokenizer.decode(b) for b in (bin_ng[test], drawn, bin_ng[like]))
    known = view.tokenizer.decode(bin_ng[train])
    pca, type_n = PCA(20, random_state=0).fit(known), code_np[:, names.index(given.label)]
    scaler = StandardScaler().fit(pca.transform(known))
    found = LogisticRegression(class_weight="balanced", max_iter=3000)
    found.fit(scaler.transform(pca.transform(known)), type_n[train])
    for name, cells in {"drawn": made, "control: training cells": other}.items():
        agreed = (found.predict(scaler.transform(pca.transform(cells))) == type_n[test]).mean()
        told = {
            "agreement": round(float(agreed), 4),
            "two-sample": round(apart(pca.transform(real), pca.transform(cells)), 4),
            "r of gene means": round(float(np.corrcoef(real.mean(0), cells.mean(0))[0, 1]), 4),
        }
        print(Path(path).stem, f"seed {seed}", name, told, sep="  ", flush=True)
    print(
        Path(path).stem, f"seed {seed}", f"trained {seconds:.0f} s, {len(test)} cells drawn in {took:.1f} s", sep="  "
    )


def compare(
    path: str,
    given: argparse.Namespace,
    seed: int,
    table: Table,
    model: Transformer,
    view: TokensView,
    measures: tuple[str, ...],
) -> None:
    """Print the measures on test rows, of the model and of simple methods, as far as they have them."""
    z_nk = embed_table(model, view, table, next(model.parameters()).device)
    rows = token_baselines(view, table, given.label, z_nk.shape[1])
    rows["transformer"] = token_scores(model, view, table, given.label, z_nk)
    for name, row in rows.items():
        told = {measure: round(row[f"test/{measure}"], 4) for measure in measures if f"test/{measure}" in row}
        if told:
            print(Path(path).stem, f"seed {seed}", name, told, sep="  ", flush=True)


def read(path: str, given: argparse.Namespace, seed: int) -> Table:
    """Prepare a file with the genes most variable in log1p(counts per 10,000) over training rows."""
    settings: dict[str, Any] = {"path": str(Path(path).resolve()), "label": given.label}
    settings["split"] = {"val": 0.15, "test": 0.2, "group": given.group, "seed": seed}
    options = {"where": "benchmark", "layout": "sparse", "extra_obs": given.phenotype or [given.label]}
    counts = prepare(DataConfig(**settings), **options)
    train = counts.rows("train")
    x_ng = sparse.diags(1e4 / np.maximum(counts.total_n[train], 1)).dot(counts.x_ng[train].astype(np.float64)).log1p()
    variance_g = np.asarray(x_ng.power(2).mean(0)).ravel() - np.asarray(x_ng.mean(0)).ravel() ** 2
    names = counts.var_names[np.argsort(-variance_g, kind="stable")[: given.genes]]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(names))
        file.flush()
        config = DataConfig(**settings, transform=["normalize", "log1p"], genes={"file": file.name})
        return prepare(config, **options)


def trained(
    table: Table,
    given: argparse.Namespace,
    seed: int,
    names: list[str],
    metric: str,
    mode: str,
    model: dict[str, Any],
) -> tuple[Transformer, TokensView, float]:
    """Train, and return the model of the best epoch, its view, and the seconds that it took."""
    view = TokensConfig(**{"binning": "binary", "threshold": 0.0, "phenotypes": names, **given.view}).model_dump()
    job = Job("transformer", {**model, **given.model}, given.train, view, given.epochs, seed, metric, mode)
    bench, best, begun = Bench(table, torch.device(given.device)), None, time.perf_counter()
    for metrics, made in session(job, bench, LocalRuntime(given.device)):
        if best is None or metrics["best_epoch"] == metrics["epoch"]:
            best = {name: value.clone() for name, value in made.state_dict().items()}
    made.load_state_dict(best)
    return made.eval(), bench.view(job)[0], time.perf_counter() - begun


def apart(real_nk: np.ndarray, other_nk: np.ndarray) -> float:
    """Return the share of rows, half of either kind, of which 15 nearest neighbors tell the kind (5 folds)."""
    x_nk, kind_n = np.concatenate([real_nk, other_nk]), np.repeat([0, 1], [len(real_nk), len(other_nk)])
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    return float((cross_val_predict(KNeighborsClassifier(15), x_nk, kind_n, cv=folds) == kind_n).mean())


if __name__ == "__main__":
    main()
