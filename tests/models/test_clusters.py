import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, silhouette_score

from gxsearch.training.clusters import clusters, n_classes


def blobs(n=90, k=3, dims=4, apart=20.0):
    """Return rows around k centers far apart, and which center each is of."""
    draw = np.random.default_rng(0)
    of = np.arange(n) % k
    return apart * draw.normal(size=(k, dims))[of] + draw.normal(size=(n, dims)), of.astype(str)


def test_groups_that_lie_apart_are_found_at_their_number():
    z_nk, of_n = blobs()

    rows = {row["k"]: row for row in clusters(z_nk, of_n)}

    assert list(rows) == list(range(2, 11))
    assert rows[3]["ari"] == rows[3]["nmi"] == 1.0
    assert max(rows.values(), key=lambda row: row["silhouette"])["k"] == 3
    assert max(rows.values(), key=lambda row: row["calinski_harabasz"])["k"] == 3
    assert rows[3]["silhouette"] == pytest.approx(silhouette_score(z_nk, of_n))


def test_the_number_of_classes_is_tried_beyond_the_usual_numbers():
    z_nk, of_n = blobs(n=120, k=15)

    rows = clusters(z_nk, of_n)

    assert [row["k"] for row in rows] == [*range(2, 11), 15] and rows[-1]["ari"] > 0.5


def test_agreement_is_that_of_chance_where_classes_say_nothing():
    z_nk, _ = blobs(n=600)
    of_n = np.random.default_rng(1).choice(["a", "b", "c"], 600)

    row = next(row for row in clusters(z_nk, of_n) if row["k"] == 3)

    assert abs(row["ari"]) < 0.02 and adjusted_rand_score(of_n, of_n) == 1.0


def test_without_labels_nothing_is_said_of_classes():
    assert set(clusters(blobs()[0])[0]) == {"k", "silhouette", "calinski_harabasz"}


@pytest.mark.parametrize(("n", "ks"), [(1, []), (3, [2]), (5, [2, 3, 4])])
def test_there_are_fewer_clusters_than_rows(n, ks):
    assert [row["k"] for row in clusters(np.eye(n))] == ks


def test_equal_rows_are_no_clusters():
    assert clusters(np.ones((20, 3))) == []
    assert [row["k"] for row in clusters(np.repeat(np.eye(3), 9, axis=0))] == [2]


def test_the_same_rows_give_the_same_numbers():
    z_nk, of_n = blobs(n=2500, apart=1.0)

    assert clusters(z_nk, of_n, ks=(4, 7)) == clusters(z_nk.copy(), of_n, ks=(4, 7))


def test_a_column_that_names_each_row_has_no_classes():
    assert n_classes(np.arange(50).astype(str)) is None and n_classes(np.array(["a"] * 50)) is None
    assert n_classes(np.array(["a", "b"] * 25)) == 2 and n_classes(None) is None
