"""A transformer over gene tokens tells what unlabeled cells are, and draws cells of a type that is asked for.

In training genes and phenotypes are hidden at random and found from the rest, so the same model answers both ways:
phenotypes from genes, genes from phenotypes. Whole donors are held out. Look at the table: cells of new donors, whose
labels were removed, by their true and their told type. Look at the map (principal components of real cells): cells
drawn under a type (triangles) lean towards the real cells of that type (dots), and many miss it. To draw cells takes
more training than to tell them: 20 epochs of thousands of cells, where this example has 25 of 300.

    python examples/transformer_annotation.py [OUT]
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import scanpy as sc
from sklearn.decomposition import PCA

import gxsearch as gx

DATA, LABEL = "sim_phenotypes?n=600&g=60&donors=12", "cell_type"


def main(out: str = "examples_out/transformer_annotation") -> None:
    plt.style.use(Path(__file__).with_name("slides.mplstyle"))
    run = gx.train(settings(), out=out)

    cells = gx.read(DATA)
    new = cells[(run.embeddings.obs["transformer_split"] == "test").to_numpy()].copy()
    truth = new.obs.pop(LABEL)
    gx.tl.predict(new, run)
    told = new.obs[f"transformer_{LABEL}"]
    confusion = pd.crosstab(truth, told.to_numpy(), rownames=["true"], colnames=["told"])
    confusion.to_csv(Path(out) / "confusion.csv")
    drawn = {name: gx.generate(run, n=60, phenotypes={LABEL: name}) for name in truth.cat.categories}

    figure, (left, right) = plt.subplots(1, 2, figsize=(12.5, 5.4), width_ratios=[1, 1.25])
    table(left, confusion)
    beside(right, cells, drawn)
    figure.savefig(Path(out) / "transformer_annotation.png")
    print(confusion)


def table(axes, confusion: pd.DataFrame) -> None:
    """Draw a confusion table."""
    axes.imshow(confusion, cmap="Blues")
    for i, row in enumerate(confusion.to_numpy()):
        for j, count in enumerate(row):
            axes.text(j, i, count, ha="center", va="center", color="white" if count > row.sum() / 2 else "black")
    axes.set_xticks(range(confusion.shape[1]), confusion.columns)
    axes.set_yticks(range(len(confusion)), confusion.index)
    axes.set(xlabel="told", ylabel="true", title="Cells of new donors, without their labels")


def beside(axes, cells, drawn: dict) -> None:
    """Draw real cells and those drawn under each type on the real cells' principal components."""
    sc.pp.normalize_total(cells)
    sc.pp.log1p(cells)  # as the model read them
    pca = PCA(2, random_state=0).fit(cells.X.toarray())
    real = pca.transform(cells.X.toarray())
    for name, made in drawn.items():
        (dots,) = axes.plot(*real[cells.obs[LABEL] == name].T, "o", ms=4, alpha=0.35, mew=0, label=f"{name}, real")
        new = pca.transform(made[:, cells.var_names].X.toarray())
        axes.plot(*new.T, "^", ms=6, mfc="none", mew=1.3, color=dots.get_color(), label=f"{name}, drawn")
    axes.legend(bbox_to_anchor=(1, 1), loc="upper left")
    axes.set(xlabel="PC 1 of real cells", ylabel="PC 2", title="Cells drawn under a type, beside real ones")


def settings() -> dict:
    """Return what a file for one training would hold; what it leaves out has its default."""
    return {
        "gxsearch": 1,
        "name": "transformer-annotation",
        "model": "transformer",
        "data": {
            "path": DATA,
            "transform": ["normalize", "log1p"],
            "label": LABEL,
            "split": {"val": 0.15, "test": 0.35, "group": "donor"},
            "view": {"binning": "quantile", "n_bins": 5, "phenotypes": [LABEL, "sex"]},
        },
        "objective": {"metric": "val/balanced_accuracy"},
        "space": {"model": {}, "train": {}},
        "budget": {"trials": 1, "epochs": 25},
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
