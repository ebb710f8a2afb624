"""Regions of tissue told from spots and their neighbors, on parts of the tissue that were held out.

An E(n)-equivariant network reads each spot's counts and those of its six nearest neighbors. Tiles of the tissue are
held out, not single spots, whose neighbors would give them away. Look for the true regions (left) coming back in the
middle; spots that are told wrong (right) lie at borders, where a spot's neighbors are of another region.

    python examples/spatial_regions.py [OUT]
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import scanpy as sc
from sklearn.metrics import balanced_accuracy_score

import gxsearch as gx

DATA = "sim_spatial?n=1600&g=50&regions=5&sections=2"


def main(out: str = "examples_out/spatial_regions") -> None:
    plt.style.use(Path(__file__).with_name("slides.mplstyle"))
    run = gx.train(settings(), out=out)

    adata = gx.read(DATA)
    gx.tl.embed(adata, run)
    part, region, told = run.embeddings.obs["spatial_split"], adata.obs["region"], adata.obs["spatial_prediction"]
    adata.obs["told"] = pd.Categorical(told, categories=region.cat.categories)
    right = told.astype(str) == region.astype(str)
    adata.obs["spots"] = pd.Categorical(right.map({True: "right", False: "wrong"}).where(part == "test", "trained on"))
    adata.uns["spots_colors"] = ["#56B4E9", "#E4E4E4", "#D55E00"]
    scores = {name: balanced_accuracy_score(region[part == name], told[part == name]) for name in ("train", "test")}
    pd.Series(scores, name="balanced_accuracy").to_csv(Path(out) / "accuracy.csv")

    figure, axes = plt.subplots(2, 3, figsize=(13, 7.6))
    titles = {"region": "True regions", "told": "Told", "spots": f"Held out: {scores['test']:.0%} right"}
    for row, section in zip(axes, adata.obs["section"].cat.categories, strict=True):
        here = adata[adata.obs["section"] == section].copy()
        for panel, (column, title) in zip(row, titles.items(), strict=True):
            legend = "right margin" if (column, section) == ("spots", "section0") else None
            sc.pl.embedding(
                here, "spatial", color=column, ax=panel, show=False, size=40, legend_loc=legend, frameon=False,
                title=f"{title}, {section}",
            )  # fmt: skip
            panel.set_aspect("equal")
    figure.savefig(Path(out) / "spatial_regions.png")
    print(pd.Series(scores).round(3).to_string())


def settings() -> dict:
    """Return what a file for one training would hold; what it leaves out has its default."""
    return {
        "gxsearch": 1,
        "name": "spatial-regions",
        "model": "spatial",
        "data": {
            "path": DATA,
            "label": "region",
            "spatial": "spatial",
            "split": {"val": 0.15, "test": 0.25, "group": "section", "tiles": 5},
            "view": {"section": "section", "k": 6, "features": "pca", "classes": "region"},
        },
        "objective": {"metric": "val/balanced_accuracy"},
        "space": {"model": {"dim": 32, "depth": 2}, "train": {"lr": 3e-3}},
        "budget": {"trials": 1, "epochs": 30},
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
