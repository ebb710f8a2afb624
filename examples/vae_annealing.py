"""Four ways to anneal the KL of a beta-VAE: none, a line, a cosine, cycles.

One search tries the four, with all else fixed, on 700 blood cells. The KL says how much the codes tell of a cell, the
reconstruction how much of it they give back; the weight of the KL trades one for the other. Look for the KL of the
first epochs, which is large where its weight is still small, and for the cycles, which let it go and take it back.
Below, look for what the cycles gain on training cells and do not gain on the hidden values of held-out cells: that
error is taken at the mean of the codes, so that no schedule moves it, and trials are compared by it.

    python examples/vae_annealing.py [OUT]
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

import gxsearch as gx

SCHEDULES = ["none", "linear", "cosine", "cyclic"]
PANELS = {
    "train/kl_weight": "Weight of the KL",
    "train/kl": "KL, in nats per cell",
    "train/mse": "Reconstruction: error of training cells",
    "val/masked_mse": "Error of hidden values, held-out cells",
}


def main(out: str = "examples_out/vae_annealing") -> None:
    plt.style.use(Path(__file__).with_name("slides.mplstyle"))
    run = gx.tune(search_space(), out=out)

    figure, axes = plt.subplots(2, 2, figsize=(11, 7), sharex=True)
    rows = []
    for number in run.trials["number"]:
        trial = run.trial(number)
        history, name = trial.history, trial.params["model.anneal"]
        for panel, column in zip(axes.flat, PANELS, strict=True):
            shown = history[history["epoch"] > 4] if panel in axes[1] else history  # before, all errors fall alike
            panel.plot(shown["epoch"], shown[column], label=name)
        rows.append({"anneal": name, **history.iloc[-1][list(PANELS)]})
    table = pd.DataFrame(rows).set_index("anneal").loc[SCHEDULES]
    table.to_csv(Path(out) / "annealing.csv")

    for panel, title in zip(axes.flat, PANELS.values(), strict=True):
        panel.set_title(title)
    for panel in axes[1]:
        panel.set_xlabel("epoch")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    figure.savefig(Path(out) / "vae_annealing.png")
    print(table.round(3))


def search_space() -> dict:
    """Return a grid over the schedules: no trial is stopped, so that all curves are whole."""
    return {
        "gxsearch": 1,
        "name": "vae-annealing",
        "model": "vae",
        "data": {
            "path": "pbmc68k",
            "label": "bulk_labels",
            "genes": {"top_variable": 300},
            "split": {"val": 0.15, "test": 0.15, "stratify": "bulk_labels"},
        },
        "objective": {"metric": "val/masked_mse"},
        "space": {
            "model": {
                "hidden": {"value": [128]},
                "latent_dim": 16,
                "dropout": 0.1,
                "beta": 0.3,
                "anneal": {"choice": SCHEDULES},
                "anneal_share": 0.5,
                "cycles": 4,
            },
            "train": {"lr": 1e-3, "batch_size": 64, "schedule": "constant", "patience": 0},
        },
        "search": {"sampler": "grid"},
        "stop": "none",
        "budget": {"trials": len(SCHEDULES), "epochs": 40},
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
