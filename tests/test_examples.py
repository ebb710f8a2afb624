"""The examples run to their ends as a user would run them, and what they leave is sane."""

import json
import os
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
NOTEBOOKS = sorted(EXAMPLES.glob("notebooks/*.ipynb"))
SIXTH = EXAMPLES / "sixth_architecture"


def environment(**more: str) -> dict[str, str]:
    """Return that of a user: no models of the tests."""
    return {**{k: v for k, v in os.environ.items() if k != "GXSEARCH_MODELS"}, "MPLBACKEND": "Agg", **more}


def left_by(name: str, folder: Path) -> Path:
    """Run an example in an empty working folder; return where it wrote."""
    out = folder / "out"
    command = [sys.executable, EXAMPLES / f"{name}.py", out]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [path.name for path in folder.iterdir()] == ["out"]
    picture = matplotlib.image.imread(out / f"{name}.png")
    assert picture.shape[1] > 1000 and picture.std() > 0.02
    return out


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_rvagene_generation(tmp_path):
    made = pd.read_csv(left_by("rvagene_generation", tmp_path) / "new_curves.csv")

    curves, of = made.iloc[:, -60:], made["cluster"]
    centers = curves[made["center"]].set_axis(of[made["center"]], axis=0)
    assert len(made) == 6 * 16 and len(centers) == 6
    assert np.corrcoef(centers)[np.triu_indices(6, 1)].max() < 0.98  # six kinds of curves
    assert all(curves[of == c].T.corrwith(centers.loc[c].set_axis(curves.columns)).median() > 0.9 for c in range(6))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_spatial_regions(tmp_path):
    told = pd.read_csv(left_by("spatial_regions", tmp_path) / "accuracy.csv", index_col=0)["right"]

    assert told["True regions"] == 1
    assert told["Told with its neighbors"] > 0.85
    assert told["Told with its neighbors"] > told["Told from a spot alone"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_fe_bulk(tmp_path):
    near = pd.read_csv(left_by("fe_bulk", tmp_path) / "nearest_genes.csv")

    assert len(near) == 7
    assert near["similarity"].is_monotonic_decreasing and near["similarity"].min() > 0.5


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_vae_annealing(tmp_path):
    table = pd.read_csv(left_by("vae_annealing", tmp_path) / "annealing.csv", index_col="anneal")

    assert table.index.tolist() == ["none", "linear", "cosine", "cyclic"]
    assert table.loc["cyclic", "train/kl"] > table.loc["none", "train/kl"]
    assert table["val/masked_mse"].max() < 0.95


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nbvae_batches(tmp_path):
    told = pd.read_csv(left_by("nbvae_batches", tmp_path) / "told_by_neighbors.csv", index_col=0)

    assert told.loc["nbvae with adversary", "batch"] < told.loc["PCA", "batch"] - 0.2
    assert told.loc["nbvae with adversary", "cell_type"] > 0.8


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_transformer_annotation(tmp_path):
    table = pd.read_csv(left_by("transformer_annotation", tmp_path) / "confusion.csv", index_col=0)

    right = sum(table.loc[name, name] for name in table.index if name in table)
    assert right / table.to_numpy().sum() > 0.7


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_compare_architectures(tmp_path):
    out = left_by("compare_architectures", tmp_path)

    table = pd.read_csv(out / "leaderboard.csv").set_index("name")
    pairs = pd.read_csv(out / "differences.csv")
    assert set(table.index[table["kind"] == "model"]) == {"vae", "nbvae"}
    assert table["test/knn"].max() > 2 * table.loc[table["kind"] == "control", "test/knn"].max()
    assert (pairs["low"] <= pairs["difference"]).all() and (pairs["difference"] <= pairs["high"]).all()


def test_the_commands_of_a_cluster_are_printed_and_none_is_run(tmp_path):
    here = environment(
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", GXSEARCH_CACHE=str(tmp_path)
    )

    done = subprocess.run(["bash", EXAMPLES / "on_a_cluster.sh"], env=here, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    programs = [line.split()[:2] for line in done.stdout.splitlines()]
    assert [words for words in programs if words[:1] == ["sbatch"] or words[1:] in (["up"], ["down"])] == [
        ["ray", "up"],
        ["ray", "down"],
        ["sbatch", "cluster/slurm/gxsearch.sbatch"],
    ]


def test_the_sixth_architecture_keeps_the_contract(tmp_path):
    command = [sys.executable, "-m", "pytest", "tests/contract/test_models.py", "-q", "-k", "denoising"]

    done = subprocess.run(
        command, cwd=ROOT, env=environment(GXSEARCH_MODELS=str(SIXTH)), capture_output=True, text=True
    )

    assert done.returncode == 0 and " passed" in done.stdout, done.stdout[-3000:]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_sixth_architecture_is_searched(tmp_path):
    command = [sys.executable, "-m", "gxsearch.cli", "tune", SIXTH / "denoising.yaml", "-o", tmp_path, "-q"]

    done = subprocess.run(command, env=environment(GXSEARCH_MODELS=str(SIXTH)), capture_output=True, text=True)

    assert done.returncode == 0, done.stderr[-3000:]
    (run,) = tmp_path.iterdir()
    scores = json.loads((run / "results" / "scores.json").read_text())
    assert scores["test/knn"] > 0.4 and scores["test/masked_r2"] > 0.05
    alone = [sys.executable, "-c", f"import gxsearch as gx; gx.load({str(run)!r})"]
    read = subprocess.run(alone, env=environment(), capture_output=True, text=True)
    assert "E310" in read.stderr and "GXSEARCH_MODELS" in read.stderr  # a run says of no code where it is


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_to_its_end(path, tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("GXSEARCH_RUNS", str(tmp_path / "out"))
    notebook = nbformat.read(path, as_version=4)

    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()

    shown = [cell["outputs"] for cell in notebook.cells if cell["cell_type"] == "code"]
    assert shown[-1][0]["output_type"] == "execute_result"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path):
    cells = json.loads(path.read_text())["cells"]

    assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]


def test_the_readme_names_every_example():
    text = (EXAMPLES / "README.md").read_text()
    named = [path.name for path in (*SCRIPTS, *NOTEBOOKS, EXAMPLES / "on_a_cluster.sh", SIXTH)]

    assert [name for name in named if name not in text] == []
    assert sum(path.stat().st_size for path in EXAMPLES.rglob("*.png")) <= 3 * 60_000
