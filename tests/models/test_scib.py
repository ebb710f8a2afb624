"""Probes agree with scib-metrics, where that is installed: pip install "gxsearch[scib]"."""

from pathlib import Path

import numpy as np
import pytest

scib_metrics = pytest.importorskip("scib_metrics", reason="scib-metrics is not installed: pip install gxsearch[scib]")
anndata = pytest.importorskip("anndata")

from gxsearch.training.probes import Yardstick  # noqa: E402

CELLS = Path(__file__).parents[2] / "../shared/data/pbmc_3chem_batches.h5ad"


def simulated() -> tuple[np.ndarray, ...]:
    """Return vectors, classes, of which one is in one batch only, and batches of 900 cells."""
    rng = np.random.default_rng(0)
    class_n, batch_n = rng.integers(0, 6, 900), rng.integers(0, 3, 900)
    batch_n[class_n == 5] = 1
    z_nk = rng.normal(size=(900, 12)) + 1.5 * np.eye(6, 12)[class_n] + rng.normal(size=(3, 12))[batch_n]
    return z_nk, class_n.astype(str), batch_n.astype(str)


def real() -> tuple[np.ndarray, ...]:
    """Return 20 principal components, types and chemistries of 1,200 blood cells."""
    if not CELLS.exists():
        pytest.skip("the data folder is not there")
    adata = anndata.read_h5ad(CELLS)
    x_ng = np.asarray(adata.X.todense() if hasattr(adata.X, "todense") else adata.X, dtype=np.float64)
    x_ng = np.log1p(x_ng / x_ng.sum(1, keepdims=True) * 1e4)
    u_nk, s_k, _ = np.linalg.svd(x_ng - x_ng.mean(0), full_matrices=False)
    return (u_nk * s_k)[:, :20], *(adata.obs[name].astype(str).to_numpy() for name in ("cell_type", "batch"))


@pytest.fixture(scope="module", params=[simulated, real], ids=["simulated", "real"])
def case(request):
    z_nk, label_n, batch_n = request.param()
    part_n = np.arange(len(z_nk)) % 3 == 0
    told = Yardstick(part_n.astype(np.int8), label_n=label_n, batch_n=batch_n)(z_nk)
    return told, z_nk[part_n].astype(np.float32), label_n[part_n], batch_n[part_n]


def test_the_silhouette_is_that_of_scib(case):
    told, z_nk, label_n, _ = case

    assert told["silhouette"] == pytest.approx(scib_metrics.silhouette_label(z_nk, label_n), abs=1e-5)


def test_the_score_of_isolated_classes_is_that_of_scib(case):
    told, z_nk, label_n, batch_n = case

    assert told["isolated"] == pytest.approx(scib_metrics.isolated_labels(z_nk, label_n, batch_n), abs=1e-5)


def test_the_silhouette_of_batches_is_bras_of_scib(case):
    told, z_nk, label_n, batch_n = case

    assert told["batch_silhouette"] == pytest.approx(scib_metrics.bras(z_nk, label_n, batch_n), abs=1e-5)


def test_ilisi_is_that_of_scib(case):
    told, z_nk, _, batch_n = case
    d_nn = np.linalg.norm(z_nk[:, None] - z_nk, axis=2)
    place_nk = np.argsort(d_nn, axis=1, kind="stable")[:, :90]
    near = scib_metrics.nearest_neighbors.NeighborsResults(place_nk, np.take_along_axis(d_nn, place_nk, 1))

    assert told["ilisi"] == pytest.approx(scib_metrics.ilisi_knn(near, batch_n), abs=2e-3)


def test_agreement_of_clusters_is_near_that_of_scib_which_starts_once_elsewhere(case):
    told, z_nk, label_n, _ = case
    theirs = scib_metrics.nmi_ari_cluster_labels_kmeans(z_nk, label_n)

    assert told["nmi"] == pytest.approx(theirs["nmi"], abs=0.1)
    assert told["ari"] == pytest.approx(theirs["ari"], abs=0.15)
