"""Factorized embeddings of bulk samples: a search, the map of the best model, genes that are alike, new samples.

Each sample and each gene has a vector, and a small network tells a gene's expression in a sample from the two. The
search draws six settings of that network for samples of two dimensions, so that the vectors are the map. Look for
samples of one type lying together although no type was ever told; for the crosses, samples that the model had never
seen, which fall among their own type; and, on the right, for genes near to one another in the model having the same
profile over the types.

    python examples/fe_bulk.py [OUT [DATA LABEL]]        # such as: fe_bulk.py out gtex.h5ad tissue
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import scanpy as sc

import gxsearch as gx


def main(out: str = "examples_out/fe_bulk", data: str = "sim_bulk?n=300&g=200", label: str = "cell_type") -> None:
    plt.style.use(Path(__file__).with_name("slides.mplstyle"))
    run = gx.tune(search_space(data, label), out=out)

    adata = gx.read(data)
    gx.tl.embed(adata, run)  # vectors of samples and genes, into the AnnData
    unseen = run.embeddings.obs["fe_split"] == "test"
    gene = run.embeddings.var["variance"].idxmax()
    near = gx.genes(run, [gene], top=7).nearest
    near.to_csv(Path(out) / "nearest_genes.csv", index=False)

    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5.2), width_ratios=[1.1, 1])
    title = f"Samples: {run.best.metrics['test/knn']:.0%} of unseen ones (x) lie among their type"
    many = adata.obs[label].nunique() > 8
    look = {"legend_loc": "on data", "legend_fontsize": 7} if many else {}
    sc.pl.embedding(adata, "X_fe", color=label, ax=left, show=False, size=60, title=title, frameon=False, **look)
    left.scatter(*adata.obsm["X_fe"][unseen].T, marker="x", c="black", s=28, lw=1.2)
    heatmap(right, profiles(adata, label, [gene, *near["other"]]), [1.0, *near["similarity"]])
    right.set_title(f"Genes nearest to {gene}, by cosine")
    figure.savefig(Path(out) / "fe_bulk.png")
    print(run)


def search_space(data: str, label: str) -> dict:
    """Return what a search space file would hold."""
    return {
        "gxsearch": 1,
        "name": "fe-bulk",
        "model": "fe",
        "data": {"path": data, "label": label, "split": {"val": 0.1, "test": 0.15, "stratify": label}},
        "objective": {"metric": "val/entry_mse"},
        "space": {
            "model": {
                "sample_dim": 2,
                "gene_dim": 16,
                "hidden": {"choice": [[50], [50, 25], [100, 50]]},
                "init_std": {"float": [0.05, 0.5], "log": True},
                "gene_bias": True,
            },
            "train": {"lr": {"float": [3e-3, 3e-2], "log": True}, "batch_size": 2048, "schedule": "cosine"},
        },
        "search": {"startup": 3},
        "stop": {"asha": {"grace": 4, "reduction": 3}},
        "budget": {"trials": 6, "epochs": 15},
    }


def profiles(adata, label: str, genes: list[str]) -> pd.DataFrame:
    """Return the mean expression of genes (rows) in each class, in standard deviations over the classes."""
    means = sc.get.obs_df(adata, [label, *genes]).groupby(label, observed=True).mean().T
    return means.sub(means.mean(axis=1), axis=0).div(means.std(axis=1), axis=0)


def heatmap(axes, table: pd.DataFrame, cosine: list[float]) -> None:
    """Draw genes by classes, with each gene's cosine."""
    image = axes.imshow(table, cmap="RdBu_r", vmin=-2, vmax=2, aspect="auto")
    axes.set_xticks(range(table.shape[1]), table.columns, rotation=45, ha="right")
    axes.set_yticks(
        range(len(table)), [f"{gene}  {value:.2f}" for gene, value in zip(table.index, cosine, strict=True)]
    )
    axes.spines[:].set_visible(False)
    axes.figure.colorbar(image, ax=axes, label="mean expression, in standard deviations", shrink=0.7)


if __name__ == "__main__":
    main(*sys.argv[1:])
