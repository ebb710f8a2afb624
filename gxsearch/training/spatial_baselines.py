"""Classical methods on the very spots that a model of neighbors is judged by: profiles, and logistic regression."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score

from gxsearch.data.features import Features, profile
from gxsearch.data.graph import GraphView
from gxsearch.data.neighbors import Neighbors
from gxsearch.data.table import Table
from gxsearch.models.base import GeneModel
from gxsearch.models.spatial import Spatial
from gxsearch.nn.distributions import nb_log_prob
from gxsearch.training.objectives import is_probe
from gxsearch.training.probing import probed
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.sums import Sums
from gxsearch.training.votes import knn_accuracy

Scores = dict[str, float]

COMPONENTS = 20
"""Principal components that logistic regression reads, of a spot and again of its neighbors."""
_PRIORS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Strengths of the general profile against the neighbors' counts, as shares of a spot's median total in percent."""
_DROPPED = ("/loss", "_weight", "/balanced_accuracy")


def spatial_baselines(view: GraphView, table: Table, label: str | None, k: int, metric: str = "") -> dict[str, Scores]:
    """Return the ``val/`` and ``test/`` measures of every classical method that applies, by name.

    ``nll``, nats per entry, given a spot's total: ``one profile`` for all spots; ``neighbors' profile``, the counts of
    a spot's neighbors with as much of the one profile as suits training spots best. ``balanced_accuracy``, where
    classes are told: class-balanced logistic regression on 20 components of the spot (``logreg self``) and on those
    and their mean over neighbors (``logreg self + neighbors``), each also centered by section. With a label, or a probe
    as the objective, ``pca-<k>`` too.
    """
    graph, parts = view.neighbors(table), [part for part in ("val", "test") if len(table.rows(part))]
    found: dict[str, Scores] = {}
    for name, told_n in profile_nats(view.values(table), graph, table.rows("train")).items():
        found[name] = {f"{part}/nll": float(told_n[table.rows(part)].mean()) for part in parts}
    if view.names:
        for name, feature_nf in readings(view, table, graph).items():
            named_n = name_regions(feature_nf, view.labels(table), table.rows("train"))
            truth_n = truths(view, table)
            accuracies = {part: balanced_accuracy(view, truth_n, named_n, table.rows(part)) for part in parts}
            found[name] = {f"{part}/balanced_accuracy": value for part, value in accuracies.items()}
    if label is not None or is_probe(metric):
        found[f"pca-{k}"] = _of_pca(view, table, label, k, metric)
    return found


@torch.no_grad()
def spatial_scores(model: GeneModel, view: GraphView, table: Table, label: str | None, z_nk: np.ndarray) -> Scores:
    """Return the ``test/`` measures of a trained model; without test rows there are none.

    A class that no training row has counts as never named.
    """
    rows = table.rows("test")
    if not len(rows):
        return {}
    sums, device = Sums(thorough=True), next(model.parameters()).device
    for batch in view.heldout(table, "test", device):
        sums.add(model.eval()(batch, 1.0), batch.total)
    found = {k: v for k, v in sums.metrics("test", LocalRuntime()).items() if not k.endswith(_DROPPED)}
    if view.names and isinstance(model, Spatial):
        named_n = np.concatenate([model.classify(b).argmax(1).cpu().numpy() for b in view.cut(table, device)])
        found["test/balanced_accuracy"] = balanced_accuracy(view, truths(view, table), named_n, rows)
    if label is not None:
        known_n = table.obs[label]
        train = table.rows("train")
        found["test/knn"] = knn_accuracy(z_nk[train], known_n[train], z_nk[rows], known_n[rows])
    return found


def truths(view: GraphView, table: Table) -> np.ndarray:
    """Return the name of each row's class (n,), '' where it is not known."""
    name_n = table.obs[view.config.classes].astype(str)
    return np.where(name_n == view.config.unlabeled, "", name_n)


def balanced_accuracy(view: GraphView, truth_n: np.ndarray, named_n: np.ndarray, rows: np.ndarray) -> float:
    """Return the mean over the true classes of the rows of the share that is named right; unknown rows do not count."""
    known = rows[truth_n[rows] != ""]
    told_n = np.array(view.names)[named_n[known]]
    return float(recall_score(truth_n[known], told_n, labels=np.unique(truth_n[known]), average="macro"))


def readings(view: GraphView, table: Table, graph: Neighbors) -> dict[str, np.ndarray]:
    """Return what logistic regression reads of each spot (n, f), by the name of the method."""
    section_n, train = view.sections(table), table.rows("train")
    found = {}
    for by_section, ending in ((False, ""), (True, ", centered")):
        settings = {"k": COMPONENTS, "by_section": by_section}
        features = Features.fit("pca", view.values(table), train, section_n, **settings)
        own_nf = features(view.values(table), section_n)
        found[f"logreg self{ending}"] = own_nf
        found[f"logreg self + neighbors{ending}"] = np.hstack([own_nf, mean_of(graph, own_nf)])
    return found


def name_regions(feature_nf: np.ndarray, label_n: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return the class (n,) that a class-balanced logistic regression on training rows gives all rows."""
    known = train[label_n[train] >= 0]
    mean_f, sd_f = feature_nf[known].mean(0), np.maximum(feature_nf[known].std(0), 1e-9)
    scaled_nf = (feature_nf - mean_f) / sd_f
    fitted = LogisticRegression(class_weight="balanced", max_iter=3000).fit(scaled_nf[known], label_n[known])
    return fitted.predict(scaled_nf)


def mean_of(graph: Neighbors, value_nf: np.ndarray) -> np.ndarray:
    """Return the mean of each spot's neighbors (n, f); zeros where it has none."""
    size_n = np.diff(graph.start_n)
    sum_nf = np.zeros(value_nf.shape)
    np.add.at(sum_nf, np.repeat(np.arange(len(size_n)), size_n), value_nf[graph.sender_e])
    return (sum_nf / np.maximum(size_n, 1)[:, None]).astype(np.float32)


def profile_nats(count_ng: np.ndarray, graph: Neighbors, train: np.ndarray) -> dict[str, np.ndarray]:
    """Return -log NB per entry of each spot (n,), given its total, by what the shares of its genes are taken to be."""
    share_g, theta_g = profile(count_ng[train])
    total_n1 = np.maximum(count_ng.sum(1, keepdims=True, dtype=np.float64), 1.0)
    near_ng = mean_of(graph, count_ng).astype(np.float64)
    unit = float(np.median(total_n1[train])) / 100

    def nats(rows: np.ndarray, prior: float | None) -> np.ndarray:
        mixed_ng = np.broadcast_to(share_g, (len(rows), len(share_g)))
        if prior is not None:
            mixed_ng = near_ng[rows] + prior * unit * share_g
        mu_ng = total_n1[rows] * mixed_ng / mixed_ng.sum(1, keepdims=True)
        x, log_mu, log_theta = (torch.from_numpy(a) for a in (count_ng[rows].astype(float), np.log(mu_ng), log_theta_g))
        return -nb_log_prob(x, log_mu, log_theta).mean(1).numpy()

    log_theta_g = np.log(theta_g)
    some = train[:: max(1, len(train) // 500)]
    best = min(_PRIORS, key=lambda prior: nats(some, prior).mean())
    everything = np.arange(len(count_ng))
    return {"one profile": nats(everything, None), "neighbors' profile": nats(everything, best)}


def _of_pca(view: GraphView, table: Table, label: str | None, k: int, metric: str) -> Scores:
    settings = {"k": k, "by_section": view.features.by_section}
    features = Features.fit("pca", view.values(table), table.rows("train"), view.sections(table), **settings)
    z_nk = features(view.values(table), view.sections(table))
    found = probed(metric, table, (np.arange(table.n_obs), z_nk))
    train, rows = table.rows("train"), table.rows("test")
    if label is None or not len(rows):
        return found
    known_n = table.obs[label]
    return found | {"test/knn": knn_accuracy(z_nk[train], known_n[train], z_nk[rows], known_n[rows])}
