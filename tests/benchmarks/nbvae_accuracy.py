"""How nbvae compares on held-out cells: likelihood of profiles, batch mixing of Harmony, few labels of PCs.

    python tests/benchmarks/nbvae_accuracy.py likelihood FILE.h5ad ... [--batch COLUMN] [--epochs 60] [--seeds 3]
    python tests/benchmarks/nbvae_accuracy.py mixing FILE.h5ad --batch COLUMN
    python tests/benchmarks/nbvae_accuracy.py labels FILE.h5ad ... [--share 0.1]

Every file has its classes in obs["cell_type"]. Defaults of the model but for what is told; figures are of test rows,
which choose nothing. mixing is transductive, as that of Harmony is: all cells are embedded, of which 10 % chose the
epoch. `--model` and `--train` take settings as JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from gxsearch.data.counts import CountsView
from gxsearch.data.prepare import prepare
from gxsearch.data.table import DataConfig, Table
from gxsearch.models.base import GeneModel
from gxsearch.training.count_baselines import count_baselines, count_scores
from gxsearch.training.embedding import embed_table
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.session import Bench, Job, session

CPU, LABEL = torch.device("cpu"), "cell_type"
MEASURES = ("test/nll", "test/elbo", "test/kl", "test/knn", "test/logreg", "test/accuracy")


def main() -> None:
    """Print one line a file and method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=["likelihood", "mixing", "labels"])
    parser.add_argument("files", nargs="+")
    parser.add_argument("--batch", action="append", default=[])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--model", type=json.loads, default={})
    parser.add_argument("--train", type=json.loads, default={})
    given = parser.parse_args()
    for path in given.files:
        globals()[given.task](path, given)


def likelihood(path: str, given: argparse.Namespace) -> None:
    """Print nats per value of profiles and of the model; `elbo` counts the latent's cost, nll does not."""
    for seed in range(given.seeds):
        table = read(path, given.batch, val=0.15, test=0.15, seed=seed)
        model, view = trained(table, given, seed=seed)
        rows = count_baselines(view, table, LABEL, model.config.latent_dim)
        rows["nbvae"] = count_scores(model, view, table, LABEL, embed_table(model, view, table, CPU))
        for name, row in rows.items():
            shown = {m: round(row[m], 4) for m in MEASURES if m in row}
            bound = round(row["test/elbo"] / table.n_vars, 4) if "test/elbo" in row else None
            print(Path(path).stem, f"seed {seed}", name, shown, f"elbo per value {bound}", sep="  ", flush=True)


def mixing(path: str, given: argparse.Namespace) -> None:
    """Print how well batches, over types that all have, and types are told by 15 nearest neighbors, by 5 folds."""
    for seed in range(given.seeds):
        table = read(path, given.batch, val=0.1, test=0.0, seed=seed)
        model, view = trained(table, given, seed=seed)
        for name, z_nk in {
            "pca-20": PCA(20, random_state=0).fit_transform(view.logged(table)),
            "nbvae": embed_table(model, view, table, CPU),
        }.items():
            print(Path(path).stem, f"seed {seed}", name, mixed(z_nk, table, given.batch[0]), sep="  ", flush=True)


def labels(path: str, given: argparse.Namespace) -> None:
    """Print balanced accuracy on test rows where a share of the training rows has labels."""
    for seed in range(given.seeds):
        whole = read(path, given.batch, val=0.15, test=0.15, seed=seed)
        name_n, train, test = whole.obs[LABEL], whole.rows("train"), whole.rows("test")
        rng = np.random.default_rng(seed)
        told = np.concatenate([some(rng, train[name_n[train] == c], given.share) for c in np.unique(name_n[train])])
        shown_n = np.full(whole.n_obs, "", dtype=name_n.dtype)
        shown_n[told] = name_n[told]
        table = dataclasses.replace(whole, obs={**whole.obs, "shown": shown_n})
        model, view = trained(table, given, seed=seed, view={"classes": "shown"})
        z_nk = embed_table(model, view, table, CPU)
        pcs_nk = PCA(20, random_state=0).fit(view.logged(table)[train]).transform(view.logged(table))
        with torch.no_grad():
            chance_nc = torch.cat([model.classify(batch) for batch in view.cut(table.take(test), CPU)]).numpy()
        found = {
            "nbvae": np.array(view.classes)[chance_nc.argmax(1)],
            "logreg on nbvae": logreg(z_nk, name_n, told, test),
            "logreg on 20 PCs": logreg(pcs_nk, name_n, told, test),
        }
        scores = {name: round(balanced_accuracy_score(name_n[test], said), 4) for name, said in found.items()}
        plain = {name: round(float((name_n[test] == said).mean()), 4) for name, said in found.items()}
        print(Path(path).stem, f"seed {seed}", f"{len(told)} labels", "balanced", scores, "plain", plain, flush=True)


def read(path: str, batch: list[str], *, val: float, test: float, seed: int) -> Table:
    """Prepare a file, its rows split at random: some classes have too few to be stratified."""
    split = {"val": val, "test": test, "seed": seed}
    config = DataConfig(path=str(Path(path).resolve()), label=LABEL, batch=batch, split=split)
    return prepare(config, where="benchmark", layout="sparse")


def trained(
    table: Table, given: argparse.Namespace, *, seed: int, view: dict[str, str] | None = None
) -> tuple[GeneModel, CountsView]:
    """Train, and return the model of the best epoch."""
    torch.set_num_threads(1)
    job = Job("nbvae", given.model, given.train, view or {}, given.epochs, seed, "val/elbo", "min")
    best = None
    for metrics, model in session(job, Bench(table, CPU), LocalRuntime()):
        if best is None or metrics["best_epoch"] == metrics["epoch"]:
            best = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(best)
    return model.eval(), Bench(table, CPU).view(job)[0]


def mixed(z_nk: np.ndarray, table: Table, batch: str) -> dict[str, float]:
    """Return 5-fold balanced accuracies of batch and type."""
    type_n, batch_n = table.obs[LABEL], table.obs[batch]
    everywhere = [t for t in np.unique(type_n) if len(set(batch_n[type_n == t])) == len(set(batch_n))]
    shared, often = np.isin(type_n, everywhere), np.isin(type_n, [t for t in set(type_n) if (type_n == t).sum() >= 5])
    return {"batch_knn": voted(z_nk[shared], batch_n[shared]), "type_knn": voted(z_nk[often], type_n[often])}


def voted(z_nk: np.ndarray, name_n: np.ndarray) -> float:
    """Return the 5-fold balanced accuracy of 15 nearest neighbors."""
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    said = cross_val_predict(KNeighborsClassifier(15), z_nk, name_n, cv=folds)
    return round(float(balanced_accuracy_score(name_n, said)), 4)


def logreg(x_nk: np.ndarray, name_n: np.ndarray, told: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return what class-balanced logistic regression on labeled rows says of test rows."""
    scaler = StandardScaler().fit(x_nk[told])
    found = LogisticRegression(class_weight="balanced", max_iter=3000).fit(scaler.transform(x_nk[told]), name_n[told])
    return found.predict(scaler.transform(x_nk[test]))


def some(rng: np.random.Generator, rows: np.ndarray, share: float) -> np.ndarray:
    """Return a share of the rows, one at least."""
    return rng.choice(rows, max(1, round(share * len(rows))), replace=False)


if __name__ == "__main__":
    main()
