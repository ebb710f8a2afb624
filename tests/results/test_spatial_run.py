"""A concluded run of spatial: what it tells of spots in an AnnData."""

import numpy as np
import pytest

import gxsearch as gx

DATA = "sim_spatial?n=240&g=60"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    spec = {
        "gxsearch": 1,
        "name": "spatial",
        "model": "spatial",
        "data": {
            "path": DATA,
            "label": "region",
            "spatial": "spatial",
            "split": {"val": 0.2, "test": 0.2, "group": "section", "tiles": 4},
            "view": {"section": "section", "features": "pca", "classes": "region"},
        },
        "objective": {"metric": "val/balanced_accuracy"},
        "space": {"model": {"dim": 16}, "train": {"lr": 3e-3}},
        "budget": {"trials": 1, "epochs": 12},
    }
    return gx.train(spec, out=tmp_path_factory.mktemp("runs"), quiet=True)


def test_vectors_come_with_the_class_that_is_told_and_its_probability(run):
    adata = gx.read(DATA)

    gx.tl.embed(adata, run)

    chance = adata.obsm["spatial_probabilities"]
    names = adata.uns["spatial_classes"]
    assert adata.obs["spatial_prediction"].tolist() == names[chance.argmax(1)].tolist()
    np.testing.assert_allclose(chance.sum(1), 1, atol=1e-5)
    assert (adata.obs["spatial_prediction"].astype(str) == adata.obs["region"].astype(str)).mean() > 0.5


def test_the_run_tells_the_same_of_its_own_spots(run):
    adata = gx.read(DATA)

    gx.tl.embed(adata, run)

    own = run.embeddings.obsm["spatial_probabilities"]
    np.testing.assert_allclose(adata.obsm["spatial_probabilities"], own, atol=1e-5)
