"""Classical methods on the very entries and rows that a model is judged by, at its number of dimensions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.metrics import recall_score
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import threadpool_limits

from gxsearch.data.entries import EntriesView, heldout
from gxsearch.data.table import Table
from gxsearch.data.view import Hides, Scales, View, align
from gxsearch.models.base import Decodes, FitsNewRows, GeneModel, Losses
from gxsearch.training.embedding import embed_known, fit_vectors, reconstruct
from gxsearch.training.imputation import Hidden
from gxsearch.training.objectives import is_probe
from gxsearch.training.probing import OF_VALUES, probed
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.sums import Sums
from gxsearch.training.votes import by_regression, knn_accuracy

Scores = dict[str, float]

_SMALL = 10_000_000
"""Values below which one thread is faster."""
HIDDEN = 0.2
"""Share of the entries of test rows that imputation has to find."""
_OF_TRAINING = ("/loss", "/r2", "/pearson", "_weight")
"""Ends of names that test rows have no use for: weights, and what `Rows.scores` tells against training rows' means."""
_RANKS = (2, 4, 8, 16, 32, 64, 128)


def baselines(view: View, table: Table, label: str | None, k: int, metric: str = "") -> dict[str, Scores]:
    """Return the measures of every classical method that applies to a view, by name, at k dimensions.

    `metric` is the objective: where it is a probe, methods that embed rows get it too.
    """
    found = entry_baselines(view, table, k) if isinstance(view, EntriesView) else {}
    found = hidden_baselines(view, table, k) if isinstance(view, Hides) else found
    if is_probe(metric):
        probe = probe_of_pca(metric, table, Rows.of(view, table, "val"), k)
        found[f"pca-{k}"] = found.get(f"pca-{k}", {}) | probe
    tested = row_baselines(view, table, label, k) if len(table.rows("test")) else {}
    return {name: found.get(name, {}) | tested.get(name, {}) for name in {**found, **tested}}


def probe_of_pca(metric: str, table: Table, data: Rows, k: int) -> Scores:
    """Return the probe that an objective names, of PCA of the training rows; none where it is no probe.

    `imputation_r2` is that of PCA's Gaussian model of values on the log scale (`complete`).
    """
    if metric == f"val/{OF_VALUES}":
        hidden = Hidden(data.view, table, "val")
        train_ng, x_ng = (hidden.values(rows).astype(np.float32) for rows in (hidden.train, hidden.rows))
        logged = Rows(data.view, hidden.train, hidden.rows, train_ng, x_ng, ~hidden.hidden_rg)
        value = hidden.r2(complete(logged.pca(k), logged))
        return {} if value is None else {metric: value}
    pca = data.pca(k)
    return probed(metric, table, (data.train, pca.transform(data.train_ng)), (data.rows, pca.transform(data.x_ng)))


def entry_baselines(view: EntriesView, table: Table, k: int) -> dict[str, Scores]:
    """Return ``val/entry_mse`` and ``val/r2`` on the view's held-out entries, of four or five methods by name.

    ``mean``: one number; ``gene mean``; ``gene + sample mean``: an additive model, fitted by turns; ``svd-<k>``:
    iterative SVD of rank k, and also of the smaller rank that is best on these very entries, where there is one,
    because a full rank k may fit noise.
    """
    x_ng = view.values(table)[view.training(table)].astype(np.float64)
    held_ng = view.heldout()
    methods: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
        "mean": lambda x, known: np.full_like(x, x.mean(where=known)),
        "gene mean": lambda x, known: np.broadcast_to(x.mean(0, where=known), x.shape),
        "gene + sample mean": additive,
    }
    found = {name: _entry_scores(method(x_ng, ~held_ng)[held_ng], x_ng[held_ng]) for name, method in methods.items()}
    ranks = [rank for rank in _RANKS if rank < k] + [k]
    by_rank = {rank: _entry_scores(iterative_svd(x_ng, ~held_ng, rank)[held_ng], x_ng[held_ng]) for rank in ranks}
    best = min(ranks, key=lambda rank: by_rank[rank]["val/entry_mse"])
    return found | {f"svd-{rank}": by_rank[rank] for rank in dict.fromkeys([k, best])}


def hidden_baselines(view: View, table: Table, k: int) -> dict[str, Scores]:
    """Return the ``val/`` measures of gene means and of PCA on held-out rows, in units of the view.

    PCA finds hidden values by their mean given the others under its Gaussian model (`complete`), which is better
    than the projection of what is known.
    """
    data = Rows.of(view, table, "val")
    pca = data.pca(k)
    guesses = {"gene mean": (data.mean(), data.mean()), f"pca-{k}": (data.through(pca), complete(pca, data))}
    return {name: measured(data, *guess, "val") for name, guess in guesses.items()}


def row_baselines(view: View, table: Table, label: str | None, k: int) -> dict[str, Scores]:
    """Return the ``test/`` measures of PCA fitted on training rows: `Rows.scores` and, with a label, its accuracies."""
    data = Rows.of(view, table, "test")
    pca = data.pca(k)
    found = data.scores(data.through(pca), complete(pca, data))
    if isinstance(view, Hides):
        found |= measured(data, data.through(pca), complete(pca, data), "test")
    return {f"pca-{k}": found | data.accuracies(table, label, pca.transform(data.train_ng), pca.transform(data.x_ng))}


def test_scores(model: GeneModel, view: View, table: Table, label: str | None, z_nk: np.ndarray) -> Scores:
    """Return the measures of `row_baselines` for a trained model, as far as its abilities reach.

    `z_nk` are the vectors of all rows of the table. Without test rows there are no measures.
    """
    if not len(table.rows("test")):
        return {}
    data = Rows.of(view, table, "test")
    found = data.accuracies(table, label, z_nk[data.train], z_nk[data.rows])
    if not isinstance(model, Decodes):
        return found
    imputed_ng = None
    if isinstance(model, FitsNewRows):
        imputed_ng = reconstruct(model, fit_vectors(model, data.x_ng, data.known_ng))
    elif isinstance(view, Hides):
        imputed_ng = data.scale(reconstruct(model, embed_known(model, view, table.take(data.rows), ~data.known_ng)))
    found |= data.scores(data.scale(reconstruct(model, z_nk[data.rows])), imputed_ng)
    return found | (told(model, view, table.take(data.rows)) if isinstance(view, Hides) else {})


def measured(data: Rows, y_ng: np.ndarray, imputed_ng: np.ndarray, part: str) -> Scores:
    """Return what the training loop would measure of a method's reconstruction and imputation, by its own code."""
    x, y = torch.from_numpy(data.x_ng), torch.from_numpy(np.ascontiguousarray(y_ng, dtype=np.float32))
    terms = {"mse": (y - x).square().mean()}
    terms["masked_mse"] = torch.tensor(np.square(imputed_ng - data.x_ng).mean(where=~data.known_ng))
    return _named(Losses(terms, {"mse": 1.0, "masked_mse": 0.0}, y, x, by_gene=True), part)


@torch.no_grad()
def told(model: GeneModel, view: View, table: Table) -> Scores:
    """Return what a model's own forward pass tells of the rows of a table, as ``test/``; nothing is drawn."""
    sums, device = Sums(thorough=True), next(model.parameters()).device
    for batch in view.masked(table, view.hidden(table.obs_names), device):
        sums.add(model.eval()(batch, 1.0))
    found = sums.metrics("test", LocalRuntime())
    return {name: value for name, value in found.items() if not name.endswith(_OF_TRAINING)}


def _named(losses: Losses, part: str) -> Scores:
    sums = Sums(thorough=True)
    sums.add(losses)
    dropped = ("/loss", "_weight") if part == "val" else _OF_TRAINING
    return {name: value for name, value in sums.metrics(part, LocalRuntime()).items() if not name.endswith(dropped)}


def complete(pca: PCA, data: Rows) -> np.ndarray:
    """Return the rows (n, g) as PCA's Gaussian model expects them given their known values (Tipping, Bishop 1999)."""
    noise = max(pca.noise_variance_, 1e-6 * pca.explained_variance_[0])
    w_gk = pca.components_.T * np.sqrt(np.maximum(pca.explained_variance_ - noise, 0.0))
    out_ng = np.empty_like(data.x_ng)
    for i, (x, known) in enumerate(zip(data.x_ng - pca.mean_, data.known_ng, strict=True)):
        w = w_gk[known]
        out_ng[i] = w_gk @ np.linalg.solve(w.T @ w + noise * np.eye(w.shape[1]), w.T @ x[known]) + pca.mean_
    return out_ng


def additive(x_ng: np.ndarray, known_ng: np.ndarray, rounds: int = 10) -> np.ndarray:
    """Return gene + sample effects (n, g) fitted to the known entries by turns."""
    row_n1 = np.zeros((len(x_ng), 1))
    for _ in range(rounds):
        gene_g = (x_ng - row_n1).mean(0, where=known_ng)
        row_n1 = (x_ng - gene_g).mean(1, keepdims=True, where=known_ng)
    return gene_g + row_n1


def iterative_svd(x_ng: np.ndarray, known_ng: np.ndarray, k: int, *, rounds: int = 200) -> np.ndarray:
    """Return the rank-k fit (n, g) to the known entries, plus gene means.

    Unknown entries are filled with the fit until it stands still (hard-impute: Mazumder, Hastie, Tibshirani,
    JMLR 2010, section 5; Troyanskaya et al. 2001).
    """
    filled_ng = np.where(known_ng, x_ng, x_ng.mean(0, where=known_ng))
    tolerance = 1e-7 * x_ng.var(where=known_ng)
    for _ in range(rounds):
        mean_g = filled_ng.mean(0)
        with threadpool_limits(1 if x_ng.size < _SMALL else None, "blas"):  # threads only get in each other's way
            u_nk, s_k, v_kg = randomized_svd(filled_ng - mean_g, min(k, *x_ng.shape), n_iter=2, random_state=0)
        fit_ng = mean_g + (u_nk * s_k) @ v_kg
        moved = np.square(fit_ng - filled_ng).mean(where=~known_ng)
        filled_ng = np.where(known_ng, x_ng, fit_ng)
        if moved < tolerance:
            break
    return fit_ng


@dataclass(frozen=True)
class Rows:
    """Training and held-out rows in the view's order of genes, in its units; and the values that may be looked at."""

    view: View
    train: np.ndarray
    rows: np.ndarray
    train_ng: np.ndarray
    x_ng: np.ndarray
    known_ng: np.ndarray

    @classmethod
    def of(cls, view: View, table: Table, part: str) -> Rows:
        """Read the training rows and those of a part."""
        table = table.dense()
        x_ng = align(table.x_ng, table.var_names, view.genes, table.facts.get("source", "table"))
        x_ng = view.scaled(x_ng) if isinstance(view, Scales) else x_ng
        train, rows = table.rows("train"), table.rows(part)
        names = table.obs_names[rows]
        hidden_ng = view.hidden(names) if isinstance(view, Hides) else heldout(names, view.genes, HIDDEN, seed=1)
        return cls(view, train, rows, x_ng[train], x_ng[rows], ~hidden_ng)

    def scale(self, y_ng: np.ndarray) -> np.ndarray:
        """Return values in units of the table in those of the view."""
        return self.view.scaled(y_ng) if isinstance(self.view, Scales) else y_ng

    def pca(self, k: int) -> PCA:
        """Return PCA of the training rows."""
        return PCA(min(k, *self.train_ng.shape), random_state=0).fit(self.train_ng)

    def through(self, pca: PCA) -> np.ndarray:
        """Return the held-out rows as PCA reconstructs them."""
        return pca.inverse_transform(pca.transform(self.x_ng))

    def mean(self) -> np.ndarray:
        """Return the training rows' gene means for every held-out row."""
        return np.broadcast_to(self.train_ng.mean(0), self.x_ng.shape)

    def r2(self, y_ng: np.ndarray, where_ng: np.ndarray) -> float:
        """Return 1 - squared error / squared distance to the training rows' gene means, over the chosen values."""
        error = np.square(self.x_ng - y_ng, dtype=np.float64).sum(where=where_ng)
        spread = np.square(self.x_ng - self.train_ng.mean(0), dtype=np.float64).sum(where=where_ng)
        return float(1 - error / spread)

    def scores(self, full_ng: np.ndarray, imputed_ng: np.ndarray | None) -> Scores:
        """Return ``test/recon_r2``, and ``test/masked_r2`` of the values that were not known."""
        found = {"test/recon_r2": self.r2(full_ng, np.ones_like(self.known_ng))}
        return found if imputed_ng is None else found | {"test/masked_r2": self.r2(imputed_ng, ~self.known_ng)}

    def accuracies(self, table: Table, label: str | None, train_nk: np.ndarray, test_nk: np.ndarray) -> Scores:
        """Return the balanced accuracy on held-out rows of nearest training rows, and of logistic regression."""
        if label is None:
            return {}
        return accuracies(table.obs[label][self.train], table.obs[label][self.rows], train_nk, test_nk)


def accuracies(known_n: np.ndarray, true_n: np.ndarray, train_nk: np.ndarray, test_nk: np.ndarray) -> Scores:
    """Return ``test/knn`` and, of several classes, ``test/logreg`` of vectors, training rows being known."""
    found = {"test/knn": knn_accuracy(train_nk, known_n, test_nk, true_n)}
    if len(np.unique(known_n)) > 1:
        told_n = by_regression(np.asarray(train_nk), known_n, np.asarray(test_nk))
        found["test/logreg"] = float(recall_score(true_n, told_n, labels=np.unique(true_n), average="macro"))
    return found


def _entry_scores(y_n: np.ndarray, x_n: np.ndarray) -> Scores:
    mse = float(np.square(y_n - x_n).mean())
    return {"val/entry_mse": mse, "val/r2": 1 - mse / float(x_n.var())}
