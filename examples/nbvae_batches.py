"""Cells of three batches, put on one map: PCA, a negative-binomial VAE, and the same with an adversary.

The VAE is told each cell's batch and so need not keep it in the cell's vector; the adversary mixes batches further.
Look at the upper row: batches that lie apart in PCA mix in the other two. Look at the lower row: types must stay apart.
The figures in the titles are of held-out cells: how often the 15 nearest other cells tell the batch (a third is
perfect mixing, of three batches) and the type (one is perfect).

    python examples/nbvae_batches.py [OUT [DATA BATCH LABEL]]      # such as: out cells.h5ad batch cell_type
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scanpy as sc
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

import gxsearch as gx

SIMULATED = "sim_counts?n=600&g=300"


def main(
    out: str = "examples_out/nbvae_batches", data: str = SIMULATED, batch: str = "batch", label: str = "cell_type"
) -> None:
    plt.style.use(Path(__file__).with_name("slides.mplstyle"))
    adata, logged = gx.read(data), gx.read(data)
    sc.pp.normalize_total(logged)
    sc.pp.log1p(logged)
    adata.obsm["X_PCA"] = sc.pp.pca(logged.X, n_comps=10)
    for name, adversary in {"nbvae": 0.0, "nbvae_mixed": 20.0}.items():
        run = gx.train(settings(data, batch, label, adversary), out=out)
        gx.tl.embed(adata, run, key_added=name)
    unseen = (run.embeddings.obs["nbvae_split"] == "test").to_numpy()

    titles = {"X_PCA": "PCA", "X_nbvae": "nbvae", "X_nbvae_mixed": "nbvae with adversary"}
    figure, axes = plt.subplots(2, 3, figsize=(13, 8))
    told = {}
    for column, (key, title) in zip(axes.T, titles.items(), strict=True):
        told[title] = {what: neighbors(adata.obsm[key], adata.obs[what], unseen) for what in (batch, label)}
        sc.pp.neighbors(adata, use_rep=key)
        sc.tl.umap(adata)
        for panel, what in zip(column, (batch, label), strict=True):
            margin = "right margin" if title == list(titles.values())[-1] else None
            words = f"{title}\n{what} told by neighbors: {told[title][what]:.2f}"
            look = {"title": words, "legend_loc": margin, "size": 25, "frameon": False}
            sc.pl.umap(adata, color=what, ax=panel, show=False, **look)
    figure.savefig(Path(out) / "nbvae_batches.png")
    table = pd.DataFrame(told).T
    table.to_csv(Path(out) / "told_by_neighbors.csv")
    print(table.round(3))


def settings(data: str, batch: str, label: str, adversary: float) -> dict:
    """Return what a file for one training would hold; what it leaves out has its default."""
    return {
        "gxsearch": 1,
        "name": f"nbvae-{adversary:g}",
        "model": "nbvae",
        "data": {
            "path": data,
            "label": label,
            "batch": [batch],
            "split": {"val": 0.1, "test": 0.3, "stratify": label},
        },
        "objective": {"metric": "val/elbo"},
        "space": {"model": {"latent_dim": 10, "adversary": adversary}},
        "budget": {"trials": 1, "epochs": 80},
    }


def neighbors(z_nk: np.ndarray, words: pd.Series, unseen: np.ndarray) -> float:
    """Return how often 15 neighbors among the other rows tell the word of unseen rows: balanced accuracy."""
    fitted = KNeighborsClassifier(15).fit(z_nk[~unseen], words[~unseen])
    return balanced_accuracy_score(words[unseen], fitted.predict(z_nk[unseen]))


if __name__ == "__main__":
    main(*sys.argv[1:])
