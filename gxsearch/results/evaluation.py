"""Evaluation: what the measures of an embedding mean, which of them fit in a table, and how well it clusters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from anndata import AnnData

from gxsearch.errors import RunError
from gxsearch.results import leaderboard
from gxsearch.results.run_dir import RunDir, write_atomic
from gxsearch.results.vectors import vectors_of
from gxsearch.training.clusters import clusters, n_classes

CONTROL = "pca"
"""What clusters.csv calls the principal components."""
CURVE = 10
"""The largest k of the curves over k; the number of classes may be beyond it."""
COLUMNS = ("vectors", "k", "silhouette", "calinski_harabasz")
CLASS_COLUMNS = ("ari", "nmi", "classes")
OF_PHENOTYPES = ("accuracy", "balanced_accuracy", "macro_f1")
"""Measures that there are of every phenotype too, as ``<measure>_<phenotype>``."""
GLOSSARY = {
    "balanced_accuracy": "share of rows whose class is named right, the mean over classes; of phenotypes their mean",
    "gene_nll": "nats by which hidden genes surprise, the mean over tokens; lower is better",
    "gene_auroc": "chance that an expressed hidden gene is held likelier than one that is not; 0.5 is chance",
    "pheno_nll": "nats by which phenotypes surprise, the mean over them; lower is better",
    "gene_mae": "mean absolute error of the values of hidden genes, in units of the data; lower is better",
    "macro_f1": "F1 of each class (precision and recall alike), the mean over classes; of phenotypes their mean",
    "accuracy": "share of rows whose class is named right; of several phenotypes their mean",
    "masked_r2": "R2 of entries hidden from the model and predicted from the others; 1 is perfect, 0 the gene means",
    "recon_r2": "R2 of all values given back from the vectors; 1 is perfect, 0 the gene means of the training rows",
    "knn": "share of rows whose class a vote among the nearest training rows names, the mean over classes",
    "gene_pearson": "correlation of given with true values over rows, the median over genes; 1 is perfect",
    "logreg": "share of rows whose class a logistic regression on the vectors names, the mean over classes",
    "mse": "mean squared error of all values given back, in the model's own units; lower is better",
    "masked_mse": "mean squared error of entries hidden from the model, in its own units; lower is better",
    "mae": "mean absolute error of all values given back, in the model's own units; lower is better",
    "kl": "divergence of the codes from the prior in nats: what the code says of a row; neither way is better",
    "active_units": "latent dimensions that are in use: those whose mean varies over rows (variance over 0.01)",
    "contrast": "contrastive loss in nats, of telling partners from others; lower is better",
    "expression_r2": "R2 of the genes that vary most, told from the vectors by ridge regression; 0 is the gene means",
    "imputation_r2": "R2 of a fifth of the values, hidden and found, on a log scale; 0 is the gene means",
    "lobo": "as knn, with the training rows of a row's own batch left out: share named right, the mean over classes",
    "silhouette": "how well groups lie apart, clusters from -1 to 1, classes scaled to 0 to 1; higher is better",
    "calinski_harabasz": "spread between clusters over spread within, for the same rows; higher is better",
    "ari": "agreement of clusters with classes, adjusted for chance: 0 is chance, 1 is perfect",
    "nmi": "information that clusters and classes share: 0 is none, 1 is perfect",
    "isolated": "silhouette, from 0 to 1, of the classes that are in the fewest batches; higher is better",
    "batch_knn": "share of rows whose batch nearest training rows tell, the mean over batches; lower is better mixed",
    "batch_silhouette": "BRAS: how little batches lie apart within classes, from 0 to 1; higher is better mixed",
    "ilisi": "effective number of batches among a row's neighbors, scaled to 0 to 1; higher is better mixed",
}
"""Measure, without its part of the data -> what it means, in a line. In order of what to look at first."""


def meaning(measure: str) -> str:
    """Return what a measure such as ``test/knn`` means; nothing where it is not known."""
    return GLOSSARY.get(measure.rpartition("/")[2], "")


def test_measures(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the measures on test rows that have numbers, as the glossary goes.

    Effects of contrasts are none, and those of single phenotypes have a place of their own.
    """
    names = (name for row in rows for name, value in row.items() if _is_number(value))
    left_out = ("test/contrast_", *(f"test/{measure}_" for measure in OF_PHENOTYPES))
    kept = {n: None for n in names if n.startswith("test/") and not n.startswith(left_out)}
    return sorted(kept, key=_place)


def foremost(measures: Sequence[str], most: int, controls: Sequence[dict[str, Any]] = ()) -> list[str]:
    """Return at most so many measures, in their order: first those of controls too, then as the glossary goes."""
    order = sorted(measures, key=lambda name: (not any(name in row for row in controls), _place(name)))
    kept = set(order[:most])
    return [name for name in measures if name in kept]


def told_classes(facts: dict[str, Any]) -> str:
    """Return a sentence of warning where the model was told classes in training; else nothing."""
    data = facts["spec"]["data"]
    told = data.get("view", {}).get("classes")
    if data.get("label") in data.get("view", {}).get("phenotypes", []):
        told = data["label"]
    return f"the model was told `{told}` in training: its label scores are not unsupervised" if told else ""


def write_clusters(run: RunDir, adata: AnnData, model: str, label: str | None) -> None:
    """Write results/clusters.csv: a row per k for the model's vectors and for the control, with measures.

    Columns: vectors (the model, or pca), k, silhouette, calinski_harabasz and, where the label has classes, ari, nmi
    and classes, their number.
    """
    found = vectors_of(adata, model)
    assert found is not None, f"no vectors of {model}"
    labels = found.frame[label].astype(str).to_numpy() if label in found.frame else None
    n = n_classes(labels)
    labels, more = (labels, {"classes": n}) if n else (None, {})
    sources = {model: found.matrix} | ({} if found.control is None else {CONTROL: found.control})
    ks = range(2, CURVE + 1)
    rows = [
        {"vectors": name, **row, **more} for name, matrix in sources.items() for row in clusters(matrix, labels, ks)
    ]
    frame = pd.DataFrame(rows, columns=[*COLUMNS, *(CLASS_COLUMNS if n else ())])
    text = frame.map(leaderboard.cell).to_csv(index=False, lineterminator="\n", float_format="%.6g")
    write_atomic(run.clusters, text.encode())


def read_clusters(run: RunDir) -> pd.DataFrame | None:
    """Read results/clusters.csv; None where it was not made, or there were too few rows for any k.

    Raises:
        RunError: when it is no such table.
    """
    if not run.clusters.exists():
        return None
    try:
        frame = pd.read_csv(run.clusters, dtype={"vectors": str})
        known = [name for name in (*COLUMNS, *CLASS_COLUMNS) if name in frame or name in COLUMNS]
        frame[known[1:]].astype(float)
        if not _is_whole(frame):
            raise ValueError("values are missing")
    except (KeyError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise RunError.one("E631", str(run.clusters), f"cannot be read ({reason})", "remove it") from None
    return frame if len(frame) else None


def _is_whole(frame: pd.DataFrame) -> bool:
    """Say whether a table has all values that are read without a look whether they are there."""
    needed = [name for name in ("vectors", "k", "classes") if name in frame]
    known = frame.groupby("vectors")["ari"].count() if "ari" in frame else frame["k"]
    return bool(frame[needed].notna().all(axis=None) and (known > 0).all() and ("ari" in frame) <= ("classes" in frame))


def class_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return, for each kind of vectors, ari and nmi at as many clusters as classes, and the k of the best ari.

    Keys: vectors, classes, ari, nmi (None where that many clusters were not found), best_k, best_ari.
    """
    rows = []
    for name, part in frame.groupby("vectors", sort=False) if "ari" in frame else ():
        best, same = part.loc[part["ari"].idxmax()], part[part["k"] == part["classes"]]
        at = {key: float(same[key].iloc[0]) if len(same) else None for key in ("ari", "nmi")}
        classes = int(part["classes"].iloc[0])
        rows.append(
            {"vectors": name, "classes": classes, **at, "best_k": int(best["k"]), "best_ari": float(best["ari"])}
        )
    return rows


def _place(measure: str) -> int:
    """Return where the glossary has a measure; after all others where it has not."""
    return list(GLOSSARY).index(name) if (name := measure.rpartition("/")[2]) in GLOSSARY else len(GLOSSARY)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
