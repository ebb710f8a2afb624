import json
import shutil

import anndata
import numpy as np
import pandas as pd
import pytest
from synthetic_run import write_run

from gxsearch import listing
from gxsearch.cli import main
from gxsearch.errors import DataError
from gxsearch.results import embed, similar
from gxsearch.results.run_dir import RunDir

NAMES = ["ENSG00000000001.7", "ENSG00000000002", "TP53", "MDM2", "ACTB", "none"]
ANGLES = np.array([0.0, 0.1, 1.2, 1.25, np.pi])


@pytest.fixture
def run(tmp_path) -> RunDir:
    """A run whose genes lie at known angles, with different lengths; the model lacks the last gene."""
    run = write_run(tmp_path / "run", {"warnings": []})
    vectors = np.full((6, 3), np.nan, dtype="f4")
    vectors[:5] = np.column_stack([np.cos(ANGLES), np.sin(ANGLES), np.zeros(5)]) * np.array([[1], [5], [2], [3], [9]])
    var = pd.DataFrame({"mean": np.ones(6), "variance": np.arange(6.0)}, index=NAMES)
    adata = anndata.AnnData(obs=pd.DataFrame(index=["a", "b"]), var=var, varm={"fe": vectors})
    run.results.mkdir()
    adata.write_h5ad(run.embeddings)
    return run


def test_similarity_is_the_cosine_of_the_angle_whatever_the_lengths(run):
    found = similar.similar(run.path, ["TP53", "ENSG00000000002", "ACTB"], top=2)

    expected = np.cos(ANGLES[[2, 1, 4]][:, None] - ANGLES[[2, 1, 4]])
    assert np.allclose(found.among, expected, atol=1e-6) and found.among.index.tolist()[0] == "TP53"


def test_the_nearest_genes_are_in_order_and_a_gene_is_not_its_own_neighbor(run):
    nearest = similar.similar(run.path, ["TP53"], top=3).nearest

    assert nearest["other"].tolist() == ["MDM2", "ENSG00000000002", "ENSG00000000001.7"]
    assert nearest["rank"].tolist() == [1, 2, 3] and nearest["similarity"].is_monotonic_decreasing


def test_pearson_is_numpy_s_correlation(run):
    vectors = similar.read(run.path)

    found = similar.similar(run.path, vectors.names.tolist(), measure="pearson")

    assert np.allclose(found.among, np.corrcoef(vectors.matrix.astype(float)))


def test_a_gene_without_a_vector_and_a_vector_without_length_are_like_nothing(run):
    vectors = similar.GeneVectors("fe", np.array(["a", "b"]), np.array([[0.0, 0.0], [1.0, 0.0]]))

    assert vectors.similarity([0]).tolist() == [[0.0, 0.0]] and "none" not in similar.read(run.path).names


def test_versions_of_ensembl_ids_do_not_matter(run):
    found = similar.similar(run.path, ["ENSG00000000001", "ENSG00000000002.11", "ENSG00000000001.7"])

    assert found.among.index.tolist() == NAMES[:2]


def test_every_unknown_gene_is_named_with_the_nearest(run, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["genes", str(run.path), "TP53", "tp53", "MDM3"])

    lines = capsys.readouterr().err.splitlines()
    assert ended.value.code == 4 and len(lines) == 2
    assert "no gene 'tp53'" in lines[0] and "did you mean 'TP53'?" in lines[0] and "did you mean 'MDM2'?" in lines[1]


def test_a_model_without_gene_vectors_is_told_in_one_line(samples_only, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["genes", str(samples_only.path), "gene01"])

    told = capsys.readouterr().err
    assert ended.value.code == 4 and len(told.splitlines()) == 1
    assert "the model toy gives vectors to samples only, none to genes" in told


def test_genes_that_are_rows_are_compared_from_the_file_and_from_the_model(genes_as_rows):
    kept, made = similar.read(genes_as_rows.path), similar.read(genes_as_rows.path, 0)

    assert kept.names.tolist() == made.names.tolist() and np.allclose(kept.matrix, made.matrix, atol=1e-5)


def test_at_least_one_gene_is_named(run, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["genes", str(run.path)])
    with pytest.raises(DataError, match="no gene is named"):
        similar.similar(run.path, [" "])


def test_vectors_of_two_dimensions_are_too_short_to_correlate(run):
    adata = anndata.read_h5ad(run.embeddings)
    adata.varm["fe"] = adata.varm["fe"][:, :2]
    adata.write_h5ad(run.embeddings)

    with pytest.raises(DataError, match="too short to correlate"):
        similar.similar(run.path, ["TP53"], measure="pearson")


def test_a_trained_run_gives_the_same_from_its_embeddings_and_from_its_model(own, table):
    names = table.var_names[:3].tolist()
    bare = RunDir(shutil.copytree(own.path, own.path.with_name("bare")))
    bare.embeddings.unlink(missing_ok=True)
    embed.embeddings(own, table)

    kept, made = similar.similar(own.path, names), similar.similar(bare.path, names)

    assert np.allclose(kept.among, made.among, atol=1e-6)
    assert kept.nearest["other"].tolist() == made.nearest["other"].tolist()


def test_the_command_writes_pairs_that_pandas_reads_and_keeps_a_file_that_exists(run, tmp_path, capsys):
    (tmp_path / "list.txt").write_text("MDM2\n\nACTB\n")
    argv = ["genes", str(run.path), "TP53", "--list", str(tmp_path / "list.txt"), "--top", "1", "-o"]

    main([*argv, str(tmp_path / "out.csv")])

    frame = pd.read_csv(tmp_path / "out.csv")
    assert set(frame["gene"]) == {"TP53", "MDM2", "ACTB"} and capsys.readouterr().out.strip().endswith("out.csv")
    ranked = frame[frame["rank"] == 1].set_index("gene")["other"]
    assert ranked["TP53"] == "MDM2" and ranked["MDM2"] == "TP53" and len(frame) == 6
    with pytest.raises(SystemExit, match="4"):
        main([*argv, str(tmp_path / "out.csv")])


def test_tables_keep_to_the_width_of_a_terminal(run):
    vectors = similar.read(run.path)
    many = similar.GeneVectors("fe", np.array([f"gene-{i:02d}" for i in range(30)]), np.eye(30))
    among = pd.DataFrame(many.matrix, index=many.names, columns=many.names)
    nearest = pd.DataFrame(
        [(name, 1, "a-rather-long-name", 0.5) for name in many.names], columns=["gene", "rank", "other", "similarity"]
    )

    text = listing.genes(similar.Similar(many, "cosine", among, nearest))
    told = json.loads(listing.genes_json(similar.similar(run.path, ["TP53", "ACTB"], top=2)))

    assert max(map(len, text.splitlines())) <= listing.WIDTH and text.count("gene-29") == 5
    assert told["nearest"]["TP53"][0]["gene"] == "MDM2" and set(told["among"]) == {"TP53", "ACTB"}
    assert len(vectors.names) == 5


def test_the_most_variable_genes_are_put_like_beside_like(run):
    adata = anndata.read_h5ad(run.embeddings)

    found = similar.most_variable(adata, "fe", most=4)

    assert set(found.index) == {"ENSG00000000002", "TP53", "MDM2", "ACTB"}
    places = found.index.get_indexer(["TP53", "MDM2"])
    assert abs(places[0] - places[1]) == 1 and np.allclose(np.diag(found), 1)
    assert similar.most_variable(adata, "vae") is None
