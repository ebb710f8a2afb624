"""Probes measure the vectors of held-out rows by those of training rows."""

import numpy as np
import torch

from gxsearch.data.prepare import prepare
from gxsearch.data.table import DataConfig
from gxsearch.training.objectives import measures
from gxsearch.training.probing import Probe
from gxsearch.training.runtime import LocalRuntime
from gxsearch.training.session import Bench, Job, session
from gxsearch.training.votes import knn_accuracy


def test_the_accuracy_of_neighbors_is_balanced_over_classes():
    train_nk = np.repeat([[0.0], [10.0]], 20, axis=0)
    known_n = np.repeat(["a", "b"], 20)
    test_nk = np.array([[0.1]] * 9 + [[0.2]])  # all of them near a, and one is a b

    assert knn_accuracy(train_nk, known_n, test_nk, np.array(["a"] * 9 + ["b"])) == 0.5


def test_an_objective_may_be_a_probe_and_is_that_of_the_model_at_each_epoch():
    table = prepare(DataConfig(path="sim_bulk?n=100&g=50", label="cell_type"), where="test").dense()
    job = Job("vae", {"hidden": [16], "latent_dim": 3}, {"batch_size": 30}, {}, 3, 0, "val/knn", "max")
    bench = Bench(table, torch.device("cpu"))

    for metrics, model in session(job, bench, LocalRuntime(threads=1)):
        view = bench.view(job)[0]
        assert metrics["val/knn"] == Probe(table, ["val/knn"])(model, view, bench.device)["val/knn"]
        assert metrics["best"] >= metrics["val/knn"]
