"""Two architectures compared on one data set, one split, one yardstick, with an equal budget.

Do counts need a likelihood of counts, or does a VAE of their logarithms as well? A further architecture is a further
entry of the list.

Each search goes by its own objective; then its best settings are trained again over three seeds, and the 15 nearest
neighbors among their vectors name the types of cells that nothing had seen. Look at the verdict, which is about the
difference of two methods over seeds and cells at once (right: an interval that crosses zero is a tie), and at the
controls, which show where chance is. With a budget as small as this one the verdict is often that methods cannot be
told apart, and then it is the smallest that is recommended.

    python examples/compare_architectures.py [OUT]
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

import gxsearch as gx

DATA = "pbmc68k_counts"
VAE = {"latent_dim": {"int": [4, 16]}, "hidden": {"value": [128]}, "beta": 0.05, "skip": "pca"}
NBVAE = {"latent_dim": {"int": [4, 16]}}
COLORS = {"model": "C0", "classic": "C1", "control": "0.6"}


def main(out: str = "examples_out/compare_architectures") -> None:
    plt.style.use(Path(__file__).with_name("slides.mplstyle"))
    spaces = [space("vae", "val/masked_mse", VAE), space("nbvae", "val/elbo", NBVAE)]
    found = gx.compare(spaces, trials=4, out=out)
    found.table.to_csv(Path(out) / "leaderboard.csv", index=False)
    found.differences.to_csv(Path(out) / "differences.csv", index=False)

    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5), width_ratios=[1.3, 1])
    leaderboard(left, found.table)
    intervals(right, found.differences, found.table["name"][0])
    figure.savefig(Path(out) / "compare_architectures.png")
    print("\n".join(found.verdict))


def space(model: str, metric: str, settings: dict) -> dict:
    """Return what a search space file would hold; rows, genes and split are the same for all."""
    return {
        "gxsearch": 1,
        "name": model,
        "model": model,
        "data": {
            "path": DATA,
            "transform": [] if model == "nbvae" else ["normalize", "log1p"],  # nbvae reads the counts themselves
            "genes": {"min_detected": 0.3},
            "label": "bulk_labels",
            "split": {"val": 0.15, "test": 0.35, "stratify": "bulk_labels"},
        },
        "objective": {"metric": metric},
        "space": {"model": settings, "train": {"lr": {"float": [2e-3, 8e-3], "log": True}, "batch_size": 32}},
        "search": {"startup": 4},
        "budget": {"trials": 4, "epochs": 8},
    }


def leaderboard(axes, table: pd.DataFrame) -> None:
    """Draw the measure of every contender on test rows, with its spread over seeds, best on top."""
    for place, row in table.iterrows():
        spread = row.get("test/knn_sd", 0) if row["kind"] == "model" else 0
        axes.errorbar(row["test/knn"], place, xerr=spread, fmt="o", ms=8, capsize=4, color=COLORS[row["kind"]])
    axes.set_yticks(range(len(table)), table["name"])
    axes.invert_yaxis()
    axes.grid(axis="x", color="0.9")
    axes.set(xlabel="balanced accuracy of 15 neighbors, unseen cells", title="Leaderboard; bars are of three seeds")
    for kind, color in COLORS.items():
        axes.plot([], [], "o", color=color, label=kind)
    axes.legend(loc="lower right")


def intervals(axes, differences: pd.DataFrame, leader: str) -> None:
    """Draw how far the leader is ahead of the others, with 95 % intervals."""
    for place, row in differences.iterrows():
        axes.plot([row["low"], row["high"]], [place, place], color="C0")
        axes.plot(row["difference"], place, "o", ms=8, color="C0")
    axes.axvline(0, color="0.6", lw=1)
    axes.set_yticks(range(len(differences)), differences["name"])
    axes.set(ylim=(len(differences) - 0.4, -0.6), xlabel="difference, 95 % interval", title=f"{leader} ahead of")


if __name__ == "__main__":
    main(*sys.argv[1:])
