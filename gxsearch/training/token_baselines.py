"""Frequencies, nearest rows and logistic regression on the very tokens and rows that a model of tokens is judged by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, recall_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from gxsearch.data.table import Table
from gxsearch.data.tokens import TokensView
from gxsearch.models.transformer import Transformer
from gxsearch.training import hidden_tokens
from gxsearch.training.baselines import Rows, Scores, accuracies, probe_of_pca
from gxsearch.training.hidden_tokens import row_totals
from gxsearch.training.objectives import is_probe
from gxsearch.training.probing import OF_VALUES, probed
from gxsearch.training.votes import NEIGHBORS

COMPONENTS = 20
"""Principal components that the classical methods read."""


def token_baselines(
    view: TokensView, table: Table, label: str | None, k: int, metric: str = "", *, genes: bool = True
) -> dict[str, Scores]:
    """Return the ``val/`` and ``test/`` measures of every classical method that applies, by name.

    Of hidden gene tokens (see `hidden_tokens.measured`): ``frequency`` of each gene; ``depth-aware``, given the row's
    total over all genes; ``true <label> frequency``, in the class that `label` tells, which the model is not given.
    Of phenotypes (see `judged`): ``majority class``, ``15-NN`` and ``logistic regression`` on 20 principal components
    of the training rows. ``pca-<k>``: with a label its accuracies, as of the model, and the objective if it is a probe.

    Args:
        genes: hidden genes are measured too; a model that classifies finds none.
    """
    parts = [part for part in ("val", "test") if len(table.rows(part))]
    found = _of_genes(view, table, label, parts) if genes else {}
    if view.dims.phenotypes:
        found |= _of_phenotypes(view, table, parts)
    if label is None and not is_probe(metric):
        return found
    z_nk, train = components(view, table, k), table.rows("train")
    pca = probed(metric, table, (np.arange(table.n_obs), z_nk))
    if metric == f"val/{OF_VALUES}":
        pca = probe_of_pca(metric, table, Rows.of(view, table, "val"), k)
    if "test" in parts and label is not None:
        label_n = table.obs[label]
        rows = table.rows("test")
        pca |= accuracies(label_n[train], label_n[rows], z_nk[train], z_nk[rows])
    return found | ({f"pca-{k}": pca} if pca else {})


@torch.no_grad()
def token_scores(model: Transformer, view: TokensView, table: Table, label: str | None, z_nk: np.ndarray) -> Scores:
    """Return the ``test/`` measures of a trained model; without test rows there are none.

    Hidden gene tokens are found with all phenotypes masked, and phenotypes from all genes, the others masked. `z_nk`
    are the vectors of all rows.
    """
    rows, train = table.rows("test"), table.rows("train")
    if not len(rows):
        return {}
    found: Scores = {}
    tested, device = table.take(rows), next(model.parameters()).device
    if model.config.task == "masked":
        batches = view.cut(tested, device, told=(), hidden=True)
        chances = [model.eval().gene_chances(batch).cpu().numpy() for batch in batches]
        tokens = hidden_tokens.judged(view, table, "test")
        value_m = hidden_tokens.values_of(view, table, tokens)
        measured = hidden_tokens.measured(view, tokens, np.concatenate(chances), value_m)
        found = {f"test/{name}": value for name, value in measured.items()}
    chances_of = chances_of_phenotypes(model, view, tested, [])
    told = {name: Told(chance_nc.argmax(1), chance_nc) for name, chance_nc in chances_of.items()}
    found |= judged(view, "test", view.codes(tested), told)
    if label is None:
        return found
    return found | accuracies(table.obs[label][train], table.obs[label][rows], z_nk[train], z_nk[rows])


@torch.no_grad()
def chances_of_phenotypes(
    model: Transformer, view: TokensView, table: Table, given: list[str]
) -> dict[str, np.ndarray]:
    """Return the probability of each category (n, c), float32, of all phenotypes but those that are `given`.

    All genes are read, and of the phenotypes those that are given. A model that was trained to classify tells its
    target only.
    """
    device = next(model.parameters()).device
    batches = [model.eval().phenotype_logits(b, given) for b in view.cut(table, device, told=tuple(given))]
    names = [name for name in batches[0] if name not in given] if batches else []
    return {name: torch.cat([b[name] for b in batches]).softmax(1).cpu().numpy() for name in names}


@dataclass(frozen=True)
class Told:
    """What a method tells of one phenotype: its choices (n,), and probabilities (n, c) where it has any."""

    said_n: np.ndarray
    chance_nc: np.ndarray | None = None

    def measures(self, true_n: np.ndarray) -> Scores:
        """Return accuracy, its mean over classes, macro-F1 and ``pheno_nll`` in nats, over the rows that are not -1.

        The classes that means are taken over are those of the rows.
        """
        known = true_n >= 0
        true_n, said_n, classes = true_n[known], self.said_n[known], np.unique(true_n[known])
        macro = {"labels": classes, "average": "macro", "zero_division": 0}
        found = {
            "accuracy": float(accuracy_score(true_n, said_n)),
            "balanced_accuracy": float(recall_score(true_n, said_n, **macro)),
            "macro_f1": float(f1_score(true_n, said_n, **macro)),
        }
        if self.chance_nc is None:
            return found
        told_n = np.maximum(self.chance_nc[known, true_n], np.finfo(np.float32).tiny)
        return {"pheno_nll": float(-np.log(told_n).mean(dtype=np.float64)), **found}


def judged(view: TokensView, part: str, code_nf: np.ndarray, told: dict[str, Told]) -> Scores:
    """Return ``part/<measure>_<phenotype>``, and the mean over phenotypes as ``part/<measure>``.

    Phenotypes that no row of the part has are left out.

    Args:
        code_nf: category of each phenotype of the rows (n, phenotypes), -1 where it is not known.
        told: what a method tells of the rows, by phenotype.
    """
    true = {name: code_nf[:, place] for place, name in enumerate(view.dims.phenotypes) if name in told}
    by_name = {name: told[name].measures(true_n) for name, true_n in true.items() if (true_n >= 0).any()}
    found: Scores = {}
    for measure in ("pheno_nll", "accuracy", "balanced_accuracy", "macro_f1"):
        values = [measures[measure] for measures in by_name.values() if measure in measures]
        if values:
            found[f"{part}/{measure}"] = float(np.mean(values))
    for name, measures in by_name.items():
        found |= {f"{part}/{measure}_{name}": value for measure, value in measures.items() if measure != "pheno_nll"}
    return found


def components(view: TokensView, table: Table, k: int) -> np.ndarray:
    """Return k principal components, of the training rows, of all rows (n, k)."""
    x_ng, train = reader(view, table)(np.arange(table.n_obs)), table.rows("train")
    fitted = PCA(min(k, len(train) - 1, x_ng.shape[1] - 1), random_state=0).fit(x_ng[train])
    return fitted.transform(x_ng).astype(np.float32)


def reader(view: TokensView, table: Table) -> Callable[[np.ndarray], np.ndarray]:
    """Return what gives the dense values of rows (m, g) that classical methods read.

    Of counts that were not transformed they are log1p at the median total.
    """
    if not table.facts.get("whole") or table.facts.get("transform"):
        return lambda rows: view.values(table.take(rows)).toarray()
    total_n = np.maximum(row_totals(table), 1)
    scale_n = (np.median(total_n[table.rows("train")]) / total_n).astype(np.float32)
    return lambda rows: np.log1p(view.values(table.take(rows)).toarray() * scale_n[rows, None])


def _of_genes(view: TokensView, table: Table, label: str | None, parts: list[str]) -> dict[str, Scores]:
    known, found = hidden_tokens.learned(view, table), {}
    for part in parts:
        asked = hidden_tokens.judged(view, table, part)
        value_m = hidden_tokens.values_of(view, table, asked) if part == "test" else None
        chances = {
            "frequency": hidden_tokens.frequency(view, known, asked),
            "depth-aware": hidden_tokens.depth_aware(view, table, known, asked),
        }
        if label is not None:
            class_n = _classes(table.obs[label].astype(str), table.rows("train"))
            chances[f"true {label} frequency"] = hidden_tokens.frequency(view, known, asked, class_n)
        for name, chance_mb in chances.items():
            measures = hidden_tokens.measured(view, asked, chance_mb, value_m)
            found[name] = found.get(name, {}) | {f"{part}/{measure}": value for measure, value in measures.items()}
    return found


def _classes(name_n: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return the place of each row's name among those of training rows (n,), -1 for one that none of them has."""
    names, place_n = np.unique(name_n, return_inverse=True)
    seen = np.bincount(place_n[train], minlength=len(names)) > 0
    return np.where(seen, np.cumsum(seen) - 1, -1)[place_n]


def _of_phenotypes(view: TokensView, table: Table, parts: list[str]) -> dict[str, Scores]:
    z_nk, code_nf, train = components(view, table, COMPONENTS), view.codes(table), table.rows("train")
    found: dict[str, Scores] = {}
    for part in parts:
        told: dict[str, dict[str, Told]] = {}
        for place, (name, classes) in enumerate(view.dims.phenotypes.items()):
            known = train[code_nf[train, place] >= 0]
            methods = _classified(z_nk[known], code_nf[known, place], z_nk[table.rows(part)], classes)
            for method, one in methods.items():
                told.setdefault(method, {})[name] = one
        for method, by_name in told.items():
            found[method] = found.get(method, {}) | judged(view, part, code_nf[table.rows(part)], by_name)
    return found


def _classified(known_nk: np.ndarray, code_n: np.ndarray, z_nk: np.ndarray, classes: int) -> dict[str, Told]:
    """Return what three methods tell of rows, by name.

    Logistic regression weighs classes alike in its fit; its probabilities are brought back to their frequencies.
    """
    share_c = (np.bincount(code_n, minlength=classes) + 0.5) / (len(code_n) + 0.5 * classes)
    majority = Told(np.full(len(z_nk), share_c.argmax()), np.tile(share_c, (len(z_nk), 1)))
    found = {"majority class": majority}
    if len(np.unique(code_n)) < 2:
        return found
    vote = KNeighborsClassifier(min(NEIGHBORS, len(known_nk))).fit(known_nk, code_n)
    found[f"{NEIGHBORS}-NN"] = Told(vote.predict(z_nk))
    scaler = StandardScaler().fit(known_nk)
    fitted = LogisticRegression(class_weight="balanced", max_iter=2000).fit(scaler.transform(known_nk), code_n)
    chance_nc = np.full((len(z_nk), classes), 1e-6)
    chance_nc[:, fitted.classes_] = fitted.predict_proba(scaler.transform(z_nk)) * share_c[fitted.classes_]
    said_n = fitted.predict(scaler.transform(z_nk))
    found["logistic regression"] = Told(said_n, chance_nc / chance_nc.sum(1, keepdims=True))
    return found
