"""Classical methods on the very entries and rows that a model is judged by, at its number of dimensions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA
from sklearn.metrics import recall_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import threadpool_limits

from gxsearch.data.entries import EntriesView, heldout
from gxsearch.data.table import Table
from gxsearch.data.view import View, align
from gxsearch.models.base import Decodes, FitsNewRows, GeneModel
from gxsearch.training.embedding import fit_vectors, reconstruct

Scores = dict[str, float]

NEIGHBORS = 15
_SMALL = 10_000_000
"""Values below which one thread is faster."""
HIDDEN = 0.2
"""Share of the entries of test rows that imputation has to find."""
_RANKS = (2, 4, 8, 16, 32, 64, 128)


def baselines(view: View, table: Table, label: str | None, k: int) -> dict[str, Scores]:
    """Return the measures of every classical method that applies to a view, by name, at k dimensions."""
    entries = entry_baselines(view, table, k) if isinstance(view, EntriesView) else {}
    return entries | (row_baselines(view, table, label, k) if len(table.rows("test")) else {})


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


def row_baselines(view: View, table: Table, label: str | None, k: int) -> dict[str, Scores]:
    """Return ``test/recon_r2``, ``test/masked_r2`` and, with a label, ``test/knn`` of PCA fitted on training rows.

    Hidden entries are predicted from the scores that fit the known ones best in the sense of least squares.
    """
    data = _Rows.of(view, table)
    pca = PCA(min(k, *data.train_ng.shape), random_state=0).fit(data.train_ng)
    scores_nk = _least_squares(data.test_ng - pca.mean_, data.known_ng, pca.components_)
    z_test = pca.transform(data.test_ng)
    found = data.scores(pca.inverse_transform(z_test), pca.inverse_transform(scores_nk))
    return {f"pca-{k}": found | data.knn(table, label, pca.transform(data.train_ng), z_test)}


def test_scores(model: GeneModel, view: View, table: Table, label: str | None, z_nk: np.ndarray) -> Scores:
    """Return the measures of `row_baselines` for a trained model, as far as its abilities reach.

    `z_nk` are the vectors of all rows of the table. Without test rows there are no measures.
    """
    if not len(table.rows("test")):
        return {}
    data = _Rows.of(view, table)
    found = data.knn(table, label, z_nk[data.train], z_nk[data.test])
    if isinstance(model, Decodes):
        found["test/recon_r2"] = data.r2(reconstruct(model, z_nk[data.test]), ~np.zeros_like(data.known_ng))
    if isinstance(model, Decodes) and isinstance(model, FitsNewRows):
        imputed_ng = reconstruct(model, fit_vectors(model, data.test_ng, data.known_ng))
        found["test/masked_r2"] = data.r2(imputed_ng, ~data.known_ng)
    return found


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
class _Rows:
    """Training and test rows of a table with the genes in a view's order, and the entries that may be looked at."""

    train: np.ndarray
    test: np.ndarray
    train_ng: np.ndarray
    test_ng: np.ndarray
    known_ng: np.ndarray

    @classmethod
    def of(cls, view: View, table: Table) -> _Rows:
        table = table.dense()
        x_ng = align(table.x_ng, table.var_names, view.genes, table.facts.get("source", "table"))
        train, test = table.rows("train"), table.rows("test")
        known_ng = ~heldout(table.obs_names[test], view.genes, HIDDEN, seed=1)
        return cls(train, test, x_ng[train], x_ng[test], known_ng)

    def r2(self, y_ng: np.ndarray, where_ng: np.ndarray) -> float:
        """Return 1 - squared error / squared distance to the training rows' gene means, over the chosen entries."""
        error = np.square(self.test_ng - y_ng, dtype=np.float64).sum(where=where_ng)
        spread = np.square(self.test_ng - self.train_ng.mean(0), dtype=np.float64).sum(where=where_ng)
        return float(1 - error / spread)

    def scores(self, full_ng: np.ndarray, imputed_ng: np.ndarray) -> Scores:
        every_ng = np.ones_like(self.known_ng)
        return {"test/recon_r2": self.r2(full_ng, every_ng), "test/masked_r2": self.r2(imputed_ng, ~self.known_ng)}

    def knn(self, table: Table, label: str | None, train_nk: np.ndarray, test_nk: np.ndarray) -> Scores:
        """Return the balanced accuracy on test rows of a vote among the nearest training rows."""
        if label is None:
            return {}
        labels_n = table.obs[label]
        vote = KNeighborsClassifier(min(NEIGHBORS, len(self.train))).fit(train_nk, labels_n[self.train])
        true_n, voted_n = labels_n[self.test], vote.predict(test_nk)
        return {"test/knn": float(recall_score(true_n, voted_n, labels=np.unique(true_n), average="macro"))}


def _entry_scores(y_n: np.ndarray, x_n: np.ndarray) -> Scores:
    mse = float(np.square(y_n - x_n).mean())
    return {"val/entry_mse": mse, "val/r2": 1 - mse / float(x_n.var())}


def _least_squares(x_ng: np.ndarray, known_ng: np.ndarray, basis_kg: np.ndarray) -> np.ndarray:
    """Return the scores (n, k) on `basis_kg` that fit the known entries of every row best."""
    return np.stack(
        [np.linalg.lstsq(basis_kg[:, k].T, x[k], rcond=None)[0] for x, k in zip(x_ng, known_ng, strict=True)]
    )
