"""Small planted data for the tests of models: a curved two-dimensional family of profiles."""

import numpy as np
import pytest
import torch

from gxsearch.data.table import Table


def planted(n: int = 120, g: int = 60, seed: int = 0) -> Table:
    """Rows lie on a curved surface over the plane, so that two linear components cannot hold them."""
    draw = np.random.default_rng(seed)
    place_n2 = draw.uniform(-1, 1, (n, 2))
    centers_g2 = draw.uniform(-1, 1, (g, 2))
    distance_ng = np.square(place_n2[:, None] - centers_g2).sum(2)
    x_ng = 4 * np.exp(-2 * distance_ng) + 0.1 * draw.normal(size=(n, g))
    part_n = np.zeros(n, dtype=np.int8)
    part_n[2 * n // 3 :], part_n[5 * n // 6 :] = 1, 2
    return Table(
        x_ng.astype(np.float32),
        np.array([f"row{i}" for i in range(n)]),
        np.array([f"gene{j}" for j in range(g)]),
        part_n,
        {"side": np.where(place_n2[:, 0] > 0, "right", "left")},
    )


@pytest.fixture
def table() -> Table:
    return planted()


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)
