import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from numba.core.dispatcher import Dispatcher
from sklearn.metrics import silhouette_score

from gxsearch.results import maps, palette, projection
from gxsearch.results.run_dir import RunDir


def sample(k: int, n: int = 40) -> AnnData:
    draw = np.random.default_rng(0)
    obs = pd.DataFrame(
        {"kind": pd.Categorical(["a", "b"] * (n // 2)), "age": draw.uniform(size=n)}, index=[f"r{i}" for i in range(n)]
    )
    var = pd.DataFrame({"mean": draw.uniform(size=9), "variance": np.arange(9.0)}, index=[f"g{i}" for i in range(9)])
    vectors = draw.normal(size=(n, k)) + 8 * (np.arange(n) % 2)[:, None]
    adata = AnnData(obs=obs, var=var, obsm={"X_fe": vectors.astype("f4"), "X_pca": draw.normal(size=(n, 3))})
    adata.varm["fe"] = draw.normal(size=(9, 4))
    return adata


def test_vectors_of_two_dimensions_are_drawn_as_they_are_beside_principal_components(tmp_path):
    adata = sample(2)

    own, control = maps.row_maps(RunDir(tmp_path), adata, "fe")

    assert np.array_equal(own.points[["x", "y"]], adata.obsm["X_fe"]) and own.axes == ("fe 1", "fe 2")
    assert control.axes == ("PC 1", "PC 2") and "3 components" in control.title
    assert own.silhouettes["kind"] > 0.7 > control.silhouettes["kind"] and "age" not in own.silhouettes


def test_classes_come_before_numbers_and_too_many_classes_are_not_drawn(tmp_path):
    points = maps.row_maps(RunDir(tmp_path), sample(2, 100), "fe")[0].points
    points["patient"] = points["name"]

    assert maps.columns(points) == ["kind", "age"]


def test_a_umap_is_computed_once_and_again_for_other_vectors(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(projection, "umap", lambda v: calls.append(1) or v[:, :2].copy())
    run, vectors = RunDir(tmp_path), sample(3).obsm["X_fe"]

    first, again = projection.plane(run, vectors, "fe"), projection.plane(run, vectors, "fe")
    other = projection.plane(run, vectors + 1, "fe")

    assert len(calls) == 2 and first.axes == ("UMAP 1", "UMAP 2")
    assert np.array_equal(first.points, again.points) and not np.array_equal(first.points, other.points)


def test_a_damaged_umap_is_made_again_and_a_pickled_one_is_not_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(projection, "umap", lambda v: v[:, :2].copy())
    run, vectors = RunDir(tmp_path), sample(3).obsm["X_fe"]
    run.results.mkdir()
    np.save(run.projection("umap"), np.array([{"evil": 1}], dtype=object), allow_pickle=True)

    assert projection.plane(run, vectors, "fe").points.shape == (40, 2)


@pytest.mark.parametrize("exact", [0, 100])
def test_a_umap_keeps_groups_apart_and_is_the_same_on_every_call(monkeypatch, exact):
    monkeypatch.setattr(projection, "EXACT", exact)  # of more rows neighbors are umap's own affair
    vectors = sample(4).obsm["X_fe"]

    points = projection.umap(vectors)

    assert silhouette_score(points, np.arange(40) % 2) > 0.7
    assert np.array_equal(points, projection.umap(vectors))


def test_what_is_compiled_for_a_umap_is_kept_for_the_next_process():
    from umap import umap_

    projection.umap(sample(4).obsm["X_fe"])

    assert umap_.smooth_knn_dist.stats.cache_path is not None


def test_where_nothing_can_be_kept_a_umap_is_compiled_each_time(monkeypatch):
    asked = []

    def refuse(self):
        asked.append(self)
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(Dispatcher, "enable_caching", refuse)
    projection.keep_compiled.__wrapped__()

    assert len(asked) == 1


def test_one_dimension_and_very_few_rows_are_drawn_without_a_umap(tmp_path):
    run = RunDir(tmp_path)

    assert projection.plane(run, sample(1).obsm["X_fe"], "fe").points.shape == (40, 2)
    assert projection.plane(run, sample(5).obsm["X_fe"][:3], "fe").points.shape == (3, 2)
    assert not run.projection("umap").exists()


def test_genes_are_mapped_and_the_most_variable_are_named():
    found = maps.gene_map(sample(2), "fe")

    assert set(found.points.loc[found.points["named"], "name"]) == {f"g{i}" for i in range(1, 9)}
    assert "of variance" in found.axes[0] and len(maps.gene_figure(found).data) == 2
    assert maps.gene_map(sample(2), "vae") is None


def test_forty_classes_look_different_and_the_rarest_beyond_share_one_gray():
    names = np.array([f"c{i:02d}" for i in range(41)] + [f"c{i:02d}" for i in range(40)])

    looks = palette.styles(names)

    assert len({looks[f"c{i:02d}"] for i in range(40)}) == 40 and looks["c40"][0] == palette.MISSING
    assert len({looks[f"c{i:02d}"][0] for i in range(8)}) == 8


def test_genes_are_the_points_where_no_row_has_a_vector(tmp_path):
    adata = sample(2)
    del adata.obsm["X_fe"]
    adata.varm["fe"][3] = np.nan
    adata.varm["fe"] = adata.varm["fe"][:, :2]

    (only,) = maps.row_maps(RunDir(tmp_path), adata, "fe")

    assert only.what == "gene" and only.points["name"].tolist() == [f"g{i}" for i in (0, 1, 2, 4, 5, 6, 7, 8)]
    assert maps.columns(only.points) == ["mean", "variance"]
    adata.varm["X_pca"] = np.arange(27.0).reshape(9, 3)
    control = maps.row_maps(RunDir(tmp_path), adata, "fe")[1]
    assert control.points["x"].tolist() == [3.0 * i for i in (0, 1, 2, 4, 5, 6, 7, 8)]
    assert maps.row_maps(RunDir(tmp_path), adata, "vae") == []


def test_the_latent_space_is_shown_three_ways_and_each_is_computed_once(tmp_path, monkeypatch):
    calls = []
    for name in ("umap", "tsne"):
        monkeypatch.setattr(projection, name, lambda v, name=name: calls.append(name) or v[:, :2].copy())
    run, adata = RunDir(tmp_path), sample(5)

    first, again = maps.three_maps(run, adata, "fe"), maps.three_maps(run, adata, "fe")

    assert [one.title for one in first] == ["PCA", "UMAP", "t-SNE"] and sorted(calls) == ["tsne", "umap"]
    assert all(a.points.equals(b.points) for a, b in zip(first, again, strict=True))
    assert maps.three_maps(run, sample(2), "fe") == []


def test_t_sne_places_a_fixed_choice_of_many_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(projection, "umap", lambda v: v[:, :2].copy())
    monkeypatch.setattr(projection, "tsne", lambda v: v[:, :2].copy())
    vectors = np.random.default_rng(0).normal(size=(2500, 3)).astype("f4")

    found = projection.three_ways(RunDir(tmp_path), vectors, "fe")["t-SNE"]

    assert found.points.shape == (2000, 2) and np.array_equal(found.points, vectors[found.rows][:, :2])


def test_a_t_sne_is_the_same_on_every_call_and_keeps_groups_apart():
    vectors = sample(4).obsm["X_fe"]

    points = projection.tsne(vectors)

    assert np.array_equal(points, projection.tsne(vectors)) and points.shape == (40, 2)
    assert maps._silhouette(points, np.arange(40) % 2) > 0.5
