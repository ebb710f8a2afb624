"""Profiles and PCA on the very cells that a model of counts is judged by, in the model's units."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from gxsearch.data.counts import CountsView
from gxsearch.data.table import Table
from gxsearch.models.nbvae import NBVAE
from gxsearch.nn.distributions import nb_log_prob
from gxsearch.nn.profile import profiles
from gxsearch.training.baselines import Rows, Scores, probe_of_pca
from gxsearch.training.objectives import is_probe
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.sums import Sums

_ROWS = 512
_DROPPED = ("/loss", "_weight", "/r2", "/pearson")


def count_baselines(view: CountsView, table: Table, label: str | None, k: int, metric: str = "") -> dict[str, Scores]:
    """Return the ``val/`` and ``test/`` measures of every classical method that applies, by name.

    ``nll`` in nats per value and ``elbo`` per cell, which is the likelihood itself where there is no latent, given each
    cell's total: ``poisson, one profile``; ``nb, one profile``; ``nb, profile of the batch``, where there are
    covariates; ``nb, true profile``, of the class that `label` tells, which no method without labels is given.
    ``pca-<k>`` of log counts: with a label its accuracies, as of the model, and the objective where it is a probe.
    """
    groups = {"one profile": np.zeros(table.n_obs, dtype=np.int64)}
    if view.categories:
        codes_n = [" ".join(map(str, code)) for code in view.codes(table).tolist()]
        groups["profile of the batch"] = _places(np.array(codes_n), table)
    if label is not None:
        groups["true profile"] = _places(table.obs[label].astype(str), table)
    parts = [part for part in ("val", "test") if len(table.rows(part))]
    found = {f"nb, {name}": _likelihood(view, table, group_n, parts) for name, group_n in groups.items()}
    found["poisson, one profile"] = _likelihood(view, table, groups["one profile"], parts, poisson=True)
    logged = _logged(view, table)
    pca: Scores = {}
    if is_probe(metric):
        pca |= probe_of_pca(metric, table, Rows.of(view, logged, "val"), k)
    if "test" in parts:
        data = Rows.of(view, logged, "test")
        fitted = data.pca(k)
        pca |= {"test/recon_r2": data.scores(data.through(fitted), None)["test/recon_r2"]}
        pca |= data.accuracies(table, label, fitted.transform(data.train_ng), fitted.transform(data.x_ng))
    return found | ({f"pca-{k}": pca} if pca else {})


@torch.no_grad()
def count_scores(model: NBVAE, view: CountsView, table: Table, label: str | None, z_nk: np.ndarray) -> Scores:
    """Return the ``test/`` measures of a trained model; without test rows there are none.

    `z_nk` are the vectors of all rows. ``recon_r2`` is on the scale of log counts, as for PCA.
    """
    rows = table.rows("test")
    if not len(rows):
        return {}
    tested, device, sums = table.take(rows), next(model.parameters()).device, Sums(thorough=True)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        for batch in view.cut(tested, device, told=True):
            sums.add(model.eval()(batch, 1.0), batch.total)
    found = {name: value for name, value in sums.metrics("test", LocalRuntime()).items() if not name.endswith(_DROPPED)}
    data = Rows.of(view, _logged(view, table), "test")
    codes = torch.from_numpy(view.codes(tested)).to(device)
    y_ng = expressions(model, z_nk[rows], model.one_hot(codes))
    found["test/recon_r2"] = data.scores(np.log1p(y_ng), None)["test/recon_r2"]
    return found | data.accuracies(table, label, z_nk[data.train], z_nk[rows])


@torch.no_grad()
def expressions(model: NBVAE, z_nk: np.ndarray, codes_nc: Tensor | None) -> np.ndarray:
    """Return the counts (n, g) that a model expects of vectors at the median total.

    Args:
        codes_nc: share of each category of the covariates, (n, c) or (c,); None is the mix of the training rows.
    """
    z = torch.from_numpy(np.ascontiguousarray(z_nk, dtype=np.float32)).to(next(model.parameters()).device)
    codes = None if codes_nc is None else codes_nc.expand(len(z), -1)
    cuts = range(0, len(z), _ROWS)
    parts = [model.expression(z[i : i + _ROWS], None if codes is None else codes[i : i + _ROWS]) for i in cuts]
    return torch.cat(parts).cpu().numpy()


def _logged(view: CountsView, table: Table) -> Table:
    return dataclasses.replace(table, x_ng=view.logged(table), var_names=view.genes)


def _places(name_n: np.ndarray, table: Table) -> np.ndarray:
    """Return the place of each row's name among those of training rows; 0 for a name that none of them has."""
    names = np.unique(name_n[table.rows("train")])
    place_n = np.minimum(np.searchsorted(names, name_n), len(names) - 1)
    return np.where(names[place_n] == name_n, place_n, 0)


def _likelihood(
    view: CountsView, table: Table, group_n: np.ndarray, parts: list[str], *, poisson: bool = False
) -> Scores:
    """Return nll per value and per cell of profiles by group, learnt from training rows."""
    x_ng, total_n, train = view.values(table), view.totals(table), table.rows("train")
    share_cg, theta_g = profiles(x_ng[train], total_n[train], group_n[train], group_n.max() + 1)
    log_share_cg, log_theta_g = (torch.from_numpy(np.log(values)) for values in (share_cg, theta_g))
    found: Scores = {}
    for part in parts:
        nats, rows = 0.0, table.rows(part)
        for start in range(0, len(rows), _ROWS):
            piece = rows[start : start + _ROWS]
            x = torch.from_numpy(x_ng[piece].toarray()).double()
            log_mu = log_share_cg[group_n[piece]] + torch.from_numpy(total_n[piece]).double().log()[:, None]
            log_p = x * log_mu - log_mu.exp() - torch.lgamma(x + 1) if poisson else nb_log_prob(x, log_mu, log_theta_g)
            nats -= float(log_p.sum())
        found |= {f"{part}/nll": nats / (len(rows) * x_ng.shape[1]), f"{part}/elbo": nats / len(rows)}
    return found
