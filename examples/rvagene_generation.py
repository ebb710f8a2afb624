"""RVAgene on a time series: clusters of genes, and new curves at times that nobody measured.

Each gene is one curve over 40 uneven times; a recurrent autoencoder gives it a vector, k-means divides the vectors, and
curves decoded from around a cluster's center are new genes of that kind. Look for the new curves (in color) following
the measured ones (gray) of their cluster at 60 even times, between and beside those that were measured (ticks), and
for how little they take over of the noise.

    python examples/rvagene_generation.py [OUT]
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import gxsearch as gx

DATA = "sim_series?n=40&g=180"


def main(out: str = "examples_out/rvagene_generation") -> None:
    plt.style.use(Path(__file__).with_name("slides.mplstyle"))
    run = gx.train(settings(), out=out)

    adata, genes = gx.read(DATA), run.embeddings.var
    scaled = (adata.X.T - genes[["rvagene_shift"]].to_numpy()) / genes[["rvagene_scale"]].to_numpy()
    measured, between = adata.obs["time"], np.linspace(adata.obs["time"].min(), adata.obs["time"].max(), 60)
    made = gx.generate(run, n=15, sd=0.25, times=between.tolist())
    made.to_csv(Path(out) / "new_curves.csv", index=False)

    figure, axes = plt.subplots(2, 3, figsize=(12, 6.4), sharex=True, sharey=True)
    colors = plt.rcParams["axes.prop_cycle"].by_key()["color"]
    for number, (panel, color) in enumerate(zip(axes.flat, colors, strict=False)):
        mine = genes["rvagene_cluster"] == str(number)
        new = made[made["cluster"] == number].iloc[:, -len(between) :]
        panel.plot(measured, scaled[mine].T, color="0.75", lw=0.6)
        panel.plot(between, new.T, color=color, lw=1, alpha=0.7)
        panel.plot(measured, np.full(len(measured), -3.4), "|", color="0.4", ms=6)
        panel.set_title(f"Cluster {number}: {mine.sum()} genes, {len(new)} new curves")
    for panel in axes[1]:
        panel.set_xlabel("time")
    for panel in axes[:, 0]:
        panel.set_ylabel("expression, scaled")
    figure.savefig(Path(out) / "rvagene_generation.png")
    print(pd.crosstab(genes["rvagene_cluster"], adata.var["cluster"]))


def settings() -> dict:
    """Return what a file for one training would hold; what it leaves out has its default."""
    return {
        "gxsearch": 1,
        "name": "rvagene-series",
        "model": "rvagene",
        "data": {"path": DATA, "time": "time", "label": "cluster", "split": {"val": 0.1, "test": 0.1}},
        "objective": {"metric": "val/elbo"},
        "space": {"model": {"latent_dim": 3, "hidden_size": 48}, "train": {"batch_size": 16, "lr": 5e-3}},
        "budget": {"trials": 1, "epochs": 120},
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
