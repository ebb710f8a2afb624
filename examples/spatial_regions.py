"""Regions of tissue told from spots and their neighbors, on parts of the tissue that were held out.

An E(n)-equivariant network reads each spot's counts and those of its six nearest neighbors; a logistic regression reads
the spot's alone. Tiles of the tissue are held out, not single spots, whose neighbors would give them away; only their
spots are in full color. Look for the rings, held-out spots that are told wrong: those of single spots are everywhere,
those with neighbors fewer and at borders, where neighbors are of another region. The baselines that are printed say
what a plain regression makes of the neighbors: on tissue as simple as this one more than the network does.

    python examples/spatial_regions.py [OUT]
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

import gxsearch as gx

DATA = "sim_spatial?n=1600&g=16&regions=5&sections=2&seed=2"


def main(out: str = "examples_out/spatial_regions") -> None:
    plt.style.use(Path(__file__).with_name("slides.mplstyle"))
    run = gx.train(settings(), out=out)

    adata = gx.read(DATA)
    gx.tl.embed(adata, run)
    unseen, region = (run.embeddings.obs["spatial_split"] == "test").to_numpy(), adata.obs["region"].to_numpy(str)
    logged = np.log1p(adata.X.toarray())
    alone = LogisticRegression(max_iter=1000).fit(logged[~unseen], region[~unseen]).predict(logged)
    told = {
        "True regions": region,
        "Told from a spot alone": alone,
        "Told with its neighbors": adata.obs["spatial_prediction"].to_numpy(str),
    }
    scores = {name: np.mean(found[unseen] == region[unseen]) for name, found in told.items()}
    pd.Series(scores, name="right").to_csv(Path(out) / "accuracy.csv")

    sections = adata.obs["section"].cat.categories
    figure, axes = plt.subplots(len(sections), 3, figsize=(12, 8.2))
    for row, section in zip(axes, sections, strict=True):
        here = (adata.obs["section"] == section).to_numpy()
        for panel, found in zip(row, told.values(), strict=True):
            draw(panel, adata.obsm["spatial"][here], found[here], region[here], unseen[here])
    for panel, (name, score) in zip(axes[0], scores.items(), strict=True):
        panel.set_title(name if name == "True regions" else f"{name}: {score:.0%}")
    figure.savefig(Path(out) / "spatial_regions.png")
    print(pd.Series(scores).iloc[1:].round(3).to_string())
    print(run.baselines[["name", "test/balanced_accuracy"]].dropna().round(3).to_string(index=False, header=False))


def draw(axes, at_nd: np.ndarray, found: np.ndarray, truth: np.ndarray, unseen: np.ndarray) -> None:
    """Draw the spots of a section by their region, those of training pale, with rings around unseen ones told wrong."""
    for color, name in enumerate(np.unique(truth)):
        for some, alpha in ((unseen, 1.0), (~unseen, 0.25)):
            axes.scatter(*at_nd[some & (found == name)].T, s=22, c=f"C{color}", alpha=alpha, lw=0)
    axes.scatter(*at_nd[unseen & (found != truth)].T, s=75, facecolors="none", edgecolors="black", lw=1.3)
    axes.set_aspect("equal")
    axes.set_axis_off()


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
        "budget": {"trials": 1, "epochs": 50},
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
